//! Connections of callers: accepted, with TLS or without, bounded in number and in time.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::routes::Peer;
use crate::complaint::Complaint;

/// How long the TLS handshake may take.
const TLS_WITHIN: Duration = Duration::from_secs(10);
/// How long a request's head may take, and how long a connection may be idle before one.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// The largest head: the longest address that hyper reads, 65,534 bytes, and as much again.
const LARGEST_HEAD: usize = 128 * 1024;
/// How long answers may take that are due when the program shuts down.
const GRACE: Duration = Duration::from_secs(3);
/// How long accepting rests when the system has no more descriptors.
const REST: Duration = Duration::from_millis(100);

/// Serves `most` connections at a time until `shutdown` turns true and the requests that then run are answered.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    most: NonZeroU32,
    mut shutdown: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(most.get() as usize));
    let mut complaint = Complaint::default();
    loop {
        let accepted = tokio::select! {
            _ = shutdown.wait_for(|down| *down) => break,
            accepted = accept(&listener, &places, most, &mut complaint) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let router = router.clone().layer(Extension(Peer(peer)));
                tokio::spawn(admit(stream, tls.clone(), router, shutdown.clone(), place));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "the bridge cannot accept a connection");
                sleep(REST).await;
            }
        }
    }
    drop(listener);
    // Every connection has given its place back when it ends.
    let _ = timeout(GRACE, places.acquire_many(most.get())).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    most: NonZeroU32,
    complaint: &mut Complaint,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    if places.available_permits() == 0 && complaint.is_due() {
        tracing::warn!(
            event = "all_places_taken",
            service = "bridge",
            limit = most,
            "as many callers as may are connected, others wait: look who holds connections open, or raise --bridge-max-connections"
        );
    }
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

async fn admit(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    shutdown: watch::Receiver<bool>,
    place: OwnedSemaphorePermit,
) {
    // A small answer must not wait for more.
    let _ = stream.set_nodelay(true);
    match tls {
        None => converse(stream, router, shutdown).await,
        Some(tls) => match timeout(TLS_WITHIN, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, router, shutdown).await,
            Ok(Err(error)) => tracing::debug!(%error, "a caller's TLS handshake failed"),
            Err(_) => tracing::debug!("a caller's TLS handshake took too long"),
        },
    }
    drop(place);
}

async fn converse<S>(stream: S, router: Router, mut shutdown: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(LARGEST_HEAD);
    let conversation = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(conversation);
    let ended = tokio::select! {
        ended = conversation.as_mut() => Some(ended),
        _ = shutdown.wait_for(|down| *down) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a caller's connection ended");
    }
}
