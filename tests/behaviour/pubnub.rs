//! PubNub: the keys before the client id, at PubNub's one host.

use crate::site::*;
use serde_json::json;

const HOST: &str = "mqtt.pndsn.com";
const KIND: &str = "pubnub-credentials";

#[test]
fn pubnub_sees_the_keys_before_the_devices_own_id_and_no_login() {
    let cloud = Cloud::called(HOST, 8883);
    // No destination: PubNub has one.
    let mut entry = platform("usePubnub", "pubnubCredential", "keys", "");
    entry.as_object_mut().unwrap().remove("destination");
    let relay = cloud.relay(&Configuration::of(&entry));
    relay.store("keys", KIND, &json!({ "pubKey": "pub-c-1", "subKey": "sub-c-2" }));
    for version in [Version::V31, Version::V311] {
        let sent = Connect::new(version, "meter-7").login("device", "secret");
        let arrived = cloud.arrived(relay.device(1), &sent.bytes(), CONNACK_311);
        let expected = Connect::new(version, "pub-c-1/sub-c-2/meter-7");
        assert_eq!(arrived.bytes, expected.bytes(), "{arrived:?}");
    }
    let log = relay.log_text();
    assert!(!log.contains("pub-c-1") && !log.contains("sub-c-2"), "{log}");
}

#[test]
fn the_api_writes_the_switch_in_one_spelling_and_refuses_another_host() {
    let cloud = Cloud::called(HOST, 8883);
    let relay = cloud.relay(&Configuration::default().group("g", None).sim(1, Some("g")));
    relay.store("keys", KIND, &json!({ "pubKey": "p", "subKey": "s" }));
    let put = |switch: &str, url: &str| {
        let value = platform(switch, "pubnubCredential", "keys", url);
        let body = json!([{ "key": "mqtt://beam.soracom.io:1883", "value": value }]);
        relay.http().put("/v1/groups/g/configuration/SoracomBeam", &body)
    };
    let refused = put("usePubnub", "mqtts://broker.example.com");
    assert_eq!(refused.status, 400);
    assert!(
        refused.body.contains("is not where PubNub takes MQTT"),
        "{refused:?}"
    );
    for spelling in ["usePubnub", "usePubnum", "usePubNub"] {
        let answer = put(spelling, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        let shown = relay.http().get("/v1/groups/g").json();
        let shown = &shown["configuration"]["SoracomBeam"]["mqtt://beam.soracom.io:1883"];
        assert_eq!(
            *shown,
            platform("usePubnub", "pubnubCredential", "keys", ""),
            "{spelling}"
        );
        let connect = Connect::new(Version::V311, spelling);
        let arrived = cloud.arrived(relay.device(1), &connect.bytes(), CONNACK_311);
        let expected = Connect::new(Version::V311, &format!("p/s/{spelling}"));
        assert_eq!(arrived.bytes, expected.bytes(), "{arrived:?}");
    }
}
