//! Fields of `notifications.json` that several of its objects have the like of.

use crate::json::{Object, Path, Problem, quote, unknown};
use jiff::tz::TimeZone;
use serde_json::Value;

/// The time zone of an object that may name one.
pub(super) fn zone(object: &mut Object<'_, '_>) -> Option<TimeZone> {
    object.parse("timeZone", |name| {
        TimeZone::get(name).map_err(|_| format!("{name:?} is not a time zone; an example is \"Asia/Tokyo\""))
    })
}

/// The elements of the array `key`, as far as they are right.
pub(super) fn list<T>(
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

/// What a name stands for, out of `known`.
pub(super) fn one_of<T: Copy>(object: &mut Object<'_, '_>, key: &str, known: &[(&str, T)]) -> Option<T> {
    object.parse(key, |name| {
        let found = known.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            format!("{name:?} {}", unknown("value", name, &known))
        })
    })
}
