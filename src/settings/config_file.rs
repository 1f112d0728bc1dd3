//! A file that admins edit: one that they named, or the usual one.

use std::path::{Path, PathBuf};

/// Where a configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigFile {
    /// Where an admin says it is.
    Named(PathBuf),
    /// Where it is unless somebody says otherwise.
    Usual(PathBuf),
}

impl ConfigFile {
    /// The file that was named, else the `usual` one.
    pub(super) fn new(named: Option<&PathBuf>, usual: &str) -> Self {
        match named {
            Some(path) => Self::Named(path.clone()),
            None => Self::Usual(PathBuf::from(usual)),
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        let (Self::Named(path) | Self::Usual(path)) = self;
        path
    }

    /// Whether a first run has yet to write it: it is not there, and nobody named it.
    #[must_use]
    pub fn awaits_first_run(&self) -> bool {
        match self {
            Self::Named(_) => false,
            Self::Usual(path) => !path.exists(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_usual_file_that_is_not_there_awaits_the_first_run() {
        let folder = tempfile::tempdir().unwrap();
        let usual = folder.path().join("a.json");
        let usual = usual.to_str().unwrap();
        let named = folder.path().join("b.json");
        assert!(ConfigFile::new(None, usual).awaits_first_run());
        assert!(!ConfigFile::new(Some(&named), usual).awaits_first_run());
        assert_eq!(ConfigFile::new(Some(&named), usual).path(), named);
        std::fs::write(usual, "{}").unwrap();
        assert!(!ConfigFile::new(None, usual).awaits_first_run());
    }
}
