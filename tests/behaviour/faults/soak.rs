//! A fleet under steady traffic while administrators work: what the relay needs does not grow, and its counters are
//! the broker's to the message.
//!
//! The long form, 2,000 connections for half an hour:
//!
//! `SIMRELAY_LONG=30 cargo test --release --test behaviour faults::soak -- --nocapture`

use super::{long, wait_within};
use crate::site::*;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

/// SIMs that the connections belong to, in turn.
const SIMS: u8 = 20;
/// Messages of a connection before it makes place for the next.
const SESSION: u16 = 20;

/// What the devices know of.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicU64,
    refused: AtomicU64,
    subscriptions: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    over: AtomicBool,
}

/// A device's end, with what it has read too early.
struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    async fn connect(n: u8, relay: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind(format!("{}:0", sim_address(n)).parse().unwrap())
            .unwrap();
        let stream = socket.connect(relay).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next packet.
    async fn packet(&mut self) -> Packet {
        let reading = async {
            loop {
                let mut rest = self.read.as_slice();
                if let Ok(Some(packet)) = read_packet(&mut rest) {
                    let left = rest.len();
                    self.read.drain(..self.read.len() - left);
                    return packet;
                }
                let mut more = [0; 4096];
                let length = self.stream.read(&mut more).await.unwrap();
                assert!(length > 0, "closed where a packet was expected");
                self.read.extend_from_slice(&more[..length]);
            }
        };
        timeout(SOON, reading).await.expect("a packet")
    }
}

/// Connection after connection: subscribe, publish to itself, disconnect.
async fn device(at: usize, relay: SocketAddr, seen: Arc<Seen>) {
    let n = (at % usize::from(SIMS)) as u8 + 1;
    // 200 new ones a second.
    sleep(Duration::from_millis(5 * at as u64)).await;
    while !seen.over.load(Ordering::Relaxed) {
        let mut wire = Wire::connect(n, relay).await;
        let connect = Connect::new(Version::V311, &format!("soak-{at}")).keep_alive(60);
        wire.send(&connect.bytes()).await;
        let connack = wire.packet().await;
        if connack.bytes != CONNACK_311 {
            // A broker under many handshakes takes no more for a while: as a device does, it comes again.
            assert_eq!(connack.body()[1], 3, "{connack:?}");
            seen.refused.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            continue;
        }
        seen.connections.fetch_add(1, Ordering::Relaxed);
        wire.send(&subscribe(
            Version::V311,
            1,
            &[(&format!("{{{{imsi}}}}/{at}"), 1)],
        ))
        .await;
        assert_eq!(wire.packet().await.kind(), 9);
        seen.subscriptions.fetch_add(1, Ordering::Relaxed);
        for id in 2..SESSION + 2 {
            if seen.over.load(Ordering::Relaxed) {
                break;
            }
            echo(&mut wire, at, id).await;
            seen.sent.fetch_add(1, Ordering::Relaxed);
            seen.received.fetch_add(1, Ordering::Relaxed);
            // A hundred different rhythms.
            sleep(Duration::from_millis(500 + 10 * (at as u64 % 100))).await;
        }
        wire.send(&disconnect()).await;
        let mut end = [0];
        assert!(matches!(wire.stream.read(&mut end).await, Ok(0) | Err(_)));
    }
}

/// One message to itself, of a size and a QoS that change; everything that belongs to it is over at the end.
async fn echo(wire: &mut Wire, at: usize, id: u16) {
    let payload = vec![id as u8; [16, 200, 3000, 30_000][usize::from(id) % 4]];
    let qos = id as u8 % 2;
    wire.send(&publish(&format!("{{{{imsi}}}}/{at}"), qos, id, &payload))
        .await;
    let (mut acknowledged, mut came) = (qos == 0, false);
    while !(acknowledged && came) {
        let packet = wire.packet().await;
        match packet.kind() {
            3 => {
                assert!(packet.payload() == payload);
                if packet.qos() == 1 {
                    wire.send(&puback(packet.publish_id())).await;
                }
                came = true;
            }
            4 => acknowledged = true,
            kind => panic!("a packet of kind {kind}"),
        }
    }
}

/// Requests in the ledger under this name, of all SIMs.
fn ledger(relay: &Simrelay, name: &str) -> u64 {
    let of = |n| {
        let path = format!(
            "/v1/stats/beam/subscribers/{}?from=1&to=9999999999&period=month",
            imsi(n)
        );
        let months = relay.http().get(&path).json();
        let count = |month: &Value| month["beamStatsMap"][name]["count"].as_u64().unwrap_or(0);
        months.as_array().unwrap().iter().map(count).sum::<u64>()
    };
    (1..=SIMS).map(of).sum()
}

/// PUBLISH packets that Mosquitto says it `received` or `sent`; what it sends to this client counts too.
fn brokers_count(mosquitto: &Mosquitto, direction: &str) -> u64 {
    let topic = format!("$SYS/broker/publish/messages/{direction}");
    let output = std::process::Command::new("mosquitto_sub")
        .args(["-h", &mosquitto.inside.ip().to_string()])
        .args([
            "-p",
            &mosquitto.inside.port().to_string(),
            "-C",
            "1",
            "-W",
            "20",
            "-t",
            &topic,
        ])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

#[test]
fn under_steady_traffic_and_changes_nothing_grows_and_every_message_is_counted() {
    let (connections, lasts, changes_every) = match long() {
        Some(lasts) => (2000, lasts, 10),
        None => (100, Duration::from_secs(8), 1),
    };
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::for_certificates(&authority);
    let mut entry = entry_point(&mosquitto.tls_url());
    entry["useClientCert"] = true.into();
    entry["clientCerts"] = json!({ "default": { "$credentialsId": "site" } });
    let mut config = Configuration::default().group("g", Some(&entry));
    for n in 1..=SIMS {
        config = config.sim(n, Some("g"));
    }
    let relay = Simrelay::start(&config);
    let credential = |n| {
        let pair = authority.client(&format!("device-{n}"));
        json!({ "ca": authority.pem(), "cert": pair.cert, "key": pair.key })
    };
    relay.store("site", "x509", &credential(0));
    let seen = Arc::new(Seen::default());
    let descriptors = || {
        std::fs::read_dir(format!("/proc/{}/fd", relay.pid()))
            .unwrap()
            .count()
    };
    let at_rest = descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let devices: Vec<_> = (0..connections)
        .map(|at| runtime.spawn(device(at, relay.relay(), Arc::clone(&seen))))
        .collect();
    let began = Instant::now();
    let mut samples = Vec::new();
    let mut changes = 0_u32;
    while began.elapsed() < lasts {
        assert!(
            !devices.iter().any(tokio::task::JoinHandle::is_finished),
            "a device failed"
        );
        std::thread::sleep(Duration::from_secs(1));
        samples.push((relay.memory(), descriptors()));
        if began.elapsed().as_secs() < changes_every * u64::from(changes + 1) {
            continue;
        }
        changes += 1;
        // A new certificate, and another name for the entry point.
        relay.replace("site", "x509", &credential(changes));
        entry["name"] = format!("change {changes}").into();
        let body = json!([{ "key": "mqtt://beam.soracom.io:1883", "value": entry }]);
        let answer = relay.http().put("/v1/groups/g/configuration/SoracomBeam", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    seen.over.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        for device in devices {
            device.await.unwrap();
        }
    });
    wait_within(SOON, "every socket closed", || {
        (descriptors() <= at_rest + 4).then_some(())
    });
    report_and_check(&relay, &mosquitto, &seen, &samples, changes);
}

fn report_and_check(
    relay: &Simrelay,
    mosquitto: &Mosquitto,
    seen: &Seen,
    samples: &[(u64, usize)],
    changes: u32,
) {
    let [connections, refused, subscriptions, sent, received] = [
        &seen.connections,
        &seen.refused,
        &seen.subscriptions,
        &seen.sent,
        &seen.received,
    ]
    .map(|n| n.load(Ordering::Relaxed));
    // Past the first third everything that is kept has been made.
    let settled = &samples[samples.len() / 3..];
    let (memory, open) = settled[0];
    let most = settled.iter().map(|(memory, _)| *memory).max().unwrap();
    let most_open = settled.iter().map(|(_, open)| *open).max().unwrap();
    let kib = |bytes: u64| bytes / 1024;
    eprintln!(
        "{} s, {connections} connections, {refused} refused while the broker took none, {changes} changes of certificate and configuration, {sent} messages up, \
         {received} down; memory {} KiB after a third, {} KiB at most after that, {} KiB at the end; descriptors {open}, \
         then at most {most_open}",
        samples.len(),
        kib(memory),
        kib(most),
        kib(samples.last().unwrap().0),
    );
    assert!(
        most < memory + memory / 10 + 8 * 1024 * 1024,
        "memory grows: {samples:?}"
    );
    assert!(most_open < open + open / 10 + 20, "descriptors grow: {samples:?}");
    let all = subscriptions + sent + received;
    for name in ["inMqtt", "outMqtts"] {
        wait_within(SOON, name, || (ledger(relay, name) == all).then_some(()));
    }
    wait_within(SOON, "the broker's own count", || {
        (brokers_count(mosquitto, "received") == sent).then_some(())
    });
}
