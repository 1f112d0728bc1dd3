//! Log lines as JSON. A connection costs two of them, and tracing-subscriber's own form of the same lines took more
//! time than everything else that the relay does for a connection.

use super::is_of_log_crate;
use std::cell::RefCell;
use std::fmt::{self, Debug, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Which bytes a JSON string may not hold as they are (RFC 8259, section 7). A table, as most texts are so short that
/// comparing many bytes at once does not pay.
const ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut byte = 0;
    while byte < b' ' {
        escaped[byte as usize] = true;
        byte += 1;
    }
    escaped[b'"' as usize] = true;
    escaped[b'\\' as usize] = true;
    escaped
};

thread_local! {
    static LINE: RefCell<Line> = RefCell::default();
}

/// One object a line: `timestamp`, `level`, then the event's fields in their order.
#[derive(Debug)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => writer.write_str(line.of(event)?),
            // A value that logs while it is being logged.
            Err(_) => writer.write_str(Line::default().of(event)?),
        })
    }
}

/// The line that is being written, with memory that the next one uses again.
#[derive(Default)]
struct Line {
    json: Vec<u8>,
    /// The second of the latest line, and how it is written.
    second: (u64, String),
}

impl Line {
    fn of(&mut self, event: &Event<'_>) -> Result<&str, fmt::Error> {
        self.json.clear();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.turn_to(now.as_secs());
        self.json.extend_from_slice(br#"{"timestamp":""#);
        self.json.extend_from_slice(self.second.1.as_bytes());
        self.json.push(b'.');
        self.json.extend_from_slice(&six_digits(now.subsec_micros()));
        self.json.extend_from_slice(br#"Z","level":""#);
        self.json
            .extend_from_slice(event.metadata().level().as_str().as_bytes());
        self.json.push(b'"');
        event.record(self);
        self.json.extend_from_slice(b"}\n");
        std::str::from_utf8(&self.json).map_err(|_| fmt::Error)
    }

    fn turn_to(&mut self, second: u64) {
        if self.second.0 == second && !self.second.1.is_empty() {
            return;
        }
        let time = jiff::Timestamp::from_second(second as i64).unwrap_or_default();
        self.second = (second, time.strftime("%Y-%m-%dT%H:%M:%S").to_string());
    }

    /// A field, its value written by `write`.
    fn field(&mut self, field: &Field, write: impl FnOnce(&mut Self)) {
        if is_of_log_crate(field) {
            return;
        }
        let name = field.name();
        self.json.extend_from_slice(b",\"");
        // It stands in the source, as a word.
        self.json
            .extend_from_slice(name.strip_prefix("r#").unwrap_or(name).as_bytes());
        self.json.extend_from_slice(b"\":");
        write(self);
    }

    fn text(&mut self, text: &str) {
        self.json.push(b'"');
        self.escaped(text);
        self.json.push(b'"');
    }

    /// Nearly all text is fit to be in a JSON string as it is.
    fn escaped(&mut self, text: &str) {
        if !text.bytes().any(|byte| ESCAPED[usize::from(byte)]) {
            self.json.extend_from_slice(text.as_bytes());
        } else if let Ok(quoted) = serde_json::to_string(text) {
            self.json
                .extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
        }
    }

    /// Writing into memory does not fail.
    fn value<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        let _ = serde_json::to_writer(&mut self.json, value);
    }
}

fn six_digits(mut number: u32) -> [u8; 6] {
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
}

/// What is written becomes part of a JSON string.
struct Escaped<'a>(&'a mut Line);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.escaped(text);
        Ok(())
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, |line| {
            line.json.push(b'"');
            let _ = write!(Escaped(line), "{value:?}");
            line.json.push(b'"');
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, |line| line.text(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, |line| line.value(&value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, |line| line.value(&value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field, |line| line.value(&value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, |line| line.value(&value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::written::Written;
    use serde_json::Value;
    use std::io;

    /// What is written of these events, line by line.
    fn lines(subscriber: impl Subscriber + Send + Sync, written: &Written) -> Vec<Value> {
        struct LogsItself;
        impl fmt::Display for LogsItself {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                tracing::warn!("from within");
                f.write_str("without")
            }
        }
        tracing::subscriber::with_default(subscriber, || {
            let (none, some): (Option<&str>, _) = (None, Some("東京 \"quoted\"\\ \u{1} \n"));
            tracing::info!(
                event = "one",
                none,
                some,
                number = 7,
                less = -7_i64,
                part = 0.25,
                "words {}",
                1
            );
            tracing::error!(r#type = true, debug = ?vec!["a\"b"], shown = %"c\td", nan = f64::NAN);
            tracing::debug!(
                large = u64::MAX,
                larger = i128::MIN,
                error = &io::Error::other("odd") as &(dyn std::error::Error + 'static)
            );
            tracing::info!(itself = %LogsItself, "{}", "x".repeat(5000));
        });
        let text = written.text();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn lines_say_what_tracing_subscriber_would_say() {
        let (ours, theirs) = (Written::default(), Written::default());
        let all = || {
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_target(false)
        };
        let ours = lines(all().with_writer(ours.clone()).event_format(Json).finish(), &ours);
        let json = all().with_writer(theirs.clone()).json().flatten_event(true);
        let theirs = lines(
            json.with_current_span(false).with_span_list(false).finish(),
            &theirs,
        );
        assert_eq!((ours.len(), theirs.len()), (4, 4));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let mut ours = ours.clone();
            let shape = |line: &Value| {
                line["timestamp"]
                    .as_str()
                    .unwrap()
                    .replace(|c: char| c.is_ascii_digit(), "0")
            };
            assert_eq!(shape(&ours), "0000-00-00T00:00:00.000000Z");
            assert_eq!(shape(&ours), shape(theirs));
            ours["timestamp"] = theirs["timestamp"].clone();
            assert_eq!(&ours, theirs);
        }
    }

    #[test]
    fn where_in_a_librarys_source_a_line_is_from_is_left_out() {
        let written = Written::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(written.clone())
            .event_format(Json)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(
                log.target = "a",
                log.file = "/src/a.rs",
                log.line = 7,
                reason = "told",
                "words"
            );
        });
        let line: Value = serde_json::from_str(&written.text()).unwrap();
        let names: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["timestamp", "level", "message", "reason"]);
    }

    #[test]
    fn every_character_is_escaped_as_serde_would() {
        let mut line = Line::default();
        for character in (0..=255_u8).map(char::from).chain(['東']) {
            let text = format!("a{character}b");
            line.json.clear();
            line.text(&text);
            assert_eq!(line.json, serde_json::to_vec(&text).unwrap(), "{character:?}");
        }
    }

    #[test]
    fn a_part_of_a_second_is_written_in_full() {
        for (micros, written) in [
            (0, b"000000"),
            (7, b"000007"),
            (120_304, b"120304"),
            (999_999, b"999999"),
        ] {
            assert_eq!(&six_digits(micros), written);
        }
    }

    #[test]
    fn a_second_is_written_as_it_is() {
        let mut line = Line::default();
        for (second, written) in [(0, "1970-01-01T00:00:00"), (1_790_000_000, "2026-09-21T14:13:20")] {
            line.turn_to(second);
            assert_eq!(line.second.1, written);
        }
    }
}
