//! Why a JSON file cannot be used, in words for the admin who edits it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::problem::Problem;

/// How many problems an error prints; the first ones are the cause of the rest more often than not.
pub(crate) const PRINTED: usize = 20;

/// A problem and the line on which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong, and where inside the document.
    pub problem: Problem,
}

/// A JSON file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JsonFileError {
    /// It is not there, or may not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is text of another encoding, or none.
    #[error("{}:{line}: this is not UTF-8: save the file as UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first line that is not, counted from 1.
        line: usize,
    },
    /// It is not JSON, or has a key twice.
    #[error("{}:{}:{}: not usable JSON: {reason}", path.display(), line, column)]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
        /// What the parser expected.
        reason: String,
    },
    /// It is JSON, but says what cannot be.
    #[error("{}", Listing(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong, in the order of the file.
        problems: Vec<Located>,
    },
}

impl JsonFileError {
    /// The same on one line, for logs.
    pub(crate) fn on_one_line(&self) -> String {
        self.to_string().replace('\n', "; ")
    }
}

struct Listing<'a>(&'a PathBuf, &'a [Located]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(path, problems) = self;
        for (number, Located { line, problem }) in problems.iter().take(PRINTED).enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{line}: {problem}", path.display())?;
        }
        match problems.len().saturating_sub(PRINTED) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}
