use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::json;

use super::*;

fn refusal(kind: CredentialType, values: &Value) -> String {
    let problems = Credential::checked(kind, values.as_object().unwrap()).unwrap_err();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

fn accepted(kind: CredentialType, values: &Value) -> Credential {
    Credential::checked(kind, values.as_object().unwrap()).unwrap()
}

/// A certificate of these years, and its key.
fn pems(from: i32, to: i32) -> (String, String) {
    let mut params = CertificateParams::new(["device".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn certificate_key_and_ca_go_together() {
    let kind = CredentialType::X509;
    let ((cert, key), (other, _)) = (pems(2020, 2090), pems(2020, 2090));
    for good in [
        json!({ "cert": cert, "key": key }),
        json!({ "ca": cert }),
        json!({ "cert": format!("{cert}{other}"), "key": key, "ca": other }),
        json!({ "cert": "", "key": null, "ca": cert }),
    ] {
        accepted(kind, &good);
    }
    let (expired, expired_key) = pems(2000, 2001);
    let (future, future_key) = pems(2080, 2090);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
    for (bad, expected) in [
        (json!({}), "cert: is missing; give cert and key, or ca"),
        (json!({ "cert": cert }), "key: is missing beside cert"),
        (json!({ "key": key, "ca": cert }), "cert: is missing beside key"),
        (
            json!({ "cert": other, "key": key }),
            "key: does not belong to cert",
        ),
        (
            json!({ "cert": format!("{other}{cert}"), "key": key }),
            "cert: the certificate of the key has to be the first, it is number 2",
        ),
        (
            json!({ "cert": expired, "key": expired_key }),
            "expired at Jan  1 00:00:00 2001",
        ),
        (
            json!({ "cert": future, "key": future_key }),
            "is not valid before Jan  1 00:00:00 2080",
        ),
        (json!({ "ca": expired }), "credentials.ca: certificate 1 (CN="),
        (
            json!({ "cert": "hello", "key": key }),
            "cert: is not PEM of certificates",
        ),
        (
            json!({ "cert": cert, "key": "hello" }),
            "key: is not PEM of a private key",
        ),
        (
            json!({ "cert": cert, "key": encrypted }),
            "key: is encrypted with a passphrase",
        ),
        (
            json!({ "cert": format!("{cert}{key}"), "key": key }),
            "cert: holds a private key",
        ),
        (json!({ "cert": 1 }), "cert: is not a string"),
        (
            json!({ "crt": "x" }),
            "crt: x509 has no such field; it has key, cert, ca",
        ),
    ] {
        let text = refusal(kind, &bad);
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("BEGIN") || !text.contains(key.lines().nth(1).unwrap()));
    }
}

#[test]
fn a_certificate_that_is_no_x509_is_refused() {
    let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    let text = refusal(CredentialType::X509, &json!({ "ca": text }));
    assert!(text.contains("certificate 1 is not X.509"), "{text}");
}

#[test]
fn other_types_need_their_fields() {
    use CredentialType::{Aws, AzureIot, PubNub, UsernamePassword};
    accepted(UsernamePassword, &json!({ "username": "u", "password": "p" }));
    accepted(
        AzureIot,
        &json!({ "sharedAccessKeyName": "device", "sharedAccessKey": "c2VjcmV0" }),
    );
    accepted(PubNub, &json!({ "pubKey": "pub-c-1", "subKey": "sub-c-1" }));
    accepted(Aws, &json!({ "accessKeyId": "AKIA", "secretAccessKey": "s" }));
    for (kind, bad, expected) in [
        (
            UsernamePassword,
            json!({ "username": "u" }),
            "password: is missing",
        ),
        (
            UsernamePassword,
            json!({ "username": "", "password": "p" }),
            "username: is empty",
        ),
        (
            UsernamePassword,
            json!({ "username": "a\0", "password": "p" }),
            "username: holds the character U+0000",
        ),
        (
            UsernamePassword,
            json!({ "username": "u", "password": "x".repeat(65_536) }),
            "password: is longer",
        ),
        (
            AzureIot,
            json!({ "sharedAccessKeyName": "d", "sharedAccessKey": "no base64" }),
            "sharedAccessKey: is not base64",
        ),
        (
            PubNub,
            json!({ "pubKey": "a/b", "subKey": "s" }),
            "pubKey: holds more than",
        ),
        (Aws, json!({ "accessKeyId": "A" }), "secretAccessKey: is missing"),
    ] {
        let text = refusal(kind, &bad);
        assert!(text.contains(expected) && !text.contains("no base64"), "{text}");
    }
}

#[test]
fn a_google_key_fits_its_algorithm() {
    let (_, key) = pems(2020, 2090);
    let with = |algorithm: &str, key: &str| {
        json!({ "projectId": "p", "region": "r", "registryId": "g", "deviceId": "d",
                "algorithm": algorithm, "privateKey": key })
    };
    accepted(CredentialType::GoogleIot, &with("ES256", &key));
    let of_device = |device: &str| {
        let mut values = with("ES256", &key);
        values["deviceId"] = device.into();
        values
    };
    accepted(
        CredentialType::GoogleIot,
        &of_device("sim-#{imsi}-#{simId}-#{imei}"),
    );
    for device in ["#{imis}", "a#", "#{#{imsi}}"] {
        let text = refusal(CredentialType::GoogleIot, &of_device(device));
        assert!(text.contains("deviceId: holds '#' where"), "{text}");
    }
    for (bad, expected) in [
        (with("RS256", &key), "privateKey: does not fit the algorithm"),
        (with("HS256", &key), "algorithm: is neither"),
        (with("RS256", "x"), "privateKey: is not PEM"),
    ] {
        let text = refusal(CredentialType::GoogleIot, &bad);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn secrets_are_neither_shown_nor_printed() {
    let credential = accepted(
        CredentialType::UsernamePassword,
        &json!({ "username": "u", "password": "s3cret" }),
    );
    let shown: Vec<_> = credential.values.shown(credential.kind).collect();
    assert_eq!(shown, [("username", "u")]);
    assert!(!format!("{credential:?}").contains("s3cret"));
}
