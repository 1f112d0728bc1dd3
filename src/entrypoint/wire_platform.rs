//! Which platform an entry point leads to, and which of its fields then mean nothing: the footnotes (*1) to (*5) of
//! the Beam page.

use serde_json::Value;

use super::credentials::CredentialsTemplate;
use super::destination::{Destination, Host, Scheme};
use super::login::Login;
use super::platform::Platform;
use crate::json::Object;

/// The Beam page spells one switch in three ways. The first is the one that is written.
pub(super) const SPELLINGS: [&str; 3] = ["usePubnub", "usePubnum", "usePubNub"];

/// Where PubNub takes MQTT.
const PUBNUB_HOST: &str = "mqtt.pndsn.com";

/// (*1): what only a standard broker gets.
const STANDARD_ONLY: [&str; 5] = [
    "username",
    "password",
    "useClientCredentials",
    "useClientCert",
    "clientCerts",
];

/// The platform that is switched on, at most one, and the field that says so.
pub(super) fn read_switch(object: &mut Object<'_, '_>) -> Option<(Platform, &'static str)> {
    let mut chosen: Option<(Platform, &'static str)> = None;
    for (platform, key) in switches(object) {
        if !object.boolean(key, false) {
            continue;
        }
        match chosen {
            Some((other, first)) if other != platform => {
                let message = format!("true beside {first}: true; an entry point leads to one of them");
                object.refuse(key, message);
            }
            _ => chosen = Some((platform, key)),
        }
    }
    refuse_contradiction(object);
    chosen
}

/// The switches, PubNub's as they are spelled here.
fn switches(object: &Object<'_, '_>) -> Vec<(Platform, &'static str)> {
    let spelled = SPELLINGS.iter().filter(|key| object.fields.contains_key(**key));
    let pubnub = spelled.map(|key| (Platform::PubNub, *key));
    let others = [Platform::GoogleIot, Platform::AzureIot].map(|platform| (platform, platform.switch()));
    pubnub.chain(others).collect()
}

/// One spelling says yes and another no.
fn refuse_contradiction(object: &mut Object<'_, '_>) {
    let fields = object.fields;
    let said = |value: bool| {
        let mut spellings = SPELLINGS.into_iter();
        spellings.find(|key| fields.get(*key) == Some(&Value::Bool(value)))
    };
    if let (Some(yes), Some(no)) = (said(true), said(false)) {
        let message = format!(
            "false beside {yes}: true, which is the same switch; write {} only",
            SPELLINGS[0]
        );
        object.refuse(no, message);
    }
}

/// The destination. PubNub has one host, so it may be left out there.
pub(super) fn read_destination(
    object: &mut Object<'_, '_>,
    platform: Option<Platform>,
) -> Option<Destination> {
    const KEY: &str = "destination";
    let left_out = object.fields.get(KEY).is_none_or(|value| value == "");
    if platform == Some(Platform::PubNub) && left_out {
        return Some(Destination::new(
            Scheme::Mqtts,
            Host::Dns(PUBNUB_HOST.into()),
            8883,
        ));
    }
    let destination = object.require(KEY, str::parse::<Destination>)?;
    match platform {
        Some(Platform::PubNub) if *destination.host() != Host::Dns(PUBNUB_HOST.into()) => {
            let message = format!(
                "{destination} is not where PubNub takes MQTT; leave it out, or write mqtts://{PUBNUB_HOST}"
            );
            object.refuse(KEY, message);
        }
        Some(platform @ (Platform::GoogleIot | Platform::AzureIot))
            if destination.scheme() == Scheme::Mqtt =>
        {
            let message = format!(
                "{destination} is without TLS, which {platform} does not take, and the token could be read on the way; write mqtts://"
            );
            object.refuse(KEY, message);
        }
        _ => {}
    }
    Some(destination)
}

/// How `platform` is logged in to. What (*1) says has no effect is not looked at.
pub(super) fn read_login(
    object: &mut Object<'_, '_>,
    (platform, switch): (Platform, &str),
    credential: Option<CredentialsTemplate>,
) -> Option<Login> {
    let field = platform.credential_field();
    if credential.is_none() && !object.fields.contains_key(field) {
        let message = format!("true needs {field:?} with a \"$credentialsId\"");
        object.refuse(switch, message);
    }
    credential.map(|credential| Login::Platform(platform, credential))
}

/// What has no effect because of the platform, or for want of one.
pub(super) fn warnings(object: &Object<'_, '_>, platform: Option<Platform>, add_imsi: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(platform) = platform {
        let idle = STANDARD_ONLY
            .iter()
            .filter(|key| means_something(object.fields.get(**key)));
        warnings.extend(idle.map(|key| format!("{key} has no effect because {} is true", platform.switch())));
    }
    let others = Platform::ALL.iter().filter(|other| platform != Some(**other));
    let unused = others.filter(|other| object.fields.contains_key(other.credential_field()));
    warnings.extend(unused.map(|other| {
        format!(
            "{} has no effect because {} is not true",
            other.credential_field(),
            other.switch()
        )
    }));
    if platform == Some(Platform::AzureIot) && add_imsi {
        warnings.push(
            "addSubscriberHeader puts /IMSI behind the topic, where Azure IoT Hub expects properties of the message: use replaceTopic"
                .to_owned(),
        );
    }
    warnings
}

/// Whether a field says something: the console sends the empty and the false ones with every save.
fn means_something(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty() && text != "false",
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(_) => true,
    }
}

/// Gives PubNub's switch its first spelling, in an entry point that was found valid.
pub(crate) fn spell_switches(entry_point: &mut Value) {
    let Some(fields) = entry_point.as_object_mut() else {
        return;
    };
    let [proper, others @ ..] = SPELLINGS;
    for other in others {
        if fields.contains_key(proper) {
            fields.shift_remove(other);
        } else if let Some(value) = fields.shift_remove(other) {
            fields.insert(proper.to_owned(), value);
        }
    }
}

#[cfg(test)]
#[path = "wire_platform_tests.rs"]
mod tests;
