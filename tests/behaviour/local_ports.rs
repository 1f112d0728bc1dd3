//! Towards one broker a local address has as many connections as there are ports. In a network of its own,
//! which has few.

use crate::site::*;
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports that the network has for connections.
const PORTS: usize = 120;

/// From now on the network has few ports for connections. A port that a listening socket has would not be
/// one of them, so all listen before.
fn few_ports() {
    let range = format!("30000 {}", 30_000 + PORTS - 1);
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).unwrap();
}

fn relay(broker: &FakeBroker, bind: &[&str]) -> Simrelay {
    let flags: Vec<_> = bind
        .iter()
        .flat_map(|address| ["--upstream-bind", address])
        .collect();
    Simrelay::with(&Configuration::of(&entry_point(&broker.url())), &flags)
}

/// A device, on a port that is none of the few.
fn device(relay: &Simrelay) -> Device {
    static PORT: AtomicU16 = AtomicU16::new(40_000);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source = SocketAddr::new(
        sim_address(1).parse().unwrap(),
        PORT.fetch_add(1, Ordering::Relaxed),
    );
    socket.bind(&source.into()).unwrap();
    socket.connect_timeout(&relay.relay().into(), SOON).unwrap();
    Device::new(socket.into())
}

/// Connects a device; gives both ends and the address that the broker saw.
fn connected(broker: &FakeBroker, relay: &Simrelay) -> (Device, Device, String) {
    let mut device = device(relay);
    device.send(&Connect::new(Version::V311, "c").bytes());
    let (upstream, _) = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    let from = upstream.stream.peer_addr().unwrap().ip().to_string();
    (device, upstream, from)
}

/// One connection more is refused, with these words.
#[track_caller]
fn expect_no_port(broker: &FakeBroker, relay: &Simrelay, from: &str) {
    let connack = device(relay).connect(&Connect::new(Version::V311, "more"));
    assert_eq!(connack.body()[1], 3);
    let line = relay.refused_as("more");
    let reason = line["reason"].as_str().unwrap();
    assert_eq!(reason, format!("no free port from {from} to {}", broker.address));
    assert!(
        line["advice"].as_str().unwrap().contains("--upstream-bind"),
        "{line}"
    );
    let metrics = relay.http().get("/metrics").body;
    let counted =
        |line: &str| line.contains("upstream_failures") && line.contains("no_port") && line.ends_with(" 1");
    assert!(metrics.lines().any(counted), "{metrics}");
}

#[test]
fn addresses_are_used_in_turn_and_one_that_is_out_of_ports_is_passed_over() {
    if !inside_own_network(
        "local_ports::addresses_are_used_in_turn_and_one_that_is_out_of_ports_is_passed_over",
    ) {
        return;
    }
    let (first, second) = (FakeBroker::listen(), FakeBroker::listen());
    let one = relay(&first, &["127.9.0.1"]);
    let two = relay(&first, &["127.9.0.1", "127.9.0.2"]);
    let elsewhere = relay(&second, &["127.9.0.1", "127.9.0.2"]);
    few_ports();
    let mut open = Vec::new();
    let mut fill = |broker: &FakeBroker, relay: &Simrelay, count: usize| {
        let start = open.len();
        open.extend((0..count).map(|_| connected(broker, relay)));
        open[start..]
            .iter()
            .map(|(_, _, from)| from.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(fill(&first, &one, PORTS), vec!["127.9.0.1"; PORTS]);
    expect_no_port(&first, &one, "127.9.0.1");
    assert_eq!(fill(&first, &two, PORTS), vec!["127.9.0.2"; PORTS]);
    expect_no_port(&first, &two, "127.9.0.1, 127.9.0.2");
    // The ports are in use towards that broker and no other.
    assert_eq!(
        fill(&second, &elsewhere, 2 * PORTS),
        ["127.9.0.1", "127.9.0.2"].repeat(PORTS)
    );
    expect_no_port(&second, &elsewhere, "127.9.0.1, 127.9.0.2");
}

#[test]
fn without_such_addresses_a_refusal_says_what_to_add() {
    if !inside_own_network("local_ports::without_such_addresses_a_refusal_says_what_to_add") {
        return;
    }
    let broker = FakeBroker::listen();
    let relay = relay(&broker, &[]);
    few_ports();
    let open: Vec<_> = (0..PORTS).map(|_| connected(&broker, &relay)).collect();
    assert!(open.iter().all(|(_, _, from)| from == "127.0.0.1"));
    expect_no_port(&broker, &relay, "the one address that the system chooses");
}

#[test]
fn an_address_of_another_machine_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let told = run(
        folder.path(),
        &[
            "--relay-listen",
            "127.0.0.1:0",
            "--api-listen",
            "off",
            "--broker-listen",
            "off",
            "--upstream-bind",
            "192.0.2.1",
        ],
    );
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(
        told.stderr.contains("cannot dial brokers from 192.0.2.1: "),
        "{told:?}"
    );
    let told = run(folder.path(), &["--upstream-bind", "eth0"]);
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(told.stderr.contains("eth0"), "{told:?}");
}
