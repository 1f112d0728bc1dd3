//! Whom the notifier trusts on the other side of TLS.

use crate::credential::certificates;
use crate::upstream::system_roots;
use rustls::ClientConfig;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file of the CA cannot be read.
    #[error("cannot read the CA file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds no certificate.
    #[error("the CA file {} cannot be used: {reason}; give certificates as PEM", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The client for HTTP cannot be made.
    #[error("no HTTPS client can be made: {0}")]
    Client(String),
}

/// TLS that trusts the machine's trust store and the CAs in the file `ca`.
pub(super) fn client_config(ca: Option<&Path>) -> Result<ClientConfig, TrustError> {
    let mut roots = (*system_roots()).clone();
    if let Some(path) = ca {
        let read = |source| TrustError::Read {
            path: path.to_owned(),
            source,
        };
        let wrong = |reason| TrustError::Certificates {
            path: path.to_owned(),
            reason,
        };
        let pem = std::fs::read(path).map_err(read)?;
        for certificate in certificates(&pem).map_err(wrong)? {
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| TrustError::Client(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
