//! From the JSON of an entry point to an [`EntryPoint`], or to all that is wrong with it.

use serde_json::{Value, json};

use super::credentials::{ClientCerts, CredentialsTemplate};
use super::destination::{Destination, Scheme};
use super::login::Login;
use super::platform::Platform;
use super::template::{SecretTemplate, Template};
use super::topics::TopicRules;
use super::{EntryPoint, Parsed, PlatformVersion, wire_platform};
use crate::json::{Object, Path, Problem, quote, unknown};
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
    "pubnubCredential",
    "googleIoTCredential",
    "azureIoTCredential",
];

/// Fields that are kept and have no effect: what other entry points of Beam know, which public scripts write into
/// the MQTT one too.
const UNUSED_FIELDS: &[&str] = &[
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
    let switch = wire_platform::read_switch(object);
    let platform = switch.map(|(platform, _)| platform);
    let mut destination = wire_platform::read_destination(object, platform);
    let standard = read_login(object);
    let use_client_cert = object.boolean("useClientCert", false) && platform.is_none();
    let client_certs = object
        .member("clientCerts", read_client_certs)
        .filter(|_| platform.is_none())
        .unwrap_or_default();
    if use_client_cert && client_certs.is_empty() {
        object.refuse(
            "useClientCert",
            "true needs \"clientCerts\" with a \"$credentialsId\"",
        );
    }
    let credential = read_platform_credentials(object, platform);
    let login = match switch {
        None => Some(standard),
        Some(switch) => wire_platform::read_login(object, switch, credential),
    };
    let topics = TopicRules {
        replace: object.boolean("replaceTopic", false),
        add_imsi: object.boolean("addSubscriberHeader", false),
    };
    let version = read_version(object);
    let forced_tls = version == PlatformVersion::V201509
        && use_client_cert
        && destination.as_ref().is_some_and(|d| d.scheme() == Scheme::Mqtt);
    if forced_tls {
        destination = object.parse("destination", Destination::over_tls);
    }
    let unused = read_unused(object);
    // Behind the last check: without these there is nothing to return, and their problems are told.
    let (destination, login) = (destination?, login?);
    let mut warnings = warnings(object, &destination, &login, use_client_cert);
    warnings.extend(version_warnings(version, forced_tls.then_some(&destination)));
    warnings.extend(wire_platform::warnings(object, platform, topics.add_imsi));
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
    let username = username.and_then(|text| object.parse_text("username", text, Template::new));
    let password = object.secret("password").filter(|text| !text.is_empty());
    let password = password.and_then(|text| object.parse_text("password", text, SecretTemplate::new));
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
    object.require(KEY, CredentialsTemplate::new)
}

/// The credential of `platform`. Those of the others are checked too, though they have no effect: the console
/// switches between them.
fn read_platform_credentials(
    object: &mut Object<'_, '_>,
    platform: Option<Platform>,
) -> Option<CredentialsTemplate> {
    let mut found = None;
    for each in Platform::ALL {
        let field = each.credential_field();
        let idle = object
            .fields
            .get(field)
            .is_none_or(|value| value.is_null() || *value == json!({}));
        if platform != Some(each) && idle {
            continue;
        }
        let credential = object.member(field, read_reference).flatten();
        if platform == Some(each) {
            found = credential;
        }
    }
    found
}

fn read_version(object: &mut Object<'_, '_>) -> PlatformVersion {
    match object.string("version") {
        None | Some("201912") => PlatformVersion::V201912,
        Some("201509") => PlatformVersion::V201509,
        Some(other) => {
            object.refuse(
                "version",
                format!("{other:?} is not a platform version; allowed are \"201912\" and \"201509\""),
            );
            PlatformVersion::V201912
        }
    }
}

/// What the author of an entry point should know of version 201509. `forced` is what it makes of a
/// destination that is not `mqtts`.
fn version_warnings(version: PlatformVersion, forced: Option<&Destination>) -> Vec<String> {
    if version == PlatformVersion::V201912 {
        return Vec::new();
    }
    let mut warnings = vec![
        "version \"201509\": the broker gets MQTT 3.1.1 at QoS 0 and no will, the relay itself acknowledges QoS 1 and 2, PINGREQ is counted, MQTT 5 is refused; \"201912\" carries what the device sends".to_owned(),
    ];
    warnings.extend(forced.map(|destination| {
        format!("version \"201509\" with useClientCert speaks MQTTS whatever the destination says: {destination} is dialled")
    }));
    warnings
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
    if use_client_cert && destination.scheme() == Scheme::Mqtt {
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
            "password without username: MQTT 3.1 and 3.1.1 forbid it, so there the broker gets an empty user name with it".to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
