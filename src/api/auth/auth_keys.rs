//! Auth keys: what a person or a program logs in with. Only hashes are kept, in a file that the command line
//! and the server both change while both run.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::file_error::AuthFileError;
use crate::clock::now_seconds;
use crate::private_file;
use crate::stamp::Stamp;

/// Verified instead of the hash of a key that is not there, so that the answer takes as long.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// How long who changes the keys may keep others waiting: a write or two of a slow disk.
const LOCK_TIME: Duration = Duration::from_secs(2);

/// How often is looked whether it is still held.
const LOCK_POLL: Duration = Duration::from_millis(10);

/// A key as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthKey {
    /// `keyId-…`
    pub auth_key_id: String,
    /// Argon2 in PHC form.
    hash: String,
    /// When it was made, in seconds since 1970.
    pub create_date_time: i64,
    /// When it was last logged in with, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_date_time: Option<i64>,
}

impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuthKey").field(&self.auth_key_id).finish()
    }
}

/// A key that was just made; the only moment at which its secret can be seen.
pub struct NewAuthKey {
    /// `keyId-…`
    pub auth_key_id: String,
    /// `secret-…`
    pub auth_key: Zeroizing<String>,
}

impl fmt::Debug for NewAuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NewAuthKey")
            .field(&self.auth_key_id)
            .finish_non_exhaustive()
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    auth_keys: Vec<AuthKey>,
}

/// The keys as they were last read.
#[derive(Debug, Default)]
struct Seen {
    /// `None` while there is no file.
    stamp: Option<Stamp>,
    keys: Arc<[AuthKey]>,
}

/// The keys of a data directory. Every method blocks, on a small file at most.
#[derive(Debug)]
pub struct AuthKeys {
    path: PathBuf,
    seen: Mutex<Seen>,
}

impl AuthKeys {
    /// The keys of the data directory `data`, which is made if it is not there.
    ///
    /// # Errors
    /// The file is there but cannot be used.
    pub fn open(data: &Path) -> Result<Self, AuthFileError> {
        private_file::create_folder(data).map_err(AuthFileError::file(data))?;
        let path = data.join("auth-keys.json");
        let seen = Mutex::new(read(&path)?);
        Ok(Self { path, seen })
    }

    /// The keys now. A broken edit by hand is logged once; the keys of before stay in force.
    #[must_use]
    pub fn list(&self) -> Arc<[AuthKey]> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&self.path).ok();
        if stamp != seen.stamp {
            match read(&self.path) {
                Ok(new) => *seen = new,
                Err(error) => {
                    tracing::error!("auth keys refused, the old ones stay in force: {error}");
                    seen.stamp = stamp;
                }
            }
        }
        Arc::clone(&seen.keys)
    }

    /// Whether there is a key with this id.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.list().iter().any(|key| key.auth_key_id == id)
    }

    /// Makes a key.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn create(&self) -> Result<NewAuthKey, AuthFileError> {
        let random = || private_file::random_hex::<32>().map_err(AuthFileError::file(&self.path));
        let new = NewAuthKey {
            auth_key_id: format!("keyId-{}", uuid::Uuid::new_v4()),
            auth_key: Zeroizing::new(format!("secret-{}", *random()?)),
        };
        let hash = Argon2::default()
            .hash_password(new.auth_key.as_bytes())
            .map_err(|error| AuthFileError::file(&self.path)(io::Error::other(error.to_string())))?;
        let key = AuthKey {
            auth_key_id: new.auth_key_id.clone(),
            hash: hash.to_string(),
            create_date_time: now_seconds(),
            last_used_date_time: None,
        };
        self.change(|keys| keys.push(key))?;
        Ok(new)
    }

    /// Deletes a key. Returns whether it was there.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn delete(&self, id: &str) -> Result<bool, AuthFileError> {
        self.change(|keys| {
            let before = keys.len();
            keys.retain(|key| key.auth_key_id != id);
            keys.len() < before
        })
    }

    /// Whether `secret` is that of the key `id`. Takes as long for an id that is not there.
    pub(super) fn verify(&self, id: &str, secret: &str) -> bool {
        let keys = self.list();
        let known = keys.iter().find(|key| key.auth_key_id == id);
        let hash = known.map_or(NOBODY, |key| key.hash.as_str());
        let right = PasswordHash::new(hash).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(secret.as_bytes(), &hash)
                .is_ok()
        });
        known.is_some() && right
    }

    /// Notes that a key was logged in with. That this cannot be written is no reason to refuse the login.
    pub(super) fn note_use(&self, id: &str) {
        let now = now_seconds();
        let noted = self.change(|keys| {
            let used = keys.iter_mut().find(|key| key.auth_key_id == id);
            used.into_iter()
                .for_each(|key| key.last_used_date_time = Some(now));
        });
        if let Err(error) = noted {
            tracing::warn!("the last use of an auth key is not noted: {error}");
        }
    }

    /// Changes the file as it is on disk, one process at a time.
    fn change<T>(&self, edit: impl FnOnce(&mut Vec<AuthKey>) -> T) -> Result<T, AuthFileError> {
        let lock_path = self.path.with_extension("lock");
        let _lock = lock(&lock_path).map_err(AuthFileError::file(&lock_path))?;
        let mut keys = read(&self.path)?.keys.to_vec();
        let result = edit(&mut keys);
        let failed = AuthFileError::file(&self.path);
        let mut text = serde_json::to_string_pretty(&Document { auth_keys: keys })
            .map_err(|error| failed(error.into()))?;
        text.push('\n');
        private_file::replace(&self.path, text.as_bytes()).map_err(failed)?;
        Ok(result)
    }
}

/// Held until it is dropped, or its process dies. Not waited for without end, as its process may be stopped.
fn lock(path: &Path) -> io::Result<File> {
    let file = private_file::append(path)?;
    let deadline = Instant::now() + LOCK_TIME;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => {
                let reason = "another process holds it; is a `simrelay auth-key` stopped?";
                return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn read(path: &Path) -> Result<Seen, AuthFileError> {
    // Before the content: if the file changes in between, it is read again.
    let stamp = Stamp::of(path).ok();
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seen::default()),
        Err(error) => return Err(AuthFileError::file(path)(error)),
    };
    let document: Document = serde_json::from_slice(&text).map_err(|error| {
        // Only the place: the message may quote a hash.
        let (line, column) = (error.line(), error.column());
        let reason = format!(
            "no auth keys: line {line} column {column} is not what simrelay wrote; correct the file, or delete it and make new keys"
        );
        AuthFileError::malformed(path, reason)
    })?;
    Ok(Seen {
        stamp,
        keys: document.auth_keys.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_made_by_one_is_known_to_the_other_at_once_and_so_is_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let (server, command) = (
            AuthKeys::open(folder.path()).unwrap(),
            AuthKeys::open(folder.path()).unwrap(),
        );
        let key = command.create().unwrap();
        assert!(key.auth_key_id.starts_with("keyId-") && key.auth_key.starts_with("secret-"));
        assert!(server.verify(&key.auth_key_id, &key.auth_key));
        assert!(!server.verify(&key.auth_key_id, "secret-"));
        assert!(!server.verify("keyId-nobody", &key.auth_key));
        server.note_use(&key.auth_key_id);
        assert!(command.list()[0].last_used_date_time.is_some());
        let path = folder.path().join("auth-keys.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("$argon2id$") && !text.contains(key.auth_key.as_str()));
        assert!(!format!("{key:?} {server:?}").contains("secret-"));
        assert!(command.delete(&key.auth_key_id).unwrap());
        assert!(!command.delete(&key.auth_key_id).unwrap());
        assert!(!server.verify(&key.auth_key_id, &key.auth_key));
    }

    #[test]
    fn a_broken_edit_changes_nothing_and_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let keys = AuthKeys::open(folder.path()).unwrap();
        let key = keys.create().unwrap();
        assert!(keys.verify(&key.auth_key_id, &key.auth_key));
        fs::write(folder.path().join("auth-keys.json"), "{").unwrap();
        assert!(keys.verify(&key.auth_key_id, &key.auth_key));
        assert!(keys.create().is_err());
        assert!(AuthKeys::open(folder.path()).is_err());
    }

    #[test]
    fn the_hash_of_nobody_costs_what_a_real_one_costs() {
        let real = Argon2::default().hash_password(b"x").unwrap().to_string();
        let cost = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(cost(&real), cost(NOBODY));
        assert!(PasswordHash::new(NOBODY).is_ok() && real.len() == NOBODY.len());
    }

    #[test]
    fn keys_made_at_once_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| AuthKeys::open(folder.path()).unwrap().create().unwrap());
            }
        });
        assert_eq!(AuthKeys::open(folder.path()).unwrap().list().len(), 4);
    }

    #[test]
    fn a_command_that_was_stopped_with_the_keys_in_its_hands_does_not_hold_up_a_login_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let keys = AuthKeys::open(folder.path()).unwrap();
        let key = keys.create().unwrap();
        let stopped = lock(&folder.path().join("auth-keys.lock")).unwrap();
        keys.note_use(&key.auth_key_id);
        assert!(keys.verify(&key.auth_key_id, &key.auth_key));
        let error = keys.create().err().unwrap().to_string();
        assert!(
            error.contains("auth-keys.lock: another process holds it"),
            "{error}"
        );
        drop(stopped);
        keys.note_use(&key.auth_key_id);
        assert!(keys.list()[0].last_used_date_time.is_some());
    }
}
