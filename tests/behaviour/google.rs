//! Google-style registries such as ClearBlade's: what the registry sees of a device.

use crate::site::*;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const HOST: &str = "asia-east1-mqtt.clearblade.com";
const KIND: &str = "googleIoT-credentials";

/// A key made by OpenSSL in `folder`: the private one in PEM, and the file of the public one.
fn key(folder: &Path, name: &str, generate: &[&str]) -> (String, String) {
    let (private, public) = (folder.join(name), folder.join(format!("{name}.pub")));
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let (private, public) = (private.to_str().unwrap(), public.to_str().unwrap());
    openssl(&[generate, &["-out", private]].concat());
    openssl(&["pkey", "-in", private, "-pubout", "-out", public]);
    (std::fs::read_to_string(private).unwrap(), public.to_owned())
}

fn values(algorithm: &str, key: &str, device: &str) -> Value {
    json!({
        "projectId": "my-project", "region": "asia-east1", "registryId": "meters", "deviceId": device,
        "algorithm": algorithm, "privateKey": key
    })
}

#[test]
fn the_registry_sees_its_device_with_a_token_that_pyjwt_takes() {
    let cloud = Cloud::called(HOST, 443);
    let entry = platform(
        "useGoogleIoT",
        "googleIoTCredential",
        "registry",
        &format!("mqtts://{HOST}:443"),
    );
    let relay = cloud.relay(&Configuration::of(&entry));
    let keys = tempfile::tempdir().unwrap();
    relay.store(
        "registry",
        "pubnub-credentials",
        &json!({ "pubKey": "p", "subKey": "s" }),
    );
    let forms: [(&str, &str, &[&str]); 4] = [
        ("RS256", "rsa-pkcs8", &["genpkey", "-algorithm", "RSA"]),
        ("RS256", "rsa-pkcs1", &["genrsa", "-traditional"]),
        (
            "ES256",
            "ec-pkcs8",
            &[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ],
        ),
        // With the block of parameters in front, as the registry's own instructions have it.
        ("ES256", "ec-sec1", &["ecparam", "-name", "prime256v1", "-genkey"]),
    ];
    for (algorithm, name, generate) in forms {
        let (private, public) = key(keys.path(), name, generate);
        relay.replace("registry", KIND, &values(algorithm, &private, "meter-7"));
        let sent = Connect::new(Version::V311, name).login("device", "secret");
        let arrived = cloud.arrived(relay.device(1), &sent.bytes(), CONNACK_311);
        let token = arrived.password_behind("unused");
        let id = "projects/my-project/locations/asia-east1/registries/meters/devices/meter-7";
        let expected = Connect::new(Version::V311, id).login("unused", &token);
        assert_eq!(arrived.bytes, expected.bytes(), "{arrived:?}");
        let read = python("jwt_claims.py", &[&token, algorithm, "my-project", &public]);
        let read: Value = serde_json::from_str(&read).unwrap();
        assert_eq!(read["header"], json!({ "alg": algorithm, "typ": "JWT" }));
        let (made, expires) = (
            read["claims"]["iat"].as_u64().unwrap(),
            read["claims"]["exp"].as_u64().unwrap(),
        );
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert_eq!(expires - made, 3600);
        assert!(now - made <= 60, "{now} {made}");
        assert_eq!(read["claims"]["aud"], "my-project");
        assert!(!relay.log_text().contains(&token));
    }
}

#[test]
fn one_credential_serves_a_fleet() {
    let cloud = Cloud::called(HOST, 8883);
    let entry = platform(
        "useGoogleIoT",
        "googleIoTCredential",
        "fleet",
        &format!("mqtts://{HOST}"),
    );
    let configuration = Configuration::of(&entry).sim(2, Some("g"));
    let relay = cloud.relay(&configuration);
    let pair = cloud.authority.client("any");
    relay.store("fleet", KIND, &values("ES256", &pair.key, "sim-#{imsi}-#{simId}"));
    for n in [1, 2] {
        let connect = Connect::new(Version::V311, "the same on each device");
        let arrived = cloud.arrived(relay.device(n), &connect.bytes(), CONNACK_311);
        let id = format!(
            "projects/my-project/locations/asia-east1/registries/meters/devices/sim-{}-{}",
            imsi(n),
            sim_id(n)
        );
        let expected = Connect::new(Version::V311, &id).login("unused", &arrived.password_behind("unused"));
        assert_eq!(arrived.bytes, expected.bytes(), "{arrived:?}");
    }
}

#[test]
fn the_credential_may_be_one_of_the_sims_own() {
    let cloud = Cloud::called(HOST, 8883);
    let entry = platform(
        "useGoogleIoT",
        "googleIoTCredential",
        "own-#{imsi}",
        &format!("mqtts://{HOST}"),
    );
    let relay = cloud.relay(&Configuration::of(&entry).sim(2, Some("g")));
    let key = cloud.authority.client("any").key;
    relay.store(
        &format!("own-{}", imsi(2)),
        KIND,
        &values("ES256", &key, "second"),
    );
    let connect = Connect::new(Version::V311, "c");
    let arrived = cloud.arrived(relay.device(2), &connect.bytes(), CONNACK_311);
    assert!(String::from_utf8_lossy(&arrived.bytes).contains("/devices/second"));
    assert_eq!(relay.device(1).connect(&connect).body()[1], 3);
    let reason = relay.refused_as("c")["reason"].to_string();
    assert!(
        reason.contains(&format!("there is no credential own-{}", imsi(1))),
        "{reason}"
    );
}
