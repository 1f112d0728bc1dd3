//! mosquitto_pub and mosquitto_sub as devices, every version and QoS.

use crate::site::*;

fn publishing(version: Version) {
    let mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    let mut watcher = mosquitto.watch();
    let (imsi, sim_id, imei) = (imsi(1), sim_id(1), imei(1));
    for (qos, level) in ["0", "1", "2"].into_iter().zip(0..) {
        let topic = "up/{{imsi}}/{{simId}}/{{imei}}/<<imsi>>-<<simId>>-<<imei>>/{{other}}";
        let flags = ["-V", version.name(), "-q", qos, "-t", topic, "-m", qos];
        mosquitto_pub(&sim_address(1), relay.relay(), &flags).unwrap();
        let packet = watcher.packet();
        let expected = format!("up/{imsi}/{sim_id}/{imei}/{imsi}-{sim_id}-{imei}/{{{{other}}}}");
        assert_eq!((packet.topic(), packet.qos()), (expected, level));
        assert_eq!(packet.payload(), qos.as_bytes());
    }
}

#[test]
fn mosquitto_pub_31_publishes_at_every_qos_with_its_topic_rewritten() {
    publishing(Version::V31);
}

#[test]
fn mosquitto_pub_311_publishes_at_every_qos_with_its_topic_rewritten() {
    publishing(Version::V311);
}

#[test]
fn mosquitto_pub_5_publishes_at_every_qos_with_its_topic_rewritten() {
    publishing(Version::V5);
}

fn subscribing(version: Version) {
    let mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    let (imsi, sim_id) = (imsi(1), sim_id(1));
    for qos in ["0", "1", "2"] {
        let id = format!("sub-{qos}");
        let flags = [
            "-V",
            version.name(),
            "-i",
            &id,
            "-q",
            qos,
            "-t",
            "down/{{imsi}}/#",
            "-t",
            "<<simId>>/+/x",
            "-U",
            "gone/{{imsi}}",
        ];
        let sub = mosquitto_sub(&sim_address(1), relay.relay(), &flags);
        mosquitto.saw(&format!("\tdown/{imsi}/# (QoS {qos})"));
        mosquitto.saw(&format!("{id} {qos} {sim_id}/+/x"));
        mosquitto.saw(&format!("\tgone/{imsi}"));
        for (topic, payload) in [
            (format!("down/{imsi}/a"), "one"),
            (format!("{sim_id}/b/x"), "two"),
        ] {
            let flags = ["-q", qos, "-t", &topic, "-m", payload];
            mosquitto_pub("127.0.0.1", mosquitto.inside, &flags).unwrap();
            sub.expect(&topic, payload);
        }
        // Another's topic is not this SIM's.
        assert!(!mosquitto.log().contains("{{"), "{}", mosquitto.log());
    }
}

#[test]
fn mosquitto_sub_31_receives_at_every_qos_what_its_rewritten_filters_match() {
    subscribing(Version::V31);
}

#[test]
fn mosquitto_sub_311_receives_at_every_qos_what_its_rewritten_filters_match() {
    subscribing(Version::V311);
}

#[test]
fn mosquitto_sub_5_receives_at_every_qos_what_its_rewritten_filters_match() {
    subscribing(Version::V5);
}

#[test]
fn the_will_of_a_killed_mosquitto_sub_is_published_with_its_topic_rewritten() {
    let mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    let mut watcher = mosquitto.watch();
    for version in Version::ALL {
        let flags = [
            "-V",
            version.name(),
            "-t",
            "x",
            "--will-topic",
            "wills/{{imsi}}",
            "--will-payload",
            "gone",
        ];
        drop(mosquitto_sub(&sim_address(1), relay.relay(), &flags));
        watcher.expect(&format!("wills/{}", imsi(1)), "gone");
    }
}

#[test]
fn the_response_topic_of_mosquitto_pub_5_is_rewritten() {
    let mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    let mut watcher = mosquitto.watch_as(Version::V5);
    let flags = [
        "-V",
        "mqttv5",
        "-t",
        "q/{{imsi}}",
        "-m",
        "?",
        "-D",
        "publish",
        "response-topic",
        "a/{{imsi}}/{{imei}}",
    ];
    mosquitto_pub(&sim_address(1), relay.relay(), &flags).unwrap();
    let packet = watcher.packet();
    assert_eq!(packet.topic(), format!("q/{}", imsi(1)));
    let properties = property_text(8, &format!("a/{}/{}", imsi(1), imei(1)));
    let expected = [&[properties.len() as u8], properties.as_slice(), b"?"].concat();
    assert_eq!(packet.payload(), expected);
}

#[test]
fn a_refused_mosquitto_pub_is_told_why() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for (version, words) in [
        ("mqttv31", "not authorised"),
        ("mqttv311", "not authorised"),
        ("mqttv5", "Not authorized"),
    ] {
        let flags = ["-V", version, "-t", "t", "-m", "m"];
        let told = mosquitto_pub("127.200.0.1", relay.relay(), &flags).unwrap_err();
        assert!(told.contains(words), "{version}: {told}");
    }
    broker.expect_no_dial();
}
