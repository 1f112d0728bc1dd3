use serde_json::{Value, json};

use super::super::{EntryPoint, Login, Parsed, Platform};
use super::spell_switches;

fn parsed(value: &Value) -> Parsed {
    EntryPoint::from_value(value).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn problems(value: &Value) -> Vec<String> {
    let problems = EntryPoint::from_value(value).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

/// An entry point of `platform` with more fields.
fn of(platform: Platform, more: &Value) -> Value {
    let destination = if platform == Platform::PubNub {
        "mqtts://mqtt.pndsn.com"
    } else {
        "mqtts://b"
    };
    let mut value = json!({ "destination": destination });
    value[platform.switch()] = json!(true);
    value[platform.credential_field()] = json!({ "$credentialsId": "own-#{imsi}" });
    let fields = value.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    value
}

#[test]
fn each_switch_chooses_its_platform_and_its_credential() {
    for platform in Platform::ALL {
        let Parsed {
            entry_point,
            unused,
            warnings,
        } = parsed(&of(platform, &json!({})));
        assert_eq!(entry_point.platform(), Some(platform));
        assert!(matches!(entry_point.login, Login::Platform(_, _)));
        assert!(
            unused.is_empty() && warnings.is_empty(),
            "{unused:?} {warnings:?}"
        );
        assert!(entry_point.client_certs.is_empty() && !entry_point.use_client_cert);
    }
    assert_eq!(
        parsed(&json!({ "destination": "mqtt://b" }))
            .entry_point
            .platform(),
        None
    );
}

/// The footnotes of the Beam page, field by field: with which of standard, PubNub, Google and Azure it counts.
#[test]
fn a_field_counts_with_the_types_that_the_page_says_and_is_reported_with_the_others() {
    let reference = json!({ "$credentialsId": "x" });
    let certs = json!({ "default": { "$credentialsId": "x" } });
    let rows: [(&str, Value, [bool; 4]); 10] = [
        ("username", json!("u"), [true, false, false, false]),
        ("password", json!("p"), [true, false, false, false]),
        ("useClientCredentials", json!("true"), [true, false, false, false]),
        ("useClientCert", json!(true), [true, false, false, false]),
        ("clientCerts", certs.clone(), [true, false, false, false]),
        ("pubnubCredential", reference.clone(), [false, true, false, false]),
        (
            "googleIoTCredential",
            reference.clone(),
            [false, false, true, false],
        ),
        ("azureIoTCredential", reference, [false, false, false, true]),
        ("replaceTopic", json!(true), [true; 4]),
        ("addSubscriberHeader", json!(true), [true; 4]),
    ];
    let types = [None].into_iter().chain(Platform::ALL.map(Some));
    for (column, kind) in types.enumerate() {
        for (field, value, counts) in &rows {
            let mut object = kind.map_or(json!({ "destination": "mqtts://b" }), |kind| of(kind, &json!({})));
            object[*field] = value.clone();
            if kind.is_none() {
                // What these two need beside them.
                match *field {
                    "useClientCert" => object["clientCerts"] = certs.clone(),
                    "password" => object["username"] = json!("u"),
                    _ => {}
                }
            }
            let warnings = parsed(&object).warnings;
            let reported = warnings
                .iter()
                .any(|warning| warning.starts_with(&format!("{field} has no effect because use")));
            assert_eq!(reported, !counts[column], "{field} with {kind:?}: {warnings:?}");
        }
    }
}

#[test]
fn what_the_console_sends_with_every_save_is_not_reported() {
    let sent = json!({
        "username": "", "password": "", "useClientCredentials": false, "useClientCert": false, "clientCerts": {},
        "usePubnub": false, "useGoogleIoT": false
    });
    let warnings = parsed(&of(Platform::AzureIot, &sent)).warnings;
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn what_does_not_go_together_is_refused_with_what_to_do() {
    let certificate = json!({ "$credentialsId": "x" });
    let cases = [
        (
            of(
                Platform::GoogleIot,
                &json!({ "useAzureIoT": true, "azureIoTCredential": certificate }),
            ),
            "useAzureIoT: true beside useGoogleIoT: true; an entry point leads to one of them",
        ),
        (
            of(Platform::GoogleIot, &json!({ "usePubNub": true })),
            "useGoogleIoT: true beside usePubNub: true; an entry point leads to one of them",
        ),
        (
            of(Platform::PubNub, &json!({ "usePubnum": false })),
            "usePubnum: false beside usePubnub: true, which is the same switch; write usePubnub only",
        ),
        (
            json!({ "destination": "mqtts://b", "useAzureIoT": true }),
            "useAzureIoT: true needs \"azureIoTCredential\" with a \"$credentialsId\"",
        ),
        (
            of(Platform::AzureIot, &json!({ "azureIoTCredential": {} })),
            "azureIoTCredential: the field \"$credentialsId\" is missing",
        ),
        (
            of(Platform::AzureIot, &json!({ "destination": "mqtt://b" })),
            "destination: mqtt://b:1883 is without TLS, which Azure IoT Hub does not take, and the token could be read on the way; write mqtts://",
        ),
        (
            of(Platform::GoogleIot, &json!({ "destination": "mqtt://b" })),
            "destination: mqtt://b:1883 is without TLS, which Google Cloud IoT Core does not take, and the token could be read on the way; write mqtts://",
        ),
        (
            of(Platform::PubNub, &json!({ "destination": "mqtts://b" })),
            "destination: mqtts://b:8883 is not where PubNub takes MQTT; leave it out, or write mqtts://mqtt.pndsn.com",
        ),
        (
            of(Platform::AzureIot, &json!({ "useAzureIoT": "true" })),
            "useAzureIoT: \"true\" is not true or false",
        ),
    ];
    for (value, expected) in cases {
        let found = problems(&value);
        assert!(found.contains(&expected.to_owned()), "{found:#?}\n{expected}");
    }
}

#[test]
fn pubnub_has_one_host_which_may_be_left_out() {
    for (destination, expected) in [
        (None, "mqtts://mqtt.pndsn.com:8883"),
        (Some(""), "mqtts://mqtt.pndsn.com:8883"),
        (Some("mqtts://MQTT.pndsn.com/x"), "mqtts://mqtt.pndsn.com:8883"),
        (Some("mqtt://mqtt.pndsn.com"), "mqtt://mqtt.pndsn.com:1883"),
    ] {
        let mut value = of(Platform::PubNub, &json!({}));
        match destination {
            Some(destination) => value["destination"] = destination.into(),
            None => drop(value.as_object_mut().unwrap().remove("destination")),
        }
        assert_eq!(parsed(&value).entry_point.destination.to_string(), expected);
    }
}

#[test]
fn pubnubs_switch_is_read_in_three_spellings_and_written_in_one() {
    for spelling in super::SPELLINGS {
        let mut value = json!({ "pubnubCredential": { "$credentialsId": "x" } });
        value[spelling] = json!(true);
        assert_eq!(parsed(&value).entry_point.platform(), Some(Platform::PubNub));
        spell_switches(&mut value);
        assert_eq!(
            value,
            json!({ "pubnubCredential": { "$credentialsId": "x" }, "usePubnub": true })
        );
    }
}

#[test]
fn the_imsi_behind_a_topic_of_azure_is_warned_about() {
    let warnings = parsed(&of(Platform::AzureIot, &json!({ "addSubscriberHeader": true }))).warnings;
    assert!(
        warnings.len() == 1 && warnings[0].contains("expects properties"),
        "{warnings:?}"
    );
}

#[test]
fn two_spellings_of_one_switch_may_both_say_yes() {
    let twice = of(Platform::PubNub, &json!({ "usePubNub": true, "usePubnum": true }));
    assert!(matches!(
        parsed(&twice).entry_point.login,
        Login::Platform(Platform::PubNub, _)
    ));
}

#[test]
fn a_credential_that_is_wrong_is_one_problem_and_not_two() {
    let wrong = of(Platform::AzureIot, &json!({ "azureIoTCredential": {} }));
    assert_eq!(
        problems(&wrong),
        ["azureIoTCredential: the field \"$credentialsId\" is missing"]
    );
}
