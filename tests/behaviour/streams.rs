//! Everything passes in order and unchanged, and every ending is told to the other side.

use crate::site::*;
use std::net::Shutdown;

/// A device that the broker has accepted, and the broker's end of it.
fn connected(broker: &FakeBroker, relay: &Simrelay, connect: &Connect) -> (Device, Device) {
    let connack = if connect.version == Version::V5 {
        CONNACK_5
    } else {
        CONNACK_311
    };
    let mut device = relay.device(1);
    device.send(&connect.bytes());
    let (upstream, _) = broker.admit(connack);
    device.expect(connack);
    (device, upstream)
}

#[test]
fn connect_and_connack_arrive_as_they_were_sent() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for version in Version::ALL {
        let v5 = version == Version::V5;
        let mut will = Will::new("will", "\u{1}\u{2}");
        will.qos = 2;
        let mut connect = Connect::new(version, "client")
            .keep_alive(1200)
            .login("user", "pass")
            .will(will);
        connect.clean = false;
        if v5 {
            // Session Expiry, Receive Maximum, a User Property.
            connect = connect.properties(&[0x11, 0, 0, 1, 0, 0x21, 0, 9, 0x26, 0, 1, b'k', 0, 1, b'v']);
        }
        let mut device = relay.device(1);
        device.send(&connect.bytes());
        // Session present; in MQTT 5 an Assigned Client Identifier as well.
        let connack: &[u8] = if v5 {
            &[0x20, 9, 1, 0, 6, 0x12, 0, 3, b'a', b'b', b'c']
        } else {
            &[0x20, 2, 1, 0]
        };
        let (_, arrived) = broker.admit(connack);
        assert_eq!(arrived.bytes, connect.bytes());
        device.expect(connack);
    }
}

#[test]
fn a_device_may_say_all_it_has_in_one_breath_and_hang_up() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for version in Version::ALL {
        let v5 = version == Version::V5;
        let publish = |topic: &str| match version {
            Version::V5 => publish_5(topic, 0, 0, &[], b"x"),
            _ => publish(topic, 0, 0, b"x"),
        };
        let connect = Connect::new(version, "c").bytes();
        let mut device = relay.device(1);
        let all = [
            connect.clone(),
            subscribe(version, 1, &[("{{imsi}}", 0)]),
            publish("{{imsi}}"),
            disconnect(),
        ];
        device.send(&all.concat());
        drop(device);
        let (mut upstream, arrived) = broker.admit(if v5 { CONNACK_5 } else { CONNACK_311 });
        assert_eq!(arrived.bytes, connect);
        upstream.expect(&subscribe(version, 1, &[(&imsi(1), 0)]));
        upstream.expect(&publish(&imsi(1)));
        upstream.expect(&disconnect());
    }
}

#[test]
fn what_a_hasty_device_sent_reaches_mosquitto() {
    let mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    let mut watcher = mosquitto.watch();
    for round in 0..20 {
        let id = format!("hasty-{round}");
        let mut device = relay.device(1);
        let connect = Connect::new(Version::V311, &id)
            .will(Will::new("will", "must not go out"))
            .bytes();
        let first = publish("{{imsi}}/1", 0, 0, id.as_bytes());
        let second = publish("{{imsi}}/2", 1, 7, id.as_bytes());
        device.send(&[connect, first, second, disconnect()].concat());
        drop(device);
        watcher.expect(&format!("{}/1", imsi(1)), &id);
        watcher.expect(&format!("{}/2", imsi(1)), &id);
        let line = relay.closed(&id);
        assert_eq!(
            (&line["device_up"], &line["broker_up"]),
            (&2.into(), &2.into()),
            "{line}"
        );
    }
}

#[test]
fn a_device_that_leaves_before_connack_without_a_word_takes_its_connect_back() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V311, "c").bytes());
    let mut upstream = broker.accept();
    assert_eq!(upstream.read().kind(), 1);
    drop(device);
    upstream.expect_end();
    let line = relay.refused_as("c");
    assert!(
        line["reason"]
            .as_str()
            .unwrap()
            .contains("before it was answered"),
        "{line}"
    );
}

#[test]
fn what_was_sent_ahead_of_connack_before_the_link_broke_comes_on_the_next_connection_only() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for (qos, reset) in [(0, true), (1, false), (2, false), (2, true)] {
        let id = format!("qos-{qos}-{reset}");
        let connect = Connect::new(Version::V311, &id).bytes();
        let message = publish("t", qos, 7, id.as_bytes());
        let mut device = relay.device(1);
        device.send(&[connect.as_slice(), &message].concat());
        let mut overtaken = broker.accept();
        overtaken.expect(&connect);
        if reset {
            device.reset();
        } else {
            drop(device);
        }
        // It comes back; only now would the first broker leg have had its answer.
        let mut again = relay.device(1);
        again.send(&connect);
        let (mut upstream, _) = broker.admit(CONNACK_311);
        again.expect(CONNACK_311);
        again.send(&message);
        upstream.expect(&message);
        overtaken.expect_end();
        let line = relay.refused_as(&id);
        let reason = line["reason"].as_str().unwrap();
        let unsaid = format!("without DISCONNECT; the {} bytes", message.len());
        assert!(reason.contains(&unsaid), "{line}");
    }
}

/// A device sends `connect` and `ahead` at once and hangs up; then the broker says yes.
fn hang_up_before_connack(relay: &Simrelay, broker: &FakeBroker, connect: &[u8], ahead: &[u8]) -> Device {
    let mut device = relay.device(1);
    device.send(&[connect, ahead].concat());
    let mut upstream = broker.accept();
    upstream.expect(connect);
    let gone = device.stream.local_addr().unwrap();
    drop(device);
    wait_until("the relay sees that the device is gone", || {
        has_read_to_the_end(relay.relay(), gone).then_some(())
    });
    upstream.send(CONNACK_311);
    upstream
}

#[test]
fn messages_of_qos_0_ahead_of_connack_arrive_and_then_the_broker_sees_the_device_gone() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let connect = Connect::new(Version::V311, "c").bytes();
    let [one, two] = [publish("t", 0, 0, b"one"), publish("t", 0, 0, b"two")];
    let ahead = [one.as_slice(), &two].concat();
    let mut upstream = hang_up_before_connack(&relay, &broker, &connect, &ahead);
    upstream.expect(&one);
    upstream.expect(&two);
    // No DISCONNECT: the broker publishes the will.
    upstream.expect_end();
    assert!(relay.lines(|line| line["event"] == "refused").is_empty());
}

#[test]
fn what_was_sent_ahead_of_connack_and_ended_by_disconnect_arrives_whatever_its_qos() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for qos in [0, 1, 2] {
        let connect = Connect::new(Version::V311, "c").bytes();
        let message = publish("t", qos, 7, b"send and go");
        let ahead = [message.as_slice(), &disconnect()].concat();
        let mut upstream = hang_up_before_connack(&relay, &broker, &connect, &ahead);
        upstream.expect(&message);
        upstream.expect(&disconnect());
    }
    assert!(relay.lines(|line| line["event"] == "refused").is_empty());
}

#[test]
fn auth_passes_both_ways_before_and_after_connack() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let mut device = relay.device(1);
    let method = property_text(0x15, "SCRAM");
    let connect = Connect::new(Version::V5, "c").properties(&method);
    device.send(&connect.bytes());
    let mut upstream = broker.accept();
    upstream.expect(&connect.bytes());
    for round in [b"one", b"two"] {
        let challenge = auth(0x18, "SCRAM", round);
        upstream.send(&challenge);
        device.expect(&challenge);
        let response = auth(0x18, "SCRAM", &[round.as_slice(), b"!"].concat());
        device.send(&response);
        upstream.expect(&response);
    }
    let connack = frame(0x20, &[&[0, 0, method.len() as u8], method.as_slice()].concat());
    upstream.send(&connack);
    device.expect(&connack);
    let again = auth(0x19, "SCRAM", b"again");
    device.send(&again);
    upstream.expect(&again);
    let done = auth(0, "SCRAM", b"done");
    upstream.send(&done);
    device.expect(&done);
    device.send(PINGREQ);
    upstream.expect(PINGREQ);
}

#[test]
fn a_device_that_does_not_answer_the_brokers_auth_is_refused_and_not_the_broker_blamed() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let begin = |client_id: &str| {
        let method = property_text(0x15, "SCRAM");
        let mut device = relay.device(1);
        device.send(&Connect::new(Version::V5, client_id).properties(&method).bytes());
        let mut upstream = broker.accept();
        upstream.read();
        let challenge = auth(0x18, "SCRAM", b"one");
        upstream.send(&challenge);
        device.expect(&challenge);
        (device, upstream)
    };
    let (mut silent, _upstream) = begin("silent");
    let (mut wrong, _upstream) = begin("wrong");
    wrong.send(PINGREQ);
    for (device, client_id, code, reason) in [
        (&mut wrong, "wrong", 0x82, "PINGREQ is not allowed here"),
        (
            &mut silent,
            "silent",
            0x87,
            "the device did not answer the broker's AUTH",
        ),
    ] {
        let answer = device.read();
        assert_eq!((answer.kind(), answer.body()[1]), (2, code), "{answer:?}");
        let line = relay.refused_as(client_id);
        assert!(line["reason"].as_str().unwrap().starts_with(reason), "{line}");
    }
}

#[test]
fn a_broker_of_mqtt_3_1_1_may_refuse_mqtt_5_in_its_own_words() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V5, "c").bytes());
    let (_upstream, _) = broker.admit(&[0x20, 2, 0, 1]);
    device.expect(&[0x20, 2, 0, 1]);
    let line = relay.refused();
    assert_eq!(line["code"], 1);
    assert!(
        line["advice"]
            .as_str()
            .unwrap()
            .contains("the device's MQTT version"),
        "{line}"
    );
}

#[test]
fn what_the_broker_said_last_counts_more_than_who_broke_the_connection() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    // The device resets when it hears that another connection took over.
    let (mut device, mut upstream) = connected(&broker, &relay, &Connect::new(Version::V5, "a"));
    upstream.send(&[0xe0, 1, 0x8e]);
    device.expect(&[0xe0, 1, 0x8e]);
    device.reset();
    let line = relay.closed("a");
    assert!(line["reason"].as_str().unwrap().contains("0x8e"), "{line}");
    // The broker says what it does not like, and resets because it leaves something unread.
    let (mut device, mut upstream) = connected(&broker, &relay, &Connect::new(Version::V5, "b"));
    let message = publish_5("t", 0, 0, &[], b"x");
    device.send(&message.repeat(2));
    upstream.expect(&message);
    upstream.send(&[0xe0, 1, 0x95]);
    drop(upstream);
    device.try_send(&message);
    device.expect(&[0xe0, 1, 0x95]);
    let line = relay.closed("b");
    assert!(line["reason"].as_str().unwrap().contains("0x95"), "{line}");
}

#[test]
fn qos_flows_keep_their_packet_identifiers_flags_and_order() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for version in Version::ALL {
        let (mut device, mut upstream) = connected(&broker, &relay, &Connect::new(version, "c"));
        let publish = |first: u8, id: u16| {
            let qos = (first >> 1) & 3;
            let mut packet = match version {
                Version::V5 => publish_5("t", qos, id, &[], b"x"),
                _ => publish("t", qos, id, b"x"),
            };
            packet[0] = first;
            packet
        };
        let with_id = |first: u8, id: u16| frame(first, &id.to_be_bytes());
        let steps: &[(bool, Vec<u8>)] = &[
            (true, publish(0x34, 0xfffe)),
            (false, with_id(0x50, 0xfffe)),
            // Sent again, with DUP and RETAIN.
            (true, publish(0x3d, 0xfffe)),
            (true, with_id(0x62, 0xfffe)),
            (false, with_id(0x70, 0xfffe)),
            (true, publish(0x32, 1)),
            (false, with_id(0x40, 1)),
            (false, publish(0x34, 0xfffe)),
            (true, with_id(0x50, 0xfffe)),
            (false, with_id(0x62, 0xfffe)),
            (true, with_id(0x70, 0xfffe)),
            (false, publish(0x33, 2)),
            (true, with_id(0x40, 2)),
            (true, PINGREQ.to_vec()),
            (false, PINGRESP.to_vec()),
        ];
        for (up, packet) in steps {
            let (from, to) = if *up {
                (&mut device, &mut upstream)
            } else {
                (&mut upstream, &mut device)
            };
            from.send(packet);
            to.expect(packet);
        }
    }
}

#[test]
fn a_stream_cut_into_single_bytes_arrives_the_same() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for version in Version::ALL {
        let v5 = version == Version::V5;
        let publish = |topic: &str| match version {
            Version::V5 => publish_5(topic, 1, 2, &property_text(8, topic), b"payload"),
            _ => publish(topic, 1, 2, b"payload"),
        };
        let connect = Connect::new(version, "c").login("u", "p").bytes();
        let sent = [
            connect.clone(),
            subscribe(version, 1, &[("a/{{imsi}}", 1), ("b", 2)]),
            publish("c/{{imsi}}"),
            unsubscribe(version, 3, &["a/{{imsi}}"]),
            PINGREQ.to_vec(),
            disconnect(),
        ];
        let mut device = relay.device(1);
        for byte in sent.concat() {
            device.send(&[byte]);
        }
        let (mut upstream, arrived) = broker.admit(if v5 { CONNACK_5 } else { CONNACK_311 });
        assert_eq!(arrived.bytes, connect);
        let own = |prefix: &str| format!("{prefix}/{}", imsi(1));
        upstream.expect(&subscribe(version, 1, &[(&own("a"), 1), ("b", 2)]));
        upstream.expect(&publish(&own("c")));
        upstream.expect(&unsubscribe(version, 3, &[&own("a")]));
        upstream.expect(PINGREQ);
        upstream.expect(&disconnect());
        // The other way.
        let down = [
            frame(0x90, &[0, 1, 1, 2]),
            publish("down/{{imsi}}"),
            PINGRESP.to_vec(),
        ];
        for byte in down.concat() {
            upstream.send(&[byte]);
        }
        drop(upstream);
        device.expect(if v5 { CONNACK_5 } else { CONNACK_311 });
        down.iter().for_each(|packet| device.expect(packet));
        device.expect_end();
    }
}

#[test]
fn a_device_that_half_closes_still_gets_its_puback() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let (mut device, mut upstream) = connected(&broker, &relay, &Connect::new(Version::V311, "c"));
    device.send(&publish("t", 1, 9, b"x"));
    device.half_close();
    upstream.expect(&publish("t", 1, 9, b"x"));
    upstream.expect_end();
    upstream.send(&puback(9));
    device.expect(&puback(9));
    drop(upstream);
    device.expect_end();
    assert_eq!(
        relay.closed("c")["reason"],
        "the device closed the connection without DISCONNECT"
    );
}

#[test]
fn what_a_broker_says_before_it_closes_still_arrives() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let (mut device, mut upstream) = connected(&broker, &relay, &Connect::new(Version::V311, "c"));
    let payload = vec![7; 300_000];
    upstream.send(&publish("t", 0, 0, &payload));
    upstream.stream.shutdown(Shutdown::Write).unwrap();
    device.expect(&publish("t", 0, 0, &payload));
    device.expect_end();
    let line = relay.closed("c");
    assert_eq!(line["reason"], "the broker closed the connection");
    assert_eq!(
        (&line["broker_down"], &line["device_down"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn a_broker_that_resets_ends_the_connection_and_an_mqtt_5_device_is_told() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for version in [Version::V311, Version::V5] {
        let id = format!("{version:?}");
        let (mut device, upstream) = connected(&broker, &relay, &Connect::new(version, &id));
        upstream.reset();
        let last = device.read_to_end();
        if version == Version::V5 {
            assert_eq!((last[0].kind(), last[0].body()[0]), (14, 0x80), "{last:?}");
        } else {
            assert!(last.is_empty());
        }
        assert!(
            relay.closed(&id)["reason"]
                .as_str()
                .unwrap()
                .contains("the connection to the broker broke")
        );
    }
}

#[test]
fn a_brokers_disconnect_passes_and_ends_the_connection() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let (mut device, mut upstream) = connected(&broker, &relay, &Connect::new(Version::V5, "c"));
    let reason = property_text(0x1f, "moved");
    let disconnect = frame(0xe0, &[&[0x8b, reason.len() as u8], reason.as_slice()].concat());
    upstream.send(&disconnect);
    drop(upstream);
    device.expect(&disconnect);
    device.expect_end();
    assert_eq!(
        relay.closed("c")["reason"],
        "the broker disconnected: server shutting down (0x8b)"
    );
}

#[test]
fn a_broker_that_breaks_the_protocol_is_cut_off() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for (version, wrong) in [
        (Version::V311, [0xe0, 0]),
        (Version::V5, [0x10, 0]),
        (Version::V311, [0, 0]),
    ] {
        let id = format!("{version:?}-{}", wrong[0]);
        let (mut device, mut upstream) = connected(&broker, &relay, &Connect::new(version, &id));
        upstream.send(&[PINGRESP, &wrong].concat());
        device.expect(PINGRESP);
        let last = device.read_to_end();
        assert_eq!(last.len(), usize::from(version == Version::V5), "{last:?}");
        upstream.expect_end();
        assert!(
            relay.closed(&id)["reason"]
                .as_str()
                .unwrap()
                .contains("the broker broke the protocol")
        );
    }
}

#[test]
fn two_devices_with_one_client_id_are_the_brokers_business() {
    let mosquitto = Mosquitto::plain();
    let config = Configuration::of(&entry_point(&mosquitto.url())).sim(2, Some("g"));
    let relay = Simrelay::start(&config);
    let mut first = relay.device(1);
    first.enter(&Connect::new(Version::V5, "same"));
    let mut second = relay.device(2);
    second.enter(&Connect::new(Version::V5, "same"));
    first.expect_end();
    second.send(PINGREQ);
    second.expect(PINGRESP);
}
