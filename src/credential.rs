//! What a credential is, once it has been read and checked.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::sync::Arc;

/// A text that cannot be the id of a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a credentials id: 1 to 128 letters, digits, '.', '_', '@' or '-', and not '.' or '..'")]
pub struct InvalidCredentialsId(pub String);

/// The id of a credential. It is the name of a folder, so it cannot name any other place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialsId(Box<str>);

impl CredentialsId {
    /// Checks and wraps `id`.
    ///
    /// # Errors
    /// [`InvalidCredentialsId`] quotes it and says what it has to be.
    pub fn new(id: &str) -> Result<Self, InvalidCredentialsId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'-');
        if (1..=128).contains(&id.len()) && id.bytes().all(allowed) && id != "." && id != ".." {
            Ok(Self(id.into()))
        } else {
            Err(InvalidCredentialsId(id.to_owned()))
        }
    }

    /// What became of a template, of which was checked that every result is an id.
    pub(crate) fn of_template(rendered: String) -> Self {
        debug_assert!(Self::new(&rendered).is_ok(), "{rendered:?}");
        Self(rendered.into())
    }

    /// The id as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CredentialsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A client certificate with its key, a CA to trust, or both.
pub struct X509Credential {
    /// Its name in the store.
    pub id: CredentialsId,
    /// The client certificate first, then those that lead to its CA. Empty if there is only a CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the client certificate; there if and only if `chain` is not empty.
    pub key: Option<Arc<PrivateKeyDer<'static>>>,
    /// Trusted for the broker's certificate beside the system's CAs.
    pub ca: Vec<CertificateDer<'static>>,
    /// Another number each time the files were read: part of the key of whatever is made of them.
    pub generation: u64,
}

impl fmt::Debug for X509Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Credential")
            .field("id", &self.id)
            .field("chain", &self.chain.len())
            .field("key", &self.key.as_ref().map(|_| "***"))
            .field("ca", &self.ca.len())
            .field("generation", &self.generation)
            .finish()
    }
}
