//! The credential of a TLS connection.

use std::fmt;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::CredentialsId;

/// A client certificate, a CA to trust, or both.
#[derive(Debug)]
pub struct X509Credential {
    /// Its name in the store.
    pub id: CredentialsId,
    /// What a broker may be shown; `None` if there is only a CA.
    pub certificate: Option<ClientCertificate>,
    /// Trusted for the broker's certificate beside the system's CAs.
    pub ca: Vec<CertificateDer<'static>>,
    /// Another number each time the files were read: part of the key of whatever is made of them.
    pub generation: u64,
}

/// A client certificate with its key.
pub struct ClientCertificate {
    /// The certificate first, then those that lead to its CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("chain", &self.chain)
            .field("key", &"***")
            .finish()
    }
}
