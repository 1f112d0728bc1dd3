//! The certificate that an HTTP service of ours shows, read again when its files change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::sleep;

use crate::credential::{certificates, private_key};
use crate::stamp::Stamp;

/// How often the files are looked at, which is two calls of the system.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else, or the two do not belong together.
    #[error("{} cannot be used: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A certificate chain and its key, PEM files both.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The certificate in force.
#[derive(Debug)]
pub struct Certificate {
    files: TlsFiles,
    /// Of the files before they were read first.
    opened: Stamps,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn open(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let opened = stamps(&files);
        let current = ArcSwap::from_pointee(read(&files)?);
        Ok(Arc::new(Self {
            files,
            opened,
            current,
        }))
    }

    /// A configuration that always shows the certificate in force.
    #[must_use]
    pub fn config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let resolver = Arc::clone(self) as Arc<dyn ResolvesServerCert>;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Follows the files; a renewal that cannot be used leaves the old certificate in force.
    pub async fn watch(self: Arc<Self>) {
        let mut seen = self.opened;
        loop {
            sleep(LOOK_EVERY).await;
            let stamps = stamps(&self.files);
            if stamps == seen {
                continue;
            }
            seen = stamps;
            self.reload();
        }
    }

    fn reload(&self) {
        match read(&self.files) {
            Ok(key) => {
                self.current.store(Arc::new(key));
                tracing::info!(event = "certificate_renewed", file = %self.files.cert.display(), "the new certificate is shown");
            }
            Err(error) => {
                tracing::error!(event = "certificate_refused", %error, "the new certificate cannot be used, the old one stays in force");
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// Of chain and key; `None` for a file that is not there.
type Stamps = [Option<Stamp>; 2];

fn stamps(files: &TlsFiles) -> Stamps {
    [&files.cert, &files.key].map(|path| Stamp::of(path).ok())
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let text = |path: &Path| {
        std::fs::read(path).map_err(|source| TlsError::Read {
            path: path.to_owned(),
            source,
        })
    };
    let content = |path: &Path| {
        let path = path.to_owned();
        move |reason: String| TlsError::Content { path, reason }
    };
    let chain = certificates(&text(&files.cert)?).map_err(content(&files.cert))?;
    let key = private_key(&text(&files.key)?).map_err(content(&files.key))?;
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| content(&files.key)(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn write(folder: &Path, name: &str) -> Vec<u8> {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        made.cert.der().to_vec()
    }

    #[test]
    fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let old = write(folder.path(), "pi.local");
        let files = TlsFiles {
            cert: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        let certificate = Certificate::open(files.clone()).unwrap();
        let shown = || certificate.current.load().cert[0].to_vec();
        assert_eq!(shown(), old);
        let new = write(folder.path(), "pi.local");
        certificate.reload();
        assert_eq!(shown(), new);
        std::fs::write(&files.key, "half a fi").unwrap();
        certificate.reload();
        assert_eq!(shown(), new);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_between_the_first_look_at_the_files_and_the_watch_over_them_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "pi.local");
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let certificate = Certificate::open(TlsFiles { cert, key }).unwrap();
        let new = write(folder.path(), "pi.local");
        let renewed = std::fs::File::open(folder.path().join("cert.pem")).unwrap();
        renewed
            .set_modified(SystemTime::now() + Duration::from_secs(1))
            .unwrap();
        let watch = Arc::clone(&certificate).watch();
        let _ = tokio::time::timeout(2 * LOOK_EVERY, watch).await;
        assert_eq!(certificate.current.load().cert[0].to_vec(), new);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "pi.local");
        let cert = folder.path().join("other.pem");
        std::fs::copy(folder.path().join("cert.pem"), &cert).unwrap();
        write(folder.path(), "pi.local");
        let key = folder.path().join("key.pem");
        let error = Certificate::open(TlsFiles { cert, key }).unwrap_err().to_string();
        assert!(error.contains("key.pem cannot be used"), "{error}");
    }
}
