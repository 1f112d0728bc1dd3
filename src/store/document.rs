//! From the JSON of `entrypoints.json` to a [`Snapshot`], or to all that is wrong with it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::namespaces::{NAMESPACES, check_entry};
use super::snapshot::{Group, Snapshot};
use crate::entrypoint::EntryPoint;
use crate::json::{Object, Path, Problem, quote, unknown};
use crate::sim::{GroupId, Imei, Imsi, Sim, SimId, SimKind, Tags};

const DOCUMENT_FIELDS: &[&str] = &["groups", "sims"];
const GROUP_FIELDS: &[&str] = &[
    "groupId",
    "tags",
    "configuration",
    "createdTime",
    "lastModifiedTime",
];
const SIM_FIELDS: &[&str] = &[
    "simId",
    "imsi",
    "imei",
    "groupId",
    "addresses",
    "tags",
    "status",
    "imeiLock",
    "type",
    "moduleType",
    "speedClass",
    "createdTime",
    "lastModifiedTime",
];

/// A valid document.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) snapshot: Snapshot,
    /// What the admin should know, one sentence each.
    pub(super) notes: Vec<String>,
}

/// Checks a whole document.
///
/// # Errors
/// Every problem, in the order of the document.
pub(super) fn parse(document: &Value) -> Result<Document, Vec<Problem>> {
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    let (mut groups, mut sims) = (Vec::new(), Vec::new());
    if let Some(mut object) = Object::new(document, &Path::ROOT, &mut problems) {
        object.refuse_unknown(DOCUMENT_FIELDS);
        object.member("groups", |value, path, problems| {
            groups = read_groups(value, path, &mut notes, problems);
        });
        object.member("sims", |value, path, problems| {
            sims = read_sims(value, path, &groups, problems);
        });
    }
    if problems.is_empty() {
        Ok(Document {
            snapshot: Snapshot::new(groups, sims),
            notes,
        })
    } else {
        Err(problems)
    }
}

/// The elements of an array; anything else is a problem.
fn elements<'a>(value: &'a Value, path: &Path<'_>, problems: &mut Vec<Problem>) -> &'a [Value] {
    let array = value.as_array();
    if array.is_none() {
        problems.push(path.problem(format!("{} is not an array", quote(value))));
    }
    array.map_or(&[], Vec::as_slice)
}

/// Remembers where each identifier was first seen.
struct Seen<T> {
    first: HashMap<T, usize>,
    list: &'static str,
}

impl<T: Hash + Eq + ToString> Seen<T> {
    fn new(list: &'static str) -> Self {
        Self {
            first: HashMap::new(),
            list,
        }
    }

    /// The sentence for an identifier that element `at` has, but another one had before.
    fn note(&mut self, id: T, at: usize) -> Option<String> {
        match self.first.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(at);
                None
            }
            Entry::Occupied(entry) => {
                let (id, first, list) = (entry.key().to_string(), *entry.get(), self.list);
                Some(format!("{id:?} is already that of {list}[{first}]"))
            }
        }
    }
}

fn read_groups(
    value: &Value,
    path: &Path<'_>,
    notes: &mut Vec<String>,
    problems: &mut Vec<Problem>,
) -> Vec<Arc<Group>> {
    let mut seen = Seen::new("groups");
    let mut groups = Vec::new();
    for (index, value) in elements(value, path, problems).iter().enumerate() {
        let path = path.index(index);
        let Some(mut object) = Object::new(value, &path, problems) else {
            continue;
        };
        let Some(group) = read_group(&mut object, notes) else {
            continue;
        };
        if let Some(message) = seen.note(group.group_id.clone(), index) {
            object.refuse("groupId", message);
        }
        groups.push(Arc::new(group));
    }
    groups
}

/// `None` without a valid id: there is nothing to call the group by.
fn read_group(object: &mut Object<'_, '_>, notes: &mut Vec<String>) -> Option<Group> {
    object.refuse_unknown(GROUP_FIELDS);
    let group_id = object.require("groupId", GroupId::new);
    let tags = object.member("tags", read_tags).unwrap_or_default();
    let mut found = Vec::new();
    let (configuration, beam) = object
        .member("configuration", |value, path, problems| {
            read_configuration(value, path, &mut found, problems)
        })
        .unwrap_or_default();
    let created_time = read_time(object, "createdTime");
    let last_modified_time = read_time(object, "lastModifiedTime");
    let group_id = group_id?;
    notes.extend(found.into_iter().map(|note| format!("group {group_id}: {note}")));
    Some(Group {
        group_id,
        tags,
        configuration,
        beam: beam.map(Arc::new),
        created_time,
        last_modified_time,
    })
}

fn read_time(object: &mut Object<'_, '_>, key: &str) -> Option<i64> {
    let value = object.fields.get(key)?;
    let time = value.as_i64().filter(|time| *time >= 0);
    if time.is_none() {
        object.refuse(
            key,
            format!("{} is not a time in milliseconds since 1970", quote(value)),
        );
    }
    time
}

fn read_tags(value: &Value, path: &Path<'_>, problems: &mut Vec<Problem>) -> Tags {
    let mut tags = Tags::new();
    if let Some(mut object) = Object::new(value, path, problems) {
        for key in object.fields.keys() {
            tags.extend(object.string(key).map(|text| (key.clone(), text.to_owned())));
        }
    }
    tags
}

fn read_configuration(
    value: &Value,
    path: &Path<'_>,
    notes: &mut Vec<String>,
    problems: &mut Vec<Problem>,
) -> (Map<String, Value>, Option<EntryPoint>) {
    let mut beam = None;
    let Some(object) = Object::new(value, path, problems) else {
        return Default::default();
    };
    let configuration = object.fields;
    for (namespace, entries) in configuration {
        let path = path.key(namespace);
        if !NAMESPACES.contains(&namespace.as_str()) {
            problems.push(path.problem(unknown("namespace", namespace, NAMESPACES)));
        }
        let Some(entries) = Object::new(entries, &path, problems) else {
            continue;
        };
        for (key, value) in entries.fields {
            let entry_point = check_entry(namespace, key, value, &path.key(key), notes, problems);
            beam = beam.or(entry_point);
        }
    }
    (configuration.clone(), beam)
}

/// What must not occur twice among SIMs.
struct SimIds {
    sim_ids: Seen<SimId>,
    imsis: Seen<Imsi>,
    addresses: Seen<IpAddr>,
}

fn read_sims(
    value: &Value,
    path: &Path<'_>,
    groups: &[Arc<Group>],
    problems: &mut Vec<Problem>,
) -> Vec<Arc<Sim>> {
    let known: HashMap<&GroupId, ()> = groups.iter().map(|group| (&group.group_id, ())).collect();
    let mut ids = SimIds {
        sim_ids: Seen::new("sims"),
        imsis: Seen::new("sims"),
        addresses: Seen::new("sims"),
    };
    let mut sims = Vec::new();
    for (index, value) in elements(value, path, problems).iter().enumerate() {
        let path = path.index(index);
        let Some(mut object) = Object::new(value, &path, problems) else {
            continue;
        };
        let Some(sim) = read_sim(&mut object, &mut ids.addresses, index) else {
            continue;
        };
        refuse_duplicates(&mut object, &mut ids, &sim, index);
        if let Some(group) = sim.group_id.as_ref().filter(|group| !known.contains_key(group)) {
            object.refuse(
                "groupId",
                format!("{:?} is not the groupId of a group in this file", group.as_str()),
            );
        }
        sims.push(Arc::new(sim));
    }
    sims
}

fn refuse_duplicates(object: &mut Object<'_, '_>, ids: &mut SimIds, sim: &Sim, index: usize) {
    let sim_id = ids
        .sim_ids
        .note(sim.sim_id.clone(), index)
        .map(|message| ("simId", message));
    let imsi = ids
        .imsis
        .note(sim.imsi.clone(), index)
        .map(|message| ("imsi", message));
    for (key, message) in sim_id.into_iter().chain(imsi) {
        object.refuse(key, message);
    }
}

fn read_sim(object: &mut Object<'_, '_>, seen: &mut Seen<IpAddr>, index: usize) -> Option<Sim> {
    object.refuse_unknown(SIM_FIELDS);
    let sim_id = object.require("simId", SimId::new);
    let imsi = object.require("imsi", Imsi::new);
    let imei = object.parse("imei", Imei::new);
    let group_id = object.parse("groupId", GroupId::new);
    let addresses = object
        .member("addresses", |value, path, problems| {
            read_addresses(value, path, seen, index, problems)
        })
        .unwrap_or_default();
    let tags = object.member("tags", read_tags).unwrap_or_default();
    let status = object.parse("status", str::parse).unwrap_or_default();
    let imei_lock = object.parse("imeiLock", str::parse);
    let kind = read_kind(object);
    let created_time = read_time(object, "createdTime");
    let last_modified_time = read_time(object, "lastModifiedTime");
    Some(Sim {
        imei_lock,
        kind,
        imei,
        group_id,
        addresses,
        tags,
        status,
        created_time,
        last_modified_time,
        ..Sim::new(sim_id?, imsi?)
    })
}

fn read_kind(object: &mut Object<'_, '_>) -> SimKind {
    SimKind {
        sim_type: object.parse("type", str::parse),
        module_type: object.parse("moduleType", str::parse),
        speed_class: object.parse("speedClass", str::parse),
    }
}

/// The addresses of SIM `sim`, none of which another one may have.
fn read_addresses(
    value: &Value,
    path: &Path<'_>,
    seen: &mut Seen<IpAddr>,
    sim: usize,
    problems: &mut Vec<Problem>,
) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for (index, value) in elements(value, path, problems).iter().enumerate() {
        let path = path.index(index);
        let Some(address) = value.as_str().and_then(|text| text.parse::<IpAddr>().ok()) else {
            problems.push(path.problem(format!("{} is not an IP address", quote(value))));
            continue;
        };
        let address = address.to_canonical();
        problems.extend(seen.note(address, sim).map(|message| path.problem(message)));
        addresses.push(address);
    }
    addresses
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(document: &Value) -> Vec<String> {
        parse(document)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn sim(number: usize) -> Value {
        json!({ "simId": format!("89811{number:014}"), "imsi": format!("44010{number:010}") })
    }

    #[test]
    fn the_shipped_file_is_valid() {
        let document = parse(&serde_json::from_str(include_str!("../../entrypoints.json")).unwrap()).unwrap();
        assert!(document.notes.is_empty());
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let sim = document.snapshot.sim_at(address.parse().unwrap()).expect(address);
            assert_eq!(sim.imsi.as_str(), "440103000000001");
            let group = sim.group_id.clone().unwrap();
            assert_eq!(
                document.snapshot.entry_point(&group).unwrap().destination.port(),
                1884
            );
        }
        assert!(document.snapshot.sim_at("127.0.0.2".parse().unwrap()).is_none());
    }

    #[test]
    fn an_empty_document_is_valid_and_knows_nobody() {
        assert!(parse(&json!({})).unwrap().snapshot.sims().is_empty());
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        let mut second = sim(1);
        second["addresses"] = json!(["10.0.0.1", "10.0.0.256", "::ffff:10.0.0.1"]);
        second["groupId"] = json!("nobody");
        let document = json!({
            "groups": [
                { "groupId": "a", "configuration": {
                    "SoracomBeam": { "mqtt://beam.soracom.io:1883": { "destination": "mqtt://b", "enabled": "yes" },
                                     "mqtt://beam.soracom.io": {} },
                    "SoracomBean": {}, "SoracomAir": 1 } },
                { "groupId": "a", "tag": {} },
                { "groupId": "b/c" }, 7
            ],
            "sims": [sim(1), second, { "imsi": "x" }],
            "gruops": []
        });
        assert_eq!(
            problems(&document),
            [
                "gruops: is not a known field; did you mean \"groups\"?",
                "groups[0].configuration.SoracomBeam[\"mqtt://beam.soracom.io:1883\"].enabled: \"yes\" is not true or false",
                "groups[0].configuration.SoracomBeam[\"mqtt://beam.soracom.io\"]: the key is not an entry point of Beam; this relay serves mqtt://beam.soracom.io:1883",
                "groups[0].configuration.SoracomBean: is not a known namespace; did you mean \"SoracomBeam\"?",
                "groups[0].configuration.SoracomAir: 1 is not an object",
                "groups[1].tag: is not a known field; did you mean \"tags\"?",
                "groups[1].groupId: \"a\" is already that of groups[0]",
                "groups[2].groupId: \"b/c\" is not a group id: 1 to 64 letters, digits, '-', '_' or '.'",
                "groups[3]: 7 is not an object",
                "sims[1].addresses[1]: \"10.0.0.256\" is not an IP address",
                "sims[1].addresses[2]: \"10.0.0.1\" is already that of sims[1]",
                "sims[1].simId: \"8981100000000000001\" is already that of sims[0]",
                "sims[1].imsi: \"440100000000001\" is already that of sims[0]",
                "sims[1].groupId: \"nobody\" is not the groupId of a group in this file",
                "sims[2]: the field \"simId\" is missing",
                "sims[2].imsi: \"x\" is not an IMSI: 6 to 15 digits",
            ]
        );
    }

    #[test]
    fn keys_that_are_kept_but_not_used_are_noted() {
        let document = json!({ "groups": [{ "groupId": "a", "configuration": {
            "SoracomAir": { "metadata": { "enabled": true }, "x": ["any"] },
            "SoracomBeam": { "tcp://beam.soracom.io:8023": 1,
                "mqtt://beam.soracom.io:1883": { "destination": "mqtt://b", "psk": {} } } } }] });
        assert_eq!(
            parse(&document).unwrap().notes,
            [
                "group a: tcp://beam.soracom.io:8023 is kept but not served; this relay serves mqtt://beam.soracom.io:1883",
                "group a: mqtt://beam.soracom.io:1883: the field \"psk\" is kept but not used",
            ]
        );
    }
}
