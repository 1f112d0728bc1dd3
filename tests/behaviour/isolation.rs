//! A destination that does not answer delays nobody who goes elsewhere.

use crate::site::*;
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// An address whose queue of connections is full: whoever dials it hears nothing.
struct BlackHole {
    address: SocketAddr,
    _listener: Socket,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the queue does not fill");
        }
        Self {
            address,
            _listener: listener,
            _waiting: waiting,
        }
    }
}

#[test]
fn a_dead_destination_delays_no_other_group_on_the_same_worker() {
    let (hole, broker) = (BlackHole::new(), FakeBroker::listen());
    let config = Configuration::of(&entry_point(&format!("mqtt://{}", hole.address)))
        .group("fine", Some(&entry_point(&broker.url())))
        .sim(2, Some("fine"));
    let relay = Simrelay::with(&config, &["--relay-workers", "1"]);
    let start = Instant::now();
    let mut stuck: Vec<_> = (0..50)
        .map(|at| {
            let mut device = relay.device(1);
            device.send(&Connect::new(Version::V5, &format!("stuck-{at}")).bytes());
            device
        })
        .collect();
    for _ in 0..20 {
        let before = Instant::now();
        let mut device = relay.device(2);
        device.send(&Connect::new(Version::V311, "c").bytes());
        broker.admit(CONNACK_311);
        device.expect(CONNACK_311);
        assert!(
            before.elapsed() < Duration::from_secs(1),
            "{:?}",
            before.elapsed()
        );
    }
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "the others waited: {:?}",
        start.elapsed()
    );
    assert!(stuck.iter().all(Device::is_quiet));
    for device in &mut stuck {
        let connack = device.read();
        assert_eq!(connack.body()[1], 0x88);
        assert!(
            connack
                .reason_string()
                .unwrap()
                .contains("did not answer within 5 s"),
            "{connack:?}"
        );
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_broker_that_hangs_in_its_tls_handshake_delays_nobody_and_is_given_up() {
    let (silent, broker) = (FakeBroker::listen(), FakeBroker::listen());
    let config = Configuration::of(&entry_point(&format!("mqtts://{}", silent.address)))
        .group("fine", Some(&entry_point(&broker.url())))
        .sim(2, Some("fine"));
    let relay = Simrelay::with(&config, &["--relay-workers", "1"]);
    let mut stuck = relay.device(1);
    stuck.send(&Connect::new(Version::V5, "stuck").bytes());
    let _upstream = silent.accept();
    let mut device = relay.device(2);
    device.send(&Connect::new(Version::V311, "c").bytes());
    broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    assert!(stuck.is_quiet());
    let connack = stuck.read();
    assert_eq!(connack.body()[1], 0x88);
    assert!(
        connack
            .reason_string()
            .unwrap()
            .contains("did not end within 10 s"),
        "{connack:?}"
    );
}

#[test]
fn sigterm_does_not_wait_for_a_broker_that_does_not_answer() {
    let broker = FakeBroker::listen();
    let mut relay = Simrelay::to(&broker.url());
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V5, "c").bytes());
    let mut upstream = broker.accept();
    assert_eq!(upstream.read().kind(), 1);
    let start = Instant::now();
    relay.signal("TERM");
    let connack = device.read();
    assert_eq!((connack.kind(), connack.body()[1]), (2, 0x88), "{connack:?}");
    assert!(relay.wait().success());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}
