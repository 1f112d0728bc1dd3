//! HTTP to MQTT, for phones, browsers and scripts: `GET` and `POST /notify`, `POST /publish`.
//!
//! | part | what it does |
//! |---|---|
//! | `guard` | who may call: [`Network`]s, [`ApiKey`]s, a [`Rate`] for each address |
//! | `routes`, `request`, `answer` | requests read into [`Message`]s; what callers are told |
//! | `outbox` | messages that the broker has not acknowledged, in order |
//! | `journal` | those of them that callers no longer wait for, on disk |
//! | `parked` | those of them that the broker would not have |
//! | `link` | the one MQTT connection |
//! | `counters` | what became of messages |

mod answer;
mod counters;
mod guard;
mod journal;
mod key;
mod link;
mod message;
mod networks;
mod outbox;
mod parked;
mod rate;
mod request;
mod routes;
mod topic;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::database::Database;
use crate::http_server::HttpServer;
use crate::server_tls::{Certificate, TlsError, TlsFiles};
use crate::site_broker::SiteBroker;
use crate::{alive, report};
use answer::Refusal;
use guard::Guard;
use journal::Journal;
use routes::Desk;

pub use counters::Counters;
pub use key::{ApiKey, InvalidKey};
pub use message::Message;
pub use networks::{InvalidNetwork, Network};
pub use outbox::{Outbox, OutboxView, Outcome};
pub use parked::{Parked, ParkedMessage};
pub use rate::{InvalidRate, Rate};
pub use topic::{InvalidTopic, Topic};

/// How long answers may take that are due when the program shuts down.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How long the queue may take to be written when the program shuts down.
const WRITE_WITHIN: Duration = Duration::from_secs(3);

/// How the bridge listens and whom it serves.
#[derive(Debug)]
pub struct BridgeSettings {
    /// Where callers connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The keys, one of which a caller has to show; none if nobody has to.
    pub keys: Vec<ApiKey>,
    /// The networks that may call; empty for all.
    pub allow: Vec<Network>,
    /// Reverse proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<Network>,
    /// Requests of one address.
    pub rate: Rate,
    /// Callers at a time; others wait in the kernel's queue.
    pub most_connections: NonZeroUsize,
    /// Whether other machines may call without key and allow-list.
    pub is_open: bool,
    /// The certificate, if callers come with TLS.
    pub tls: Option<TlsFiles>,
}

/// Why the bridge did not start.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// Everybody could send notices.
    #[error(
        "the bridge would take messages from anybody who reaches {0}: set a key (SIMRELAY_BRIDGE_KEY) or the networks that may call (--bridge-allow lan), or say --bridge-open if that is what you want"
    )]
    Unguarded(SocketAddr),
    /// It cannot listen.
    #[error(
        "cannot listen on {address} for the bridge: {source}; choose another address with --bridge-listen, or off"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What an earlier run left cannot be read.
    #[error("the bridge's queue in the database cannot be read: {0}")]
    Queue(#[from] sqlx::Error),
}

/// The running bridge.
#[derive(Debug)]
pub struct Bridge {
    address: SocketAddr,
    has_tls: bool,
    outbox: Outbox,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    link: JoinHandle<()>,
    watching: Option<JoinHandle<()>>,
    writing: JoinHandle<()>,
    reporting: JoinHandle<()>,
    taking_back: JoinHandle<()>,
}

impl Bridge {
    /// Starts it with its queue in `database`.
    ///
    /// # Errors
    /// [`BridgeError`] says what keeps it from starting.
    pub async fn start(
        settings: BridgeSettings,
        broker: SiteBroker,
        database: Database,
    ) -> Result<Self, BridgeError> {
        let address = settings.listen;
        let is_guarded = !settings.keys.is_empty() || !settings.allow.is_empty();
        if !is_guarded && !settings.is_open && !address.ip().is_loopback() {
            return Err(BridgeError::Unguarded(address));
        }
        let certificate = settings.tls.map(Certificate::open).transpose()?;
        let acceptor = certificate
            .as_ref()
            .map(|certificate| TlsAcceptor::from(certificate.config()));
        let has_tls = acceptor.is_some();
        let failed = |source| BridgeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (journal, writing) = Journal::new(database);
        let outbox = Outbox::open(journal).await?;
        let desk = Desk {
            guard: Guard::new(settings.keys, settings.allow, settings.proxies, settings.rate),
            outbox: outbox.clone(),
        };
        let (stop, mut stopped) = watch::channel(false);
        let server = HttpServer {
            service: "bridge",
            tls: acceptor,
            most: settings.most_connections,
            too_slow: Refusal::TooSlow.body().to_string(),
        };
        let shutdown = async move { drop(stopped.wait_for(|down| *down).await) };
        let router = routes::router(Arc::new(desk));
        Ok(Self {
            address,
            has_tls,
            outbox: outbox.clone(),
            stop,
            writing: tokio::spawn(writing),
            reporting: tokio::spawn(report::changes("bridge", numbers(outbox.clone()))),
            taking_back: tokio::spawn(outbox.clone().take_back()),
            link: tokio::spawn(link::run(broker, outbox)),
            serving: tokio::spawn(server.serve(listener, router, shutdown)),
            watching: certificate.map(|certificate| tokio::spawn(certificate.watch())),
        })
    }

    /// The messages that wait, and what became of the others.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Where callers connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as callers write it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.has_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// A question that can be asked while it runs: whether all of its parts do.
    pub fn alive(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let parts = [
            ("server", self.serving.abort_handle()),
            ("link to the broker", self.link.abort_handle()),
            ("writer of the queue", self.writing.abort_handle()),
            ("look-out for requeued messages", self.taking_back.abort_handle()),
        ];
        alive::all_run("bridge", parts)
    }

    /// Answers the requests that run, and ends. What the broker has not acknowledged is on disk.
    pub async fn shut_down(self) {
        // The server may have ended.
        let _ = self.stop.send(true);
        let _ = timeout(ANSWER_WITHIN, self.serving).await;
        self.link.abort();
        self.reporting.abort();
        self.taking_back.abort();
        if let Some(watching) = self.watching {
            watching.abort();
        }
        // With the link and the outbox the last journals go, and the writer ends when all is written.
        let _ = self.link.await;
        let _ = self.reporting.await;
        let _ = self.taking_back.await;
        drop(self.outbox);
        let _ = timeout(WRITE_WITHIN, self.writing).await;
    }
}

/// The numbers of the log line.
fn numbers(outbox: Outbox) -> impl Fn() -> String {
    move || format!("{}waiting {}", outbox.counters(), outbox.len())
}
