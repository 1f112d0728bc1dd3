//! Large messages, floods and stalls: constant memory, and nobody else waits.

use crate::site::*;
use std::io::Write;
use std::time::{Duration, Instant};

const MIB: u64 = 1024 * 1024;

/// What a relay may need beyond what it needs at rest, whatever happens.
const ALLOWED: u64 = 16 * MIB;

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn connected(broker: &FakeBroker, relay: &Simrelay, n: u8) -> (Device, Device) {
    let mut device = relay.device(n);
    device.send(&Connect::new(Version::V311, &format!("c{n}")).bytes());
    let (upstream, _) = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    (device, upstream)
}

#[test]
fn thirty_megabytes_in_one_message_pass_both_ways_in_constant_memory() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let (mut device, mut upstream) = connected(&broker, &relay, 1);
    let payload = pattern(30_000_000);
    let (sent, expected) = (
        publish("{{imsi}}", 1, 5, &payload),
        publish(&imsi(1), 1, 5, &payload),
    );
    let at_rest = relay.memory();
    let mut arrived = std::thread::scope(|scope| {
        let sending = scope.spawn(|| device.send(&sent));
        let arrived = upstream.read();
        sending.join().unwrap();
        arrived
    });
    assert!(arrived.bytes == expected, "the payload is not what was sent");
    arrived = std::thread::scope(|scope| {
        let sending = scope.spawn(|| upstream.send(&expected));
        let arrived = device.read();
        sending.join().unwrap();
        arrived
    });
    assert!(arrived.bytes == expected, "the payload is not what was sent");
    let grown = relay.memory().saturating_sub(at_rest);
    assert!(grown < ALLOWED, "{} MiB more", grown / MIB);
}

#[test]
fn a_large_message_is_forwarded_while_it_is_still_being_sent() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let (mut device, upstream) = connected(&broker, &relay, 1);
    let whole = publish("{{imsi}}", 0, 0, &pattern(1_000_000));
    device.send(&whole[..50_000]);
    let expected = &publish(&imsi(1), 0, 0, &pattern(1_000_000))[..49_000];
    let mut arrived = vec![0; expected.len()];
    std::io::Read::read_exact(&mut &upstream.stream, &mut arrived).unwrap();
    assert!(arrived == expected);
}

/// Writes `packet` again and again until nothing more is taken for a second; gives how often it went out.
fn flood(from: &mut Device, packet: &[u8], most: u64) -> u64 {
    from.stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut sent = 0;
    while sent * (packet.len() as u64) < most {
        if from.stream.write_all(packet).is_err() {
            return sent;
        }
        sent += 1;
    }
    panic!("{most} bytes were taken though nobody reads them");
}

#[test]
fn a_device_that_does_not_read_stops_its_broker_and_costs_no_memory() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let (mut device, mut upstream) = connected(&broker, &relay, 1);
    let at_rest = relay.memory();
    let packet = publish("t", 0, 0, &pattern(10_000));
    let whole = flood(&mut upstream, &packet, 500 * MIB);
    let grown = relay.memory().saturating_sub(at_rest);
    assert!(grown < ALLOWED, "{} MiB more", grown / MIB);
    // Nothing of it is lost once it reads.
    for _ in 0..whole {
        assert!(device.read().bytes == packet);
    }
}

#[test]
fn a_broker_that_does_not_read_stops_its_device_and_nobody_else() {
    let (stuck, fine) = (FakeBroker::listen(), FakeBroker::listen());
    let config = Configuration::of(&entry_point(&stuck.url()))
        .group("fine", Some(&entry_point(&fine.url())))
        .sim(2, Some("fine"));
    let relay = Simrelay::with(&config, &["--relay-workers", "1"]);
    let (mut device, mut upstream) = connected(&stuck, &relay, 1);
    let (mut other, mut other_upstream) = connected(&fine, &relay, 2);
    let at_rest = relay.memory();
    let packet = publish("t/{{imsi}}", 0, 0, &pattern(10_000));
    let whole = flood(&mut device, &packet, 500 * MIB);
    for id in 1..=100 {
        let message = publish("t", 1, id, b"x");
        other.send(&message);
        other_upstream.expect(&message);
        other_upstream.send(&puback(id));
        other.expect(&puback(id));
    }
    let grown = relay.memory().saturating_sub(at_rest);
    assert!(grown < ALLOWED, "{} MiB more", grown / MIB);
    let expected = publish(&format!("t/{}", imsi(1)), 0, 0, &pattern(10_000));
    for _ in 0..whole {
        assert!(upstream.read().bytes == expected);
    }
}

#[test]
fn a_flood_that_flows_does_not_starve_its_neighbour() {
    let broker = FakeBroker::listen();
    let config = Configuration::of(&entry_point(&broker.url())).sim(2, Some("g"));
    let relay = Simrelay::with(&config, &["--relay-workers", "1"]);
    let (mut device, mut upstream) = connected(&broker, &relay, 1);
    let (mut other, mut other_upstream) = connected(&broker, &relay, 2);
    let batch = publish("{{imsi}}", 0, 0, b"x").repeat(10_000);
    let until = Instant::now() + Duration::from_secs(3);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < until {
                device.send(&batch);
            }
            device.half_close();
        });
        scope.spawn(|| std::io::copy(&mut upstream.stream, &mut std::io::sink()).unwrap());
        let mut slowest = Duration::ZERO;
        while Instant::now() < until {
            let start = Instant::now();
            let message = publish("t", 0, 0, b"x");
            other.send(&message);
            other_upstream.expect(&message);
            slowest = slowest.max(start.elapsed());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    });
}

#[test]
fn many_connections_come_and_go_and_leave_nothing_behind() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let files = || {
        std::fs::read_dir(format!("/proc/{}/fd", relay.pid()))
            .unwrap()
            .count()
    };
    let at_rest = files();
    for _ in 0..3 {
        let open: Vec<_> = (0..100).map(|_| connected(&broker, &relay, 1)).collect();
        assert!(files() >= at_rest + 200);
        drop(open);
        wait_until("every socket closed", || (files() <= at_rest).then_some(()));
    }
    wait_until("300 lines", || {
        (relay.lines(|line| line["event"] == "closed").len() == 300).then_some(())
    });
}
