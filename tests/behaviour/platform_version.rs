//! Platform version 201509, row by row of the Beam page.

use crate::site::*;
use rumqttc::{AsyncClient, ConnectionError, MqttOptions};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

const OLD: [Version; 2] = [Version::V31, Version::V311];

fn older(url: &str) -> Value {
    let mut entry_point = entry_point(url);
    entry_point["version"] = "201509".into();
    entry_point
}

fn relay_to(url: &str) -> Simrelay {
    Simrelay::start(&Configuration::of(&older(url)))
}

fn connected(broker: &FakeBroker, relay: &Simrelay, client_id: &str) -> (Device, Device) {
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V311, client_id).bytes());
    let (upstream, _) = broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    (device, upstream)
}

#[test]
fn the_broker_is_spoken_to_in_311_and_hears_of_no_will() {
    let broker = FakeBroker::listen();
    let relay = relay_to(&broker.url());
    for version in OLD {
        let mut will = Will::new("will/{{imsi}}", "gone");
        will.qos = 2;
        let mut connect = Connect::new(version, "client").keep_alive(1200).login("u", "p");
        connect.clean = false;
        let expected = Connect {
            version: Version::V311,
            ..connect.clone()
        };
        let mut device = relay.device(1);
        device.send(&connect.will(will).bytes());
        // The broker has a session of this client, of which MQTT 3.1 cannot be told.
        let (_, arrived) = broker.admit(&[0x20, 2, 1, 0]);
        assert_eq!(arrived.bytes, expected.bytes());
        device.expect(&[0x20, 2, u8::from(version == Version::V311), 0]);
    }
}

#[test]
fn a_refusal_of_the_broker_reaches_the_device() {
    let broker = FakeBroker::listen();
    let relay = relay_to(&broker.url());
    for version in OLD {
        let mut device = relay.device(1);
        device.send(&Connect::new(version, "c").bytes());
        let (_upstream, _) = broker.admit(&[0x20, 2, 0, 5]);
        device.expect(&[0x20, 2, 0, 5]);
        device.expect_end();
    }
}

#[test]
fn a_connection_counts_until_the_broker_has_closed_it_too() {
    let broker = FakeBroker::listen();
    let flags = ["--relay-max-connections-per-sim", "2"];
    let relay = Simrelay::with(&Configuration::of(&older(&broker.url())), &flags);
    let mut reading = Vec::new();
    for id in ["first", "second"] {
        let (device, upstream) = connected(&broker, &relay, id);
        reading.push(upstream);
        device.reset();
        relay.closed(id);
    }
    let connack = relay.device(1).connect(&Connect::new(Version::V311, "over"));
    assert_eq!(connack.body()[1], 3);
    let line = relay.refused_as("over");
    assert!(
        line["reason"].as_str().unwrap().contains("has 2 connections"),
        "{line}"
    );
    drop(reading);
    let admitted = std::thread::spawn(move || broker.admit(CONNACK_311));
    wait_until("room for the next", || {
        let connack = relay.device(1).connect(&Connect::new(Version::V311, "next"));
        (connack.body()[1] == 0).then_some(())
    });
    admitted.join().unwrap();
}

#[test]
fn mosquitto_pub_is_acknowledged_and_the_broker_gets_qos_0() {
    let mosquitto = Mosquitto::plain();
    let relay = relay_to(&mosquitto.url());
    let mut watcher = mosquitto.watch();
    for version in OLD {
        for qos in ["0", "1", "2"] {
            let id = format!("{}-{qos}", version.name());
            let flags = [
                "-V",
                version.name(),
                "-q",
                qos,
                "-i",
                &id,
                "-t",
                "t/{{imsi}}",
                "-m",
                &id,
            ];
            mosquitto_pub(&sim_address(1), relay.relay(), &flags).unwrap();
            let packet = watcher.packet();
            assert_eq!(packet.topic(), format!("t/{}", imsi(1)));
            assert_eq!((packet.qos(), packet.payload()), (0, id.as_bytes()));
            mosquitto.saw(&format!("as {id} (p2, c1, k60)"));
            mosquitto.saw(&format!("Received PUBLISH from {id} (d0, q0, r0, m0, "));
        }
    }
}

#[test]
fn mosquitto_sub_is_granted_qos_0_and_gets_its_messages() {
    let mosquitto = Mosquitto::plain();
    let relay = relay_to(&mosquitto.url());
    let topic = format!("down/{}", imsi(1));
    for version in OLD {
        for qos in ["0", "1", "2"] {
            let flags = ["-V", version.name(), "-q", qos, "-t", "down/{{imsi}}"];
            let sub = mosquitto_sub(&sim_address(1), relay.relay(), &flags);
            sub.line("the grant", |line| line.ends_with("Subscribed (mid: 1): 0"));
            let flags = ["-q", "2", "-t", &topic, "-m", qos];
            mosquitto_pub("127.0.0.1", mosquitto.inside, &flags).unwrap();
            sub.line("QoS 0", |line| line.contains("received PUBLISH (d0, q0, r0, m0,"));
            sub.expect(&topic, qos);
        }
    }
}

#[test]
fn a_suback_that_refuses_is_passed_on() {
    let broker = FakeBroker::listen();
    let relay = relay_to(&broker.url());
    let (mut device, mut upstream) = connected(&broker, &relay, "c");
    device.send(&subscribe(Version::V311, 9, &[("a/{{imsi}}", 2), ("b", 1)]));
    let own = format!("a/{}", imsi(1));
    upstream.expect(&subscribe(Version::V311, 9, &[(&own, 0), ("b", 0)]));
    upstream.send(&frame(0x90, &[0, 9, 0x80, 0]));
    device.expect(&frame(0x90, &[0, 9, 0x80, 0]));
}

#[test]
fn qos_2_is_settled_with_the_relay_and_forwarded_once() {
    let broker = FakeBroker::listen();
    let relay = relay_to(&broker.url());
    let (mut device, mut upstream) = connected(&broker, &relay, "c");
    let mut again = publish("t", 2, 7, b"x");
    again[0] |= 8;
    device.send(&publish("t", 2, 7, b"x"));
    device.expect(&frame(0x50, &[0, 7]));
    device.send(&again);
    device.expect(&frame(0x50, &[0, 7]));
    device.send(&frame(0x62, &[0, 7]));
    device.expect(&frame(0x70, &[0, 7]));
    device.send(&[publish("t", 2, 7, b"y"), disconnect()].concat());
    for payload in [b"x", b"y"] {
        upstream.expect(&publish("t", 0, 0, payload));
    }
    upstream.expect(&disconnect());
    drop(upstream);
    device.read_to_end();
    let line = relay.closed("c");
    assert_eq!((&line["device_up"], &line["broker_up"]), (&3.into(), &2.into()));
}

#[test]
fn the_will_does_not_go_out() {
    let mosquitto = Mosquitto::plain();
    let relay = relay_to(&mosquitto.url());
    let mut watcher = mosquitto.watch();
    for version in OLD {
        let id = format!("{version:?}");
        let mut device = relay.device(1);
        device.enter(&Connect::new(version, &id).will(Will::new("will", "gone")));
        device.reset();
        relay.closed(&id);
        mosquitto.saw(&format!("Client {id} closed its connection"));
        // Had the will gone out it would come before this.
        mosquitto_pub("127.0.0.1", mosquitto.inside, &["-t", "marker", "-m", &id]).unwrap();
        watcher.expect("marker", &id);
    }
}

#[test]
fn pings_are_requests_of_both_legs() {
    let broker = FakeBroker::listen();
    let mut relay = relay_to(&broker.url());
    let (mut device, mut upstream) = connected(&broker, &relay, "c");
    let up = [
        PINGREQ.to_vec(),
        publish("t", 1, 1, b"x"),
        subscribe(Version::V311, 2, &[("a", 1)]),
        unsubscribe(Version::V311, 3, &["a"]),
        PINGREQ.to_vec(),
        disconnect(),
    ];
    device.send(&up.concat());
    for _ in 0..up.len() {
        upstream.read();
    }
    upstream.send(&[PINGRESP.to_vec(), publish("d", 0, 0, b"x"), PINGRESP.to_vec()].concat());
    drop(upstream);
    device.read_to_end();
    let line = relay.closed("c");
    let counts = ["device_up", "broker_up", "broker_down", "device_down"].map(|name| line[name].as_u64());
    assert_eq!(counts, [5, 5, 1, 1].map(Some), "{line}");
    relay.signal("TERM");
    assert!(relay.wait().success());
    let usage = relay.wait_for("usage", |line| line["event"] == "usage");
    assert_eq!(
        (&usage["in_mqtt"], &usage["out_mqtt"]),
        (&6.into(), &6.into()),
        "{usage}"
    );
}

#[test]
fn a_client_certificate_forces_mqtts() {
    let authority = Authority::new("site");
    let mosquitto = Mosquitto::for_certificates(&authority);
    let mut entry_point = older(&mosquitto.url());
    entry_point["useClientCert"] = true.into();
    entry_point["clientCerts"] = json!({ "default": { "$credentialsId": "site" } });
    let mut relay = Simrelay::start(&Configuration::of(&entry_point));
    authority.client("device").write(&relay.credential("site"));
    authority.write_ca(&relay.credential("site"));
    let mut device = relay.device(1);
    device.enter(&Connect::new(Version::V31, "c"));
    mosquitto.saw("as c (p2, c1, k60, u'device')");
    device.send(&[publish("t", 1, 1, b"x"), disconnect()].concat());
    device.expect(&puback(1));
    assert_eq!(relay.closed("c")["destination"], mosquitto.tls_url());
    relay.signal("TERM");
    assert!(relay.wait().success());
    let usage = relay.wait_for("usage", |line| line["event"] == "usage");
    assert_eq!(
        (&usage["out_mqtt"], &usage["out_mqtts"]),
        (&0.into(), &1.into()),
        "{usage}"
    );
}

#[test]
fn mqtt_5_is_refused_with_reason_and_advice() {
    let broker = FakeBroker::listen();
    let relay = relay_to(&broker.url());
    let connack = relay.device(1).connect(&Connect::new(Version::V5, "c"));
    assert_eq!(connack.body()[1], 0x84);
    let said = connack.reason_string().unwrap();
    let line = relay.refused();
    let (reason, advice) = (line["reason"].as_str().unwrap(), line["advice"].as_str().unwrap());
    assert!(
        reason.contains("version \"201509\", which does not carry MQTT 5"),
        "{line}"
    );
    assert!(advice.contains("set version to \"201912\""), "{line}");
    assert_eq!(said, format!("{reason}: {advice}"));
    assert_eq!((&line["mqtt"], &line["code"]), (&"5".into(), &0x84.into()));
    broker.expect_no_dial();
}

#[tokio::test]
async fn rumqttc_of_mqtt_5_learns_that_its_version_is_not_carried() {
    let broker = FakeBroker::listen();
    let config = Configuration::default()
        .group("g", Some(&older(&broker.url())))
        .sim_at(1, Some("g"), &["127.0.0.1"]);
    let relay = Simrelay::start(&config);
    let options = MqttOptions::new("library", ("127.0.0.1", relay.relay().port()));
    let (_client, mut events) = AsyncClient::builder(options).capacity(10).build();
    let refused = timeout(Duration::from_secs(20), events.poll())
        .await
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(&refused, ConnectionError::ConnectionRefused(code) if format!("{code:?}") == "UnsupportedProtocolVersion"),
        "{refused:?}"
    );
}

#[test]
fn check_and_topic_tell_what_the_version_means() {
    let folder = tempfile::tempdir().unwrap();
    let config = Configuration::of(&older("mqtt://127.0.0.1:1884"));
    std::fs::write(folder.path().join("entrypoints.json"), config.text()).unwrap();
    let checked = run(folder.path(), &["check", "entrypoints.json"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let told = checked.stdout + &checked.stderr;
    assert!(
        told.contains("version \"201509\": the broker gets MQTT 3.1.1 at QoS 0"),
        "{told}"
    );
    let topic = run(folder.path(), &["topic", &imsi(1), "t"]);
    assert!(topic.stdout.contains("the broker gets QoS 0"), "{topic:?}");
}

#[test]
fn a_changed_version_is_that_of_the_next_connect() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    for (version, first) in [("201509", 0x30), ("201912", 0x32), ("201509", 0x30)] {
        let mut value = entry_point(&broker.url());
        value["version"] = version.into();
        relay.put_entry_point(&value);
        let (mut device, mut upstream) = connected(&broker, &relay, version);
        device.send(&publish("t", 1, 1, b"x"));
        assert_eq!(upstream.read().bytes[0], first, "{version}");
        relay.wait_for("opening", |line| {
            line["event"] == "opened" && line["client_id"] == version && line["platform_version"] == version
        });
    }
}
