//! A JSON file that admins edit: read whole, with the lines on which its problems stand.

use super::error::{JsonFileError, Located};
use super::locator::line_of;
use super::problem::Problem;
use super::strict;
use crate::stamp::Stamp;
use serde_json::Value;
use std::path::Path;

/// A file that is JSON. Whether it says what can be is for others to check.
pub(crate) struct JsonFile {
    pub(crate) text: String,
    pub(crate) stamp: Stamp,
    pub(crate) value: Value,
}

impl JsonFile {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, JsonFileError> {
        let read = |source| JsonFileError::Read {
            path: path.to_owned(),
            source,
        };
        // Before the content: if the file changes in between, the stamp is too old and the file is read again.
        let stamp = Stamp::of(path).map_err(read)?;
        let text = std::fs::read_to_string(path).map_err(read)?;
        let value = strict::parse(without_mark(&text).as_bytes()).map_err(|error| JsonFileError::Syntax {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
            reason: reason(&error),
        })?;
        Ok(Self { text, stamp, value })
    }

    /// The error about what is wrong in it.
    pub(crate) fn invalid(&self, path: &Path, problems: Vec<Problem>) -> JsonFileError {
        let locate = |problem: Problem| Located {
            line: line_of(without_mark(&self.text), &problem.path),
            problem,
        };
        JsonFileError::Invalid {
            path: path.to_owned(),
            problems: problems.into_iter().map(locate).collect(),
        }
    }
}

/// Some editors put a byte order mark before UTF-8.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The parser's message without the place, which stands in front already.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message
        .rsplit_once(" at line ")
        .map_or(message.clone(), |(reason, _)| reason.to_owned())
}
