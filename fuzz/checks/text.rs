//! What admins write, and messages in templates.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use simrelay::entrypoint::EntryPoint;
use simrelay::notifier::template::{Markup, Subject, Template, Values};

/// The value of an entry point: taken or refused, and every problem says where it is.
pub fn entry_point(data: &[u8]) {
    let Ok(value) = serde_json::from_slice(data) else {
        return;
    };
    if let Err(problems) = EntryPoint::from_value(&value) {
        assert!(!problems.is_empty());
        assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
    }
}

/// Before the first zero byte the text of a template, behind it the payload of a message.
pub fn template(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (text, payload) = data.split_at(at);
    let text = String::from_utf8_lossy(text);
    let values = Values::at(Timestamp::UNIX_EPOCH, &TimeZone::UTC);
    let values = values.with_message("sensors/1/temp", payload);
    // A template is an admin's, who may have it loop; what is fuzzed is what others send into it.
    let _ = Template::new(&text, Subject::Message);
    let Ok(values) = values else { return };
    for fixed in [
        "{{ message }}",
        "{{ topic }}: {{ json.a.b[0] | default('-') }}",
        "{{ json | tojson }} {{ message | length }}",
    ] {
        let template = Template::new(fixed, Subject::Message).expect("a template");
        for markup in [Markup::Plain, Markup::Slack] {
            let _ = template.render(&values, markup);
        }
    }
}
