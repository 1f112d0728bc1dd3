//! Quiet hours of `notifications.json`.

use super::field::strings;
use crate::json::{Object, Path, Problem};
use crate::notifier::quiet_hours::QuietWindow;
use jiff::civil::{Time, Weekday};
use serde_json::Value;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

pub(super) fn quiet_windows(value: &Value, path: &Path<'_>, problems: &mut Vec<Problem>) -> Vec<QuietWindow> {
    let Some(values) = value.as_array() else {
        problems.push(path.problem(r#"give an array, as in [{"from": "22:00", "to": "07:00"}]"#));
        return Vec::new();
    };
    let each = values.iter().enumerate();
    each.filter_map(|(index, value)| quiet_window(value, &path.index(index), problems))
        .collect()
}

fn quiet_window(value: &Value, path: &Path<'_>, problems: &mut Vec<Problem>) -> Option<QuietWindow> {
    let mut window = Object::new(value, path, problems)?;
    window.refuse_unknown(&["days", "from", "to"]);
    let names = strings(&mut window, "days");
    let mut days = Vec::new();
    for name in &names {
        match DAYS.iter().find(|(known, _)| known == name) {
            Some((_, day)) => days.push(*day),
            None => {
                let known = DAYS.map(|(name, _)| name).join(", ");
                window.refuse("days", format!("{name:?} is not a day; days are {known}"));
            }
        }
    }
    let from = window.require("from", beginning);
    let to = window.require("to", clock);
    if names.is_empty() {
        days.extend(DAYS.map(|(_, day)| day));
    }
    Some(QuietWindow {
        days,
        from: from?,
        to: to?,
    })
}

/// A window begins on a day, and 24:00 is on the next.
fn beginning(text: &str) -> Result<Time, String> {
    if text == "24:00" {
        return Err(
            "\"24:00\" is the end of a day: write \"00:00\", and in days the day that begins then".to_owned(),
        );
    }
    clock(text)
}

/// `HH:MM`; 24:00 is the midnight at the end of a day.
fn clock(text: &str) -> Result<Time, String> {
    let wrong = || format!("{text:?} is not a time from 00:00 to 24:00");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let two = |digits: &str| digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !two(hour) || !two(minute) {
        return Err(wrong());
    }
    let hour = if text == "24:00" {
        0
    } else {
        hour.parse().map_err(|_| wrong())?
    };
    Time::new(hour, minute.parse().map_err(|_| wrong())?, 0, 0).map_err(|_| wrong())
}
