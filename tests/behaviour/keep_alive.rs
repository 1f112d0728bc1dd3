//! Which keep alives are accepted, and how long a device may be silent.

use crate::site::*;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

#[test]
fn keep_alive_is_0_or_5_to_1200_and_others_are_refused_without_a_dial() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for version in Version::ALL {
        for (keep_alive, allowed) in [
            (0, true),
            (1, false),
            (4, false),
            (5, true),
            (60, true),
            (1200, true),
            (1201, false),
            (65_535, false),
        ] {
            let id = format!("{version:?}-{keep_alive}");
            let connect = Connect::new(version, &id).keep_alive(keep_alive);
            let mut device = relay.device(1);
            device.send(&connect.bytes());
            if allowed {
                let connack = if version == Version::V5 {
                    CONNACK_5
                } else {
                    CONNACK_311
                };
                let (_, arrived) = broker.admit(connack);
                assert_eq!(arrived.bytes, connect.bytes());
                device.expect(connack);
                continue;
            }
            let connack = device.read();
            assert_eq!(connack.body()[1], version.code(5, 0x87), "{id}");
            if version == Version::V5 {
                let text = connack.reason_string().unwrap();
                assert!(text.contains(&format!("keep alive {keep_alive} s")), "{text}");
            }
            device.expect_end();
            broker.expect_no_dial();
            let line = relay.refused_as(&id);
            assert_eq!(line["code"], version.code(5, 0x87));
            assert_eq!(line["keep_alive"], keep_alive);
            assert_eq!(line["imsi"], imsi(1));
            assert!(line["advice"].as_str().unwrap().contains("5 to 1200"));
        }
    }
}

/// Follows what the device gets until the end, and when that was.
fn follow(mut device: Device) -> JoinHandle<(Duration, Vec<Packet>)> {
    let start = Instant::now();
    spawn(move || {
        let packets = device.read_to_end();
        (start.elapsed(), packets)
    })
}

#[track_caller]
fn assert_about(elapsed: Duration, seconds: f32) {
    let (least, most) = (seconds - 0.2, seconds + 6.0);
    let elapsed = elapsed.as_secs_f32();
    assert!((least..most).contains(&elapsed), "{elapsed} s, not {seconds} s");
}

#[test]
fn a_silent_device_is_dropped_after_one_and_a_half_keep_alives_whatever_the_broker_sends() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let ends: Vec<_> = Version::ALL
        .into_iter()
        .map(|version| {
            let v5 = version == Version::V5;
            let mut device = relay.device(1);
            device.send(
                &Connect::new(version, &format!("{version:?}"))
                    .keep_alive(5)
                    .bytes(),
            );
            let connack = if v5 { CONNACK_5 } else { CONNACK_311 };
            let (mut upstream, _) = broker.admit(connack);
            device.expect(connack);
            let end = follow(device);
            let noise = spawn(move || {
                let packet = if v5 {
                    publish_5("t", 0, 0, &[], b"x")
                } else {
                    publish("t", 0, 0, b"x")
                };
                let start = Instant::now();
                while start.elapsed() < Duration::from_secs(7) {
                    upstream.send(&packet);
                    sleep(Duration::from_millis(250));
                }
                // No DISCONNECT: a will would have to be published.
                upstream.expect_end();
            });
            (version, end, noise)
        })
        .collect();
    for (version, end, noise) in ends {
        let (elapsed, mut packets) = end.join().unwrap();
        assert_about(elapsed, 7.5);
        noise.join().unwrap();
        if version == Version::V5 {
            let last = packets.pop().unwrap();
            assert_eq!((last.kind(), last.body()[0]), (14, 0x8d), "{last:?}");
            assert!(last.reason_string().unwrap().contains("7.5 s"), "{last:?}");
        }
        assert!(packets.len() > 20 && packets.iter().all(|packet| packet.kind() == 3));
        let line = relay.closed(&format!("{version:?}"));
        assert!(
            line["reason"]
                .as_str()
                .unwrap()
                .contains("nothing came from the device for 7.5 s")
        );
    }
}

#[test]
fn a_packet_of_the_device_starts_its_time_again() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V311, "c").keep_alive(5).bytes());
    let (mut upstream, _) = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    for _ in 0..2 {
        sleep(Duration::from_secs(5));
        device.send(PINGREQ);
        upstream.expect(PINGREQ);
        upstream.send(PINGRESP);
        device.expect(PINGRESP);
    }
    let (elapsed, _) = follow(device).join().unwrap();
    assert_about(elapsed, 7.5);
}

#[test]
fn the_brokers_server_keep_alive_replaces_that_of_the_device() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let enter = |asked: u16, granted: u8| {
        let mut device = relay.device(1);
        device.send(
            &Connect::new(Version::V5, &format!("{asked}-{granted}"))
                .keep_alive(asked)
                .bytes(),
        );
        let connack = [0x20, 6, 0, 0, 3, 0x13, 0, granted];
        let (upstream, _) = broker.admit(&connack);
        device.expect(&connack);
        (device, upstream)
    };
    let (shorter, _upstream) = enter(600, 5);
    let (mut longer, mut upstream) = enter(5, 60);
    let (elapsed, packets) = follow(shorter).join().unwrap();
    assert_about(elapsed, 7.5);
    assert_eq!(packets[0].body()[0], 0x8d);
    // The other one would be over as well by now.
    sleep(Duration::from_secs(1));
    longer.send(PINGREQ);
    upstream.expect(PINGREQ);
}

#[test]
fn a_server_keep_alive_over_twenty_minutes_is_lowered_to_them() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    // Mosquitto answers a keep alive of 0 with the first.
    for (told, expected) in [(0xffff_u16, 1200_u16), (1201, 1200), (1200, 1200), (30, 30)] {
        let connack = |seconds: u16| [&[0x20, 6, 0, 0, 3, 0x13], seconds.to_be_bytes().as_slice()].concat();
        let client_id = format!("told-{told}");
        let mut device = relay.device(1);
        device.send(&Connect::new(Version::V5, &client_id).keep_alive(0).bytes());
        let (_upstream, _) = broker.admit(&connack(told));
        device.expect(&connack(expected));
        let opened = relay.wait_for("that it opened", |line| {
            line["event"] == "opened" && line["client_id"] == client_id
        });
        assert_eq!(opened["keep_alive"], expected);
    }
}

#[test]
fn keep_alive_0_lets_a_device_be_silent() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V311, "c").keep_alive(0).bytes());
    let (mut upstream, _) = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    sleep(Duration::from_secs(12));
    device.send(PINGREQ);
    upstream.expect(PINGREQ);
    upstream.send(PINGRESP);
    device.expect(PINGRESP);
}
