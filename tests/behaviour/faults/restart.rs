//! The relay is restarted, and dies, under the devices it serves.

use super::long;
use crate::site::*;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

fn folder(config: &Configuration) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("entrypoints.json"), config.text()).unwrap();
    folder
}

/// Connects, says CONNECT and waits for the answer: its code, or `None` where the relay ended first.
fn call(relay: SocketAddr) -> Option<u8> {
    // Panics where nobody listens.
    let mut device = Device::from(&sim_address(1), relay);
    device.try_send(&Connect::new(Version::V311, "caller").bytes());
    let answer = device.connack_or_end();
    answer.map(|packet| packet.body()[1])
}

#[test]
fn while_systemd_holds_the_socket_no_restart_and_no_crash_refuses_a_connection() {
    let mosquitto = Mosquitto::plain();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let start = |folder| Simrelay::inheriting(&listener, folder, &["--broker-listen", "off", "--drain", "0"]);
    let mut relay = start(folder(&Configuration::of(&entry_point(&mosquitto.url()))));
    assert_eq!(relay.relay(), address, "--relay-listen is not used");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let (mut served, mut longest) = (0, Duration::ZERO);
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                while call(address) != Some(0) {
                    assert!(began.elapsed() < SOON, "not served");
                }
                served += 1;
                longest = longest.max(began.elapsed());
            }
            (served, longest)
        });
        let pause = || std::thread::sleep(Duration::from_millis(300));
        for _ in 0..2 {
            pause();
            relay.signal("TERM");
            assert!(relay.wait().success());
            pause();
            relay = start(relay.kill());
            pause();
            let left = relay.kill();
            pause();
            relay = start(left);
        }
        pause();
        over.store(true, Ordering::Relaxed);
        let (served, longest) = calling.join().unwrap();
        eprintln!("{served} connections over two restarts and two crashes; the slowest took {longest:?}");
        assert!(served > 4);
    });
}

#[test]
fn what_is_handed_over_and_is_no_listening_socket_is_refused_with_what_to_do() {
    let folder = folder(&Configuration::of(&entry_point("mqtt://127.0.0.1:1")));
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            "exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" run",
        ])
        .arg(env!("CARGO_BIN_EXE_simrelay"))
        .args([
            "--api-listen",
            "off",
            "--broker-listen",
            "off",
            "--bridge-listen",
            "off",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("systemd handed over a socket") && told.contains("ListenStream="),
        "{told}"
    );
}

#[test]
fn on_sigterm_connections_close_one_after_the_other_over_the_drain_time() {
    let mosquitto = Mosquitto::plain();
    let config = Configuration::of(&entry_point(&mosquitto.url()));
    let mut relay = Simrelay::with(&config, &["--drain", "3"]);
    let devices: Vec<_> = (0..30)
        .map(|at| {
            let mut device = relay.device(1);
            device.enter(&Connect::new(Version::V5, &format!("c{at}")));
            device
        })
        .collect();
    let began = Instant::now();
    relay.signal("TERM");
    let ends = devices.into_iter().map(|mut device| {
        std::thread::spawn(move || {
            let last = device.read();
            assert_eq!((last.kind(), last.body()[0]), (14, 0x8b), "{last:?}");
            began.elapsed()
        })
    });
    let ends: Vec<_> = ends
        .collect::<Vec<_>>()
        .into_iter()
        .map(|end| end.join().unwrap())
        .collect();
    let (first, last) = (ends.iter().min().unwrap(), ends.iter().max().unwrap());
    let spread = *last - *first;
    assert!(spread > Duration::from_millis(2500), "{ends:?}");
    let in_the_first_second = ends
        .iter()
        .filter(|end| **end < *first + Duration::from_secs(1))
        .count();
    assert!(in_the_first_second < 20, "{ends:?}");
    assert!(relay.wait().success());
}

/// A storm that is not over by then never ends.
const STORM: Duration = Duration::from_secs(60);
/// For longer than that nobody may be turned away.
const AT_MOST: Duration = Duration::from_secs(30);

/// How a device came in.
struct CameIn {
    stream: TcpStream,
    after: Duration,
    /// Attempts when nobody listened.
    found_nobody: u32,
    /// Attempts that were answered by another CONNACK, or by a close.
    refused: u32,
}

/// Connects again and again, as devices do, until it is served.
async fn come_back(relay: SocketAddr, at: usize) -> CameIn {
    let began = Instant::now();
    let (mut found_nobody, mut refused) = (0, 0);
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((fleet_address(at), 0).into()).unwrap();
        let Ok(mut stream) = socket.connect(relay).await else {
            found_nobody += 1;
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        let answer = async {
            let connect = Connect::new(Version::V311, &format!("storm-{at}")).keep_alive(600);
            stream.write_all(&connect.bytes()).await?;
            let mut connack = [0; 4];
            stream.read_exact(&mut connack).await?;
            std::io::Result::Ok(connack)
        };
        if matches!(answer.await, Ok([0x20, 2, 0, 0])) {
            return CameIn {
                stream,
                after: began.elapsed(),
                found_nobody,
                refused,
            };
        }
        refused += 1;
        sleep(Duration::from_millis(200)).await;
    }
}

/// All of a fleet at once.
async fn storm(relay: SocketAddr, count: usize) -> Vec<CameIn> {
    let coming: JoinSet<_> = (0..count).map(|at| come_back(relay, at)).collect();
    let all = timeout(STORM, coming.join_all()).await;
    all.unwrap_or_else(|_| panic!("not all of {count} devices were served within {STORM:?}"))
}

/// When the last one was served.
fn last(fleet: &[CameIn]) -> Duration {
    fleet.iter().map(|device| device.after).max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_a_fleet_that_comes_back_at_once_is_served_within_thirty_seconds() {
    let count = if long().is_some() { 9000 } else { 500 };
    let mosquitto = Mosquitto::plain();
    let config = Configuration::default()
        .group("g", Some(&entry_point(&mosquitto.url())))
        .fleet(count, "g");
    let address = free_address();
    let listen = address.to_string();
    let flags = ["--broker-listen", "off", "--relay-listen", listen.as_str()];
    let relay = Simrelay::in_folder(folder(&config), &flags);
    let mut fleet = storm(address, count).await;
    let first = last(&fleet);
    let left = relay.kill();
    for device in &mut fleet {
        // All of them notice.
        assert!(matches!(device.stream.read(&mut [0]).await, Ok(0) | Err(_)));
    }
    drop(fleet);
    let waiting = tokio::spawn(storm(address, count));
    let _relay = Simrelay::in_folder(left, &flags);
    let fleet = waiting.await.unwrap();
    let (again, found_nobody, refused) = (
        last(&fleet),
        fleet.iter().map(|device| device.found_nobody).sum::<u32>(),
        fleet.iter().map(|device| device.refused).sum::<u32>(),
    );
    eprintln!(
        "{count} devices: {first:?} to connect, {again:?} to be back after the kill, start of the relay included; \
         {found_nobody} attempts found nobody, {refused} were refused"
    );
    assert!(again < AT_MOST, "{again:?}");
}
