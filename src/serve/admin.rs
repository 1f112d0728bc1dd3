//! The admin API: bound, served, ended.

use super::error::StartError;
use crate::api::{self, ApiState};
use crate::http_server::HttpServer;
use crate::server_tls::Certificate;
use crate::settings::ApiArgs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How long an answer that is being written may take at the end.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// The admin API's socket and certificate: callers who connect wait until it is served.
pub(super) struct Bound {
    address: SocketAddr,
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
}

/// The admin API while it runs.
pub(super) struct Admin {
    address: SocketAddr,
    /// It ends when this is gone.
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Bound {
    pub(super) async fn bind(address: SocketAddr, settings: &ApiArgs) -> Result<Self, StartError> {
        let certificate = settings.tls().map(Certificate::open).transpose()?;
        let failed = |source| StartError::Api { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if certificate.is_none() && !address.ip().is_loopback() {
            tracing::warn!(%address, "the admin API is plain HTTP, as --api-allow-plain says: its token can be read on the way");
        }
        Ok(Self {
            address,
            listener,
            certificate,
        })
    }

    pub(super) fn serve(self, settings: &ApiArgs, state: ApiState) -> Admin {
        let tls = self
            .certificate
            .as_ref()
            .map(|certificate| TlsAcceptor::from(certificate.config()));
        if let Some(certificate) = self.certificate {
            tokio::spawn(certificate.watch());
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let server = HttpServer {
            service: "api",
            tls,
            most: settings.max_connections,
            too_slow: api::too_slow(),
        };
        let serving = tokio::spawn(server.serve(self.listener, api::router(state), shutdown));
        Admin {
            address: self.address,
            stop,
            serving,
        }
    }
}

impl Admin {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// An answer that is being written may end; one that never ends does not hold the exit up.
    pub(super) async fn shut_down(self) {
        drop(self.stop);
        let _ = tokio::time::timeout(LAST_ANSWER, self.serving).await;
    }
}
