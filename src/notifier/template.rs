//! Templates of notifications: checked when they are loaded, and strict, so that a missing name is an error and
//! never a hole in a message.

mod vocabulary;

use crate::json::unknown;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, UndefinedBehavior};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;
use std::sync::OnceLock;

/// The work that a template may do for one message: about as many instructions, or 64 bytes of data each. It quotes
/// the longest message as JSON, which costs 300,000, and ends a loop without end after some ten milliseconds.
const MOST_WORK: u64 = 1_000_000;
/// The longest message that is told, in bytes: it is for people to read.
const LONGEST_MESSAGE: usize = 1024 * 1024;
/// The longest text, in bytes: the longest message twice.
const LONGEST: usize = 2 * LONGEST_MESSAGE;

/// What a destination makes of special characters in values. The template's own text is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Markup {
    /// Nothing is special.
    Plain,
    /// Slack's mrkdwn: `&`, `<` and `>` are escaped, so that a message cannot call `<!channel>`.
    Slack,
}

/// What a template may speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A message that was published.
    Message,
    /// A topic that has been silent.
    Silence,
    /// A notification that a mail or a webhook is made of.
    Notification,
}

impl Subject {
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Message => &[
                "message",
                "topic",
                "levels",
                "json",
                "time",
                "date",
                "timestamp",
                "route",
                "repeats",
            ],
            Self::Silence => &[
                "topic",
                "alarm",
                "minutes",
                "since",
                "broker",
                "time",
                "date",
                "timestamp",
            ],
            Self::Notification => &[
                "text",
                "line",
                "topic",
                "route",
                "id",
                "time",
                "date",
                "timestamp",
            ],
        }
    }
}

/// A template that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

/// Why a template cannot be used, or made nothing of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is no template.
    #[error("the template cannot be read: {0}")]
    Syntax(String),
    /// It speaks of what is never there.
    #[error("{name:?} in the template {advice}")]
    Unknown {
        /// The name.
        name: String,
        /// The nearest that is there.
        advice: String,
    },
    /// It speaks of what this message does not have, or does with it what cannot be done.
    #[error("the template made no text: {0}")]
    Render(String),
    /// The message is no text.
    #[error("the payload of {0} bytes is not UTF-8 text")]
    NotText(usize),
    /// The message is no notification for people to read.
    #[error("the payload of {0} bytes is longer than {LONGEST_MESSAGE}")]
    TooLong(usize),
}

impl TemplateError {
    /// What is to be done about a message of which no text was made.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NotText(_) => "whoever publishes it has to send UTF-8, or its topic has to be in no route",
            Self::TooLong(_) => {
                "whoever publishes it has to send less at once, or its topic has to be in no route"
            }
            Self::Syntax(_) | Self::Unknown { .. } | Self::Render(_) => {
                "correct the template and use `simrelay notifications requeue`"
            }
        }
    }
}

impl Template {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`], or [`TemplateError::Unknown`] for a name that `subject` does not have, or a filter or a
    /// test that is not there.
    pub fn new(text: &str, subject: Subject) -> Result<Self, TemplateError> {
        let environment = environment(Markup::Plain);
        let parsed = environment
            .template_from_named_str("template", text)
            .map_err(|error| TemplateError::Syntax(words(&error, text)))?;
        let mut names: Vec<_> = parsed.undeclared_variables(false).into_iter().collect();
        names.sort_unstable();
        let known = |name: &String| subject.names().contains(&name.as_str()) || is_function(name);
        if let Some(name) = names.into_iter().find(|name| !known(name)) {
            return Err(TemplateError::Unknown {
                advice: unknown("name", &name, subject.names()),
                name,
            });
        }
        vocabulary::check(text, environment)?;
        Ok(Self(text.to_owned()))
    }

    /// The text for these values.
    ///
    /// # Errors
    /// [`TemplateError::Render`].
    pub fn render(&self, values: &Values, markup: Markup) -> Result<String, TemplateError> {
        let context = Value::from_pairs(values.0.iter().map(|(name, value)| (*name, value.clone())));
        let failed = |error: Error| TemplateError::Render(words(&error, &self.0));
        let mut text = Text::default();
        environment(markup)
            .template_from_named_str("template", &self.0)
            .and_then(|template| template.render_captured_to(context, &mut text))
            .map_err(failed)?;
        String::from_utf8(text.0).map_err(|error| TemplateError::Render(error.to_string()))
    }
}

/// What a template has made, up to the longest.
#[derive(Default)]
struct Text(Vec<u8>);

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes one value, escaped, up to the longest: work is counted when it is written, and a small value can be
/// written long.
struct Escaped<'a, 'o> {
    out: &'a mut Output<'o>,
    escape: fn(&str) -> String,
    left: usize,
}

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let text = (self.escape)(text);
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.out.write_str(&text)
    }
}

/// The values that a template is given.
#[derive(Debug, Clone, Default)]
pub struct Values(BTreeMap<&'static str, Value>);

impl Values {
    /// With the moment, as it is on the clock of `zone`.
    #[must_use]
    pub fn at(moment: Timestamp, zone: &TimeZone) -> Self {
        let local = moment.to_zoned_datetime(zone.clone());
        Self::default()
            .with("time", local.strftime("%H:%M:%S").to_string())
            .with("date", local.strftime("%Y-%m-%d").to_string())
            .with("timestamp", local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    }

    /// With one value more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.insert(name, value.into());
        self
    }

    /// With what a message says.
    ///
    /// # Errors
    /// [`TemplateError::NotText`], [`TemplateError::TooLong`].
    pub fn with_message(self, topic: &str, payload: &[u8]) -> Result<Self, TemplateError> {
        if payload.len() > LONGEST_MESSAGE {
            return Err(TemplateError::TooLong(payload.len()));
        }
        let message = std::str::from_utf8(payload).map_err(|_| TemplateError::NotText(payload.len()))?;
        let levels: Vec<_> = topic.split('/').map(Value::from).collect();
        let values = self
            .with("message", message)
            .with("topic", topic)
            .with("levels", levels);
        // A name that is not there is an error in the template; text that is no JSON need not be.
        Ok(match serde_json::from_str::<serde_json::Value>(message) {
            Ok(json) => values.with("json", minijinja::value::Serde(json)),
            Err(_) => values,
        })
    }
}

/// Functions of the template language that look like names.
fn is_function(name: &str) -> bool {
    matches!(name, "range" | "dict" | "namespace")
}

fn environment(markup: Markup) -> &'static Environment<'static> {
    static PLAIN: OnceLock<Environment<'static>> = OnceLock::new();
    static SLACK: OnceLock<Environment<'static>> = OnceLock::new();
    match markup {
        Markup::Plain => PLAIN.get_or_init(|| strict(AutoEscape::None, str::to_owned)),
        // A text that was put together of parts, as by {% set %}, is safe as a whole: its values are escaped already.
        Markup::Slack => SLACK.get_or_init(|| strict(AutoEscape::Custom("slack".into()), escape_for_slack)),
    }
}

fn strict(mode: AutoEscape, escape: fn(&str) -> String) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(move |_| mode.clone());
    environment.set_debug(true);
    environment.set_fuel(Some(MOST_WORK));
    environment.set_formatter(move |out, _, value| {
        let escape = if value.is_safe() { str::to_owned } else { escape };
        let left = LONGEST;
        write!(Escaped { out, escape, left }, "{value}").map_err(Error::from)
    });
    environment
}

fn escape_for_slack(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// What went wrong, with the piece of the template and its line; never with what a message held.
fn words(error: &Error, source: &str) -> String {
    let kind = error.kind();
    let what = match (kind, error.detail()) {
        (ErrorKind::UndefinedError, _) => "there is no value for".to_owned(),
        (ErrorKind::OutOfFuel, _) => format!("it takes more than {MOST_WORK} steps"),
        (ErrorKind::WriteFailure, _) => format!("the text is longer than {LONGEST} bytes"),
        (_, Some(detail)) => detail.to_owned(),
        (_, None) => kind.to_string(),
    };
    let piece = error.range().and_then(|range| source.get(range));
    let piece = piece.map(|piece| format!(" {piece:?}")).unwrap_or_default();
    let line = error.line().map(|line| format!(", line {line} of the template"));
    format!("{what}{piece}{}", line.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(topic: &str, payload: &str) -> Values {
        let moment = "2026-11-23T05:03:09Z".parse().unwrap();
        Values::at(moment, &TimeZone::get("Asia/Tokyo").unwrap())
            .with_message(topic, payload.as_bytes())
            .unwrap()
    }

    fn made(template: &str, topic: &str, payload: &str) -> Result<String, TemplateError> {
        let template = Template::new(template, Subject::Message)?;
        template.render(&values(topic, payload), Markup::Plain)
    }

    #[test]
    fn a_message_that_is_no_text_is_for_its_sender_to_change_and_not_for_the_template() {
        let advice = |payload: &[u8]| {
            let values = Values::default().with_message("t", payload);
            values.unwrap_err().advice()
        };
        assert!(advice(b"\xff").contains("whoever publishes it has to send UTF-8"));
        assert!(advice(&vec![b'x'; LONGEST_MESSAGE + 1]).contains("has to send less"));
        let failed = made("{{ json.left }}", "t", "no JSON").unwrap_err();
        assert!(failed.advice().contains("correct the template"));
    }

    #[test]
    fn a_template_speaks_of_the_message_its_topic_its_json_and_the_time() {
        let json = r#"{"shelf":"A","left":5,"tags":["x","y"]}"#;
        let cases = [
            (
                "📢 *通知* ({{ time }})\n{{ message }}",
                "在庫",
                "📢 *通知* (14:03:09)\n在庫",
            ),
            (
                "{{ topic }} {{ levels[1] }} {{ levels|length }}",
                "x",
                "stock/low low 2",
            ),
            (
                "{{ json.shelf }}棚 {{ json.left }}個 {{ json.tags[1] }}",
                json,
                "A棚 5個 y",
            ),
            (
                "{{ date }} {{ timestamp }}",
                "x",
                "2026-11-23 2026-11-23T14:03:09+09:00",
            ),
            ("{% if json.left < 10 %}low{% endif %}", json, "low"),
            ("{{ json.unit | default('個') }}", json, "個"),
        ];
        for (template, payload, expected) in cases {
            assert_eq!(
                made(template, "stock/low", payload).as_deref(),
                Ok(expected),
                "{template}"
            );
        }
    }

    #[test]
    fn a_name_that_is_never_there_is_refused_when_the_template_is_loaded() {
        let error = Template::new("{{ mesage }}", Subject::Message)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("\"mesage\"") && error.contains("did you mean \"message\"?"),
            "{error}"
        );
        assert!(Template::new("{{ message }}", Subject::Silence).is_err());
        let error = Template::new("a\n{{ message", Subject::Message)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("cannot be read") && error.contains("line 2"),
            "{error}"
        );
    }

    #[test]
    fn a_field_that_this_message_lacks_is_an_error_that_names_it_and_shows_no_payload() {
        for (payload, piece) in [
            (r#"{"secret":"s3cr3t"}"#, "json.left"),
            ("s3cr3t, no JSON", "json"),
        ] {
            let error = made("{{ json.left }}", "t", payload).unwrap_err().to_string();
            assert!(error.contains(piece) && error.contains("line 1"), "{error}");
            assert!(!error.contains("s3cr3t"), "{error}");
        }
        assert!(made("{{ json.a + 1 }}", "t", r#"{"a":"s3cr3t"}"#).is_err());
        assert_eq!(
            Values::default().with_message("t", &[0xff]).unwrap_err(),
            TemplateError::NotText(1)
        );
    }

    #[test]
    fn for_slack_values_are_escaped_and_the_template_is_not() {
        let template = Template::new("<!here> {{ message }} {{ message|safe }}", Subject::Message).unwrap();
        let text = template.render(&values("t", "a<b>&c"), Markup::Slack).unwrap();
        assert_eq!(text, "<!here> a&lt;b&gt;&amp;c a<b>&c");
    }

    #[test]
    fn for_slack_what_is_put_together_of_parts_is_escaped_once_and_its_own_text_is_not() {
        for (template, expected) in [
            (
                "{% set x %}<!here> {{ message }}{% endset %}{{ x }}",
                "<!here> a&lt;b&gt;&amp;c",
            ),
            (
                "{% filter trim %} <!here> {{ message }} {% endfilter %}",
                "<!here> a&lt;b&gt;&amp;c",
            ),
            (
                "{% set x %}<{{ message }}{% endset %}{{ x ~ message }}",
                "<a&lt;b&gt;&amp;ca&lt;b&gt;&amp;c",
            ),
            ("{{ [message, '<']|join('>') }}", "a&lt;b&gt;&amp;c&gt;&lt;"),
            ("{{ message|replace('a', '<') }}", "&lt;&lt;b&gt;&amp;c"),
            ("{{ message|e }}", "a&lt;b&gt;&amp;c"),
        ] {
            let made = Template::new(template, Subject::Message).unwrap();
            let text = made.render(&values("t", "a<b>&c"), Markup::Slack).unwrap();
            assert_eq!(text, expected, "{template}");
        }
    }

    #[test]
    fn a_filter_or_a_test_that_is_not_there_is_refused_when_the_template_is_loaded() {
        for (template, words) in [
            (
                "{{ message|defualt('x') }}",
                "\"defualt\" in the template is not a known filter; did you mean \"default\"?",
            ),
            (
                "{% if false %}{{ message|urlencode }}{% endif %}",
                "is not a known filter; known are abs, attr,",
            ),
            ("{% filter uper %}x{% endfilter %}", "did you mean \"upper\"?"),
            (
                "{% if json is not defind %}x{% endif %}",
                "is not a known test; did you mean \"defined\"?",
            ),
            ("{{ rnage(3) }}", "\"rnage\" in the template is not a known name"),
        ] {
            let error = Template::new(template, Subject::Message).unwrap_err().to_string();
            assert!(error.contains(words), "{template}: {error}");
        }
    }

    #[test]
    fn a_template_that_does_not_end_or_makes_too_much_of_a_message_is_stopped() {
        let endless = "{% for a in range(100000) %}{% for b in range(100000) %}{% for c in range(100000) %}\
                       {% endfor %}{% endfor %}{% endfor %}";
        let wide = "{% set a = [message] * 1000 %}{% set b = [a] * 1000 %}{% set c = [b] * 1000 %}{{ c }}";
        let captured = "{% set x %}{% for n in range(99999) %}{{ message }}{% endfor %}{% endset %}";
        let (number, long) = ("{\"n\":99999,\n\"x\":\"some more\"}", "x".repeat(300_000));
        for (template, payload, word) in [
            (endless, "x", "1000000 steps"),
            (captured, &long, "1000000 steps"),
            ("{{ message|indent(json.n * 9999) }}", number, "1000000 steps"),
            ("{{ message|indent(json.n * 50) }}", number, "2097152 bytes"),
            (
                "{% for n in range(json.n) %}{{ message }}{% endfor %}",
                number,
                "2097152 bytes",
            ),
            (
                "{% for n in range(9) %}{{ message }}{% endfor %}",
                &long,
                "2097152 bytes",
            ),
            (wide, "x", "2097152 bytes"),
        ] {
            let error = made(template, "t", payload).map(|text| text.len()).unwrap_err();
            assert!(error.to_string().contains(word), "{template}: {error}");
        }
    }

    #[test]
    fn the_longest_message_is_told_even_quoted_and_a_longer_one_is_not() {
        let longest = "\"在庫\\ ".repeat(LONGEST_MESSAGE / 9);
        assert_eq!(made("{{ message }}", "t", &longest).as_ref(), Ok(&longest));
        let quoted = made("{{ message|tojson }}", "t", &longest).unwrap();
        assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), longest);
        let (longest, longer) = (vec![b'x'; LONGEST_MESSAGE], vec![b'x'; LONGEST_MESSAGE + 1]);
        assert!(Values::default().with_message("t", &longest).is_ok());
        let error = Values::default().with_message("t", &longer).unwrap_err();
        assert_eq!(error, TemplateError::TooLong(LONGEST_MESSAGE + 1));
    }
}
