//! A service's claim on a data folder: one of each kind works with it, as two would send everything twice. Whoever
//! looks on sees by it whether the service runs.

use crate::private_file;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Who claims a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimant {
    /// The relay with its admin API, and all that `simrelay run` has beside it.
    Relay,
    /// The HTTP bridge.
    Bridge,
    /// The notifier.
    Notifier,
}

/// Why a data folder cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another one works with it.
    #[error(
        "another {} works with the data folder {}: stop it, or give this one a folder of its own with --data",
        claimant.name(), data.display()
    )]
    Taken {
        /// Of which kind.
        claimant: Claimant,
        /// The folder.
        data: PathBuf,
    },
    /// The file of the claim cannot be used.
    #[error(
        "cannot use {}: {source}; the data folder and what is in it have to be writable by the user that simrelay runs as, and not mounted read-only; or choose another with --data",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Held while a service works with a data folder; a process that ends lets go of it, however it ends.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

impl Claim {
    /// Claims the data folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`ClaimError`] says who is in the way, or what.
    pub fn take(data: &Path, claimant: Claimant) -> Result<Self, ClaimError> {
        let path = claimant.file(data);
        let file = private_file::create_folder(data).and_then(|()| private_file::append(&path));
        let lock = file.and_then(|file| Ok((is_locked(&file)?, file)));
        match lock {
            Ok((false, file)) => Ok(Self { _lock: file }),
            Ok((true, _)) => Err(ClaimError::Taken {
                claimant,
                data: data.to_owned(),
            }),
            Err(source) => Err(ClaimError::File { path, source }),
        }
    }
}

impl Claimant {
    fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Bridge => "bridge",
            Self::Notifier => "notifier",
        }
    }

    fn file(self, data: &Path) -> PathBuf {
        data.join(format!("{}.lock", self.name()))
    }

    /// Whether one of this kind works with the data folder now.
    ///
    /// # Errors
    /// This user may not know.
    pub fn is_at_work(self, data: &Path) -> io::Result<bool> {
        match File::open(self.file(data)) {
            Ok(file) => is_locked(&file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether somebody else has the lock; if not, it is this file's from now on, for as long as it is open.
fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_kind_works_with_a_folder_and_everybody_sees_whether_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let at_work = || Claimant::Notifier.is_at_work(data).unwrap();
        assert!(!at_work());
        assert_eq!(
            std::fs::read_dir(data).unwrap().count(),
            0,
            "a look leaves nothing"
        );
        let claim = Claim::take(data, Claimant::Notifier).unwrap();
        assert!(at_work());
        let second = Claim::take(data, Claimant::Notifier).unwrap_err().to_string();
        assert!(second.contains("another notifier works with"), "{second}");
        Claim::take(data, Claimant::Bridge).unwrap();
        Claim::take(data, Claimant::Relay).unwrap();
        drop(claim);
        assert!(!at_work());
        Claim::take(data, Claimant::Notifier).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_made_for_its_claimant() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let _claim = Claim::take(&data, Claimant::Relay).unwrap();
        let second = Claim::take(&data, Claimant::Relay).unwrap_err().to_string();
        assert!(second.contains("another relay works with"), "{second}");
        assert!(data.join("relay.lock").exists());
    }
}
