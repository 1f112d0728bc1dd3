//! The credential store: a folder a credential, with `cert.pem`, `key.pem` and `ca.pem` in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::task::spawn_blocking;

use super::stamp::Stamp;
use crate::credential::{CredentialsId, X509Credential};

const CERT: &str = "cert.pem";
const KEY: &str = "key.pem";
const CA: &str = "ca.pem";

/// How long an answer counts before the files are looked at again.
const FRESH: Duration = Duration::from_secs(1);

/// How long a parsed credential is kept that nobody asks for.
const IDLE: Duration = Duration::from_secs(600);

/// The most parsed credentials that are kept; a few kilobytes each.
const KEPT: u64 = 20_000;

/// A credential that cannot be used, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// There is no folder of this name.
    #[error("there is no credential {id}: make the folder {} with {CERT} and {KEY}, or {CA}, or all three", folder.display())]
    Missing {
        /// What was asked for.
        id: CredentialsId,
        /// Where it should be.
        folder: PathBuf,
    },
    /// The folder holds none of the files.
    #[error("{} holds neither {CERT} and {KEY} nor {CA}: put the PEM files there", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// One half of certificate and key.
    #[error("{} is missing beside {present}: put it there, or take {present} away", missing.display())]
    Half {
        /// The file that is there.
        present: &'static str,
        /// The file that is not.
        missing: PathBuf,
    },
    /// A file that may not be read.
    #[error("cannot read {}: {reason}; check its owner and mode", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A file that holds something else.
    #[error("{} holds no usable PEM: {reason}; expected is {expected}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
        /// The labels that are allowed.
        expected: &'static str,
    },
    /// The program is shutting down.
    #[error("reading the credential was interrupted by the end of the program")]
    Interrupted,
}

/// Stamps of the three files, `None` for one that is not there.
type Stamps = [Option<Stamp>; 3];

/// The credentials in a folder. Read when first asked for; a changed file serves the next who asks, a second
/// later at most.
#[derive(Debug, Clone)]
pub struct CredentialStore {
    folder: Arc<Path>,
    /// Answers of the last second, errors too: a thousand devices that come at once read a file once.
    fresh: Cache<CredentialsId, Result<Arc<X509Credential>, CredentialError>>,
    /// What was parsed, and of which files.
    parsed: Cache<CredentialsId, (Stamps, Arc<X509Credential>)>,
}

impl CredentialStore {
    /// The store in `folder`, which need not be there until a credential is asked for.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into().into(),
            fresh: Cache::builder().max_capacity(KEPT).time_to_live(FRESH).build(),
            parsed: Cache::builder().max_capacity(KEPT).time_to_idle(IDLE).build(),
        }
    }

    /// The folder of a credential, there or not.
    #[must_use]
    pub fn folder_of(&self, id: &CredentialsId) -> PathBuf {
        self.folder.join(id.as_str())
    }

    /// The credential `id`.
    ///
    /// # Errors
    /// The file that is missing or wrong, why, and what to do.
    pub async fn x509(&self, id: &CredentialsId) -> Result<Arc<X509Credential>, CredentialError> {
        self.fresh.get_with_by_ref(id, self.look(id)).await
    }

    async fn look(&self, id: &CredentialsId) -> Result<Arc<X509Credential>, CredentialError> {
        let (folder, id) = (self.folder_of(id), id.clone());
        let known = self.parsed.get(&id).await;
        let key = id.clone();
        let read = move || {
            let stamps = stamps(&folder, &id)?;
            match known {
                Some((known, credential)) if known == stamps => Ok((stamps, credential)),
                _ => Ok((stamps, Arc::new(read(&folder, id, stamps)?))),
            }
        };
        let (stamps, credential) = spawn_blocking(read)
            .await
            .unwrap_or(Err(CredentialError::Interrupted))?;
        self.parsed.insert(key, (stamps, Arc::clone(&credential))).await;
        Ok(credential)
    }
}

fn stamps(folder: &Path, id: &CredentialsId) -> Result<Stamps, CredentialError> {
    if !folder.is_dir() {
        return Err(CredentialError::Missing {
            id: id.clone(),
            folder: folder.to_owned(),
        });
    }
    let mut stamps = [None; 3];
    for (stamp, name) in stamps.iter_mut().zip([CERT, KEY, CA]) {
        *stamp = match Stamp::of(&folder.join(name)) {
            Ok(stamp) => Some(stamp),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(&folder.join(name), &error)),
        };
    }
    Ok(stamps)
}

fn unreadable(path: &Path, error: &std::io::Error) -> CredentialError {
    CredentialError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn read(folder: &Path, id: CredentialsId, stamps: Stamps) -> Result<X509Credential, CredentialError> {
    static GENERATION: AtomicU64 = AtomicU64::new(1);
    let half = |present, missing: &str| CredentialError::Half {
        present,
        missing: folder.join(missing),
    };
    let [cert, key, ca] = stamps.map(|stamp| stamp.is_some());
    let (chain, key) = match (cert, key) {
        (true, true) => (
            read_certificates(&folder.join(CERT))?,
            Some(Arc::new(read_key(&folder.join(KEY))?)),
        ),
        (false, false) if ca => (Vec::new(), None),
        (false, false) => {
            return Err(CredentialError::Empty {
                folder: folder.to_owned(),
            });
        }
        (true, false) => return Err(half(CERT, KEY)),
        (false, true) => return Err(half(KEY, CERT)),
    };
    let ca = if ca {
        read_certificates(&folder.join(CA))?
    } else {
        Vec::new()
    };
    let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
    Ok(X509Credential {
        id,
        chain,
        key,
        ca,
        generation,
    })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    const EXPECTED: &str = "one or more -----BEGIN CERTIFICATE-----";
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let reason = match certificates {
        Ok(certificates) if !certificates.is_empty() => return Ok(certificates),
        Ok(_) => "no certificate found".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(CredentialError::NotPem {
        path: path.to_owned(),
        reason,
        expected: EXPECTED,
    })
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CredentialError> {
    const EXPECTED: &str =
        "-----BEGIN PRIVATE KEY-----, RSA PRIVATE KEY or EC PRIVATE KEY, without a passphrase";
    warn_if_public(path);
    let bytes = std::fs::read(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| unreadable(path, &error))?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| CredentialError::NotPem {
        path: path.to_owned(),
        reason: error.to_string(),
        expected: EXPECTED,
    })
}

/// Once for each content of the file, as it is read once.
fn warn_if_public(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o007 != 0 {
        tracing::warn!(file = %path.display(), "every user of this machine can read this private key; chmod 600 it");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(files: &[(&str, &str)]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            fs::create_dir(folder.0.path().join("x")).unwrap();
            files.iter().for_each(|(name, text)| folder.write(name, text));
            folder
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.path().join("x").join(name), text).unwrap();
        }

        fn store(&self) -> CredentialStore {
            CredentialStore::new(self.0.path())
        }
    }

    fn id() -> CredentialsId {
        CredentialsId::new("x").unwrap()
    }

    fn pems() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["device".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[tokio::test]
    async fn certificate_key_and_ca_are_read_and_the_key_is_not_shown() {
        let (cert, key) = pems();
        let both = format!("{cert}{cert}");
        let folder = Folder::with(&[(CERT, &both), (KEY, &key), (CA, &cert)]);
        let credential = folder.store().x509(&id()).await.unwrap();
        assert_eq!((credential.chain.len(), credential.ca.len()), (2, 1));
        assert!(credential.key.is_some());
        assert!(format!("{credential:?}").contains("key: Some(\"***\")"));
    }

    #[tokio::test]
    async fn a_ca_alone_is_a_credential() {
        let folder = Folder::with(&[(CA, &pems().0)]);
        let credential = folder.store().x509(&id()).await.unwrap();
        assert!(credential.chain.is_empty() && credential.key.is_none() && credential.ca.len() == 1);
    }

    #[tokio::test]
    async fn what_is_missing_or_wrong_is_named_with_what_to_do() {
        let (cert, key) = pems();
        let cases: [(&[(&str, &str)], &str); 7] = [
            (&[], "x holds neither cert.pem and key.pem nor ca.pem"),
            (&[(CERT, &cert)], "x/key.pem is missing beside cert.pem"),
            (
                &[(KEY, &key), (CA, &cert)],
                "x/cert.pem is missing beside key.pem",
            ),
            (&[(CA, "")], "x/ca.pem holds no usable PEM: no certificate found"),
            (
                &[(CA, "-----BEGIN CERTIFICATE-----\nAAAA\n")],
                "x/ca.pem holds no usable PEM",
            ),
            (&[(CERT, &cert), (KEY, &cert)], "x/key.pem holds no usable PEM"),
            (&[(CERT, &key), (KEY, &key)], "x/cert.pem holds no usable PEM"),
        ];
        for (files, expected) in cases {
            let error = Folder::with(files)
                .store()
                .x509(&id())
                .await
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
        let folder = Folder::with(&[]);
        let error = folder
            .store()
            .x509(&CredentialsId::new("y").unwrap())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("there is no credential y: make the folder"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_changed_file_serves_whoever_asks_a_second_later_and_an_unchanged_one_is_not_read_again() {
        let (cert, key) = pems();
        let folder = Folder::with(&[(CERT, &cert), (KEY, &key)]);
        let store = folder.store();
        let first = store.x509(&id()).await.unwrap();
        tokio::time::sleep(FRESH + Duration::from_millis(100)).await;
        let same = store.x509(&id()).await.unwrap();
        assert!(Arc::ptr_eq(&first, &same));
        let (cert, key) = pems();
        folder.write(CERT, &cert);
        folder.write(KEY, &key);
        tokio::time::sleep(FRESH + Duration::from_millis(100)).await;
        let new = store.x509(&id()).await.unwrap();
        assert_ne!((new.generation, &new.chain), (first.generation, &first.chain));
        fs::remove_file(folder.0.path().join("x").join(KEY)).unwrap();
        tokio::time::sleep(FRESH + Duration::from_millis(100)).await;
        assert!(matches!(
            store.x509(&id()).await,
            Err(CredentialError::Half { .. })
        ));
    }
}
