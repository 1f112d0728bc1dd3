//! Which changes close open connections.

use crate::site::*;
use serde_json::json;

struct Open {
    device: Device,
    upstream: Device,
}

impl Open {
    fn new(relay: &Simrelay, broker: &FakeBroker, n: u8, version: Version) -> Self {
        let connack = if version == Version::V5 {
            CONNACK_5
        } else {
            CONNACK_311
        };
        let mut device = relay.device(n);
        device.send(&Connect::new(version, &format!("{n}-{version:?}")).bytes());
        let (upstream, _) = broker.admit(connack);
        device.expect(connack);
        Self { device, upstream }
    }

    #[track_caller]
    fn expect_closed(mut self, version: Version, words: &str) {
        let last = self.device.read_to_end();
        if version == Version::V5 {
            assert_eq!((last[0].kind(), last[0].body()[0]), (14, 0x98), "{last:?}");
            assert!(last[0].reason_string().unwrap().contains(words), "{last:?}");
        } else {
            assert!(last.is_empty(), "{last:?}");
        }
        self.upstream.expect_end();
    }

    #[track_caller]
    fn expect_open(&mut self) {
        self.device.send(PINGREQ);
        self.upstream.expect(PINGREQ);
        self.upstream.send(PINGRESP);
        self.device.expect(PINGRESP);
    }
}

#[test]
fn a_disabled_entry_point_closes_its_connections() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let open = Version::ALL.map(|version| (version, Open::new(&relay, &broker, 1, version)));
    let value = json!({ "destination": broker.url(), "enabled": false });
    relay.put_entry_point(&value);
    for (version, connection) in open {
        connection.expect_closed(version, "disabled");
        let line = relay.closed(&format!("1-{version:?}"));
        assert_eq!(line["reason"], "the entry point was disabled or deleted");
    }
}

#[test]
fn other_changes_leave_open_connections_as_they_are() {
    let (broker, new) = (FakeBroker::listen(), FakeBroker::listen());
    let relay = Simrelay::to(&broker.url());
    let mut open = Open::new(&relay, &broker, 1, Version::V311);
    let value = json!({ "destination": new.url(), "replaceTopic": false, "username": "other" });
    relay.put_entry_point(&value);
    Open::new(&relay, &new, 1, Version::V311);
    open.expect_open();
    // By the rules under which it was opened.
    open.device.send(&publish("{{imsi}}", 0, 0, b"x"));
    open.upstream.expect(&publish(&imsi(1), 0, 0, b"x"));
}

#[test]
fn a_sim_that_is_deleted_moved_or_loses_its_address_is_cut_off() {
    let broker = FakeBroker::listen();
    let entry = entry_point(&broker.url());
    let start = Configuration::of(&entry).group("h", Some(&entry));
    let relay = Simrelay::start(&(2..=5).fold(start.clone(), |config, n| config.sim(n, Some("g"))));
    let mut open = (1..=5).map(|n| Open::new(&relay, &broker, n, Version::V5));
    let (mut stays, gone, moved, other_address, taken) = (
        open.next().unwrap(),
        open.next().unwrap(),
        open.next().unwrap(),
        open.next().unwrap(),
        open.next().unwrap(),
    );
    let mut late = relay.device(5);
    // SIM 2 is deleted, 3 is in another group, 4 has another address, the address of 5 belongs to 6.
    let new = start
        .sim(3, Some("h"))
        .sim_at(4, Some("g"), &["127.1.0.44"])
        .sim_at(6, Some("g"), &["127.1.0.5"]);
    relay.edit(&new.text());
    gone.expect_closed(Version::V5, "the SIM was deleted");
    moved.expect_closed(Version::V5, "another group");
    other_address.expect_closed(Version::V5, "address");
    taken.expect_closed(Version::V5, "belongs to another SIM");
    stays.expect_open();
    // The next CONNECT from the address of 5 is SIM 6, whenever it was that it came.
    late.send(&Connect::new(Version::V311, "late").keep_alive(3).bytes());
    late.read_to_end();
    assert_eq!(relay.refused_as("late")["imsi"], imsi(6));
    let mut device = relay.device(5);
    device.send(&Connect::new(Version::V311, "six").bytes());
    let (mut upstream, _) = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    device.send(&publish("{{imsi}}", 0, 0, b"x"));
    upstream.expect(&publish(&imsi(6), 0, 0, b"x"));
}

#[test]
fn who_may_no_longer_connect_when_the_broker_answers_is_refused() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for (version, connack) in [(Version::V311, CONNACK_311), (Version::V5, CONNACK_5)] {
        let enable = |enabled: bool| {
            let value = json!({ "destination": broker.url(), "enabled": enabled });
            relay.put_entry_point(&value);
        };
        enable(true);
        let client_id = format!("{version:?}");
        let mut device = relay.device(1);
        device.send(&Connect::new(version, &client_id).bytes());
        let mut upstream = broker.accept();
        upstream.read();
        enable(false);
        upstream.send(connack);
        let answer = device.read();
        assert_eq!(
            (answer.kind(), answer.body()[1]),
            (2, version.code(5, 0x87)),
            "{answer:?}"
        );
        device.expect_end();
        upstream.expect_end();
        let line = relay.refused_as(&client_id);
        assert!(
            line["reason"]
                .as_str()
                .unwrap()
                .ends_with("was disabled or deleted"),
            "{line}"
        );
    }
}
