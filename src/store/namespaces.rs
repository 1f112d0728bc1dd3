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
        if is_other_entry_point(key) {
            notes.push(format!(
                "{key} is kept but not served; this relay serves {MQTT_ENTRY_POINT}"
            ));
        } else {
            problems.push(path.problem(format!(
                "the key is not an entry point of Beam; this relay serves {MQTT_ENTRY_POINT}"
            )));
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

/// Beam's entry points of other protocols: their number and spelling changes, their host does not.
fn is_other_entry_point(key: &str) -> bool {
    const HOST: &str = "beam.soracom.io";
    let Some((scheme, rest)) = key.split_once("://") else {
        return false;
    };
    let behind = rest.strip_prefix(HOST);
    !scheme.is_empty()
        && !matches!(scheme, "mqtt" | "mqtts")
        && behind.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_entry_points_are_known_by_their_host() {
        let cases = [
            ("http://beam.soracom.io:8888/devices/a", true),
            ("http://beam.soracom.io", true),
            ("tcp://beam.soracom.io:8023", true),
            ("udp://beam.soracom.io:23080", true),
            ("mqtt://beam.soracom.io", false),
            ("mqtt://beam.soracom.io:1883/", false),
            ("mqtts://beam.soracom.io:8883", false),
            ("http://beam.soracom.io.example.com", false),
            ("beam.soracom.io:8888", false),
            ("", false),
        ];
        for (key, other) in cases {
            assert_eq!(is_other_entry_point(key), other, "{key:?}");
        }
    }
}
