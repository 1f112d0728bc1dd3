//! TLS client configurations.

use super::UpstreamError;
use super::tickets::Tickets;
use crate::store::X509Credential;
use crate::entrypoint::Destination;
use moka::sync::Cache;
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A configuration that nobody used for this long goes, with its tickets.
const UNUSED: Duration = Duration::from_secs(3600);

/// One configuration for each credential, as it is now, and destination.
type Key = (Destination, Option<(String, u64)>);

/// The client configurations in use. One each for credential and destination, so that a session ticket is
/// never shown under another client's certificate.
#[derive(Debug)]
pub(super) struct TlsClients {
    configs: Cache<Key, Arc<ClientConfig>>,
    roots: OnceLock<Arc<RootCertStore>>,
}

impl TlsClients {
    pub(super) fn new() -> Self {
        Self { configs: Cache::builder().max_capacity(100_000).time_to_idle(UNUSED).build(), roots: OnceLock::new() }
    }

    /// The configuration for a destination: trust anchors of the system and of the credential, and the
    /// credential's certificate if `present_certificate`.
    pub(super) fn config(
        &self,
        destination: &Destination,
        credential: Option<&X509Credential>,
    ) -> Result<Arc<ClientConfig>, UpstreamError> {
        let key = (destination.clone(), credential.map(|c| (c.id.to_string(), c.generation)));
        self.configs.try_get_with(key, || self.build(credential)).map_err(|reason: Arc<rustls::Error>| {
            UpstreamError::Credential {
                credential: credential.map(|c| c.id.to_string()).unwrap_or_default(),
                reason: reason.to_string(),
            }
        })
    }

    fn build(&self, credential: Option<&X509Credential>) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut roots = Arc::clone(self.roots.get_or_init(system_roots));
        if let Some(credential) = credential.filter(|c| !c.ca.is_empty()) {
            let with_ca = Arc::make_mut(&mut roots);
            for certificate in &credential.ca {
                with_ca.add(certificate.clone())?;
            }
        }
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let identity = credential.and_then(|c| c.key.as_ref().map(|key| (c.chain.clone(), key.clone_key())));
        let mut config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::store(Arc::new(Tickets::default()));
        Ok(Arc::new(config))
    }
}

/// The machine's trust store, so that an operator's private CA works; the built-in one where there is none.
fn system_roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(native.certs);
    if added == 0 {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        tracing::info!("this machine has no trust store, the built-in trust anchors are used");
    }
    Arc::new(roots)
}
