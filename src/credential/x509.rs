//! The credential of a TLS connection.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::CredentialsId;

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
