//! Changes of a group's configuration, made on the JSON document so that all else in it stays as it is.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::namespaces::{NAMESPACES, check_entry};
use super::{Change, ChangeError};
use crate::entrypoint::reader::Path;

/// Checks what can be checked without the document, and returns notes for the admin.
///
/// # Errors
/// An unknown namespace, or values that are not allowed.
pub(super) fn validate(change: &Change) -> Result<Vec<String>, ChangeError> {
    let (mut notes, mut problems) = (Vec::new(), Vec::new());
    let namespace = match change {
        Change::Put { namespace, .. }
        | Change::DeleteKey { namespace, .. }
        | Change::DeleteNamespace { namespace } => namespace,
    };
    if !NAMESPACES.contains(&namespace.as_str()) {
        return Err(ChangeError::UnknownNamespace(namespace.clone()));
    }
    if let Change::Put { entries, .. } = change {
        let root = Path::ROOT;
        let path = root.key(namespace);
        for (key, value) in entries {
            check_entry(namespace, key, value, &path.key(key), &mut notes, &mut problems);
        }
    }
    if problems.is_empty() {
        Ok(notes)
    } else {
        Err(ChangeError::Invalid(problems))
    }
}

/// Makes `change` in `document`.
///
/// # Errors
/// A group, namespace or key that is not there.
pub(super) fn apply(document: &mut Value, group_id: &str, change: &Change) -> Result<(), ChangeError> {
    let group =
        find_group(document, group_id).ok_or_else(|| ChangeError::NoSuchGroup(group_id.to_owned()))?;
    let configuration = object_in(group, "configuration");
    match change {
        Change::Put { namespace, entries } => {
            let values =
                configuration.and_then(|map| map.entry(namespace).or_insert_with(empty).as_object_mut());
            values
                .into_iter()
                .for_each(|values| values.extend(entries.iter().cloned()));
        }
        Change::DeleteNamespace { namespace } => {
            let removed = configuration.and_then(|map| map.shift_remove(namespace));
            removed.ok_or_else(|| ChangeError::NoSuchNamespace {
                group: group_id.to_owned(),
                namespace: namespace.clone(),
            })?;
        }
        Change::DeleteKey { namespace, key } => {
            let values = configuration
                .and_then(|map| map.get_mut(namespace))
                .and_then(Value::as_object_mut);
            values
                .and_then(|values| values.shift_remove(key))
                .ok_or_else(|| ChangeError::NoSuchKey {
                    group: group_id.to_owned(),
                    namespace: namespace.clone(),
                    key: key.clone(),
                })?;
        }
    }
    if let Some(group) = group.as_object_mut() {
        group.insert("lastModifiedTime".to_owned(), now().into());
    }
    Ok(())
}

fn empty() -> Value {
    Value::Object(Map::new())
}

fn find_group<'a>(document: &'a mut Value, id: &str) -> Option<&'a mut Value> {
    let groups = document.get_mut("groups")?.as_array_mut()?;
    groups
        .iter_mut()
        .find(|group| group.get("groupId").and_then(Value::as_str) == Some(id))
}

/// The object `key` of `parent`, made if it is not there.
fn object_in<'a>(parent: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    parent
        .as_object_mut()?
        .entry(key)
        .or_insert_with(empty)
        .as_object_mut()
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({ "groups": [
            { "groupId": "a", "configuration": { "SoracomAir": { "z": 1, "y": 2, "x": 3 } } },
            { "groupId": "b" } ] })
    }

    fn applied(group: &str, change: &Change) -> Result<Value, String> {
        let mut document = document();
        apply(&mut document, group, change).map_err(|error| error.to_string())?;
        let group = document["groups"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .find(|g| g["groupId"] == group)
            .unwrap();
        assert!(group["lastModifiedTime"].as_i64().unwrap() > 1_600_000_000_000);
        Ok(group["configuration"].take())
    }

    fn put(namespace: &str, entries: &[(&str, Value)]) -> Change {
        let entries = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        Change::Put {
            namespace: namespace.to_owned(),
            entries,
        }
    }

    fn delete(namespace: &str, key: &str) -> Change {
        Change::DeleteKey {
            namespace: namespace.to_owned(),
            key: key.to_owned(),
        }
    }

    #[test]
    fn a_put_overwrites_its_keys_whole_keeps_the_others_and_their_order() {
        let changed = applied(
            "a",
            &put("SoracomAir", &[("y", json!({ "new": [] })), ("w", json!("any"))]),
        )
        .unwrap();
        assert_eq!(
            changed.to_string(),
            r#"{"SoracomAir":{"z":1,"y":{"new":[]},"x":3,"w":"any"}}"#
        );
        let made = applied("b", &put("SoracomFunk", &[("k", json!(null))])).unwrap();
        assert_eq!(made, json!({ "SoracomFunk": { "k": null } }));
    }

    #[test]
    fn deletions_take_what_is_there_and_say_what_is_not() {
        assert_eq!(
            applied("a", &delete("SoracomAir", "y")).unwrap().to_string(),
            r#"{"SoracomAir":{"z":1,"x":3}}"#
        );
        let namespace = |name: &str| Change::DeleteNamespace {
            namespace: name.to_owned(),
        };
        assert_eq!(applied("a", &namespace("SoracomAir")).unwrap(), json!({}));
        let cases = [
            (
                "a",
                delete("SoracomAir", "q"),
                "namespace \"SoracomAir\" of group \"a\" has no key \"q\"",
            ),
            (
                "b",
                delete("SoracomAir", "q"),
                "namespace \"SoracomAir\" of group \"b\" has no key \"q\"",
            ),
            (
                "b",
                namespace("SoracomAir"),
                "group \"b\" has no namespace \"SoracomAir\"",
            ),
            ("c", namespace("SoracomAir"), "there is no group \"c\""),
        ];
        for (group, change, expected) in cases {
            assert_eq!(applied(group, &change).unwrap_err(), expected);
        }
    }

    #[test]
    fn only_known_namespaces_and_valid_entry_points_are_taken() {
        let error = validate(&put("SoracomBean", &[])).unwrap_err().to_string();
        assert!(
            error.contains("\"SoracomBean\" is not a namespace; allowed are SoracomAir,"),
            "{error}"
        );
        let key = "mqtt://beam.soracom.io:1883";
        let error = validate(&put(
            "SoracomBeam",
            &[(key, json!({ "destination": "x", "enabled": 1 }))],
        ))
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "SoracomBeam[\"mqtt://beam.soracom.io:1883\"].enabled: 1 is not true or false; \
             SoracomBeam[\"mqtt://beam.soracom.io:1883\"].destination: \"x\" is not a URL that begins with mqtt:// or mqtts://"
        );
        assert!(
            validate(&put("SoracomHarvest", &[("anything", json!([1]))]))
                .unwrap()
                .is_empty()
        );
    }
}
