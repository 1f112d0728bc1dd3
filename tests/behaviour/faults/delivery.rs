//! What QoS 1 and QoS 2 promise, kept through faults of the relay, the broker and the links.

use super::link::{Link, Quality};
use super::memory::{Shortage, exhaust};
use super::operator::requests;
use super::{long, wait_within};
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
        &[
            "--broker-listen",
            "off",
            "--relay-listen",
            &relay,
            "--relay-workers",
            "2",
            "--drain",
            "0",
        ],
    )
}

/// What breaks.
#[derive(Debug, Clone, Copy)]
enum Fault {
    DeviceLinksCut,
    BrokerLinksCut,
    RelayRestarted,
    RelayKilled,
    RelayOutOf(Shortage),
    BrokerRestarted,
}

struct Stage {
    mosquitto: Mosquitto,
    device_leg: Link,
    broker_leg: Link,
    /// `None` only while it restarts.
    relay: Option<Simrelay>,
    address: SocketAddr,
}

impl Stage {
    fn new() -> Self {
        let mosquitto = Mosquitto::persistent();
        let broker_leg = Link::to(mosquitto.address, Quality::default());
        let address = free_address();
        let destination = format!("mqtt://{}", broker_leg.address);
        let mut config = Configuration::default().group("g", Some(&entry_point(&destination)));
        for n in 1..=DEVICES {
            config = config.sim(n, Some("g"));
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("entrypoints.json"), config.text()).unwrap();
        Self {
            mosquitto,
            device_leg: Link::to(address, Quality::default()),
            broker_leg,
            relay: Some(start(folder, address)),
            address,
        }
    }

    fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::DeviceLinksCut => self.device_leg.cut(),
            Fault::BrokerLinksCut => self.broker_leg.cut(),
            Fault::RelayRestarted => {
                let mut relay = self.relay.take().unwrap();
                relay.signal("TERM");
                relay.wait();
                self.relay = Some(start(relay.kill(), self.address));
            }
            Fault::RelayKilled => {
                let left = self.relay.take().unwrap().kill();
                self.relay = Some(start(left, self.address));
            }
            Fault::RelayOutOf(shortage) => {
                let mut relay = self.relay.take().unwrap();
                exhaust(&mut relay, shortage);
                self.relay = Some(start(relay.kill(), self.address));
            }
            Fault::BrokerRestarted => {
                // Mosquitto writes down what it has when it ends, not when it acknowledges.
                self.mosquitto.shut_down();
                self.mosquitto.start_again();
            }
        }
    }
}

/// Devices publish through these faults, one after the other, again and again in the long form.
fn through(faults: &[Fault]) {
    let mut stage = Stage::new();
    let fleet = Fleet::connect(stage.device_leg.address, stage.mosquitto.inside);
    let end = Instant::now() + long().unwrap_or(Duration::ZERO);
    let mut suffered = 0;
    while suffered == 0 || Instant::now() < end {
        for fault in faults {
            std::thread::sleep(PAUSE);
            stage.suffer(*fault);
            suffered += 1;
        }
        std::thread::sleep(PAUSE);
    }
    let outcome = fleet.outcome();
    let connects = outcome["connects"].as_u64().unwrap();
    assert!(
        connects >= (suffered + 1) * u64::from(DEVICES),
        "{connects} connections: were {suffered} faults felt?"
    );
    let (mut total, mut repeated) = (0, 0);
    for n in 1..=DEVICES {
        for qos in [1, 2] {
            let made = &outcome["made"][usize::from(n) - 1][qos.to_string()];
            let topic = format!("q/{qos}/{}", imsi(n));
            let arrived = outcome["arrived"][&topic].as_array().unwrap();
            let times = check(&topic, made.as_u64().unwrap(), arrived);
            assert!(qos == 1 || times == 0, "{topic}: {times} came twice: {arrived:?}");
            repeated += times;
            total += arrived.len() as u64 - times;
        }
    }
    let by_broker = outcome["repeated_by_broker"].as_u64().unwrap();
    // What Mosquitto repeats to its subscriber is explained by its own restart, and by nothing else.
    let broker_restarted = faults.iter().any(|fault| matches!(fault, Fault::BrokerRestarted));
    assert!(
        by_broker == 0 || broker_restarted,
        "{by_broker} repeated by a broker that went on"
    );
    let topics = outcome["arrived"].as_object().unwrap().len();
    assert_eq!(
        topics,
        2 * usize::from(DEVICES),
        "topics that nobody published to"
    );
    // What was counted is there, and goes on being counted.
    wait_within(SOON, "requests of SIM 1 in the ledger", || {
        (requests(stage.relay.as_ref()?) > 0).then_some(())
    });
    eprintln!(
        "{DEVICES} devices, {suffered} faults, {connects} connections: {total} messages made and arrived, besides \
         {repeated} repetitions with QoS 1, and {by_broker} by the broker to its subscriber"
    );
}

/// Every number from 1 on, none invented, what comes first of each in order; gives how many repetitions there were.
fn check(topic: &str, made: u64, arrived: &[Value]) -> u64 {
    let (mut last, mut repeated) = (0, 0);
    for number in arrived.iter().map(|number| number.as_u64().unwrap()) {
        if number <= last {
            repeated += 1;
        } else {
            assert_eq!(number, last + 1, "{topic}: out of order");
            last = number;
        }
    }
    assert_eq!(last, made, "{topic}");
    repeated
}

#[test]
fn links_that_break_and_a_relay_that_restarts_or_dies_lose_no_message_and_repeat_none_of_qos_2() {
    use Fault::{BrokerLinksCut, DeviceLinksCut, RelayKilled, RelayRestarted};
    through(&[DeviceLinksCut, BrokerLinksCut, RelayRestarted, RelayKilled]);
}

#[test]
fn a_relay_that_runs_out_of_memory_loses_no_message_and_repeats_none_of_qos_2() {
    through(&[
        Fault::RelayOutOf(Shortage::OfCgroup),
        Fault::RelayOutOf(Shortage::OfAddressSpace),
    ]);
}

#[test]
fn a_broker_that_restarts_is_given_no_message_of_qos_2_twice_and_loses_none() {
    through(&[Fault::BrokerRestarted, Fault::BrokerRestarted]);
}
