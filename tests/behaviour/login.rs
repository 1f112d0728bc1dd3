//! Whose user name and password the broker sees.

use crate::site::*;
use serde_json::{Value, json};

/// What reaches the broker of a CONNECT.
fn arrived(entry: impl Fn(&str) -> Value, connect: &Connect) -> Packet {
    let broker = FakeBroker::listen();
    let relay = Simrelay::start(&Configuration::of(&entry(&broker.url())));
    let mut device = relay.device(1);
    device.send(&connect.bytes());
    let connack = if connect.version == Version::V5 {
        CONNACK_5
    } else {
        CONNACK_311
    };
    let (_, arrived) = broker.admit(connack);
    device.expect(connack);
    arrived
}

#[test]
fn the_devices_own_login_passes_where_the_entry_point_says_so() {
    for flag in [json!(true), json!("true")] {
        let entry = |url: &str| json!({ "destination": url, "useClientCredentials": flag, "username": "other", "password": "other" });
        for version in Version::ALL {
            let connect = Connect::new(version, "c").login("device", "of its own");
            assert_eq!(arrived(entry, &connect).bytes, connect.bytes());
            let without = Connect::new(version, "c");
            assert_eq!(arrived(entry, &without).bytes, without.bytes());
        }
    }
}

#[test]
fn the_entry_points_login_takes_the_place_of_the_devices() {
    let entry = |url: &str| json!({ "destination": url, "username": "u-#{imsi}-#{simId}", "password": "p-#{imei}-{{imsi}}" });
    for version in Version::ALL {
        let username = format!("u-{}-{}", imsi(1), sim_id(1));
        let expected = Connect::new(version, "c").login(&username, &format!("p-{}-{{{{imsi}}}}", imei(1)));
        for connect in [
            Connect::new(version, "c"),
            Connect::new(version, "c").login("device", "secret"),
        ] {
            assert_eq!(arrived(entry, &connect).bytes, expected.bytes());
        }
    }
}

#[test]
fn no_login_in_the_entry_point_takes_the_devices_away() {
    let entry = |url: &str| json!({ "destination": url });
    for version in Version::ALL {
        let connect = Connect::new(version, "c").login("device", "secret");
        assert_eq!(arrived(entry, &connect).bytes, Connect::new(version, "c").bytes());
    }
}

#[test]
fn mosquitto_accepts_the_injected_login_and_its_refusal_of_another_passes() {
    let password = "correct horse";
    let mosquitto = Mosquitto::with_password(&format!("sim-{}", imsi(1)), password);
    let injected = json!({ "destination": mosquitto.url(), "username": "sim-#{imsi}", "password": password });
    let config = Configuration::of(&injected)
        .group("own", Some(&entry_point(&mosquitto.url())))
        .sim(2, Some("own"));
    let relay = Simrelay::start(&config);
    let mut watcher = mosquitto.watch();
    for version in Version::ALL {
        let flags = [
            "-V",
            version.name(),
            "-t",
            "t",
            "-m",
            "in",
            "-u",
            "nobody",
            "-P",
            "nothing",
        ];
        mosquitto_pub(&sim_address(1), relay.relay(), &flags).unwrap();
        watcher.expect("t", "in");
        let id = format!("{version:?}");
        let connack = relay
            .device(2)
            .connect(&Connect::new(version, &id).login("nobody", "nothing"));
        assert_eq!(connack.body()[1], version.code(5, 0x87), "{connack:?}");
        let line = relay.refused_as(&id);
        assert_eq!(line["code"], version.code(5, 0x87));
        assert!(
            line["reason"]
                .as_str()
                .unwrap()
                .contains("refuses: not authorized"),
            "{line}"
        );
        // The right one of its own.
        let login = Connect::new(version, "c").login(&format!("sim-{}", imsi(1)), password);
        relay.device(2).enter(&login);
    }
}
