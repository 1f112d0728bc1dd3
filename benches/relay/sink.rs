//! A broker stub: says yes to everybody, acknowledges, and checks every message against what was sent.

use super::authority::Authority;
use super::payload::LargePayload;
use super::seen::{Downlink, Seen};
use super::sink_connection::serve;
use rustls::{HandshakeKind, ServerConfig};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How a proxy comes to the stub.
#[derive(Debug, Clone)]
pub struct Broker {
    pub address: SocketAddr,
    /// The authority of its certificate, if it talks TLS.
    pub ca: Option<PathBuf>,
}

/// Which of its doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Plain,
    /// TLS, always a full handshake.
    Full,
    /// TLS with tickets.
    Resuming,
}

pub struct Sink {
    authority: Authority,
    doors: [(Door, std::net::TcpListener); 3],
    seen: Arc<Seen>,
}

impl Sink {
    /// Takes its ports; nobody is answered before [`Self::serve`].
    pub fn bind() -> Self {
        let bound = |door| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            (door, listener)
        };
        Self {
            authority: Authority::new(),
            doors: [Door::Plain, Door::Full, Door::Resuming].map(bound),
            seen: Arc::default(),
        }
    }

    pub fn broker(&self, door: Door) -> Broker {
        let (_, listener) = self.doors.iter().find(|(known, _)| *known == door).unwrap();
        Broker {
            address: listener.local_addr().unwrap(),
            ca: (door != Door::Plain).then(|| self.authority.ca()),
        }
    }

    /// Answers from now on, in the runtime of the caller.
    pub fn serve(&self) {
        for (door, listener) in &self.doors {
            let listener = TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
            let tls = match door {
                Door::Plain => None,
                Door::Full => Some(Arc::clone(&self.authority.full)),
                Door::Resuming => Some(Arc::clone(&self.authority.resuming)),
            };
            let seen = Arc::clone(&self.seen);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(one(stream, tls.clone(), Arc::clone(&seen)));
                }
            });
        }
    }

    /// PUBLISH packets seen so far.
    ///
    /// # Panics
    /// If one of them was not what its device had sent.
    pub fn messages(&self) -> u64 {
        let fault = self.seen.fault.lock().unwrap().clone();
        assert_eq!(fault, None, "the broker stub saw something wrong");
        self.seen.messages.load(Relaxed)
    }

    /// Waits until `total` messages have come, and sees that no more do.
    pub async fn arrived(&self, total: u64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.messages() < total {
            let count = self.messages();
            assert!(Instant::now() < deadline, "{count} of {total} messages arrived");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(self.messages(), total, "messages that nobody sent");
    }

    /// TLS handshakes so far, and how many of them were resumptions.
    pub fn handshakes(&self) -> (u64, u64) {
        (
            self.seen.handshakes.load(Relaxed),
            self.seen.resumed.load(Relaxed),
        )
    }

    /// The ways to `count` devices that subscribed, in the devices' order.
    pub async fn subscribers(&self, count: usize) -> Vec<(u64, Downlink)> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.seen.subscribers.lock().unwrap().len() < count {
            assert!(Instant::now() < deadline, "not everybody subscribed");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let mut all = std::mem::take(&mut *self.seen.subscribers.lock().unwrap());
        all.sort_by_key(|(device, _)| *device);
        all
    }

    pub fn large(&self) -> &LargePayload {
        &self.seen.large
    }
}

async fn one(stream: TcpStream, tls: Option<Arc<ServerConfig>>, seen: Arc<Seen>) {
    let _ = stream.set_nodelay(true);
    let ended = match tls {
        None => {
            let (reader, writer) = stream.into_split();
            serve(reader, writer, &seen).await
        }
        Some(config) => {
            let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else {
                return;
            };
            let kind = stream.get_ref().1.handshake_kind();
            seen.handshakes.fetch_add(1, Relaxed);
            seen.resumed
                .fetch_add(u64::from(kind == Some(HandshakeKind::Resumed)), Relaxed);
            let (reader, writer) = tokio::io::split(stream);
            serve(reader, writer, &seen).await
        }
    };
    if let Err(fault) = ended {
        seen.fault.lock().unwrap().get_or_insert(fault);
    }
}
