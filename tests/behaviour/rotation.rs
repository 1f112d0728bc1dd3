//! Credentials that are changed while the relay runs: the next CONNECT has the new one, open connections stay.

use crate::site::*;
use serde_json::json;

const HUB: &str = "hub1.azure-devices.net";

fn policy(name: &str) -> serde_json::Value {
    json!({ "sharedAccessKeyName": name, "sharedAccessKey": "c2VjcmV0" })
}

/// The policy in the token that the hub is shown.
fn policy_shown(hub: &Cloud, relay: &Simrelay) -> String {
    let connect = Connect::new(Version::V311, "d");
    let arrived = hub.arrived(relay.device(1), &connect.bytes(), CONNACK_311);
    let token = arrived.password_behind("/?api-version=2021-04-12");
    token.split("&skn=").nth(1).unwrap().to_owned()
}

#[test]
fn a_key_that_is_replaced_through_the_api_or_in_its_file_serves_the_next_connect() {
    let hub = Cloud::called(HUB, 8883);
    let entry = platform(
        "useAzureIoT",
        "azureIoTCredential",
        "hub",
        &format!("mqtts://{HUB}"),
    );
    let relay = hub.relay(&Configuration::of(&entry));
    relay.store("hub", "azureIoT-credentials", &policy("first"));
    assert_eq!(policy_shown(&hub, &relay), "first");
    relay.replace("hub", "azureIoT-credentials", &policy("second"));
    assert_eq!(policy_shown(&hub, &relay), "second");
    let file = relay.credential("hub").join("credential.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("second", "third")).unwrap();
    wait_until("key from the file", || {
        (policy_shown(&hub, &relay) == "third").then_some(())
    });
}

#[test]
fn a_certificate_that_is_replaced_through_the_api_serves_the_next_connect_and_open_ones_stay() {
    let cloud = Cloud::called("broker.example.com", 8883);
    let entry = json!({
        "destination": "mqtts://broker.example.com", "useClientCert": true,
        "clientCerts": { "default": { "$credentialsId": "own" } }
    });
    let relay = cloud.relay(&Configuration::of(&entry));
    let pem = |name: &str| {
        let pair = cloud.authority.client(name);
        json!({ "cert": pair.cert, "key": pair.key })
    };
    let connect = |id: &str| {
        let mut device = relay.device(1);
        let connect = Connect::new(Version::V311, id).bytes();
        device.send(&connect);
        let (upstream, _) = cloud.broker.admit(CONNACK_311);
        device.expect(CONNACK_311);
        (device, upstream)
    };
    relay.store("own", "x509", &pem("first"));
    let (mut device, mut upstream) = connect("1");
    let shown = |upstream: &rustls::ServerConnection| upstream.peer_certificates().unwrap()[0].to_vec();
    let first = shown(&upstream.stream.conn);
    relay.replace("own", "x509", &pem("second"));
    let (_second, second) = connect("2");
    assert_ne!(shown(&second.stream.conn), first);
    device.send(PINGREQ);
    upstream.expect(PINGREQ);
}

#[test]
fn a_key_that_an_entry_point_uses_is_not_deleted_unless_it_is_meant() {
    let hub = Cloud::called(HUB, 8883);
    let url = format!("mqtts://{HUB}");
    let shared = platform("useAzureIoT", "azureIoTCredential", "hub", &url);
    let own = platform("useAzureIoT", "azureIoTCredential", "own-#{imsi}", &url);
    let configuration = Configuration::of(&shared)
        .group("h", Some(&own))
        .sim(2, Some("h"));
    let relay = hub.relay(&configuration);
    let own = format!("own-{}", imsi(2));
    for (id, group) in [("hub", "group g"), (own.as_str(), "group h")] {
        relay.store(id, "azureIoT-credentials", &policy("p"));
        let path = format!("/v1/credentials/{id}");
        let refused = relay.http().delete(&path);
        assert_eq!(refused.status, 409);
        assert!(refused.body.contains(group), "{refused:?}");
        assert_eq!(relay.http().delete(&format!("{path}?force=true")).status, 204);
    }
    let answer = relay.device(1).connect(&Connect::new(Version::V311, "c"));
    assert_eq!(answer.body()[1], 3);
    assert!(
        relay.refused()["reason"]
            .as_str()
            .unwrap()
            .starts_with("there is no credential hub")
    );
}
