//! TLS client configurations.

use super::chains::Chains;
use super::tickets::Tickets;
use super::{UpstreamError, alpn};
use crate::credential::{CredentialsId, X509Credential};
use crate::entrypoint::Destination;
use moka::sync::Cache;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A configuration that nobody used for this long goes, with its tickets.
const UNUSED: Duration = Duration::from_secs(3600);

/// A credential and what it is used for.
#[derive(Debug, Clone)]
pub struct TlsCredential {
    /// The certificate, its key, the CA to trust.
    pub x509: Arc<X509Credential>,
    /// Which of these count.
    pub purpose: CredentialPurpose,
}

/// What a credential is for at a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialPurpose {
    /// The broker is shown the certificate, and the CA is trusted.
    Identify,
    /// Only the CA is trusted.
    Trust,
}

impl TlsCredential {
    fn identity(&self) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        match self.purpose {
            CredentialPurpose::Trust => None,
            CredentialPurpose::Identify => self
                .x509
                .certificate
                .as_ref()
                .map(|certificate| (certificate.chain.clone(), certificate.key.clone_key())),
        }
    }
}

/// One configuration for each credential and destination.
type Key = (Destination, Option<(CredentialsId, CredentialPurpose)>);

/// A configuration with the credential as it was then.
#[derive(Debug, Clone)]
struct Made {
    generation: u64,
    config: Arc<ClientConfig>,
}

/// The client configurations in use. One each for credential and destination, so that a session ticket is
/// never shown under another client's certificate.
#[derive(Debug)]
pub(super) struct TlsClients {
    configs: Cache<Key, Made>,
    system: OnceLock<Arc<RootCertStore>>,
    /// The check against the trust anchors of the system and of credentials with these CA certificates: one for all
    /// credentials that bring the same, because a set of anchors takes 100 kB and each device may have a credential.
    chains: Cache<Vec<CertificateDer<'static>>, Arc<Chains>>,
}

impl TlsClients {
    pub(super) fn new() -> Self {
        Self {
            configs: Cache::builder()
                .max_capacity(100_000)
                .time_to_idle(UNUSED)
                .build(),
            system: OnceLock::new(),
            chains: Cache::builder().max_capacity(10_000).time_to_idle(UNUSED).build(),
        }
    }

    /// Reads the system's trust anchors, which takes some milliseconds, in which a worker would carry nothing.
    pub(super) fn load_system_roots(&self) {
        self.system.get_or_init(system_roots);
    }

    /// What checks a broker's certificate.
    fn chains(&self, credential: Option<&TlsCredential>) -> Result<Arc<Chains>, rustls::Error> {
        let none = Vec::new();
        let ca = credential.map_or(&none, |credential| &credential.x509.ca);
        self.chains
            .try_get_with_by_ref(ca, || Chains::new(self.roots(ca)?).map(Arc::new))
            .map_err(|error: Arc<rustls::Error>| rustls::Error::clone(&error))
    }

    /// The trust anchors of the system, and these.
    fn roots(&self, ca: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, rustls::Error> {
        let mut roots = Arc::clone(self.system.get_or_init(system_roots));
        for certificate in ca {
            Arc::make_mut(&mut roots).add(certificate.clone())?;
        }
        Ok(roots)
    }

    /// The configuration for a destination: trust anchors of the system and of the credential, and the
    /// credential's certificate where it is to be presented.
    pub(super) fn config(
        &self,
        destination: &Destination,
        credential: Option<&TlsCredential>,
    ) -> Result<Arc<ClientConfig>, UpstreamError> {
        let part = |c: &TlsCredential| (c.x509.id.clone(), c.purpose);
        let key = (destination.clone(), credential.map(part));
        let generation = credential.map_or(0, |c| c.x509.generation);
        if self
            .configs
            .get(&key)
            .is_some_and(|made| made.generation != generation)
        {
            // With its tickets: nobody may show them under another certificate.
            self.configs.invalidate(&key);
        }
        let build = || {
            let config = self.build(destination, credential)?;
            Ok(Made { generation, config })
        };
        self.configs
            .try_get_with(key, build)
            .and_then(|made| match made.generation == generation {
                true => Ok(made.config),
                // Replaced this very moment.
                false => self.build(destination, credential).map_err(Arc::new),
            })
            .map_err(|reason: Arc<rustls::Error>| UpstreamError::Credential {
                credential: credential.map(|c| c.x509.id.to_string()).unwrap_or_default(),
                reason: reason.to_string(),
            })
    }

    fn build(
        &self,
        destination: &Destination,
        credential: Option<&TlsCredential>,
    ) -> Result<Arc<ClientConfig>, rustls::Error> {
        let builder = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(self.chains(credential)?);
        let identity = credential.and_then(TlsCredential::identity);
        let protocol = alpn::protocol(destination, identity.is_some());
        let mut config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
        Ok(Arc::new_cyclic(|this| {
            config.resumption = Resumption::store(Arc::new(Tickets::of(this.clone())));
            config
        }))
    }
}

/// Has this thread gather what its random numbers begin with: some 40 ms, in which a worker would carry nothing if the
/// first handshake asked for it.
pub(crate) fn gather_entropy() {
    if let Some(provider) = CryptoProvider::get_default() {
        // What stands against it, the first handshake will say.
        let _ = provider.secure_random.fill(&mut [0; 32]);
    }
}

/// The machine's trust store, so that an operator's private CA works; the built-in one where there is none.
pub(crate) fn system_roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(native.certs);
    if added == 0 {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        tracing::info!("this machine has no trust store, the built-in trust anchors are used");
    }
    Arc::new(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(name: &str) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn credential(id: &str, ca: &[&CertificateDer<'static>]) -> TlsCredential {
        let x509 = X509Credential {
            id: CredentialsId::new(id).unwrap(),
            certificate: None,
            ca: ca.iter().map(|&ca| ca.clone()).collect(),
            generation: 1,
        };
        TlsCredential {
            x509: Arc::new(x509),
            purpose: CredentialPurpose::Trust,
        }
    }

    #[test]
    fn credentials_with_the_same_ca_share_one_set_of_trust_anchors() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clients = TlsClients::new();
        let (one, other) = (authority("one"), authority("other"));
        let chains = |ca: &[_]| clients.chains(Some(&credential("x", ca))).unwrap();
        assert!(Arc::ptr_eq(&chains(&[&one]), &chains(&[&one])));
        assert!(!Arc::ptr_eq(&chains(&[&one]), &chains(&[&other])));
        assert!(Arc::ptr_eq(&chains(&[]), &clients.chains(None).unwrap()));
        let roots = |ca: &[&CertificateDer<'static>]| {
            let ca: Vec<_> = ca.iter().map(|&ca| ca.clone()).collect();
            clients.roots(&ca).unwrap()
        };
        let (system, both) = (roots(&[]).len(), roots(&[&one, &other]).len());
        assert_eq!((roots(&[&one]).len(), both), (system + 1, system + 2));
        assert_ne!(roots(&[&one]).roots.last(), roots(&[&other]).roots.last());
    }
}
