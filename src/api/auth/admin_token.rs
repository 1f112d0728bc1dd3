//! The admin token: made on the first start, kept in a file that only its owner reads.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::file_error::AuthFileError;
use crate::private_file;

/// The file in the data directory.
const FILE: &str = "admin-token";

/// 256 bits cannot be guessed.
const RANDOM_BYTES: usize = 32;

/// The fewest characters of a token that an admin wrote into the file.
const SHORTEST: usize = 16;

/// The secret that callers of the admin API show. Not shown by `Debug`, wiped from memory.
pub struct AdminToken(Zeroizing<String>);

impl AdminToken {
    /// Reads the token of the data directory `data`, or makes both.
    ///
    /// # Errors
    /// Names the file and the reason.
    pub fn load_or_create(data: &Path) -> Result<Self, AuthFileError> {
        let path = Self::path(data);
        private_file::create_folder(data).map_err(AuthFileError::file(data))?;
        let text = private_file::read_or_create(&path, || {
            let token = private_file::random_hex::<RANDOM_BYTES>()?;
            Ok(Zeroizing::new(format!("{}\n", *token)))
        })
        .map_err(AuthFileError::file(&path))?;
        warn_if_public(&path);
        Self::checked(text.trim()).ok_or_else(|| {
            let reason = format!(
                "no token: at least {SHORTEST} printable ASCII characters; delete it and start again to get a new one"
            );
            AuthFileError::malformed(&path, reason)
        })
    }

    /// Where the token of the data directory `data` is kept.
    #[must_use]
    pub fn path(data: &Path) -> PathBuf {
        data.join(FILE)
    }

    /// Whether `shown` is the token, found out in constant time.
    #[must_use]
    pub fn matches(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }

    fn checked(text: &str) -> Option<Self> {
        let printable = text.len() >= SHORTEST && text.bytes().all(|b| b.is_ascii_graphic());
        printable.then(|| Self(Zeroizing::new(text.to_owned())))
    }
}

fn warn_if_public(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "mode {mode:o} lets other users read the admin token; chmod 600 it");
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_first_start_makes_a_token_that_the_next_one_finds() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/data");
        AdminToken::load_or_create(&data).unwrap();
        let path = AdminToken::path(&data);
        assert_eq!((mode(&data), mode(&path)), (0o700, 0o600));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim().len(), 64);
        let again = AdminToken::load_or_create(&data).unwrap();
        assert!(again.matches(text.trim()));
        for wrong in ["", "x", &text, &text[1..64]] {
            assert!(!again.matches(wrong), "{wrong:?}");
        }
        assert_eq!(format!("{again:?}"), "AdminToken(***)");
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    }

    #[test]
    fn a_token_of_the_admins_own_is_taken_and_an_empty_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(AdminToken::path(folder.path()), "  my-own-long-token\n").unwrap();
        assert!(
            AdminToken::load_or_create(folder.path())
                .unwrap()
                .matches("my-own-long-token")
        );
        for bad in ["", "\n", "short", "with a blank inside it"] {
            fs::write(AdminToken::path(folder.path()), bad).unwrap();
            let error = AdminToken::load_or_create(folder.path()).unwrap_err().to_string();
            assert!(error.contains("admin-token holds no token"), "{error}");
        }
    }
}
