//! Routes and alarms of `notifications.json`.

use super::field::{one_of, strings};
use super::{Collapse, Route, Sameness, SilenceAlarm, Watched};
use crate::json::{Object, Path, Problem, unknown};
use crate::notifier::template::{Subject, Template};
use crate::notifier::topic_filter::TopicFilter;
use serde_json::Value;
use std::time::Duration;

/// What a message becomes whose route has no template.
const USUAL: &str = "📢 *通知* ({{ time }})\n{{ message }}";
/// What is told of a silent topic if nothing else is said.
const USUAL_SILENCE: &str = "🔇 {{ topic }} が {{ minutes }} 分間沈黙しています";
/// The longest window and the longest silence: 30 days.
const LONGEST: u64 = 30 * 24 * 60 * 60;

pub(super) fn read_route(
    value: &Value,
    path: &Path<'_>,
    problems: &mut Vec<Problem>,
    destinations: &[&str],
) -> Option<Route> {
    let before = problems.len();
    let mut route = Object::new(value, path, problems)?;
    route.refuse_unknown(&[
        "name", "topics", "to", "template", "urgent", "retained", "collapse",
    ]);
    let name = route.string("name").map(str::to_owned);
    let topics = strings(&mut route, "topics");
    let filters = filters(&mut route, "topics", &topics);
    let to = recipients(&mut route, destinations);
    let template = template(&mut route, USUAL, Subject::Message);
    let urgent = route.boolean("urgent", false);
    let retained = route.boolean("retained", false);
    let collapse = route.member("collapse", read_collapse).flatten();
    if problems.len() > before {
        return None;
    }
    Some(Route {
        name: name.unwrap_or_else(|| topics.join(", ")),
        filters,
        to,
        template: template?,
        urgent,
        retained,
        collapse,
    })
}

pub(super) fn read_silence(
    value: &Value,
    path: &Path<'_>,
    problems: &mut Vec<Problem>,
    destinations: &[&str],
) -> Option<SilenceAlarm> {
    let before = problems.len();
    let mut alarm = Object::new(value, path, problems)?;
    alarm.refuse_unknown(&["name", "topic", "by", "minutes", "to", "template", "urgent"]);
    let name = alarm.string("name").map(str::to_owned);
    let filter = alarm.require("topic", TopicFilter::new);
    let by = one_of(
        &mut alarm,
        "by",
        &[("filter", Watched::Filter), ("topic", Watched::Topic)],
    );
    let minutes = alarm.whole_number("minutes", 1..=LONGEST / 60);
    if !alarm.fields.contains_key("minutes") {
        alarm.refuse(
            "minutes",
            "the field is missing: after how many minutes silence is an alarm",
        );
    }
    let to = recipients(&mut alarm, destinations);
    let template = template(&mut alarm, USUAL_SILENCE, Subject::Silence);
    let urgent = alarm.boolean("urgent", false);
    if problems.len() > before {
        return None;
    }
    let filter = filter?;
    Some(SilenceAlarm {
        name: name.unwrap_or_else(|| format!("silence of {filter}")),
        filter,
        by: by.unwrap_or(Watched::Filter),
        after: Duration::from_secs(minutes? * 60),
        to,
        template: template?,
        urgent,
    })
}

fn read_collapse(value: &Value, path: &Path<'_>, problems: &mut Vec<Problem>) -> Option<Collapse> {
    let mut collapse = Object::new(value, path, problems)?;
    collapse.refuse_unknown(&["seconds", "by"]);
    let seconds = collapse.whole_number("seconds", 1..=LONGEST);
    if !collapse.fields.contains_key("seconds") {
        collapse.refuse("seconds", "the field is missing: how long repeats are left out");
    }
    let by = one_of(
        &mut collapse,
        "by",
        &[("message", Sameness::Message), ("topic", Sameness::Topic)],
    );
    Some(Collapse {
        window: Duration::from_secs(seconds?),
        by: by.unwrap_or(Sameness::Message),
    })
}

fn filters(object: &mut Object<'_, '_>, key: &str, topics: &[String]) -> Vec<TopicFilter> {
    if topics.is_empty() {
        object.refuse(
            key,
            "there is no topic; an example is [\"notify/slack\", \"alert/#\"]",
        );
    }
    let mut filters = Vec::new();
    for topic in topics {
        filters.extend(object.parse_text(key, topic, TopicFilter::new));
    }
    filters
}

fn recipients(object: &mut Object<'_, '_>, destinations: &[&str]) -> Vec<String> {
    let mut to = strings(object, "to");
    if to.is_empty() {
        object.refuse(
            "to",
            format!("there is no destination; known are {}", destinations.join(", ")),
        );
    }
    for name in to.iter().filter(|name| !destinations.contains(&name.as_str())) {
        object.refuse(
            "to",
            format!("{name:?} {}", unknown("destination", name, destinations)),
        );
    }
    // Twice the same would be told twice.
    to.sort_unstable();
    to.dedup();
    to
}

fn template(object: &mut Object<'_, '_>, usual: &str, subject: Subject) -> Option<Template> {
    let text = object.string("template").unwrap_or(usual);
    if text.trim().is_empty() {
        object.refuse(
            "template",
            "the template is empty; leave it out for the usual text, as an empty one makes no message",
        );
        return None;
    }
    object.parse_text("template", text, |text| Template::new(text, subject))
}
