//! The JSON of `notifications.json` becomes [`Notifications`], or a list of all that is wrong.

use super::{Destination, Notifications, destination, route};
use crate::entrypoint::reader::{Object, Path};
use crate::entrypoint::{Problem, quote, unknown};
use jiff::tz::TimeZone;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was understood, and what its author should know.
#[derive(Debug)]
pub struct Parsed {
    /// What was understood.
    pub notifications: Notifications,
    /// One sentence each.
    pub notes: Vec<String>,
}

/// Checks the content of `notifications.json`.
///
/// # Errors
/// Every problem, in the order of the file.
pub fn parse(value: &Value) -> Result<Parsed, Vec<Problem>> {
    let mut problems = Vec::new();
    let parsed = read(value, &mut problems);
    match parsed {
        Some(parsed) if problems.is_empty() => Ok(parsed),
        _ => Err(problems),
    }
}

fn read(value: &Value, problems: &mut Vec<Problem>) -> Option<Parsed> {
    let root = Path::ROOT;
    let mut file = Object::new(value, &root, problems)?;
    file.refuse_unknown(&["timeZone", "destinations", "routes", "silences"]);
    let zone = zone(&mut file).unwrap_or_else(TimeZone::system);
    let mut notes = Vec::new();
    let destinations = file.member("destinations", |value, path, problems| {
        read_destinations(value, path, problems, &zone, &mut notes)
    });
    let destinations = destinations.unwrap_or_default();
    let names: Vec<_> = destinations.keys().map(String::as_str).collect();
    let routes = list(&mut file, "routes", |value, path, problems| {
        route::read_route(value, path, problems, &names)
    });
    let silences = list(&mut file, "silences", |value, path, problems| {
        route::read_silence(value, path, problems, &names)
    });
    let named = routes.iter().map(|route| ("routes", &route.name));
    refuse_twice(
        named.chain(silences.iter().map(|alarm| ("silences", &alarm.name))),
        problems,
    );
    let destinations = destinations.into_iter();
    Some(Parsed {
        notifications: Notifications {
            zone,
            destinations: destinations
                .filter_map(|(name, d)| Some((name, Arc::new(d?))))
                .collect(),
            routes,
            silences,
        },
        notes,
    })
}

/// The queue knows routes and alarms by their names.
fn refuse_twice<'a>(names: impl Iterator<Item = (&'static str, &'a String)>, problems: &mut Vec<Problem>) {
    let mut seen = std::collections::HashSet::new();
    for (list, name) in names {
        if !seen.insert(name) {
            let message = format!("the name {name:?} is given twice; each route and alarm needs its own");
            problems.push(Path::ROOT.key(list).problem(message));
        }
    }
}

/// The time zone of an object that may name one.
pub(super) fn zone(object: &mut Object<'_, '_>) -> Option<TimeZone> {
    let name = object.string("timeZone");
    object.parsed("timeZone", name, |name| {
        TimeZone::get(name).map_err(|_| format!("{name:?} is not a time zone; an example is \"Asia/Tokyo\""))
    })
}

/// Destinations by name; what is wrong in itself is `None`, so that routes to it are not called wrong too.
fn read_destinations(
    value: &Value,
    path: &Path<'_>,
    problems: &mut Vec<Problem>,
    zone: &TimeZone,
    notes: &mut Vec<String>,
) -> BTreeMap<String, Option<Destination>> {
    let Some(fields) = Object::new(value, path, problems).map(|object| object.fields) else {
        return BTreeMap::new();
    };
    let read = |(name, value): (&String, &Value)| {
        let here = path.key(name);
        let destination = destination::read(name, value, &here, problems, zone, notes);
        (name.clone(), destination)
    };
    fields.iter().map(read).collect()
}

/// The elements of the array `key`, as far as they are right.
fn list<T>(
    object: &mut Object<'_, '_>,
    key: &str,
    mut read: impl FnMut(&Value, &Path<'_>, &mut Vec<Problem>) -> Option<T>,
) -> Vec<T> {
    let all = object.member(key, |value, path, problems| {
        let Some(values) = value.as_array() else {
            problems.push(path.problem(format!("{} is not an array", quote(value))));
            return Vec::new();
        };
        let each = values.iter().enumerate();
        each.filter_map(|(index, value)| read(value, &path.index(index), problems))
            .collect()
    });
    all.unwrap_or_default()
}

/// The strings of an array, or one string alone.
pub(super) fn strings(object: &mut Object<'_, '_>, key: &str) -> Vec<String> {
    if object.fields.get(key).is_some_and(Value::is_string) {
        return object
            .string(key)
            .map(|text| vec![text.to_owned()])
            .unwrap_or_default();
    }
    list(object, key, |value, path, problems| {
        if value.as_str().is_none() {
            problems.push(path.problem(format!("{} is not a string", quote(value))));
        }
        value.as_str().map(str::to_owned)
    })
}

/// A name out of `known`.
pub(super) fn one_of<'k>(object: &mut Object<'_, '_>, key: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = object.string(key)?;
    let found = known.iter().find(|known| **known == name);
    if found.is_none() {
        object.refuse(key, format!("{name:?} {}", unknown("value", name, known)));
    }
    found.copied()
}
