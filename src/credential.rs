//! What a credential is, once it has been read and checked.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::sync::Arc;

/// A client certificate, or trust anchors for a broker, or both.
pub struct X509Credential {
    /// Its id in the credential store.
    pub id: Box<str>,
    /// The certificate and its intermediates, leaf first; empty where there are only trust anchors.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the leaf.
    pub key: Option<Arc<PrivateKeyDer<'static>>>,
    /// Trusted for the broker's certificate beside the system's trust anchors.
    pub ca: Vec<CertificateDer<'static>>,
    /// Another number after each change, so that what was made from it can be told to be out of date.
    pub generation: u64,
}

impl fmt::Debug for X509Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Credential")
            .field("id", &self.id)
            .field("chain", &self.chain.len())
            .field("key", &self.key.as_ref().map(|_| "hidden"))
            .field("ca", &self.ca.len())
            .field("generation", &self.generation)
            .finish()
    }
}
