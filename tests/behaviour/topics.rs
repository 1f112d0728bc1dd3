//! What becomes of topics, field by field and byte by byte.

use crate::site::*;
use serde_json::json;

#[test]
fn the_imsi_goes_behind_topics_of_publish_and_will_and_nothing_else() {
    let broker = FakeBroker::listen();
    let mut entry = entry_point(&broker.url());
    entry["addSubscriberHeader"] = true.into();
    let relay = Simrelay::start(&Configuration::of(&entry));
    let mut device = relay.device(1);
    let mut will = Will::new("w/{{simId}}", "gone");
    will.properties = property_text(8, "wr/{{imsi}}");
    device.send(&Connect::new(Version::V5, "c").will(will.clone()).bytes());
    let (mut upstream, connect) = broker.admit(CONNACK_5);
    device.expect(CONNACK_5);
    will.topic = format!("w/{}/{}", sim_id(1), imsi(1));
    will.properties = property_text(8, &format!("wr/{}", imsi(1)));
    assert_eq!(connect.bytes, Connect::new(Version::V5, "c").will(will).bytes());
    let topic = format!("t/{}/{}", imsi(1), imsi(1));
    for (from, to) in [
        (
            publish_5(
                "t/{{imsi}}",
                1,
                7,
                &property_text(8, "r/{{imsi}}"),
                b"payload {{imsi}}",
            ),
            publish_5(
                &topic,
                1,
                7,
                &property_text(8, &format!("r/{}", imsi(1))),
                b"payload {{imsi}}",
            ),
        ),
        (
            subscribe(Version::V5, 8, &[("s/{{imsi}}", 1), ("s", 0)]),
            subscribe(Version::V5, 8, &[(&format!("s/{}", imsi(1)), 1), ("s", 0)]),
        ),
        (
            unsubscribe(Version::V5, 9, &["s/{{imsi}}"]),
            unsubscribe(Version::V5, 9, &[&format!("s/{}", imsi(1))]),
        ),
    ] {
        device.send(&from);
        upstream.expect(&to);
    }
    // Downlink topics stay as the broker sends them.
    let down = publish_5("d/{{imsi}}", 0, 0, &property_text(8, "r/{{imsi}}"), b"x");
    upstream.send(&down);
    device.expect(&down);
}

#[test]
fn the_header_is_added_where_topics_are_not_replaced() {
    let mosquitto = Mosquitto::plain();
    let entry = json!({ "destination": mosquitto.url(), "addSubscriberHeader": true });
    let relay = Simrelay::start(&Configuration::of(&entry));
    let mut watcher = mosquitto.watch();
    for version in Version::ALL {
        let flags = ["-V", version.name(), "-t", "test/{{imsi}}", "-m", "Hello, World"];
        mosquitto_pub(&sim_address(1), relay.relay(), &flags).unwrap();
        watcher.expect(&format!("test/{{{{imsi}}}}/{}", imsi(1)), "Hello, World");
    }
}

#[test]
fn nothing_is_replaced_where_the_entry_point_says_so() {
    let broker = FakeBroker::listen();
    let entry = json!({ "destination": broker.url(), "replaceTopic": false, "useClientCredentials": true });
    let relay = Simrelay::start(&Configuration::of(&entry));
    for version in Version::ALL {
        let mut device = relay.device(1);
        let connect = Connect::new(version, "c")
            .will(Will::new("w/{{imsi}}", "x"))
            .bytes();
        device.send(&connect);
        let connack = if version == Version::V5 {
            CONNACK_5
        } else {
            CONNACK_311
        };
        let (mut upstream, arrived) = broker.admit(connack);
        assert_eq!(arrived.bytes, connect);
        device.expect(connack);
        let publish = match version {
            Version::V5 => publish_5("a/<<imsi>>", 2, 3, &property_text(8, "{{imei}}"), b"x"),
            _ => publish("a/<<imsi>>/{{imei}}", 2, 3, b"x"),
        };
        for packet in [
            publish,
            subscribe(version, 4, &[("{{imsi}}/#", 0)]),
            unsubscribe(version, 5, &["{{simId}}"]),
        ] {
            device.send(&packet);
            upstream.expect(&packet);
        }
    }
}

#[test]
fn an_unknown_imei_is_said_to_be_unknown() {
    let mosquitto = Mosquitto::plain();
    let config = Configuration::default()
        .group("g", Some(&entry_point(&mosquitto.url())))
        .sim(1, Some("g"))
        .without_imei();
    let relay = Simrelay::start(&config);
    let mut watcher = mosquitto.watch();
    let flags = ["-t", "{{imei}}/<<imei>>/{{imsi}}", "-m", "x"];
    mosquitto_pub(&sim_address(1), relay.relay(), &flags).unwrap();
    watcher.expect(&format!("unknown-imei/unknown-imei/{}", imsi(1)), "x");
}

#[test]
fn each_sim_gets_its_own_identity() {
    let mosquitto = Mosquitto::plain();
    let config = Configuration::of(&entry_point(&mosquitto.url())).sim(2, Some("g"));
    let relay = Simrelay::start(&config);
    let mut watcher = mosquitto.watch();
    for n in [1, 2, 1] {
        mosquitto_pub(&sim_address(n), relay.relay(), &["-t", "{{imsi}}", "-m", "x"]).unwrap();
        watcher.expect(&imsi(n), "x");
    }
}

#[test]
fn a_topic_alias_stands_for_the_rewritten_topic() {
    let mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    let mut watcher = mosquitto.watch();
    let mut device = relay.device(1);
    device.enter(&Connect::new(Version::V5, "c"));
    let alias = [0x23, 0, 1];
    device.send(&publish_5("t/{{imsi}}", 0, 0, &alias, b"first"));
    device.send(&publish_5("", 0, 0, &alias, b"second"));
    device.send(&publish_5("", 1, 5, &alias, b"third"));
    for payload in ["first", "second", "third"] {
        watcher.expect(&format!("t/{}", imsi(1)), payload);
    }
    assert_eq!(device.read().kind(), 4);
}

#[test]
fn a_publish_with_an_alias_and_no_topic_passes_as_it_is() {
    let broker = FakeBroker::listen();
    let mut entry = entry_point(&broker.url());
    entry["addSubscriberHeader"] = true.into();
    let relay = Simrelay::start(&Configuration::of(&entry));
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V5, "c").bytes());
    let (mut upstream, _) = broker.admit(CONNACK_5);
    device.expect(CONNACK_5);
    let alias = [0x23, 0, 1];
    device.send(&publish_5("t", 0, 0, &alias, b"x"));
    upstream.expect(&publish_5(&format!("t/{}", imsi(1)), 0, 0, &alias, b"x"));
    device.send(&publish_5("", 0, 0, &alias, b"y"));
    upstream.expect(&publish_5("", 0, 0, &alias, b"y"));
}

#[test]
fn a_rewritten_topic_may_be_as_long_as_a_topic_can_be_and_not_longer() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for version in Version::ALL {
        let v5 = version == Version::V5;
        let connack = if v5 { CONNACK_5 } else { CONNACK_311 };
        let id = format!("long-{version:?}");
        let mut device = relay.device(1);
        device.send(&Connect::new(version, &id).bytes());
        let (mut upstream, _) = broker.admit(connack);
        device.expect(connack);
        let publish = |topic: &str| match version {
            Version::V5 => publish_5(topic, 0, 0, &[], b"x"),
            _ => publish(topic, 0, 0, b"x"),
        };
        let fits = "x".repeat(65_535 - 15);
        device.send(&publish(&format!("{fits}{{{{imsi}}}}")));
        upstream.expect(&publish(&format!("{fits}{}", imsi(1))));
        device.send(&publish(&format!("{fits}x{{{{imsi}}}}")));
        upstream.expect_end();
        let last = device.read_to_end();
        if v5 {
            assert_eq!((last[0].kind(), last[0].body()[0]), (14, 0x90), "{last:?}");
            assert!(
                last[0].reason_string().unwrap().contains("65536 bytes"),
                "{last:?}"
            );
        }
        assert_eq!(last.len(), usize::from(v5));
        assert!(
            relay.closed(&id)["reason"]
                .as_str()
                .unwrap()
                .contains("65536 bytes")
        );
    }
}
