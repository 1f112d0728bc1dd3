//! IPv4, IPv6, and IPv4 in IPv6's clothes.

use crate::site::*;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// A device from `source` to `to` is SIM 1.
#[track_caller]
fn expect_sim_1(broker: &FakeBroker, source: &str, to: SocketAddr) {
    let mut device = Device::from(source, to);
    device.send(&Connect::new(Version::V311, "c").bytes());
    let (mut upstream, _) = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    device.send(&publish("{{imsi}}", 0, 0, b"x"));
    upstream.expect(&publish(&imsi(1), 0, 0, b"x"));
}

fn relay(broker: &FakeBroker, addresses: &[&str], listen: &[&str]) -> Simrelay {
    let config = Configuration::default()
        .group("g", Some(&entry_point(&broker.url())))
        .sim_at(1, Some("g"), addresses);
    let flags: Vec<_> = listen
        .iter()
        .flat_map(|address| ["--relay-listen", address])
        .collect();
    Simrelay::with(&config, &flags)
}

#[test]
fn a_device_with_an_ipv6_address_is_known() {
    let broker = FakeBroker::listen();
    let relay = relay(&broker, &["0:0:0:0:0:0:0:1"], &["[::1]:0"]);
    expect_sim_1(&broker, "::1", relay.relay());
}

#[test]
fn a_listener_for_both_families_knows_ipv4_devices_by_their_ipv4_address() {
    let broker = FakeBroker::listen();
    let relay = relay(&broker, &["127.1.0.1", "::1", "::ffff:127.1.0.2"], &["[::]:0"]);
    let port = relay.relay().port();
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    expect_sim_1(&broker, "127.1.0.1", v4);
    expect_sim_1(&broker, "127.1.0.2", v4);
    expect_sim_1(&broker, "::1", (Ipv6Addr::LOCALHOST, port).into());
    let connack = Device::from("127.1.0.9", v4).connect(&Connect::new(Version::V5, "stranger"));
    assert_eq!(connack.body()[1], 0x87);
    let reason = relay.refused_as("stranger")["reason"].to_string();
    assert!(reason.contains("source address 127.1.0.9 belongs"), "{reason}");
}

#[test]
fn the_relay_listens_wherever_it_is_told() {
    let broker = FakeBroker::listen();
    let relay = relay(
        &broker,
        &["127.1.0.1", "::1"],
        &["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"],
    );
    assert_eq!(relay.relays().len(), 3);
    for (source, to) in ["127.1.0.1", "127.1.0.1", "::1"].into_iter().zip(relay.relays()) {
        expect_sim_1(&broker, source, *to);
    }
}

#[test]
fn a_relay_that_is_off_and_on_at_once_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        folder.path(),
        &["--relay-listen", "127.0.0.1:0", "--relay-listen", "off"],
    );
    assert_eq!(output.code, Some(1), "{output:?}");
    let words = "--relay-listen is 127.0.0.1:0,off, but off stands alone";
    assert!(output.stderr.contains(words), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_destination_may_have_an_ipv6_address() {
    let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
    let relay = Simrelay::to(&format!("mqtt://[::1]:{}", listener.local_addr().unwrap().port()));
    let mut device = relay.device(1);
    let connect = Connect::new(Version::V311, "c").bytes();
    device.send(&connect);
    let mut upstream = Device::new(listener.accept().unwrap().0);
    upstream.expect(&connect);
    upstream.send(CONNACK_311);
    device.expect(CONNACK_311);
}
