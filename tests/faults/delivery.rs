//! What QoS 1 and QoS 2 promise, kept through faults of the relay, the broker and the links.

use crate::link::{Link, Quality};
use crate::long;
use crate::site::*;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Between two faults: long enough that messages flow again.
const PAUSE: Duration = Duration::from_millis(1500);
const DEVICES: u8 = 50;

/// The devices, with a client library that knows nothing of the relay.
struct Fleet {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Fleet {
    fn connect(relay: SocketAddr, broker: SocketAddr) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(root.join("target/test-venv/bin/python"))
            .arg(root.join("tests/python/devices_through_faults.py"))
            .args([relay.ip().to_string(), relay.port().to_string()])
            .args([broker.ip().to_string(), broker.port().to_string()])
            .arg(DEVICES.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python with paho-mqtt: tests/run makes it");
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut fleet = Self { child, lines };
        assert_eq!(fleet.line(), "ready");
        fleet
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// No new messages; what came of the old ones.
    fn outcome(mut self) -> Value {
        drop(self.child.stdin.take());
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(folder: tempfile::TempDir, relay: SocketAddr) -> Simrelay {
    let relay = relay.to_string();
    Simrelay::in_folder(
        folder,
        &["--broker-listen", "off", "--relay-listen", &relay, "--drain", "0"],
    )
}

#[test]
fn what_devices_publish_arrives_as_its_qos_promises_whatever_fails_on_the_way() {
    let mut mosquitto = Mosquitto::persistent();
    let broker_leg = Link::to(mosquitto.address, Quality::default());
    let address = free_address();
    let device_leg = Link::to(address, Quality::default());
    let mut config =
        Configuration::default().group("g", Some(&entry_point(&format!("mqtt://{}", broker_leg.address))));
    for n in 1..=DEVICES {
        config = config.sim(n, Some("g"));
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("entrypoints.json"), config.text()).unwrap();
    let mut relay = start(folder, address);
    let fleet = Fleet::connect(device_leg.address, mosquitto.inside);
    let end = Instant::now() + long().unwrap_or(Duration::ZERO);
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < end {
        rounds += 1;
        std::thread::sleep(PAUSE);
        device_leg.cut();
        std::thread::sleep(PAUSE);
        broker_leg.cut();
        std::thread::sleep(PAUSE);
        relay.signal("TERM");
        relay.wait();
        relay = start(relay.kill(), address);
        std::thread::sleep(PAUSE);
        relay = start(relay.kill(), address);
        std::thread::sleep(PAUSE);
        // Mosquitto writes down what it has when it ends, not when it acknowledges.
        mosquitto.shut_down();
        mosquitto.start_again();
        std::thread::sleep(PAUSE);
    }
    let outcome = fleet.outcome();
    let connects = outcome["connects"].as_u64().unwrap();
    assert!(
        connects >= rounds * 5 * u64::from(DEVICES),
        "{connects}: were the faults felt?"
    );
    let mut total = 0;
    for n in 1..=DEVICES {
        for qos in [1, 2] {
            let made = outcome["made"][usize::from(n) - 1][qos.to_string()]
                .as_u64()
                .unwrap();
            let topic = format!("q/{qos}/{}", imsi(n));
            let arrived = outcome["arrived"][&topic].as_array().unwrap();
            check(&topic, qos, made, arrived);
            total += made;
        }
    }
    let topics = outcome["arrived"].as_object().unwrap().len();
    assert_eq!(
        topics,
        2 * usize::from(DEVICES),
        "topics that nobody published to"
    );
    eprintln!(
        "{total} messages of {DEVICES} devices, {connects} connections, {rounds} round(s) of five faults"
    );
}

/// Every number from 1 on, none invented; for QoS 2 each once. What comes first of each comes in order.
fn check(topic: &str, qos: u64, made: u64, arrived: &[Value]) {
    let mut last = 0;
    for number in arrived.iter().map(|number| number.as_u64().unwrap()) {
        if number <= last {
            assert_eq!(qos, 1, "{topic}: {number} came twice");
        } else {
            assert_eq!(number, last + 1, "{topic}: out of order");
            last = number;
        }
    }
    assert_eq!(last, made, "{topic}");
}
