//! A name server that never answers: who wants no name of it feels nothing.

use crate::site::*;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A network of the test's own, and the name server in it.
struct Silent {
    questions: UdpSocket,
    /// Where the system reads of it.
    _folder: TempDir,
}

impl Silent {
    fn new() -> Self {
        let questions = UdpSocket::bind("127.53.0.1:53").unwrap();
        questions.set_read_timeout(Some(SOON)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let address = questions.local_addr().unwrap().ip();
        name_server_at(address, &folder.path().join("resolv.conf"));
        Self {
            questions,
            _folder: folder,
        }
    }

    /// Waits until it is asked.
    fn is_asked(&self) {
        self.questions.recv(&mut [0; 512]).unwrap();
    }
}

fn connect(relay: &Simrelay, n: u8) -> Device {
    let mut device = relay.device(n);
    device.send(&Connect::new(Version::V311, "c").bytes());
    device
}

#[test]
fn devices_that_leave_while_their_brokers_name_is_looked_up_delay_no_other_sim() {
    if !inside_own_network(
        "names::devices_that_leave_while_their_brokers_name_is_looked_up_delay_no_other_sim",
    ) {
        return;
    }
    let _silent = Silent::new();
    let broker = FakeBroker::listen();
    let live = format!("mqtt://localhost:{}", broker.address.port());
    let config = Configuration::of(&entry_point(&live))
        .group("dead", Some(&entry_point("mqtt://broker.example")))
        .sim(2, Some("dead"));
    // As many as a worker has threads for what blocks, and more.
    let flags = ["--relay-workers", "1", "--relay-max-handshakes-per-sim", "600"];
    let relay = Simrelay::with(&config, &flags);
    for _ in 0..600 {
        drop(connect(&relay, 2));
    }
    wait_until("end of all that left", || {
        let page = relay.http().get("/metrics").body;
        page.contains("simrelay_handshakes 0\n").then_some(())
    });
    let began = Instant::now();
    let mut device = connect(&relay, 1);
    let _upstream = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let tasks = format!("/proc/{}/task", relay.pid());
    let threads = std::fs::read_dir(tasks).unwrap().count();
    assert!(threads < 64, "{threads} threads");
}

#[test]
fn a_shutdown_does_not_wait_for_a_name_that_is_being_looked_up() {
    if !inside_own_network("names::a_shutdown_does_not_wait_for_a_name_that_is_being_looked_up") {
        return;
    }
    let silent = Silent::new();
    let mut relay = Simrelay::to("mqtt://broker.example");
    let _device = connect(&relay, 1);
    silent.is_asked();
    let began = Instant::now();
    relay.signal("TERM");
    assert!(relay.wait().success());
    // The system asks twice and waits five seconds each time.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
