//! What else the proxy is given to do.

use crate::api::Caller;
use crate::device::{Device, connect, connect_all, puback, try_connect};
use crate::large;
use crate::packet::{Publishes, publish_head};
use crate::proxy::{Kind, Proxy};
use crate::route::Route;
use crate::sink::Sink;
use crate::stalls::{CROWD, PLAIN, Size, TLS};
use std::fmt;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Burden {
    Nothing,
    Large,
    Storm,
    Leave,
    Put,
    Edit,
    Counting,
}

impl fmt::Display for Burden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "none",
            Self::Large => "one device sends 200 MB",
            Self::Storm => "2,000 connections at once, TLS to the broker",
            Self::Leave => "the same 2,000 leave at once",
            Self::Put => "PUT, 100,000 SIMs in the file",
            Self::Edit => "the file of 100,000 SIMs edited by hand",
            Self::Counting => "2,000 SIMs counted into ledger and log every second",
        })
    }
}

impl Burden {
    /// Those that this proxy knows.
    pub fn all(kind: Kind) -> Vec<Self> {
        let mut all = vec![
            Self::Nothing,
            Self::Large,
            Self::Storm,
            Self::Leave,
            Self::Counting,
        ];
        if kind == Kind::Simrelay {
            all.extend([Self::Put, Self::Edit]);
        }
        all
    }
}

/// Comes back when it is over. `crowd` are those who came in a storm and have not left.
pub fn put_on(
    burden: Burden,
    crowd: &mut Vec<Device>,
    runtime: &Runtime,
    proxy: &Proxy,
    sink: &Sink,
    routes: &[Route],
    size: Size,
) {
    let before = sink.messages();
    match burden {
        Burden::Nothing => std::thread::sleep(size.quiet),
        Burden::Large => runtime.block_on(async {
            send_large(proxy, sink, routes[PLAIN].first, size).await;
            sink.arrived(before + 1).await;
        }),
        Burden::Storm => *crowd = storm(runtime, proxy, &routes[TLS]),
        Burden::Leave => {
            crowd.clear();
            std::thread::sleep(size.quiet / 5);
        }
        Burden::Counting => {
            let sent = count(runtime, proxy, &routes[PLAIN], size.counting);
            runtime.block_on(sink.arrived(before + sent));
        }
        Burden::Put => put(proxy, &routes[CROWD], size.changes),
        Burden::Edit => edit(proxy, size.changes),
    }
}

async fn send_large(proxy: &Proxy, sink: &Sink, number: u64, size: Size) {
    let mut device = connect(proxy.address(PLAIN), number).await;
    let head = publish_head(&proxy.uplink_topic(number), 1, size.large);
    large::send(&mut device.stream, &head, sink.large(), size.large).await;
    puback(&mut device.stream, 0).await;
}

/// Everybody at once; over when all are in, or not let in.
fn storm(runtime: &Runtime, proxy: &Proxy, route: &Route) -> Vec<Device> {
    let address = proxy.address(TLS);
    let mut coming = JoinSet::new();
    for number in route.first..route.first + route.devices {
        coming.spawn_on(try_connect(address, number), runtime.handle());
    }
    let came = runtime.block_on(coming.join_all());
    let refused = came.iter().filter(|device| device.is_err()).count();
    if refused > 0 {
        eprintln!(
            "{}: {refused} of {} connections were not let in",
            proxy.kind,
            came.len()
        );
    }
    came.into_iter().flatten().collect()
}

/// Every device of a route sends a message a second; how many there were.
fn count(runtime: &Runtime, proxy: &Proxy, route: &Route, length: Duration) -> u64 {
    let numbers = route.first..route.first + route.devices;
    let fleet = runtime.block_on(connect_all(proxy.address(PLAIN), numbers));
    let began = Instant::now();
    let mut sending = JoinSet::new();
    for (place, mut device) in fleet.into_iter().enumerate() {
        let topic = proxy.uplink_topic(device.number);
        let after = Duration::from_secs(1).mul_f64(place as f64 / route.devices as f64);
        let send = async move {
            let mut publishes = Publishes::new(&topic, device.number, 1, 1);
            tokio::time::sleep(after).await;
            while began.elapsed() < length {
                let number = publishes.number();
                device.stream.write_all(publishes.next(1)).await.unwrap();
                puback(&mut device.stream, number).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            u64::from(publishes.number())
        };
        sending.spawn_on(send, runtime.handle());
    }
    runtime.block_on(sending.join_all()).into_iter().sum()
}

fn put(proxy: &Proxy, route: &Route, times: usize) {
    let caller = Caller::of(proxy);
    for time in 0..times {
        caller.put(CROWD, &route.broker, &format!("put {time}"));
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The file is written as an editor does, and simrelay has time to see it.
fn edit(proxy: &Proxy, times: usize) {
    let path = proxy.entrypoints();
    let mut name = format!("put {}", times - 1);
    for time in 0..times {
        let text = std::fs::read_to_string(&path).unwrap();
        let next = format!("edit {time}");
        let edited = text.replace(&format!("\"{name}\""), &format!("\"{next}\""));
        assert_ne!(text, edited, "\"{name}\" is in the file");
        let new = path.with_extension("new");
        std::fs::write(&new, edited).unwrap();
        std::fs::rename(&new, &path).unwrap();
        std::thread::sleep(Duration::from_secs(3));
        name = next;
    }
}
