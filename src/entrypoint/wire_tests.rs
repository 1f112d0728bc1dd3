use serde_json::json;

use super::super::Host;
use super::*;

fn problems(value: &Value) -> Vec<String> {
    EntryPoint::from_value(value)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn with(key: &str, value: Value) -> Value {
    let mut object = json!({ "destination": "mqtts://broker" });
    object[key] = value;
    object
}

#[test]
fn the_example_of_the_beam_page_is_understood() {
    let parsed = EntryPoint::from_value(&json!({
        "name": "test", "enabled": true, "destination": "mqtts://mqtt.example.com/topicname",
        "username": "USERNAME", "password": "PASSWORD",
        "useClientCredentials": false, "useClientCert": true,
        "clientCerts": { "default": { "$credentialsId": "x509" } },
        "addSubscriberHeader": true, "replaceTopic": true, "version": "201912"
    }))
    .unwrap();
    let entry_point = parsed.entry_point;
    assert_eq!(entry_point.name, "test");
    assert_eq!(
        *entry_point.destination.host(),
        Host::Dns("mqtt.example.com".into())
    );
    assert_eq!(
        entry_point.topics,
        TopicRules {
            replace: true,
            add_imsi: true
        }
    );
    assert_eq!(entry_point.client_certs.literals().count(), 1);
    assert!(entry_point.enabled && entry_point.use_client_cert);
    assert!(parsed.unused.is_empty() && parsed.warnings.is_empty());
    assert!(!format!("{entry_point:?}").contains("PASSWORD"));
}

#[test]
fn omitted_fields_take_their_defaults_and_empty_credentials_are_none() {
    for value in [
        json!({ "destination": "mqtt://b" }),
        json!({ "destination": "mqtt://b", "username": "", "password": "", "clientCerts": {} }),
    ] {
        let entry_point = EntryPoint::from_value(&value).unwrap().entry_point;
        assert_eq!(
            entry_point,
            EntryPoint {
                name: String::new(),
                enabled: true,
                destination: "mqtt://b:1883".parse().unwrap(),
                login: Login::Fixed {
                    username: None,
                    password: None
                },
                client_certs: ClientCerts::default(),
                use_client_cert: false,
                topics: TopicRules::default(),
                version: PlatformVersion::V201912,
            }
        );
    }
}

#[test]
fn use_client_credentials_is_a_boolean_or_a_word() {
    for (value, pass_through) in [
        (json!(true), true),
        (json!("true"), true),
        (json!(false), false),
        (json!("false"), false),
    ] {
        let parsed = EntryPoint::from_value(&with("useClientCredentials", value.clone())).unwrap();
        assert_eq!(
            parsed.entry_point.login == Login::PassThrough,
            pass_through,
            "{value}"
        );
    }
    for value in [json!("yes"), json!(1), json!(null)] {
        assert_eq!(problems(&with("useClientCredentials", value)).len(), 1);
    }
}

#[test]
fn each_wrong_field_is_named_with_its_value_and_what_is_allowed() {
    let cases = [
        ("name", json!(1), "name: 1 is not a string"),
        ("enabled", json!("yes"), "enabled: \"yes\" is not true or false"),
        (
            "destination",
            json!("tcp://x"),
            "destination: \"tcp://x\" is not a URL that begins with mqtt:// or mqtts://",
        ),
        ("username", json!(["a"]), "username: [\"a\"] is not a string"),
        ("password", json!(123456), "password: the value is not a string"),
        (
            "useClientCert",
            json!("true"),
            "useClientCert: \"true\" is not true or false",
        ),
        (
            "useClientCert",
            json!(true),
            "useClientCert: true needs \"clientCerts\" with a \"$credentialsId\"",
        ),
        ("clientCerts", json!("x"), "clientCerts: \"x\" is not an object"),
        (
            "clientCerts",
            json!({ "defualt": { "$credentialsId": "x" } }),
            "clientCerts.defualt: the key is neither \"default\" nor an IMSI of 6 to 15 digits",
        ),
        (
            "clientCerts",
            json!({ "default": {} }),
            "clientCerts.default: the field \"$credentialsId\" is missing",
        ),
        (
            "clientCerts",
            json!({ "default": { "$credentialsId": "../x" } }),
            "clientCerts.default.$credentialsId: \"../x\" is not a credentials id: 1 to 128 letters, digits, '.', '_', '@' or '-', and not '.' or '..'",
        ),
        (
            "version",
            json!("201510"),
            "version: \"201510\" is not a platform version; allowed are \"201912\" and \"201509\"",
        ),
        ("version", json!(201912), "version: 201912 is not a string"),
        ("useAzureIoT", json!(1), "useAzureIoT: 1 is not true or false"),
        (
            "replaceTopics",
            json!(true),
            "replaceTopics: is not a known field; did you mean \"replaceTopic\"?",
        ),
    ];
    for (key, value, expected) in cases {
        assert_eq!(problems(&with(key, value)), [expected]);
    }
    assert_eq!(problems(&json!({})), ["the field \"destination\" is missing"]);
    assert_eq!(problems(&json!([])), ["[] is not an object"]);
}

#[test]
fn all_problems_are_told_at_once() {
    let found = problems(&json!({ "enabled": 1, "destination": "x", "bogus": 1, "version": "1" }));
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn certificates_inside_the_entry_point_are_refused_without_showing_them() {
    let found = problems(&with(
        "clientCerts",
        json!({ "default": { "ca": "C", "cert": "C", "key": "PRIVATE" } }),
    ));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("credential store") && !found[0].contains("PRIVATE"),
        "{found:?}"
    );
}

#[test]
fn fields_of_other_entry_points_are_reported_as_unused() {
    let mut value = with("psk", json!("a"));
    value["customHeaders"] = json!({});
    assert_eq!(
        EntryPoint::from_value(&value).unwrap().unused,
        ["psk", "customHeaders"]
    );
}

#[test]
fn version_201509_with_a_client_certificate_dials_mqtts_whatever_the_destination_says() {
    let certs = json!({ "default": { "$credentialsId": "x" } });
    let cases = [
        ("201509", "mqtt://b", true, "mqtts://b:8883", 2),
        ("201509", "mqtt://b:1883", true, "mqtts://b:1883", 2),
        ("201509", "mqtts://b", true, "mqtts://b:8883", 1),
        ("201509", "mqtt://b", false, "mqtt://b:1883", 1),
        ("201912", "mqtt://b", true, "mqtt://b:1883", 1),
    ];
    for (version, url, certificate, dialled, warnings) in cases {
        let value = json!({
            "destination": url, "version": version, "useClientCert": certificate, "clientCerts": certs
        });
        let parsed = EntryPoint::from_value(&value).unwrap();
        assert_eq!(parsed.entry_point.version.to_string(), version);
        assert_eq!(parsed.entry_point.destination.to_string(), dialled, "{value}");
        assert_eq!(parsed.warnings.len(), warnings, "{:?}", parsed.warnings);
    }
}

#[test]
fn allowed_but_odd_combinations_are_warned_about() {
    let certs = json!({ "440103000000001": { "$credentialsId": "x-#{imsi}" } });
    let cases = [
        (
            json!({ "destination": "mqtt://b", "useClientCert": true, "clientCerts": certs }),
            "mqtt://",
        ),
        (
            json!({ "destination": "mqtt://b", "useClientCredentials": true, "username": "u" }),
            "useClientCredentials",
        ),
        (
            json!({ "destination": "mqtt://b", "password": "p" }),
            "password without username",
        ),
    ];
    for (value, expected) in cases {
        let warnings = EntryPoint::from_value(&value).unwrap().warnings;
        assert!(
            warnings.len() == 1 && warnings[0].contains(expected),
            "{warnings:?}"
        );
    }
}

#[test]
fn an_empty_credential_of_a_platform_that_is_off_is_no_problem() {
    for field in ["pubnubCredential", "googleIoTCredential", "azureIoTCredential"] {
        for idle in [Value::Null, json!({})] {
            assert!(
                EntryPoint::from_value(&with(field, idle.clone())).is_ok(),
                "{field}: {idle}"
            );
        }
        assert_eq!(problems(&with(field, json!({ "x": 1 }))).len(), 2, "{field}");
    }
}
