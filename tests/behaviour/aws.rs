//! AWS IoT Core through the standard type: a certificate on port 8883, and on 443 with the protocol that it wants.

use crate::site::*;
use serde_json::{Value, json};

const ENDPOINT: &str = "a1b2c3-ats.iot.ap-northeast-1.amazonaws.com";

fn entry(port: u16) -> Value {
    json!({
        "destination": format!("mqtts://{ENDPOINT}:{port}"), "useClientCert": true,
        "clientCerts": { "default": { "$credentialsId": "thing-#{imsi}" } }
    })
}

/// A device's CONNECT at a broker that takes none without certificate and the endpoint's own name.
#[track_caller]
fn arrives(cloud: &Cloud, port: u16, protocol: Option<&str>) {
    let relay = cloud.relay(&Configuration::of(&entry(port)));
    let certificate = cloud.authority.client("thing-1");
    certificate.write(&relay.credential(&format!("thing-{}", imsi(1))));
    for version in [Version::V311, Version::V5] {
        let connack = if version == Version::V5 {
            CONNACK_5
        } else {
            CONNACK_311
        };
        let mut device = relay.device(1);
        // Without a login: that is in the certificate.
        let connect = Connect::new(version, "thing-1");
        device.send(&connect.clone().login("device", "secret").bytes());
        let (upstream, arrived) = cloud.broker.admit(connack);
        device.expect(connack);
        assert_eq!(arrived.bytes, connect.bytes());
        let session = &upstream.stream.conn;
        assert_eq!(session.server_name(), Some(ENDPOINT));
        assert_eq!(session.alpn_protocol(), protocol.map(str::as_bytes));
        assert_eq!(session.peer_certificates().map(<[_]>::len), Some(1));
    }
}

#[test]
fn port_443_is_told_the_protocol_that_aws_wants() {
    let cloud = Cloud::called(ENDPOINT, 443).speaking("x-amzn-mqtt-ca");
    arrives(&cloud, 443, Some("x-amzn-mqtt-ca"));
}

#[test]
fn port_8883_is_told_none() {
    arrives(&Cloud::called(ENDPOINT, 8883), 8883, None);
}

#[test]
fn a_close_without_connack_is_explained_as_aws_means_it() {
    let cloud = Cloud::called(ENDPOINT, 8883);
    let relay = cloud.relay(&Configuration::of(&entry(8883)));
    let certificate = cloud.authority.client("thing-1");
    certificate.write(&relay.credential(&format!("thing-{}", imsi(1))));
    let mut device = relay.device(1);
    device.send(&Connect::new(Version::V311, "other").bytes());
    let mut upstream = cloud.broker.accept();
    assert_eq!(upstream.read().kind(), 1);
    drop(upstream);
    assert_eq!(device.read().body()[1], 3);
    let advice = relay.refused_as("other")["advice"].to_string();
    assert!(
        advice.contains("its policy does not allow this client id"),
        "{advice}"
    );
}
