//! Brokers that die, stop, come back, and break off.

use crate::site::*;
use std::time::{Duration, Instant};

fn enter(relay: &Simrelay, n: u8, connect: &Connect) -> Device {
    let mut device = relay.device(n);
    device.enter(connect);
    device
}

#[test]
fn a_broker_that_is_killed_ends_its_connections_at_once_and_serves_again_as_soon_as_it_is_back() {
    let mut mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    let mut devices: Vec<_> = Version::ALL
        .into_iter()
        .map(|version| enter(&relay, 1, &Connect::new(version, &format!("{version:?}"))))
        .collect();
    let killed = Instant::now();
    mosquitto.stop();
    for device in &mut devices {
        device.expect_end();
    }
    assert!(
        killed.elapsed() < Duration::from_secs(5),
        "{:?}",
        killed.elapsed()
    );
    for version in Version::ALL {
        let line = relay.closed(&format!("{version:?}"));
        assert!(
            line["reason"].as_str().unwrap().contains("the broker closed"),
            "{line}"
        );
        assert!(
            line["advice"].as_str().unwrap().contains("broker's log"),
            "{line}"
        );
    }
    let asked = Instant::now();
    let connack = relay.device(1).connect(&Connect::new(Version::V311, "meanwhile"));
    assert_eq!(connack.body()[1], 3);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let line = relay.refused_as("meanwhile");
    assert!(
        line["reason"].as_str().unwrap().contains("Connection refused"),
        "{line}"
    );
    mosquitto.start_again();
    let mut watcher = mosquitto.watch();
    let mut device = enter(&relay, 1, &Connect::new(Version::V311, "after"));
    device.send(&publish("t", 1, 1, b"back"));
    device.expect(&puback(1));
    watcher.expect("t", "back");
}

#[test]
fn a_broker_that_is_stopped_for_a_while_gets_everything_when_it_goes_on() {
    let mosquitto = Mosquitto::plain();
    let relay = Simrelay::to(&mosquitto.url());
    let mut watcher = mosquitto.watch();
    let mut device = enter(&relay, 1, &Connect::new(Version::V311, "patient"));
    mosquitto.signal("STOP");
    for id in 1..=50 {
        device.send(&publish("t/{{imsi}}", 1, id, id.to_string().as_bytes()));
    }
    // Its kernel still takes connections; nobody behind it answers.
    let asked = Instant::now();
    let connack = relay.device(1).connect(&Connect::new(Version::V5, "new"));
    assert_eq!(connack.body()[1], 0x88);
    let waited = asked.elapsed();
    assert!((9..15).contains(&waited.as_secs()), "{waited:?}");
    let line = relay.refused_as("new");
    assert!(
        line["reason"]
            .as_str()
            .unwrap()
            .contains("no CONNACK within 10 s"),
        "{line}"
    );
    assert!(
        device.is_quiet(),
        "nothing is acknowledged that the broker has not acknowledged"
    );
    mosquitto.signal("CONT");
    for id in 1..=50_u16 {
        device.expect(&puback(id));
        watcher.expect(&format!("t/{}", imsi(1)), &id.to_string());
    }
}

#[test]
fn a_broker_that_closes_in_the_middle_of_a_message_ends_that_connection_and_no_other() {
    let broker = FakeBroker::listen();
    let relay = Simrelay::to(&broker.url());
    let open = |version, id: &str, connack: &[u8]| {
        let mut device = relay.device(1);
        device.send(&Connect::new(version, id).bytes());
        let (upstream, _) = broker.admit(connack);
        device.expect(connack);
        (device, upstream)
    };
    let (mut other, mut other_upstream) = open(Version::V311, "other", CONNACK_311);
    let half = |whole: Vec<u8>| whole[..whole.len() / 2].to_vec();
    let old = half(publish("t", 0, 0, &[b'x'; 1000]));
    let new = half(publish_5("t", 0, 0, &[], &[b'x'; 1000]));
    for (version, connack, half) in [(Version::V311, CONNACK_311, old), (Version::V5, CONNACK_5, new)] {
        let id = format!("{version:?}");
        let (mut device, mut upstream) = open(version, &id, connack);
        upstream.send(&half);
        drop(upstream);
        // What came, and nothing of the relay's own behind half a packet.
        let mut came = Vec::new();
        std::io::Read::read_to_end(&mut device.stream, &mut came).unwrap();
        assert!(came == half);
        let line = relay.closed(&id);
        assert_eq!(line["reason"], "the broker closed the connection");
    }
    other.send(PINGREQ);
    other_upstream.expect(PINGREQ);
    other_upstream.send(PINGRESP);
    other.expect(PINGRESP);
}

#[test]
fn a_certificate_that_ran_out_or_is_for_another_name_refuses_that_group_and_no_other() {
    let authority = Authority::new("site");
    let expired = Mosquitto::with_certificate(|host| authority.expired_server(host));
    let misnamed = Mosquitto::with_certificate(|_| authority.server("elsewhere.example"));
    let fine = Mosquitto::tls(&authority);
    let entry = |broker: &Mosquitto| {
        let mut entry = entry_point(&broker.tls_url());
        entry["clientCerts"] = serde_json::json!({ "default": { "$credentialsId": "site" } });
        entry
    };
    let config = Configuration::of(&entry(&expired))
        .group("misnamed", Some(&entry(&misnamed)))
        .group("fine", Some(&entry(&fine)))
        .sim(2, Some("misnamed"))
        .sim(3, Some("fine"));
    let relay = Simrelay::start(&config);
    authority.write_ca(&relay.credential("site"));
    for (n, kind) in [(1, "Expired"), (2, "NotValidForName")] {
        let connack = relay.device(n).connect(&Connect::new(Version::V311, kind));
        assert_eq!(connack.body()[1], 3);
        let line = relay.refused_as(kind);
        assert!(line["reason"].as_str().unwrap().contains("TLS with"), "{line}");
        assert!(
            line["advice"].as_str().unwrap().contains("name, validity"),
            "{line}"
        );
    }
    enter(&relay, 3, &Connect::new(Version::V311, "fine"));
}
