//! The credential store: a folder a credential. `cert.pem`, `key.pem` and `ca.pem` of an x509 credential may be
//! put there by hand; what the API stores has `credential.json` too.

mod change;
mod expiry;
mod folder;
mod record;
mod typed;
mod used;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use moka::future::Cache;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::task::spawn_blocking;

use crate::credential::{self, ClientCertificate, CredentialType, CredentialsId, X509Credential};
use crate::private_file;
use crate::stamp::Stamp;
use used::Used;

pub use change::CredentialChangeError;
pub use expiry::Expiring;
pub use record::StoredCredential;

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
    /// There is none of this name, and no PEM files would do.
    #[error("there is no credential {id}: store one of the type {wanted} with POST /v1/credentials/{id}")]
    MissingOfType {
        /// What was asked for.
        id: CredentialsId,
        /// What it has to be.
        wanted: CredentialType,
    },
    /// It is for something else.
    #[error("credential {id} is of the type {found}, and what is needed is {wanted}")]
    WrongType {
        /// Which.
        id: CredentialsId,
        /// What it is.
        found: CredentialType,
        /// What it has to be.
        wanted: CredentialType,
    },
    /// Its values do not fit together.
    #[error("credential {id} cannot be used: {reason}")]
    Invalid {
        /// Which.
        id: CredentialsId,
        /// Field by field, without the values.
        reason: String,
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
    /// No client certificate, where the broker is to be shown one.
    #[error("{} holds no {CERT} and {KEY}, and useClientCert wants them: put them there, or set useClientCert to false", folder.display())]
    OnlyCa {
        /// The folder.
        folder: PathBuf,
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
    /// Held for writing while a folder is swapped, so that nobody reads the certificate of one and the key of
    /// another.
    swap: Arc<RwLock<()>>,
    /// One change at a time.
    writer: Arc<tokio::sync::Mutex<()>>,
    /// Counts changes, so that an answer that was being looked up during one is not given after it.
    revision: Arc<AtomicU64>,
    /// Answers of the last second, errors too: a thousand devices that come at once read a file once.
    fresh: Cache<(CredentialsId, u64), Result<Arc<X509Credential>, CredentialError>>,
    /// The same for what are no certificates.
    typed: Cache<(CredentialsId, u64), typed::Found>,
    /// What was parsed, and of which files.
    parsed: Cache<CredentialsId, (Stamps, Arc<X509Credential>)>,
    used: Arc<Used>,
    expiring: Arc<Mutex<Expiring>>,
}

impl CredentialStore {
    /// The store in `folder`, which need not be there until a credential is asked for. Reads only: what a crash
    /// left is not put right, and uses are not kept.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self::with(folder.into(), Used::forgotten())
    }

    /// The store in `folder`, with what is noted about uses in the data directory `data`. Finishes or undoes a
    /// change that a crash interrupted. Blocks; meant for the start of the program.
    ///
    /// # Errors
    /// Names what cannot be put right.
    pub fn open(folder: impl Into<PathBuf>, data: &Path) -> Result<Self, CredentialChangeError> {
        let folder = folder.into();
        folder::recover(&folder).map_err(|source| CredentialChangeError::file(&folder, source))?;
        Ok(Self::with(folder, Used::open(data)))
    }

    fn with(folder: PathBuf, used: Used) -> Self {
        Self {
            folder: folder.into(),
            swap: Arc::default(),
            writer: Arc::default(),
            revision: Arc::default(),
            used: Arc::new(used),
            expiring: Arc::default(),
            fresh: Cache::builder().max_capacity(KEPT).time_to_live(FRESH).build(),
            typed: Cache::builder().max_capacity(KEPT).time_to_live(FRESH).build(),
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
        let key = (id.clone(), self.revision.load(Ordering::Acquire));
        let found = self.fresh.get_with(key, self.look(id)).await;
        if found.is_ok() {
            self.used.note(id);
        }
        found
    }

    /// The credential `id`, with a client certificate in it.
    ///
    /// # Errors
    /// As [`Self::x509`], and where there is only a CA.
    pub async fn client_certificate(
        &self,
        id: &CredentialsId,
    ) -> Result<Arc<X509Credential>, CredentialError> {
        let found = self.x509(id).await?;
        match found.certificate {
            Some(_) => Ok(found),
            None => Err(CredentialError::OnlyCa {
                folder: self.folder_of(id),
            }),
        }
    }

    /// Writes down which credentials were used, if any was since the last time. Call it now and then, and at the
    /// end.
    pub async fn keep_uses(&self) {
        let used = Arc::clone(&self.used);
        // Ends early only with the runtime.
        let _ = spawn_blocking(move || used.keep()).await;
    }

    async fn look(&self, id: &CredentialsId) -> Result<Arc<X509Credential>, CredentialError> {
        let (folder, id) = (self.folder_of(id), id.clone());
        let known = self.parsed.get(&id).await;
        let key = id.clone();
        let swap = Arc::clone(&self.swap);
        let read = move || {
            let _whole = swap.read().unwrap_or_else(PoisonError::into_inner);
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
    let certificate = match (cert, key) {
        (true, true) => Some(ClientCertificate {
            chain: read_certificates(&folder.join(CERT))?,
            key: read_key(&folder.join(KEY))?,
        }),
        (false, false) if ca => None,
        (false, false) => {
            return Err(match typed::other_type(folder, &id) {
                Some(found) => CredentialError::WrongType {
                    id,
                    found,
                    wanted: CredentialType::X509,
                },
                None => CredentialError::Empty {
                    folder: folder.to_owned(),
                },
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
        certificate,
        ca,
        generation,
    })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    const EXPECTED: &str = "one or more -----BEGIN CERTIFICATE-----";
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    credential::certificates(&bytes).map_err(|reason| CredentialError::NotPem {
        path: path.to_owned(),
        reason,
        expected: EXPECTED,
    })
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CredentialError> {
    const EXPECTED: &str =
        "-----BEGIN PRIVATE KEY-----, RSA PRIVATE KEY or EC PRIVATE KEY, without a passphrase";
    // Once for each content of the file, as it is read once.
    if let Some(warning) = private_file::warning_if_public(path, "this private key") {
        tracing::warn!(file = %path.display(), "{warning}");
    }
    let bytes = std::fs::read(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| unreadable(path, &error))?;
    credential::private_key(&bytes).map_err(|reason| CredentialError::NotPem {
        path: path.to_owned(),
        reason,
        expected: EXPECTED,
    })
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
