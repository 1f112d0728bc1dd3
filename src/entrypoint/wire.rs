//! From the JSON of an entry point to an [`EntryPoint`], or to all that is wrong with it.

use serde_json::Value;

use super::credentials::{ClientCerts, CredentialsTemplate};
use super::destination::{Destination, Scheme};
use super::login::Login;
use super::problem::{Problem, quote, unknown};
use super::reader::{Object, Path};
use super::template::{SecretTemplate, Template};
use super::topics::TopicRules;
use super::{EntryPoint, Parsed, PlatformVersion};
use crate::sim::Imsi;

/// Fields of the MQTT entry point that mean something here.
const FIELDS: &[&str] = &[
    "name",
    "enabled",
    "destination",
    "username",
    "password",
    "useClientCredentials",
    "useClientCert",
    "clientCerts",
    "addSubscriberHeader",
    "replaceTopic",
    "version",
    "usePubnub",
    "usePubnum",
    "usePubNub",
    "useGoogleIoT",
    "useAzureIoT",
];

/// Switches of the other destination types, with the name of the type. The Beam page spells the first in
/// three ways.
const PLATFORM_SWITCHES: &[(&str, &str)] = &[
    ("usePubnub", "PubNub"),
    ("usePubnum", "PubNub"),
    ("usePubNub", "PubNub"),
    ("useGoogleIoT", "Google Cloud IoT Core"),
    ("useAzureIoT", "Azure IoT Hub"),
];

/// Fields that are kept and have no effect: credentials of the other types, and what other entry points of Beam
/// know, which public scripts write into the MQTT one too.
const UNUSED_FIELDS: &[&str] = &[
    "pubnubCredential",
    "googleIoTCredential",
    "azureIoTCredential",
    "azureIoTCentral",
    "useAzureIoTCentral",
    "customHeaders",
    "addSignature",
    "addEquipmentHeader",
    "addSimIdHeader",
    "addDeviceIdHeader",
    "addMsisdnHeader",
    "addImsiHeader",
    "skipStatusCode",
    "psk",
    "preSharedKey",
];

/// Checks the value of an entry point that stands at `path`.
///
/// # Errors
/// Every problem, in the order in which the fields are listed on the Beam page.
pub(crate) fn parse(value: &Value, path: &Path<'_>) -> Result<Parsed, Vec<Problem>> {
    let mut problems = Vec::new();
    let parsed = Object::new(value, path, &mut problems).and_then(|mut object| read(&mut object));
    match parsed {
        Some(parsed) if problems.is_empty() => Ok(parsed),
        _ => Err(problems),
    }
}

fn read(object: &mut Object<'_, '_>) -> Option<Parsed> {
    let name = object.string("name").unwrap_or_default().to_owned();
    let enabled = object.boolean("enabled", true);
    let url = object.required_string("destination");
    let destination = object.parsed("destination", url, str::parse::<Destination>);
    let login = read_login(object);
    let use_client_cert = object.boolean("useClientCert", false);
    let client_certs = object
        .member("clientCerts", read_client_certs)
        .unwrap_or_default();
    if use_client_cert && client_certs.is_empty() {
        object.refuse(
            "useClientCert",
            "true needs \"clientCerts\" with a \"$credentialsId\"",
        );
    }
    refuse_platforms(object);
    let topics = TopicRules {
        replace: object.boolean("replaceTopic", false),
        add_imsi: object.boolean("addSubscriberHeader", false),
    };
    let version = read_version(object);
    let unused = read_unused(object);
    // Behind the last check: without a destination there is nothing to return, and its problem is told.
    let destination = destination?;
    let warnings = warnings(object, &destination, &login, use_client_cert);
    let entry_point = EntryPoint {
        name,
        enabled,
        destination,
        login,
        client_certs,
        use_client_cert,
        topics,
        version,
    };
    Some(Parsed {
        entry_point,
        unused,
        warnings,
    })
}

fn read_login(object: &mut Object<'_, '_>) -> Login {
    let username = object.string("username").filter(|text| !text.is_empty());
    let username = object.parsed("username", username, Template::new);
    let password = object.secret("password").filter(|text| !text.is_empty());
    let password = object.parsed("password", password, SecretTemplate::new);
    if read_use_client_credentials(object) {
        Login::PassThrough
    } else {
        Login::Fixed { username, password }
    }
}

/// The Beam page calls it a string and shows a boolean, so both are taken.
fn read_use_client_credentials(object: &mut Object<'_, '_>) -> bool {
    const KEY: &str = "useClientCredentials";
    match object.fields.get(KEY) {
        None => false,
        Some(Value::Bool(value)) => *value,
        Some(Value::String(word)) if word == "true" => true,
        Some(Value::String(word)) if word == "false" => false,
        Some(other) => {
            object.refuse(
                KEY,
                format!("{} is not true, false, \"true\" or \"false\"", quote(other)),
            );
            false
        }
    }
}

fn read_client_certs(value: &Value, path: &Path<'_>, problems: &mut Vec<Problem>) -> ClientCerts {
    let mut certs = ClientCerts::default();
    let Some(object) = Object::new(value, path, problems) else {
        return certs;
    };
    let fields = object.fields;
    for (key, reference) in fields {
        let at = path.key(key);
        let template = read_reference(reference, &at, problems);
        match (key.as_str(), Imsi::new(key)) {
            ("default", _) => certs.default = template,
            (_, Ok(imsi)) => {
                certs.by_imsi.extend(template.map(|template| (imsi, template)));
            }
            _ => problems.push(at.problem("the key is neither \"default\" nor an IMSI of 6 to 15 digits")),
        }
    }
    certs
}

/// `{"$credentialsId": "..."}`. The PEMs themselves, which an old form of the page had here, are not taken: the
/// API would show the private key to whoever may read the configuration.
fn read_reference(
    value: &Value,
    path: &Path<'_>,
    problems: &mut Vec<Problem>,
) -> Option<CredentialsTemplate> {
    const KEY: &str = "$credentialsId";
    let inline = ["ca", "cert", "key"]
        .into_iter()
        .any(|name| value.get(name).is_some());
    if inline {
        problems.push(path.problem(
            "certificates and keys inside the entry point are not taken; put ca.pem, cert.pem and key.pem into the \
             credential store (certs/<credentialsId>/) and write {\"$credentialsId\": \"<credentialsId>\"}",
        ));
        return None;
    }
    let mut object = Object::new(value, path, problems)?;
    object.refuse_unknown(&[KEY]);
    let id = object.required_string(KEY);
    object.parsed(KEY, id, CredentialsTemplate::new)
}

fn refuse_platforms(object: &mut Object<'_, '_>) {
    for (key, platform) in PLATFORM_SWITCHES {
        if object.boolean(key, false) {
            object.refuse(
                key,
                format!("true: {platform} as a destination is not available yet; allowed is false"),
            );
        }
    }
}

fn read_version(object: &mut Object<'_, '_>) -> PlatformVersion {
    match object.string("version") {
        None | Some("201912") => {}
        Some("201509") => object.refuse(
            "version",
            "\"201509\" is not available yet; allowed is \"201912\"",
        ),
        Some(other) => object.refuse(
            "version",
            format!("{other:?} is not a platform version; allowed is \"201912\""),
        ),
    }
    PlatformVersion::V201912
}

/// Refuses unknown fields and returns those that have no effect.
fn read_unused(object: &mut Object<'_, '_>) -> Vec<String> {
    let mut unused = Vec::new();
    let fields = object.fields;
    for key in fields.keys() {
        if UNUSED_FIELDS.contains(&key.as_str()) {
            unused.push(key.clone());
        } else if !FIELDS.contains(&key.as_str()) {
            object.refuse(key, unknown("field", key, FIELDS));
        }
    }
    unused
}

fn warnings(
    object: &Object<'_, '_>,
    destination: &Destination,
    login: &Login,
    use_client_cert: bool,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let given = |key: &str| {
        object
            .fields
            .get(key)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    if use_client_cert && destination.scheme == Scheme::Mqtt {
        warnings.push(
            "useClientCert has no effect because the destination is mqtt:// and not mqtts://".to_owned(),
        );
    }
    if *login == Login::PassThrough && (given("username") || given("password")) {
        warnings.push("username and password have no effect because useClientCredentials is true".to_owned());
    }
    if matches!(
        login,
        Login::Fixed {
            username: None,
            password: Some(_)
        }
    ) {
        warnings.push(
            "password without username: MQTT 3.1 and 3.1.1 forbid it, only MQTT 5 allows it".to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
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
        assert_eq!(entry_point.destination.host, Host::Dns("mqtt.example.com".into()));
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
                json!("201509"),
                "version: \"201509\" is not available yet; allowed is \"201912\"",
            ),
            ("version", json!(201912), "version: 201912 is not a string"),
            (
                "usePubNub",
                json!(true),
                "usePubNub: true: PubNub as a destination is not available yet; allowed is false",
            ),
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
        let mut value = with("azureIoTCredential", json!({ "$credentialsId": "a" }));
        value["useAzureIoT"] = json!(false);
        value["customHeaders"] = json!({});
        assert_eq!(
            EntryPoint::from_value(&value).unwrap().unused,
            ["azureIoTCredential", "customHeaders"]
        );
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
}
