//! What can go wrong with the files of the data directory that say who may call.

use std::io;
use std::path::{Path, PathBuf};

/// A file of the data directory can neither be used nor made.
#[derive(Debug, thiserror::Error)]
pub enum AuthFileError {
    /// The file system refused.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file or its folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} holds {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do. Does not quote the file, which holds secrets.
        reason: String,
    },
}

impl AuthFileError {
    /// For `map_err`: what the file system says about `path`.
    pub(super) fn file(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
