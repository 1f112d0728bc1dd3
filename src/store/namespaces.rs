//! Which keys a group's configuration may have.

use serde_json::Value;

use super::kept;
use crate::entrypoint::{BEAM_NAMESPACE, EntryPoint, MQTT_ENTRY_POINT, parse_at};
use crate::json::{Path, Problem};

/// The namespaces of SORACOM's group configuration (API definition of 2026-06-04).
pub const NAMESPACES: &[&str] = &[
    "SoracomAir",
    "SoracomBeam",
    "SoracomEndorse",
    "SoracomFlux",
    "SoracomFunk",
    "SoracomFunnel",
    "SoracomHarvest",
    "SoracomHarvestFiles",
    "SoracomKrypton",
    "SoracomOrbit",
    "UnifiedEndpoint",
];

/// Checks one key of a namespace, whose value stands at `path`. Notes go to `notes`, problems to `problems`.
///
/// Only Beam's MQTT entry point means something here; the rest is kept for whoever reads it.
pub(super) fn check_entry(
    namespace: &str,
    key: &str,
    value: &Value,
    path: &Path<'_>,
    notes: &mut Vec<String>,
    problems: &mut Vec<Problem>,
) -> Option<EntryPoint> {
    kept::check(value, path, problems);
    if namespace != BEAM_NAMESPACE {
        return None;
    }
    if key != MQTT_ENTRY_POINT {
        match OtherKey::of(key) {
            OtherKey::Kept => notes.push(format!(
                "{key} is kept but not served; this relay serves {MQTT_ENTRY_POINT}"
            )),
            OtherKey::Misspelt => problems.push(path.problem(format!(
                "the key is not an entry point of Beam; did you mean {MQTT_ENTRY_POINT:?}?"
            ))),
            OtherKey::Foreign => problems.push(path.problem(format!(
                "the key is not an entry point of Beam; this relay serves {MQTT_ENTRY_POINT}"
            ))),
        }
        return None;
    }
    match parse_at(value, path) {
        Ok(parsed) => {
            notes.extend(
                parsed
                    .unused
                    .iter()
                    .map(|field| format!("{key}: the field {field:?} is kept but not used")),
            );
            notes.extend(parsed.warnings.iter().map(|warning| format!("{key}: {warning}")));
            Some(parsed.entry_point)
        }
        Err(found) => {
            problems.extend(found);
            None
        }
    }
}

/// A key that is not the entry point that this relay serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OtherKey {
    /// An entry point of another protocol: their number and spelling changes, their host does not.
    Kept,
    /// Its scheme is nearly that of MQTT.
    Misspelt,
    /// No entry point.
    Foreign,
}

impl OtherKey {
    fn of(key: &str) -> Self {
        const HOST: &str = "beam.soracom.io";
        let Some((scheme, rest)) = key.split_once("://") else {
            return Self::Foreign;
        };
        let behind = rest.strip_prefix(HOST);
        if !behind.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])) {
            return Self::Foreign;
        }
        match scheme {
            "mqtt" | "mqtts" => Self::Foreign,
            _ if is_nearly_mqtt(scheme) => Self::Misspelt,
            _ if is_scheme(scheme) => Self::Kept,
            _ => Self::Foreign,
        }
    }
}

/// Whether a scheme is one in the form of RFC 3986, in lower case.
fn is_scheme(scheme: &str) -> bool {
    let is_rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.');
    scheme.starts_with(|c: char| c.is_ascii_lowercase()) && scheme.bytes().all(is_rest)
}

/// Whether a scheme is that of MQTT but for case, blanks and one letter. No other scheme of Beam is so near.
fn is_nearly_mqtt(scheme: &str) -> bool {
    let scheme = scheme.trim().to_lowercase();
    ["mqtt", "mqtts"]
        .into_iter()
        .any(|mqtt| strsim::damerau_levenshtein(&scheme, mqtt) <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_entry_points_are_known_by_their_host() {
        let cases = [
            ("http://beam.soracom.io:8888/devices/a", OtherKey::Kept),
            ("http://beam.soracom.io", OtherKey::Kept),
            ("https://beam.soracom.io", OtherKey::Kept),
            ("tcp://beam.soracom.io:8023", OtherKey::Kept),
            ("tcps://beam.soracom.io:8023", OtherKey::Kept),
            ("udp://beam.soracom.io:23080", OtherKey::Kept),
            ("mqtt://beam.soracom.io", OtherKey::Foreign),
            ("mqtt://beam.soracom.io:1883/", OtherKey::Foreign),
            ("mqtts://beam.soracom.io:8883", OtherKey::Foreign),
            ("http://beam.soracom.io.example.com", OtherKey::Foreign),
            ("beam.soracom.io:8888", OtherKey::Foreign),
            ("HTTP://beam.soracom.io", OtherKey::Foreign),
            (" http://beam.soracom.io", OtherKey::Foreign),
            ("://beam.soracom.io", OtherKey::Foreign),
            ("", OtherKey::Foreign),
        ];
        for (key, other) in cases {
            assert_eq!(OtherKey::of(key), other, "{key:?}");
        }
    }

    #[test]
    fn a_key_that_is_nearly_that_of_mqtt_is_refused_with_the_one_that_is_meant() {
        for scheme in [
            "MQTT", "Mqtt", "mqt", "mqttt", "mqqt", " mqtt", "mqtt ", "MQTTS", "mqttss",
        ] {
            let key = format!("{scheme}://beam.soracom.io:1883");
            let (mut notes, mut problems) = (Vec::new(), Vec::new());
            let value = serde_json::json!({ "destination": "mqtt://b" });
            let root = Path::ROOT;
            let path = root.key(&key);
            check_entry(BEAM_NAMESPACE, &key, &value, &path, &mut notes, &mut problems);
            let [problem] = &problems[..] else {
                panic!("{key:?}: {problems:?}")
            };
            assert!(
                problem
                    .message
                    .contains("did you mean \"mqtt://beam.soracom.io:1883\"?"),
                "{problem}"
            );
            assert!(notes.is_empty(), "{notes:?}");
        }
    }
}
