//! The JSON of `notifications.json` becomes [`Notifications`], or a list of all that is wrong.

use super::field::{list, zone};
use super::{Destination, Notifications, destination, route};
use crate::json::{Object, Path, Problem};
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
