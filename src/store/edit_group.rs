//! Changes of a group, its configuration and its tags.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::ChangeError;
use super::change::{GroupChange, GroupEdit};
use super::namespaces::{NAMESPACES, check_entry};
use super::snapshot::{Group, Snapshot};
use super::tags::{delete_tag, put_tags};
use crate::clock::now_millis;
use crate::entrypoint::{BEAM_NAMESPACE, EntryPoint, MQTT_ENTRY_POINT, spell_switches};
use crate::json::Path;
use crate::sim::{GroupId, Sim, Tags};

/// What is true after `change`, and notes for the admin.
///
/// # Errors
/// The group is not there, or what it would become is not allowed.
pub(super) fn apply(
    snapshot: &Snapshot,
    id: &GroupId,
    change: &GroupChange,
) -> Result<(Snapshot, Vec<String>), ChangeError> {
    let mut notes = Vec::new();
    let mut groups = snapshot.groups().to_vec();
    let at = groups.iter().position(|group| group.group_id == *id);
    match (change, at) {
        (GroupChange::Create { .. }, Some(_)) => return Err(ChangeError::GroupExists(id.clone())),
        (GroupChange::Create { tags, configuration }, None) => {
            let group = create(id, tags, configuration, &mut notes)?;
            groups.push(Arc::new(group));
        }
        (_, None) => return Err(ChangeError::NoSuchGroup(id.to_string())),
        (GroupChange::Delete, Some(at)) => {
            refuse_in_use(snapshot, id)?;
            groups.remove(at);
        }
        (GroupChange::Edit(what), Some(at)) => {
            let mut group = Group::clone(&groups[at]);
            edit(&mut group, what, &mut notes)?;
            group.last_modified_time = Some(now_millis());
            groups[at] = Arc::new(group);
        }
    }
    Ok((Snapshot::new(groups, snapshot.sims().to_vec()), notes))
}

fn create(
    id: &GroupId,
    tags: &Tags,
    configuration: &Map<String, Value>,
    notes: &mut Vec<String>,
) -> Result<Group, ChangeError> {
    let time = Some(now_millis());
    let mut group = Group {
        group_id: id.clone(),
        tags: Tags::new(),
        configuration: Map::new(),
        beam: None,
        created_time: time,
        last_modified_time: time,
    };
    put_tags(&mut group.tags, tags)?;
    for (namespace, entries) in configuration {
        let root = Path::ROOT;
        let entries = entries.as_object().ok_or_else(|| {
            let problem = root.key(namespace).problem("the value is not an object");
            ChangeError::Invalid(vec![problem])
        })?;
        let entries: Vec<_> = entries
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        put(&mut group, namespace, &entries, notes)?;
    }
    Ok(group)
}

fn refuse_in_use(snapshot: &Snapshot, id: &GroupId) -> Result<(), ChangeError> {
    let in_it = |sim: &&Arc<Sim>| sim.group_id.as_ref() == Some(id);
    match snapshot.sims().iter().filter(in_it).count() {
        0 => Ok(()),
        sims => Err(ChangeError::GroupInUse {
            group: id.clone(),
            sims,
        }),
    }
}

fn edit(group: &mut Group, edit: &GroupEdit, notes: &mut Vec<String>) -> Result<(), ChangeError> {
    match edit {
        GroupEdit::Put { namespace, entries } => put(group, namespace, entries, notes)?,
        GroupEdit::DeleteNamespace { namespace } => {
            known(namespace)?;
            let removed = group.configuration.shift_remove(namespace);
            removed.ok_or_else(|| ChangeError::NoSuchNamespace {
                group: group.group_id.to_string(),
                namespace: namespace.clone(),
            })?;
            if namespace == BEAM_NAMESPACE {
                group.beam = None;
            }
        }
        GroupEdit::DeleteKey { namespace, key } => {
            known(namespace)?;
            let values = group.configuration.get_mut(namespace);
            let removed = values
                .and_then(Value::as_object_mut)
                .and_then(|values| values.shift_remove(key));
            removed.ok_or_else(|| ChangeError::NoSuchKey {
                group: group.group_id.to_string(),
                namespace: namespace.clone(),
                key: key.clone(),
            })?;
            if namespace == BEAM_NAMESPACE && key == MQTT_ENTRY_POINT {
                group.beam = None;
            }
        }
        GroupEdit::PutTags(tags) => put_tags(&mut group.tags, tags)?,
        GroupEdit::DeleteTag(tag) => delete_tag(&mut group.tags, tag, || {
            format!("group {:?}", group.group_id.as_str())
        })?,
    }
    Ok(())
}

/// Puts keys of one namespace, which are all valid or none is put.
fn put(
    group: &mut Group,
    namespace: &str,
    entries: &[(String, Value)],
    notes: &mut Vec<String>,
) -> Result<(), ChangeError> {
    known(namespace)?;
    let mut problems = Vec::new();
    let mut beam: Option<EntryPoint> = None;
    let root = Path::ROOT;
    let path = root.key(namespace);
    let mut keys = HashSet::new();
    for (key, value) in entries {
        if key.is_empty() {
            // Nobody could delete it again: it is the end of a path there.
            problems.push(path.problem("a key must not be empty"));
            continue;
        }
        if !keys.insert(key) {
            problems.push(path.key(key).problem("the key is there twice"));
            continue;
        }
        let entry_point = check_entry(namespace, key, value, &path.key(key), notes, &mut problems);
        beam = entry_point.or(beam);
    }
    if !problems.is_empty() {
        return Err(ChangeError::Invalid(problems));
    }
    group.beam = beam.map(Arc::new).or(group.beam.take());
    let values = group
        .configuration
        .entry(namespace)
        .or_insert_with(|| Map::new().into());
    if let Some(values) = values.as_object_mut() {
        values.extend(entries.iter().cloned());
        if let Some(entry_point) = values
            .get_mut(MQTT_ENTRY_POINT)
            .filter(|_| namespace == BEAM_NAMESPACE)
        {
            spell_switches(entry_point);
        }
    }
    Ok(())
}

fn known(namespace: &str) -> Result<(), ChangeError> {
    if NAMESPACES.contains(&namespace) {
        Ok(())
    } else {
        Err(ChangeError::UnknownNamespace(namespace.to_owned()))
    }
}
