//! Connections of the API, none of which a slow client can hold.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Extension, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::map_request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{ApiError, ApiState, router};
use crate::complaint::Complaint;

/// How long a TLS handshake may take.
const TLS_TIME: Duration = Duration::from_secs(10);

/// How long a request's head may take, and how long a connection may stay open without one.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a client may take none of an answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// How long to wait where the system has no more sockets to give.
const PATIENCE: Duration = Duration::from_millis(100);

/// Serves the API, with TLS where `tls` is given, until `shutdown` is done and the requests that then run are answered.
/// There are `most` connections at a time; others wait in the kernel's queue.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    state: ApiState,
    most: NonZeroUsize,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let router = router(state);
    // Dropped to tell the connections.
    let (closing, told) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut complaint = Complaint::default();
    tokio::pin!(shutdown);
    loop {
        let is_full = connections.len() >= most.get();
        if is_full && complaint.is_due() {
            tracing::warn!(
                event = "all_places_taken",
                service = "api",
                limit = most,
                "as many callers as may are connected, others wait: look who holds connections open, or raise --api-max-connections"
            );
        }
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if !is_full => match accepted {
                Ok((stream, peer)) => drop(connections.spawn(admit(stream, peer, tls.clone(), router.clone(), told.clone()))),
                Err(error) => {
                    tracing::warn!("the admin API cannot take a connection: {error}");
                    tokio::time::sleep(PATIENCE).await;
                }
            },
        }
    }
    drop((listener, closing));
    while connections.join_next().await.is_some() {}
}

async fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    mut closing: watch::Receiver<()>,
) {
    // Without it a client that stops reading holds the connection for as long as it likes.
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(ANSWER_TIME));
    let router = router.layer(Extension(ConnectInfo(peer)));
    let Some(tls) = tls else {
        return converse(stream, router, closing).await;
    };
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(TLS_TIME, tls.accept(stream)) => handshake,
        _ = closing.changed() => return,
    };
    match handshake {
        Ok(Ok(stream)) => converse(stream, router.layer(map_request(over_tls)), closing).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake with the admin API failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake with the admin API took too long"),
    }
}

/// As a proxy in front of us would say it: links in answers are https then.
async fn over_tls(mut request: Request) -> Request {
    let name = HeaderName::from_static("x-forwarded-proto");
    request
        .headers_mut()
        .insert(name, HeaderValue::from_static("https"));
    request
}

async fn converse<S>(stream: S, router: Router, mut closing: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service);
    let mut is_closing = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => break ended,
            _ = closing.changed(), if !is_closing => {
                is_closing = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner();
    // One that was only kept open without a request is closed without a word.
    if ended.is_err_and(|error| error.is_timeout()) && !parts.read_buf.is_empty() {
        let _ = tokio::time::timeout(ANSWER_TIME, stream.write_all(&too_slow())).await;
    }
    let _ = tokio::time::timeout(ANSWER_TIME, stream.shutdown()).await;
}

/// The answer to a head that did not come in time: nobody but us is there to give it.
fn too_slow() -> Vec<u8> {
    let body = ApiError::TooSlow.body();
    format!(
        "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
