//! Certificates of the broker stub, made for each run.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider, kx_group};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// The name that the broker's certificate is for.
pub const BROKER_NAME: &str = "localhost";

/// An authority and the one certificate that it signed.
pub struct Authority {
    folder: TempDir,
    pub full: Arc<ServerConfig>,
    pub resuming: Arc<ServerConfig>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "benchmark authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![BROKER_NAME.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, BROKER_NAME);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let mut full = server(certificate.der().clone(), &key);
        let mut resuming = full.clone();
        // No tickets and no sessions: every handshake is a full one, whatever the client would like to keep.
        full.session_storage = Arc::new(NoServerSessionStorage {});
        full.send_tls13_tickets = 0;
        resuming.ticketer = Ticketer::new().unwrap();
        Self {
            folder,
            full: Arc::new(full),
            resuming: Arc::new(resuming),
        }
    }

    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

fn server(certificate: rustls::pki_types::CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let mut provider = default_provider();
    // What both proxies offer: OpenSSL of Debian 12 knows no post-quantum exchange.
    provider.kx_groups = vec![kx_group::X25519];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}
