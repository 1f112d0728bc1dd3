//! The fields of a log line for people. A value may have come from anybody: it neither begins a line of its own nor
//! speaks to the terminal, whereas tracing-subscriber's own form escapes only some characters, and of the message only.

use super::is_of_log_crate;
use crate::printable::PrintableWriter;
use std::fmt::{self, Debug, Write as _};
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// The message, then `name=value`, as tracing-subscriber writes them.
#[derive(Debug)]
pub(super) struct Human;

impl<'w> FormatFields<'w> for Human {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line {
            writer,
            is_empty: true,
            written: Ok(()),
        };
        fields.record(&mut line);
        line.written
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    is_empty: bool,
    written: fmt::Result,
}

impl Line<'_> {
    fn put(&mut self, name: &str, value: &dyn Debug) -> fmt::Result {
        if !self.is_empty {
            self.writer.write_char(' ')?;
        }
        self.is_empty = false;
        if name != "message" {
            let name = name.strip_prefix("r#").unwrap_or(name);
            match self.writer.has_ansi_escapes() {
                // Italic, then dimmed.
                true => write!(self.writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?,
                false => write!(self.writer, "{name}=")?,
            }
        }
        write!(PrintableWriter(&mut self.writer), "{value:?}")
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.written.is_ok() && !is_of_log_crate(field) {
            self.written = self.put(field.name(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::written::Written;

    fn line(with_ansi: bool) -> String {
        let written = Written::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(written.clone())
            .with_target(false)
            .without_time()
            .with_ansi(with_ansi)
            .fmt_fields(Human)
            .finish();
        let hostile = "a\nFAKE 2026 INFO admin logged in \u{1b}[31mred\u{9b}2J\r";
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(
                event = "refused",
                reason = %hostile,
                debug = ?hostile,
                text = hostile,
                r#type = 7,
                log.file = "/src/a.rs",
                log.line = 7,
                "told: {hostile}"
            );
        });
        written.text()
    }

    #[test]
    fn no_value_begins_a_line_or_speaks_to_the_terminal() {
        let line = line(false);
        assert_eq!(line.lines().count(), 1, "{line:?}");
        let body = line.strip_suffix('\n').unwrap();
        assert!(!body.contains(char::is_control), "{line:?}");
        let escaped = "a\\nFAKE 2026 INFO admin logged in \\u{1b}[31mred\\u{9b}2J\\r";
        assert_eq!(
            body.trim_start(),
            format!(
                "WARN told: {escaped} event=\"refused\" reason={escaped} debug=\"{escaped}\" text=\"{escaped}\" type=7"
            )
        );
    }

    #[test]
    fn on_a_terminal_names_stand_out_and_values_still_say_nothing_to_it() {
        let line = line(true);
        assert!(
            line.contains("\u{1b}[3mevent\u{1b}[0m\u{1b}[2m=\u{1b}[0m\"refused\""),
            "{line:?}"
        );
        assert!(
            !line.contains("\u{1b}[31m") && !line.contains('\u{9b}'),
            "{line:?}"
        );
    }
}
