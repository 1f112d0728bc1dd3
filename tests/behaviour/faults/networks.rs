//! Networks that lose, delay and forget.

use super::link::{Link, Quality};
use super::wait_within;
use crate::site::*;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Publishes one by one and waits for each acknowledgement; everything arrives, in order.
fn publish_and_see(device: &mut Device, watcher: &mut Watcher, count: u16) {
    for id in 1..=count {
        device.send(&publish("t/{{imsi}}", 1, id, id.to_string().as_bytes()));
        device.expect(&puback(id));
        watcher.expect(&format!("t/{}", imsi(1)), &id.to_string());
    }
}

const RADIO: Quality = Quality {
    delay: Duration::from_millis(300),
    jitter: Duration::from_millis(100),
    // 8 kbit/s.
    bytes_per_second: Some(1000),
};

#[test]
fn a_slow_link_on_either_leg_is_slow_and_nothing_else() {
    let mosquitto = Mosquitto::plain();
    let behind = Link::to(mosquitto.address, RADIO);
    for url in [mosquitto.url(), format!("mqtt://{}", behind.address)] {
        let relay = Simrelay::to(&url);
        let before = Link::to(relay.relay(), RADIO);
        let near = if url == mosquitto.url() {
            before.address
        } else {
            relay.relay()
        };
        let mut watcher = mosquitto.watch();
        let mut device = Device::from(&sim_address(1), near);
        device.enter(&Connect::new(Version::V311, "far"));
        let began = Instant::now();
        publish_and_see(&mut device, &mut watcher, 4);
        assert!(
            began.elapsed() > Duration::from_millis(4 * 600),
            "the link is not slow"
        );
        // Three seconds of the link in one message.
        let large = "x".repeat(3000);
        device.send(&publish("t", 1, 9, large.as_bytes()));
        device.expect(&puback(9));
        watcher.expect("t", &large);
        device.send(PINGREQ);
        device.expect(PINGRESP);
    }
}

#[test]
fn five_percent_of_lost_packets_on_either_leg_lose_no_message() {
    if !inside_own_network("faults::networks::five_percent_of_lost_packets_on_either_leg_lose_no_message") {
        return;
    }
    let mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    for address in [relay.relay(), mosquitto.address] {
        let (ip, port) = (address.ip(), address.port());
        packet_rules(&format!(
            "ip daddr {ip} tcp dport {port} numgen random mod 100 < 5 counter drop; \
             ip saddr {ip} tcp sport {port} numgen random mod 100 < 5 counter drop;"
        ));
        let mut watcher = mosquitto.watch();
        let mut device = relay.device(1);
        device.enter(&Connect::new(Version::V311, "lossy"));
        publish_and_see(&mut device, &mut watcher, 50);
        // Of some three hundred.
        assert!(packets_met() > 0, "no packet was lost");
    }
}

/// Drops every packet from and to this socket of the relay or the broker, without a word to anybody.
fn forget(address: SocketAddr) {
    let (ip, port) = (address.ip(), address.port());
    packet_rules(&format!(
        "ip daddr {ip} tcp dport {port} drop; ip saddr {ip} tcp sport {port} drop;"
    ));
}

#[test]
fn a_broker_that_vanishes_without_a_word_is_missed_within_a_minute() {
    if !inside_own_network(
        "faults::networks::a_broker_that_vanishes_without_a_word_is_missed_within_a_minute",
    ) {
        return;
    }
    let mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    // One that says nothing, and one that has something to say.
    let mut silent = relay.device(1);
    silent.enter(&Connect::new(Version::V311, "silent").keep_alive(0));
    let mut talking = relay.device(1);
    talking.enter(&Connect::new(Version::V5, "talking").keep_alive(600));
    let began = Instant::now();
    forget(mosquitto.address);
    talking.send(&publish_5("t", 1, 1, &[], b"x"));
    let refused = {
        let mut new = relay.device(1);
        new.connect(&Connect::new(Version::V311, "new"))
    };
    assert_eq!(refused.body()[1], 3);
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "a new one is told after 5 s"
    );
    for id in ["silent", "talking"] {
        let line = wait_within(Duration::from_secs(85), id, || {
            let is = |line: &serde_json::Value| line["event"] == "closed" && line["client_id"] == id;
            relay.lines(is).pop()
        });
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains("the connection to the broker broke"), "{line}");
        assert!(
            line["advice"].as_str().unwrap().contains("the way to the broker"),
            "{line}"
        );
    }
    assert!(began.elapsed() > Duration::from_secs(50), "{:?}", began.elapsed());
    silent.expect_end();
    let last = talking.read_to_end();
    assert_eq!((last[0].kind(), last[0].body()[0]), (14, 0x80), "{last:?}");
}

#[test]
fn a_device_whose_link_was_forgotten_comes_back_while_its_old_connection_still_stands() {
    if !inside_own_network(
        "faults::networks::a_device_whose_link_was_forgotten_comes_back_while_its_old_connection_still_stands",
    ) {
        return;
    }
    let mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    let mut watcher = mosquitto.watch();
    let will = |id: &str| {
        Connect::new(Version::V311, id)
            .keep_alive(5)
            .will(Will::new("will", id))
    };
    let mut gone = relay.device(1);
    gone.enter(&will("gone"));
    let mut moved = relay.device(1);
    moved.enter(&Connect::new(Version::V311, "moved").keep_alive(1200));
    let began = Instant::now();
    let [first, second] = [&gone, &moved].map(|device| device.stream.local_addr().unwrap().port());
    packet_rules(&format!(
        "tcp sport {{ {first}, {second} }} drop; tcp dport {{ {first}, {second} }} drop;"
    ));
    // The broker gives the session to the new connection, and has the relay close the old one.
    let mut back = relay.device(1);
    back.enter(&Connect::new(Version::V311, "moved").keep_alive(1200));
    let line = relay.wait_for("end of the old one", |line| {
        line["event"] == "closed" && line["client_id"] == "moved"
    });
    assert_eq!(line["reason"], "the broker closed the connection");
    back.send(&publish("t", 1, 1, b"still there"));
    back.expect(&puback(1));
    watcher.expect("t", "still there");
    // One that does not come back is found by the idle rule, and its will goes out.
    let line = relay.closed("gone");
    assert!(
        line["reason"]
            .as_str()
            .unwrap()
            .contains("nothing came from the device for 7.5 s"),
        "{line}"
    );
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    watcher.expect("will", "gone");
}

#[test]
fn a_broker_that_moves_to_another_address_is_found_by_the_second_connect_at_the_latest() {
    if !inside_own_network(
        "faults::networks::a_broker_that_moves_to_another_address_is_found_by_the_second_connect_at_the_latest",
    ) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    let move_to = |ip: &str| std::fs::write(&hosts, format!("{ip} broker.example\n")).unwrap();
    move_to("127.7.0.1");
    hosts_from(&hosts);
    let broker = FakeBroker::at("127.7.0.1:1883".parse().unwrap());
    let relay = Simrelay::to("mqtt://broker.example");
    let call = |broker: &FakeBroker| {
        let mut device = relay.device(1);
        device.send(&Connect::new(Version::V311, "c").bytes());
        let (upstream, _) = broker.admit(CONNACK_311);
        device.expect(CONNACK_311);
        (device, upstream)
    };
    drop(call(&broker));
    drop(broker);
    let elsewhere = FakeBroker::at("127.7.0.2:1883".parse().unwrap());
    move_to("127.7.0.2");
    // The old address is remembered for a minute, unless nobody answers there.
    let connack = relay.device(1).connect(&Connect::new(Version::V311, "first"));
    assert_eq!(connack.body()[1], 3);
    let line = relay.refused_as("first");
    assert!(
        line["reason"]
            .as_str()
            .unwrap()
            .contains("cannot connect to 127.7.0.1:1883"),
        "{line}"
    );
    drop(call(&elsewhere));
}
