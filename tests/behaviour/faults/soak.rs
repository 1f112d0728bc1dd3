//! A fleet under steady traffic while administrators work: what the relay needs does not grow, and its counters are
//! the broker's to the message.
//!
//! The long form, 2,000 connections for half an hour:
//!
//! `SIMRELAY_LONG=30 cargo test --release --test behaviour faults::soak -- --nocapture`

use super::{long, wait_within};
use crate::site::*;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};

/// SIMs that the connections belong to, in turn.
const SIMS: u8 = 20;
/// Messages of a connection before it makes place for the next.
const SESSION: u16 = 20;

const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

/// What the devices know of.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicU64,
    refused: AtomicU64,
    subscriptions: AtomicU64,
    sent: AtomicU64,
    /// Those of QoS 2 among them.
    sent_once: AtomicU64,
    received: AtomicU64,
    over: AtomicBool,
}

/// A device's end, with what it has read too early.
struct Wire {
    stream: tokio::net::TcpStream,
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

/// Connection after connection: subscribe, publish to itself, disconnect. Every other one speaks MQTT 5.
async fn device(at: usize, relay: SocketAddr, seen: Arc<Seen>) {
    let n = (at % usize::from(SIMS)) as u8 + 1;
    let version = [Version::V311, Version::V5][at / usize::from(SIMS) % 2];
    // 200 new ones a second.
    sleep(Duration::from_millis(5 * at as u64)).await;
    while !seen.over.load(Ordering::Relaxed) {
        let mut wire = Wire::connect(n, relay).await;
        let connect = Connect::new(version, &format!("soak-{at}")).keep_alive(60);
        wire.send(&connect.bytes()).await;
        let connack = wire.packet().await;
        let code = connack.body()[1];
        if code != 0 {
            // A broker under many handshakes takes no more for a while: as a device does, it comes again.
            assert_eq!(code, version.code(3, 0x88), "{connack:?}");
            seen.refused.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            continue;
        }
        seen.connections.fetch_add(1, Ordering::Relaxed);
        let to_itself = format!("{{{{imsi}}}}/{at}");
        wire.send(&subscribe(version, 1, &[(&to_itself, 2)])).await;
        assert_eq!(wire.packet().await.kind(), 9);
        seen.subscriptions.fetch_add(1, Ordering::Relaxed);
        for id in 2..SESSION + 2 {
            if seen.over.load(Ordering::Relaxed) {
                break;
            }
            echo(&mut wire, version, &to_itself, id, &seen).await;
            // A hundred different rhythms.
            sleep(Duration::from_millis(500 + 10 * (at as u64 % 100))).await;
        }
        wire.send(&disconnect()).await;
        let mut end = [0];
        assert!(matches!(wire.stream.read(&mut end).await, Ok(0) | Err(_)));
    }
}

/// One message to itself, of a size and a QoS that change; everything that belongs to it is over at the end.
async fn echo(wire: &mut Wire, version: Version, topic: &str, id: u16, seen: &Seen) {
    let payload = vec![id as u8; [16, 200, 3000, 30_000][usize::from(id) % 4]];
    let qos = id as u8 % 3;
    let (packet, expected) = match version {
        Version::V5 => {
            let packet = publish_5(topic, qos, id, &[], &payload);
            // No properties come back either.
            (packet, [&[0], payload.as_slice()].concat())
        }
        _ => (publish(topic, qos, id, &payload), payload),
    };
    wire.send(&packet).await;
    seen.sent.fetch_add(1, Ordering::Relaxed);
    seen.sent_once.fetch_add(u64::from(qos == 2), Ordering::Relaxed);
    let (mut acknowledged, mut came) = (qos == 0, false);
    while !(acknowledged && came) {
        let packet = wire.packet().await;
        match packet.kind() {
            3 => {
                seen.received.fetch_add(1, Ordering::Relaxed);
                assert!(packet.payload() == expected && packet.qos() == qos);
                if qos > 0 {
                    let answer = [PUBACK, PUBREC][usize::from(qos) - 1];
                    wire.send(&frame(answer, &packet.publish_id().to_be_bytes()))
                        .await;
                }
                came = qos < 2;
            }
            4 => acknowledged = true,
            5 => wire.send(&frame(PUBREL, &id.to_be_bytes())).await,
            6 => {
                wire.send(&frame(PUBCOMP, &packet.body()[..2])).await;
                came = true;
            }
            7 => acknowledged = true,
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

/// A client that is told how many PUBLISH packets Mosquitto has `received` or `sent`, every second in which that changes.
struct Count(Device);

impl Count {
    fn of(mosquitto: &Mosquitto, direction: &str) -> Self {
        let mut client = Device::new(TcpStream::connect(mosquitto.inside).unwrap());
        client.enter(&Connect::new(Version::V311, direction));
        let topic = format!("$SYS/broker/publish/messages/{direction}");
        client.send(&subscribe(Version::V311, 1, &[(&topic, 0)]));
        assert_eq!(client.read().kind(), 9);
        Self(client)
    }

    fn next(&mut self) -> u64 {
        let packet = self.0.read();
        String::from_utf8_lossy(packet.payload()).parse().unwrap()
    }
}

/// Mosquitto's own counters have to agree with the devices to the message.
fn compare_with_broker(mosquitto: &Mosquitto, sent: u64, sent_once: u64, received: u64) {
    let mut counted = Vec::new();
    let mut count = Count::of(mosquitto, "sent");
    // The first one may be older than the last message. Each is a message itself, which those after it count.
    while !counted.ends_with(&[received, received]) {
        assert!(
            counted.len() < 10,
            "{received} came from the broker, which counts {counted:?}"
        );
        let told = counted.len() as u64;
        counted.push(count.next() - told);
    }
    // This one is two seconds older than the last message, or more. Mosquitto 2.0.11 leaves out what comes with QoS 2.
    let counted = Count::of(mosquitto, "received").next();
    assert!(
        [sent, sent - sent_once].contains(&counted),
        "{sent} were sent, {sent_once} of them with QoS 2; the broker counts {counted}"
    );
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
    assert_eq!(sent, received);
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
    // A connection that left 64 bytes behind would be over it in the half hour.
    assert!(
        most < memory + memory / 20 + 2 * 1024 * 1024,
        "memory grows: {samples:?}"
    );
    assert!(most_open < open + open / 10 + 20, "descriptors grow: {samples:?}");
    let all = subscriptions + sent + received;
    for name in ["inMqtt", "outMqtts"] {
        wait_within(SOON, name, || (ledger(relay, name) == all).then_some(()));
    }
    let sent_once = seen.sent_once.load(Ordering::Relaxed);
    compare_with_broker(mosquitto, sent, sent_once, received);
}
