//! Bad input ends the connection that it comes on, with the right code and a line in the log, and no other.

use crate::site::*;
use serde_json::Value;
use std::time::{Duration, Instant};

fn stage() -> (FakeBroker, Simrelay, Bystander) {
    let broker = FakeBroker::listen();
    let config = Configuration::of(&entry_point(&broker.url()))
        .sim(2, Some("g"))
        .sim(3, Some("g"));
    let relay = Simrelay::with(&config, &["--relay-workers", "1"]);
    let bystander = Bystander::connect(&relay, &broker);
    (broker, relay, bystander)
}

/// CONNECT of `version` with a reserved flag set.
fn with_reserved_flag(version: Version) -> Vec<u8> {
    let mut connect = Connect::new(version, "c").bytes();
    let at = if version == Version::V31 {
        2 + 8 + 1
    } else {
        2 + 6 + 1
    };
    connect[at] |= 1;
    connect
}

#[test]
fn what_is_no_connect_is_refused_with_its_code_and_one_line() {
    let (broker, relay, mut bystander) = stage();
    let mut level_6 = Connect::new(Version::V5, "c").bytes();
    level_6[8] = 6;
    let mut level_3 = Connect::new(Version::V311, "c").bytes();
    level_3[8] = 3;
    let mut truncated = Connect::new(Version::V311, "a-client-id").bytes();
    truncated[1] -= 3;
    let cases: &[(&[u8], Option<u8>, &str)] = &[
        (
            &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
            None,
            "not a CONNECT (TLS)",
        ),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", None, "not a CONNECT (HTTP)"),
        (b"POST /x HTTP/1.1\r\n\r\n", None, "not a CONNECT (HTTP)"),
        (
            &publish("t", 0, 0, b"x"),
            None,
            "not a CONNECT (another MQTT packet)",
        ),
        (PINGREQ, None, "not a CONNECT (another MQTT packet)"),
        (&[0, 0, 0, 0], None, "not a CONNECT (not MQTT)"),
        (
            &[0x10, 0xff, 0xff, 0xff, 0xff, 1],
            None,
            "not a CONNECT (CONNECT with an impossible length)",
        ),
        (
            &[0x11, 2, 0, 0],
            None,
            "not a CONNECT (CONNECT with reserved flags)",
        ),
        (
            &[0x10, 0xff, 0xff, 0xff, 0x7f, 0, 4],
            None,
            "a CONNECT of 268435460 bytes",
        ),
        (&level_6, Some(0x84), "level 6 is not MQTT"),
        (&level_3, Some(1), "level 3 is not MQTT"),
        (&with_reserved_flag(Version::V5), Some(0x81), "connect flags"),
        (&with_reserved_flag(Version::V311), None, "connect flags"),
        (
            &truncated[..truncated.len() - 3],
            None,
            "the client identifier runs past the end",
        ),
        (&frame(0x10, &[]), None, "runs past the end"),
        (
            &Connect::new(Version::V311, "nul\0").bytes(),
            None,
            "not a valid UTF-8 string",
        ),
        (
            &Connect::new(Version::V5, "nul\0").bytes(),
            Some(0x81),
            "not a valid UTF-8 string",
        ),
        (
            &Connect::new(Version::V5, "c").properties(&[0x21, 0, 0]).bytes(),
            Some(0x82),
            "property 0x21",
        ),
        (
            &Connect::new(Version::V5, "c").properties(&[0x0b, 1]).bytes(),
            Some(0x81),
            "property 0x0b",
        ),
    ];
    for (at, (bytes, code, reason)) in cases.iter().enumerate() {
        let mut device = relay.device(1);
        device.try_send(bytes);
        let answer = device.read_to_end();
        assert_eq!(answer.len(), usize::from(code.is_some()), "{reason}: {answer:?}");
        if let Some(code) = code {
            assert_eq!(
                (answer[0].kind(), answer[0].body()[1]),
                (2, *code),
                "{reason}: {answer:?}"
            );
        }
        let count = |relay: &Simrelay| relay.lines(|line| line["event"] == "refused").len();
        wait_until("line in the log", || (count(&relay) > at).then_some(()));
        let lines = relay.lines(|line| line["event"] == "refused");
        assert_eq!(lines.len(), at + 1, "{reason}: {}", relay.log_text());
        let line = &lines[at];
        assert!(
            line["reason"].as_str().unwrap().contains(reason),
            "{reason}: {line}"
        );
        assert_eq!(line["imsi"].as_str(), Some(imsi(1).as_str()), "{line}");
        assert!(!line["advice"].as_str().unwrap().is_empty());
        bystander.is_well();
    }
    broker.expect_no_dial();
    bystander.leave(&relay);
}

/// What a device may not send once it is connected, the code of MQTT 5, words of the log line.
fn violations(version: Version) -> Vec<(Vec<u8>, u8, &'static str)> {
    let v5 = version == Version::V5;
    let publish = |topic: &[u8]| {
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(topic);
        body.extend(v5.then_some(0));
        frame(0x30, &body)
    };
    let mut wrong_flags = subscribe(version, 1, &[("t", 0)]);
    wrong_flags[0] = 0x80;
    let mut all = vec![
        (
            Connect::new(version, "c").bytes(),
            0x82,
            "CONNECT is not allowed here",
        ),
        (vec![0x20, 2, 0, 0], 0x82, "CONNACK is not allowed here"),
        (frame(0x90, &[0, 1, 0]), 0x82, "SUBACK is not allowed here"),
        (PINGRESP.to_vec(), 0x82, "PINGRESP is not allowed here"),
        (vec![0, 0], 0x81, "type 0"),
        (vec![0x30, 0xff, 0xff, 0xff, 0xff, 1], 0x81, "emaining length"),
        (vec![0xc0, 1, 0], 0x81, "PINGREQ with a remaining length of 1"),
        (wrong_flags, 0x81, "SUBSCRIBE"),
        (vec![0x36, 5, 0, 1, b't', 0, 1], 0x81, "QoS 3"),
        (publish(b"a/#"), 0x90, "wildcard"),
        (publish(b"\xff\xfe"), 0x81, "not a valid UTF-8 string"),
        (publish(b"a\0b"), 0x81, "not a valid UTF-8 string"),
        (subscribe(version, 1, &[]), 0x82, "without a topic filter"),
        (subscribe(version, 0, &[("t", 0)]), 0x81, "packet identifier 0"),
        (
            subscribe(version, 1, &[("t", 0), ("", 0)]),
            0x8f,
            "topic filter is empty",
        ),
        // QoS 3 is a protocol error, reserved bits are malformed (MQTT 5 §3.8.3.1).
        (subscribe(version, 1, &[("t", 3)]), 0x82, "subscription options"),
        (unsubscribe(version, 1, &[]), 0x82, "without a topic filter"),
        (vec![0x82, 0xff, 0xff, 0xff, 0x7f], 0x95, "over the limit"),
        (vec![0xa2, 0xff, 0xff, 0xff, 0x7f], 0x95, "over the limit"),
    ];
    if !v5 {
        // In MQTT 5 a topic alias may stand for it, which is between device and broker.
        all.push((publish(b""), 0x82, "topic name is empty"));
    }
    all
}

fn violate(version: Version) {
    let (broker, relay, mut bystander) = stage();
    let v5 = version == Version::V5;
    let connack = if v5 { CONNACK_5 } else { CONNACK_311 };
    for (at, (bytes, code, reason)) in violations(version).into_iter().enumerate() {
        let id = format!("bad-{at}");
        let mut device = relay.device(1);
        device.send(&Connect::new(version, &id).bytes());
        let (mut upstream, _) = broker.admit(connack);
        device.expect(connack);
        // What came before still arrives.
        device.try_send(&[PINGREQ, &bytes].concat());
        upstream.expect(PINGREQ);
        upstream.expect_end();
        let last = device.read_to_end();
        assert_eq!(last.len(), usize::from(v5), "{reason}: {last:?}");
        if v5 {
            assert_eq!(
                (last[0].kind(), last[0].body()[0]),
                (14, code),
                "{reason}: {last:?}"
            );
            let told = last[0].reason_string().unwrap();
            assert!(told.contains(reason), "{reason}: {told}");
        }
        let line = relay.closed(&id);
        let said = line["reason"].as_str().unwrap();
        assert!(
            said.starts_with("the device broke the protocol: ") && said.contains(reason),
            "{reason}: {said}"
        );
        bystander.is_well();
    }
    bystander.leave(&relay);
}

#[test]
fn a_device_that_breaks_mqtt_31_is_cut_off_without_a_word() {
    violate(Version::V31);
}

#[test]
fn a_device_that_breaks_mqtt_311_is_cut_off_without_a_word() {
    violate(Version::V311);
}

#[test]
fn a_device_that_breaks_mqtt_5_is_told_the_code_and_the_reason() {
    violate(Version::V5);
}

#[test]
fn a_packet_that_is_cut_short_by_the_end_of_the_device_does_not_reach_anybody_else() {
    let (broker, relay, mut bystander) = stage();
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V311, "cut").bytes());
    let (mut upstream, _) = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    // The topic is whole, the payload is not.
    let whole = publish("t/{{imsi}}", 0, 0, &[7; 1000]);
    device.send(&whole[..100]);
    drop(device);
    upstream.expect_end();
    let line = relay.closed("cut");
    assert_eq!((&line["device_up"], &line["broker_up"]), (&0.into(), &0.into()));
    bystander.is_well();
    bystander.leave(&relay);
}

#[test]
fn a_connect_that_never_ends_is_given_up_after_ten_seconds() {
    let (broker, relay, mut bystander) = stage();
    let start = Instant::now();
    let mut silent = relay.device(1);
    let mut dribbling = relay.device(3);
    let connect = Connect::new(Version::V5, "never").bytes();
    for byte in &connect[..8] {
        dribbling.send(&[*byte]);
        std::thread::sleep(Duration::from_secs(1));
    }
    bystander.is_well();
    silent.expect_end();
    dribbling.expect_end();
    let elapsed = start.elapsed().as_secs_f32();
    assert!((9.5..15.0).contains(&elapsed), "{elapsed}");
    for n in [1, 3] {
        let line = relay.wait_for("refusal", |line| {
            line["event"] == "refused" && line["imsi"] == imsi(n)
        });
        assert_eq!(line["reason"], "no complete CONNECT within 10 s");
    }
    broker.expect_no_dial();
    bystander.leave(&relay);
}

#[test]
fn a_port_scan_leaves_a_line_and_nothing_else() {
    let (broker, relay, mut bystander) = stage();
    drop(relay.device(1));
    let line = relay.refused();
    assert!(
        line["reason"].as_str().unwrap().contains("closed the connection"),
        "{line}"
    );
    bystander.is_well();
    broker.expect_no_dial();
    bystander.leave(&relay);
}

#[test]
fn what_a_device_says_at_length_is_cut_short_in_the_log_and_whole_for_the_broker() {
    const LONG: usize = 65_000;
    let (broker, relay, _bystander) = stage();
    let mut device = relay.device(2);
    let connect = Connect::new(Version::V311, &"i".repeat(LONG)).bytes();
    device.send(&connect);
    let (_upstream, seen) = broker.admit(&[0x20, 2, 0, 0]);
    assert_eq!(seen.bytes, connect);
    device.expect(&[0x20, 2, 0, 0]);
    device.send(&publish(&format!("{}/#", "t".repeat(LONG)), 0, 0, b"x"));
    device.expect_end();
    let is_of_it = |line: &Value| line["client_id"].as_str().is_some_and(|id| id.starts_with("iii"));
    let closed = relay.wait_for("its end", |line| line["event"] == "closed" && is_of_it(line));
    assert!(
        closed["reason"].as_str().unwrap().contains("holds a wildcard"),
        "{closed}"
    );
    let lines = relay.lines(is_of_it);
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert!(line.to_string().len() < 2_000, "{line}");
    }
}

#[test]
fn a_limit_of_the_relay_is_not_blamed_on_the_devices_library() {
    let broker = FakeBroker::listen();
    let mut entry_point = entry_point(&broker.url());
    entry_point["replaceTopic"] = true.into();
    let relay = Simrelay::start(&Configuration::of(&entry_point));
    let too_long = publish(&format!("{}{{{{imsi}}}}", "t".repeat(65_527)), 0, 0, b"x");
    let filters = vec![("t".repeat(3_000), 0); 100];
    let filters: Vec<(&str, u8)> = filters
        .iter()
        .map(|(filter, qos)| (filter.as_str(), *qos))
        .collect();
    let too_much = subscribe(Version::V311, 1, &filters);
    for (packet, advice) in [
        (too_long, "shorten the device's topic"),
        (too_much, "have the device send less"),
    ] {
        let client_id = advice.split(' ').next().unwrap();
        let mut device = relay.device(1);
        device.send(&Connect::new(Version::V311, client_id).bytes());
        let (_upstream, _) = broker.admit(&[0x20, 2, 0, 0]);
        device.expect(&[0x20, 2, 0, 0]);
        device.try_send(&packet);
        device.read_to_end();
        let line = relay.closed(client_id);
        assert!(line["advice"].as_str().unwrap().starts_with(advice), "{line}");
    }
}
