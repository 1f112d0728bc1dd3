//! What an acknowledgement of the relay's own is worth, under version 201509, and how it gets to the device.

use crate::site::*;
use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

fn older(broker: &FakeBroker) -> Simrelay {
    let mut entry_point = entry_point(&broker.url());
    entry_point["version"] = "201509".into();
    Simrelay::start(&Configuration::of(&entry_point))
}

fn connected(broker: &FakeBroker, relay: &Simrelay) -> (Device, Device) {
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V311, "c").keep_alive(0).bytes());
    let (upstream, _) = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    (device, upstream)
}

/// Every byte of a message says where in it it stands, and of which message.
fn payload(id: u16, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u8).wrapping_mul(7).wrapping_add(id as u8))
        .collect()
}

#[test]
fn acknowledgements_come_between_the_packets_of_a_flood() {
    const UP: u16 = 3_000;
    const DOWN: u16 = 600;
    let broker = FakeBroker::listen();
    let relay = older(&broker);
    let (mut device, mut upstream) = connected(&broker, &relay);
    let size = |id: u16| [0, 1, 100, 20_000, 70_000, 150_000][usize::from(id) % 6];
    let mut downlink = upstream.stream.try_clone().unwrap();
    // Whether a packet ends where a read does is chance, so the flood goes on to its end when an acknowledgement came
    // within it; and the device begins when it is within.
    let (answered, goes_on) = mpsc::channel();
    let (begun, begins) = mpsc::channel();
    let flood = thread::spawn(move || {
        for id in 1..=DOWN {
            if id == DOWN {
                goes_on.recv_timeout(SOON).unwrap();
            }
            downlink
                .write_all(&publish("d", 0, 0, &payload(id, size(id))))
                .unwrap();
        }
    });
    let mut uplink = device.stream.try_clone().unwrap();
    let publisher = thread::spawn(move || {
        begins.recv_timeout(SOON).unwrap();
        for id in 1..=UP {
            uplink
                .write_all(&publish("t/{{imsi}}", 1, id, &payload(id, 40)))
                .unwrap();
        }
    });
    let reader = thread::spawn(move || {
        for id in 1..=UP {
            upstream.expect(&publish(&format!("t/{}", imsi(1)), 0, 0, &payload(id, 40)));
        }
        upstream
    });
    let (mut answers, mut messages, mut between) = (0, 0, 0);
    while answers < UP || messages < DOWN {
        let packet = device.read();
        if packet.kind() == 3 {
            messages += 1;
            if messages == 1 {
                begun.send(()).unwrap();
            }
            assert!(
                packet.bytes == publish("d", 0, 0, &payload(messages, size(messages))),
                "message {messages}"
            );
        } else {
            answers += 1;
            if answers == 1 {
                answered.send(()).unwrap();
            }
            between += u32::from((1..DOWN).contains(&messages));
            assert_eq!(packet.bytes, puback(answers));
        }
    }
    assert!(between > 0, "no acknowledgement came within the flood");
    flood.join().unwrap();
    publisher.join().unwrap();
    reader.join().unwrap();
}

#[test]
fn what_is_acknowledged_is_in_the_brokers_socket_even_if_the_relay_dies() {
    let broker = FakeBroker::listen();
    let relay = older(&broker);
    let (mut device, mut upstream) = connected(&broker, &relay);
    // The broker does not read, so after some megabytes nothing moves any more.
    let mut uplink = device.stream.try_clone().unwrap();
    uplink.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut sent = 0_u16;
    while uplink
        .write_all(&publish("t", 1, sent + 1, &payload(sent + 1, 50_000)))
        .is_ok()
    {
        sent += 1;
    }
    drop(relay.kill());
    let mut acknowledged = 0;
    for packet in device.read_to_end() {
        acknowledged += 1;
        assert_eq!(packet.bytes, puback(acknowledged));
    }
    let mut arrived = Vec::new();
    // The relay's end may have been reset.
    let _ = upstream.stream.read_to_end(&mut arrived);
    let message = publish("t", 0, 0, &payload(1, 50_000)).len();
    let whole = arrived.len() / message;
    assert!(
        acknowledged > 0 && acknowledged < sent,
        "{acknowledged} of {sent}"
    );
    assert!(
        usize::from(acknowledged) <= whole,
        "{acknowledged} acknowledged, {whole} arrived"
    );
}

#[test]
fn what_is_acknowledged_reaches_the_broker_although_the_connection_is_closed_with_its_messages_unread() {
    let broker = FakeBroker::listen();
    let relay = older(&broker);
    let (mut device, mut upstream) = connected(&broker, &relay);
    // The broker sends and does not read, so that it is in the relay's socket that messages of both ways wait.
    let mut downlink = upstream.stream.try_clone().unwrap();
    downlink.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
    let flood = thread::spawn(move || {
        let message = publish("d", 0, 0, &payload(1, 10_000));
        while downlink.write_all(&message).is_ok() {}
    });
    let mut uplink = device.stream.try_clone().unwrap();
    uplink.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let publisher = thread::spawn(move || {
        let mut sent = 0_u16;
        while uplink
            .write_all(&publish("t", 1, sent + 1, &payload(sent + 1, 50_000)))
            .is_ok()
        {
            sent += 1;
        }
    });
    let mut acknowledged = 0;
    while !publisher.is_finished() {
        acknowledged += usize::from(device.read().kind() == 4);
    }
    publisher.join().unwrap();
    flood.join().unwrap();
    let path = "/v1/groups/g/configuration/SoracomBeam/mqtt:%2F%2Fbeam.soracom.io:1883";
    assert_eq!(relay.http().delete(path).status, 204);
    relay.closed("c");
    let mut arrived = Vec::new();
    upstream.stream.read_to_end(&mut arrived).unwrap();
    let whole = arrived.len() / publish("t", 0, 0, &payload(1, 50_000)).len();
    assert!(
        acknowledged > 0 && acknowledged <= whole,
        "{acknowledged} acknowledged, {whole} arrived"
    );
}

#[test]
fn two_hundred_megabytes_in_one_message_pass_in_constant_memory_and_are_acknowledged_behind_it() {
    const PART: usize = 1_000_000;
    const PARTS: usize = 200;
    let broker = FakeBroker::listen();
    let relay = older(&broker);
    let (mut device, mut upstream) = connected(&broker, &relay);
    // The same memory has been used before.
    device.send(&publish("t", 1, 1, &payload(1, PART)));
    upstream.read();
    device.expect(&puback(1));
    let at_rest = relay.memory();
    let whole = publish("t", 2, 2, &vec![0; PARTS * PART]);
    let head = whole[..whole.len() - PARTS * PART].to_vec();
    drop(whole);
    let mut uplink = device.stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        uplink.write_all(&head).unwrap();
        for part in 1..PARTS as u16 {
            uplink.write_all(&payload(part, PART)).unwrap();
        }
    });
    let mut head = [0; 8];
    upstream.stream.read_exact(&mut head).unwrap();
    assert_eq!(head, publish("t", 0, 0, &vec![0; PARTS * PART])[..8]);
    let mut part = vec![0; PART];
    for n in 1..PARTS as u16 {
        upstream.stream.read_exact(&mut part).unwrap();
        assert!(part == payload(n, PART), "part {n}");
    }
    sender.join().unwrap();
    assert!(device.is_quiet(), "acknowledged before its last byte came");
    device.send(&payload(PARTS as u16, PART));
    upstream.stream.read_exact(&mut part).unwrap();
    assert!(part == payload(PARTS as u16, PART), "the last part");
    device.expect(&frame(0x50, &[0, 2]));
    let grown = relay.memory().saturating_sub(at_rest);
    assert!(grown < 16 << 20, "{grown} bytes more");
}

#[test]
fn a_device_that_never_reads_its_acknowledgements_is_stopped_and_nobody_else() {
    let broker = FakeBroker::listen();
    let mut entry_point = entry_point(&broker.url());
    entry_point["version"] = "201509".into();
    let relay = Simrelay::start(&Configuration::of(&entry_point).sim(2, Some("g")));
    let (device, upstream) = connected(&broker, &relay);
    let mut upstream = upstream;
    let drain = thread::spawn(move || std::io::copy(&mut upstream.stream, &mut std::io::sink()));
    let mut uplink = device.stream.try_clone().unwrap();
    uplink.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let batch = publish("t", 1, 1, b"x").repeat(10_000);
    let at_rest = relay.memory();
    // Its own kernel and the relay's take some megabytes of acknowledgements; then it is not read any more.
    let stopped = (0..5_000).any(|_| uplink.write_all(&batch).is_err());
    assert!(stopped, "fifty million messages were taken");
    let grown = relay.memory().saturating_sub(at_rest);
    assert!(grown < 16 << 20, "{grown} bytes more");
    let mut neighbour = relay.device(2);
    neighbour.send(&Connect::new(Version::V311, "neighbour").bytes());
    let (mut upstream, _) = broker.admit(CONNACK_311);
    neighbour.expect(CONNACK_311);
    neighbour.send(&publish("t", 1, 1, b"x"));
    upstream.expect(&publish("t", 0, 0, b"x"));
    neighbour.expect(&puback(1));
    drop((device, uplink));
    relay.closed("c");
    // The relay closed it; how does not matter here.
    let _ = drain.join().unwrap();
}
