//! The connections of an HTTP service of ours: bounded in number and in time, so that a slow caller holds none for long.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Extension, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::map_request;
use http_body_util::LengthLimitError;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::complaint::Complaint;

/// How long a TLS handshake may take.
const TLS_TIME: Duration = Duration::from_secs(10);
/// How long a request's head may take, and how long a connection may stay open without one.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The largest head in bytes: the longest address that hyper reads, 65,534 bytes, and as much again.
const LARGEST_HEAD: usize = 128 * 1024;
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a caller may take none of an answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// How long accepting rests where the system has no more sockets to give.
const REST: Duration = Duration::from_millis(100);

/// How a service serves.
pub(crate) struct HttpServer {
    /// Its name in the log, and in its flag `--…-max-connections`.
    pub(crate) service: &'static str,
    /// Whom it shows itself as; `None` for plain HTTP.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Connections at a time; others wait in the kernel's queue.
    pub(crate) most: NonZeroUsize,
    /// The body, JSON, of the answer to a head that does not come in time: no route is there to give it.
    pub(crate) too_slow: String,
}

impl HttpServer {
    /// Serves `router` until `shutdown` is done and the requests that then run are answered. Routes find the caller's
    /// address as [`ConnectInfo`].
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        router: Router,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) {
        let (service, most) = (self.service, self.most);
        let server = Arc::new(self);
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
                    service,
                    limit = most,
                    "as many callers as may are connected, others wait: look who holds connections open, or raise --{service}-max-connections"
                );
            }
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if !is_full => match accepted {
                    Ok((stream, peer)) => {
                        let admitted = admit(Arc::clone(&server), stream, peer, router.clone(), told.clone());
                        connections.spawn(admitted);
                    }
                    // The caller gave up while it waited.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        tracing::error!(%error, service, "cannot accept a connection");
                        sleep(REST).await;
                    }
                },
            }
        }
        drop((listener, closing));
        while connections.join_next().await.is_some() {}
    }
}

async fn admit(
    server: Arc<HttpServer>,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    mut closing: watch::Receiver<()>,
) {
    // A small answer must not wait for more.
    let _ = stream.set_nodelay(true);
    // Without it a caller that stops reading holds the connection for as long as it likes.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(ANSWER_TIME));
    let router = router.layer(Extension(ConnectInfo(peer)));
    let Some(tls) = &server.tls else {
        return converse(stream, router, closing, &server.too_slow).await;
    };
    let handshake = tokio::select! {
        handshake = timeout(TLS_TIME, tls.accept(stream)) => handshake,
        _ = closing.changed() => return,
    };
    let service = server.service;
    match handshake {
        Ok(Ok(stream)) => {
            let router = router.layer(map_request(over_tls));
            converse(stream, router, closing, &server.too_slow).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, service, "a caller's TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, service, "a caller's TLS handshake took too long"),
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

async fn converse<S>(stream: S, router: Router, mut closing: watch::Receiver<()>, too_slow: &str)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(LARGEST_HEAD)
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
        let _ = timeout(ANSWER_TIME, stream.write_all(&request_timeout(too_slow))).await;
    }
    let _ = timeout(ANSWER_TIME, stream.shutdown()).await;
}

fn request_timeout(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    /// It has more bytes than it may.
    #[error("the body is too long")]
    TooLong,
    /// It did not come in time.
    #[error("the body did not come within {} s", BODY_TIME.as_secs())]
    TooSlow,
    /// The connection broke, or its framing is wrong.
    #[error("the body cannot be read: {0}")]
    Broken(axum::Error),
}

/// The whole body of a request, of `limit` bytes at most.
pub(crate) async fn read_body(body: Body, limit: usize) -> Result<Bytes, Unread> {
    match timeout(BODY_TIME, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.source().is_some_and(<dyn Error>::is::<LengthLimitError>) => {
            Err(Unread::TooLong)
        }
        Ok(Err(error)) => Err(Unread::Broken(error)),
        Err(_) => Err(Unread::TooSlow),
    }
}
