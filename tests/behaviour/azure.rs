//! Azure IoT Hub: what the hub sees of a device, with a shared access signature and with a certificate.

use crate::site::*;
use serde_json::{Value, json};

const HUB: &str = "hub1.azure-devices.net";
const KIND: &str = "azureIoT-credentials";
/// "secret-of-the-hub" in base64.
const KEY: &str = "c2VjcmV0LW9mLXRoZS1odWI=";

fn entry() -> Value {
    platform(
        "useAzureIoT",
        "azureIoTCredential",
        "hub",
        &format!("mqtts://{HUB}"),
    )
}

/// A hub, and a relay that has its key.
fn stage() -> (Cloud, Simrelay) {
    let hub = Cloud::called(HUB, 8883);
    let relay = hub.relay(&Configuration::of(&entry()));
    let values = json!({ "sharedAccessKeyName": "device", "sharedAccessKey": KEY });
    relay.store("hub", KIND, &values);
    (hub, relay)
}

/// The one CONNECT that the hub takes of a device, and its password.
fn strict(arrived: &Packet, sent: &Connect, device: &str) -> String {
    let username = format!("{HUB}/{device}/?api-version=2021-04-12");
    let password = arrived.password_behind(&username);
    let expected = sent.clone().login(&username, &password);
    assert_eq!(arrived.bytes, expected.bytes(), "{arrived:?}");
    password
}

#[test]
fn the_hub_sees_its_device_with_a_token_as_microsofts_own_library_makes_it() {
    let (hub, relay) = stage();
    for device in ["meter-7", "dev@1:%(x)"] {
        let connect = Connect::new(Version::V311, device)
            .keep_alive(1177)
            .will(Will::new(&format!("devices/{device}/messages/events/"), "gone"));
        // What the device sends as its login is nothing to the hub.
        let sent = connect.clone().login("device", "its own secret");
        let arrived = hub.arrived(relay.device(1), &sent.bytes(), CONNACK_311);
        let token = strict(&arrived, &connect, device);
        let expires = token.split("&se=").nth(1).unwrap().split('&').next().unwrap();
        let resource = format!("{HUB}/devices/{device}");
        assert_eq!(token, python("sas.py", &[&resource, "device", KEY, expires]));
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let left = expires.parse::<u64>().unwrap() - now;
        assert!((3500..=3600).contains(&left), "{left}");
    }
    assert!(!relay.log_text().contains("SharedAccessSignature"));
}

#[test]
fn a_device_of_mqtt_31_reaches_the_hub_with_version_201509() {
    let hub = Cloud::called(HUB, 8883);
    let mut entry = entry();
    entry["version"] = "201509".into();
    let relay = hub.relay(&Configuration::of(&entry));
    relay.store(
        "hub",
        KIND,
        &json!({ "sharedAccessKeyName": "device", "sharedAccessKey": KEY }),
    );
    let sent = Connect::new(Version::V31, "meter-7").will(Will::new("t", "gone"));
    let arrived = hub.arrived(relay.device(1), &sent.bytes(), CONNACK_311);
    strict(&arrived, &Connect::new(Version::V311, "meter-7"), "meter-7");
}

#[test]
fn a_keep_alive_that_the_hub_does_not_take_is_refused_before_it_is_dialled() {
    let (hub, relay) = stage();
    for (version, connack) in [(Version::V311, 5), (Version::V5, 0x87)] {
        let id = format!("{version:?}");
        let answer = relay
            .device(1)
            .connect(&Connect::new(version, &id).keep_alive(1178));
        assert_eq!(answer.body()[1], connack);
        let line = relay.refused_as(&id);
        assert_eq!(
            line["reason"],
            "keep alive 1178 s is more than the 1177 s that Azure IoT Hub takes"
        );
        assert_eq!(line["advice"], "shorten the device's keep alive");
    }
    hub.broker.expect_no_dial();
}

#[test]
fn a_client_id_that_is_no_device_id_is_refused_before_the_hub_is_dialled() {
    let (hub, relay) = stage();
    for (version, code) in [(Version::V311, 2), (Version::V5, 0x85)] {
        let id = format!("a/{version:?}");
        let answer = relay.device(1).connect(&Connect::new(version, &id));
        assert_eq!(answer.body()[1], code);
        let reason = relay.refused_as(&id)["reason"].to_string();
        assert!(reason.contains("is no device id of Azure IoT Hub"), "{reason}");
    }
    let answer = relay.device(1).connect(&Connect::new(Version::V311, ""));
    assert_eq!(answer.body()[1], 2);
    hub.broker.expect_no_dial();
}

#[test]
fn what_the_hub_refuses_is_explained_without_blaming_the_device() {
    let (hub, relay) = stage();
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V311, "meter-7").bytes());
    let (_open, _) = hub.broker.admit(&[0x20, 2, 0, 5]);
    device.expect(&[0x20, 2, 0, 5]);
    let line = relay.refused_as("meter-7");
    assert!(
        line["advice"].as_str().unwrap().contains("DeviceConnect"),
        "{line}"
    );
}

#[test]
fn a_credential_that_is_missing_or_of_another_type_is_named() {
    let hub = Cloud::called(HUB, 8883);
    let relay = hub.relay(&Configuration::of(&entry()));
    let refused = |id: &str| {
        let answer = relay.device(1).connect(&Connect::new(Version::V311, id));
        assert_eq!(answer.body()[1], 3);
        relay.refused_as(id)["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        refused("first"),
        "there is no credential hub: store one of the type azureIoT-credentials with POST /v1/credentials/hub"
    );
    relay.store(
        "hub",
        "pubnub-credentials",
        &json!({ "pubKey": "p", "subKey": "s" }),
    );
    assert_eq!(
        refused("second"),
        "credential hub is of the type pubnub-credentials, and what is needed is azureIoT-credentials"
    );
    hub.broker.expect_no_dial();
}

#[test]
fn a_device_with_a_certificate_reaches_the_hub_through_the_standard_type() {
    let hub = Cloud::called(HUB, 8883);
    let entry = json!({
        "destination": format!("mqtts://{HUB}"), "useClientCert": true,
        "username": format!("{HUB}/#{{imsi}}/?api-version=2021-04-12"),
        "clientCerts": { "default": { "$credentialsId": "hub-#{imsi}" } }
    });
    let relay = hub.relay(&Configuration::of(&entry));
    let folder = relay.credential(&format!("hub-{}", imsi(1)));
    hub.authority.client(&imsi(1)).write(&folder);
    let connect = Connect::new(Version::V311, &imsi(1));
    let mut device = relay.device(1);
    device.send(&connect.bytes());
    let (upstream, arrived) = hub.broker.admit(CONNACK_311);
    device.expect(CONNACK_311);
    let mut expected = connect;
    expected.username = Some(format!("{HUB}/{}/?api-version=2021-04-12", imsi(1)));
    assert_eq!(arrived.bytes, expected.bytes(), "{arrived:?}");
    assert!(upstream.stream.conn.peer_certificates().is_some());
    assert_eq!(upstream.stream.conn.server_name(), Some(HUB));
}
