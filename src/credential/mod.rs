//! What a credential is, once it has been read and checked.

mod check;
mod kind;
mod pem;
mod token_key;
mod validity;
mod x509;

use std::fmt;

pub use check::{Credential, CredentialProblem};
pub use kind::{CredentialType, Values};
pub use pem::{certificate_blocks, certificates, private_key};
pub(crate) use token_key::token_key;
pub use validity::{expires, runs_out};
pub use x509::{ClientCertificate, X509Credential};

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
