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
        let text = String::from_utf8(std::fs::read(path).map_err(read)?).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            JsonFileError::NotUtf8 {
                path: path.to_owned(),
                line: 1 + good.iter().filter(|byte| **byte == b'\n').count(),
            }
        })?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_another_encoding_is_told_with_its_first_line_of_that_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        let utf_16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        // 倉庫 in Shift_JIS, on the second line.
        let shift_jis = b"{\n  \"name\": \"\x91\x71\x8c\xc9\" }\n".to_vec();
        for (content, line) in [(utf_16, 1), (shift_jis, 2)] {
            std::fs::write(&path, content).unwrap();
            let refused = JsonFile::read(&path).err().unwrap().to_string();
            let expected = format!("f.json:{line}: this is not UTF-8: save the file as UTF-8");
            assert!(refused.ends_with(&expected), "{refused}");
        }
    }

    #[test]
    fn several_mistakes_are_one_line_in_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        std::fs::write(&path, "{\n\"a\": 1,\n\"b\": 2\n}").unwrap();
        let file = JsonFile::read(&path).unwrap();
        let root = super::super::Path::ROOT;
        let problems = ["a", "b"].map(|key| root.key(key).problem("wrong"));
        let told = file.invalid(Path::new("f.json"), problems.into()).on_one_line();
        assert_eq!(told, "f.json:2: a: wrong; f.json:3: b: wrong");
    }
}
