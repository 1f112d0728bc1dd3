//! `simrelay run` and its parts: services started in order, signals, services shut down in order.

mod banner;
mod bridge;
mod notifier;
mod systemd;

pub use notifier::{NotifierError, notifier};

use crate::api::{self, ApiState, Auth, Readiness, Services};
use crate::clock::{self, ClockBehind};
use crate::database;
use crate::descriptors;
use crate::relay::{Books, ListenOn, Relay, RelaySettings};
use crate::serve::banner::Banner;
use crate::serve::bridge::Running;
use crate::serve::systemd::Vitals;
use crate::server_tls::{Certificate, TlsError};
use crate::sessions::{History, Sessions};
use crate::settings::{ApiArgs, Listen, LogFormat, PlainApi, Settings};
use crate::site_broker::SiteBrokerError;
use crate::store::{CredentialStore, FileStore, References, Store};
use crate::upstream::{Deadlines, LocalAddresses, Upstream};
use sqlx::SqlitePool;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use bridge::bridge;

/// The configuration of a first run.
const FIRST_RUN: &str = include_str!("../../entrypoints.json");
/// Where it expects the embedded broker.
const FIRST_BROKER: &str = "127.0.0.1:1884";

/// How often the last use of each credential is written down.
const KEEP_USES: Duration = Duration::from_secs(60);

/// Why simrelay could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// Usage, log book and session events cannot be kept.
    #[error(transparent)]
    Database(#[from] database::DatabaseError),
    /// The relay cannot listen.
    #[error(transparent)]
    Relay(#[from] crate::relay::RelayError),
    /// Brokers cannot be dialled from an address.
    #[error(transparent)]
    Local(#[from] crate::upstream::InvalidLocalAddress),
    /// The embedded broker cannot listen.
    #[cfg(feature = "embedded-broker")]
    #[error(transparent)]
    Broker(#[from] crate::broker::BrokerError),
    /// The configuration of a first run cannot be written.
    #[error("cannot write {path}: {source}")]
    FirstRun {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The session events of an earlier run cannot be read.
    #[error("the session events in the database cannot be used: {0}")]
    History(#[source] sqlx::Error),
    /// What says who may call the admin API cannot be read or made.
    #[error(transparent)]
    Auth(#[from] api::AuthFileError),
    /// The credential store cannot be put right after a crash.
    #[error(transparent)]
    Credentials(#[from] crate::store::CredentialChangeError),
    /// The admin API would be plain HTTP for other machines.
    #[error(transparent)]
    PlainApi(#[from] PlainApi),
    /// The certificate of the admin API cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The admin API cannot listen.
    #[error(
        "cannot listen on {address} for the admin API: {source}; choose another address with --api-listen, or off"
    )]
    Api {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The HTTP bridge cannot start.
    #[error(transparent)]
    Bridge(#[from] crate::bridge::BridgeError),
    /// A key of the bridge is too short.
    #[error("SIMRELAY_BRIDGE_KEY (--bridge-key): {0}")]
    Key(#[from] crate::bridge::InvalidKey),
    /// The bridge's broker cannot be tried.
    #[error(transparent)]
    SiteBroker(#[from] SiteBrokerError),
    /// The bridge's claim on the data folder cannot be made.
    #[error("cannot use {path}: {source}")]
    Claim {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another bridge runs already.
    #[error(
        "another bridge works with the data folder {0}: stop it, or give this one a folder of its own with --data"
    )]
    SecondBridge(String),
    /// Nothing is left to run.
    #[error("simrelay bridge with --bridge-listen off has nothing to do; give it an address")]
    BridgeOff,
    /// The notifier cannot start.
    #[error(transparent)]
    Notifier(#[from] NotifierError),
    /// What systemd handed over is no listening TCP socket.
    #[error(
        "systemd handed over a socket that cannot be used for devices: {0}; a socket unit of the relay has ListenStream= with a port and nothing else"
    )]
    Inherited(std::io::Error),
    /// Signals cannot be caught.
    #[error("cannot catch signals: {0}")]
    Signals(std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`] names what keeps it from starting.
pub async fn run(settings: &Settings, format: LogFormat) -> Result<(), StartError> {
    if let Err(behind) = clock::trusted_now() {
        tracing::warn!(
            event = "clock_behind",
            advice = ClockBehind::ADVICE,
            "{behind}: no tokens are made until it is set"
        );
    }
    // Said before anything starts.
    settings.api.address()?;
    let descriptors = descriptors::raise();
    let mut signals = Signals::catch().map_err(StartError::Signals)?;
    // First, as the configuration of a first run leads to it.
    let broker = start_broker(settings).await?;
    let store = open_store(settings, broker)?;
    let credentials = Arc::new(CredentialStore::open(&settings.certs, &settings.data)?);
    let pool = database::open(&settings.data).await?;
    let notifier = notifier::beside(settings, broker, pool.clone())?;
    let books = Books::new(&pool);
    let history = History::new(pool.clone());
    let (sessions, keeping) = start_history(settings, &history).await?;
    // The embedded broker has an end of each connection, too.
    let share = broker.map_or(descriptors, |_| descriptors / 3 * 2);
    let relay = start_relay(settings, &store, &credentials, books, sessions, share)?;
    let bridge = Running::start(settings, broker, &pool).await?;
    let (stop_api, api_stopped) = oneshot::channel::<()>();
    let readiness = Readiness::starting(pool.clone());
    let services = Services {
        notifier: notifier.as_ref().map(|notifier| Arc::clone(notifier.counters())),
        bridge: bridge.as_ref().map(|running| running.bridge().outbox().view()),
    };
    let api = match settings.api.address()? {
        None => None,
        Some(address) => {
            let ready = readiness.clone();
            let state = api_state(settings, &store, &credentials, &relay, history, ready, services)?;
            Some(start_api(address, &settings.api, state, api_stopped).await?)
        }
    };
    readiness.serving();
    let using = Arc::clone(&credentials);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(KEEP_USES).await;
            using.keep_uses().await;
        }
    });
    let expiring = Arc::clone(&credentials);
    tokio::spawn(async move { expiring.watch_expiry().await });
    let watching = Arc::clone(&store);
    tokio::spawn(async move { watching.watch().await });
    Banner {
        settings,
        store: &store,
        relay: &relay,
        descriptors,
        api: api.as_ref().map(|(address, _)| *address),
        broker,
        bridge: bridge.as_ref(),
        notifies: notifier.is_some(),
    }
    .show(format);
    let mut vitals = vitals(&pool, &relay, bridge.as_ref());
    if let Some(notifier) = &notifier {
        vitals.signs.push(Box::new(notifier.alive()));
    }
    let living = vitals.tell();
    signals.until_shutdown(&store).await;
    systemd::stopping();
    tracing::info!(event = "stopping", "shutting down");
    living.abort();
    readiness.stopping();
    if let Some(bridge) = bridge {
        bridge.shut_down().await;
    }
    // The API tells for as long as devices are there that nobody else should come.
    relay.shut_down().await;
    if let Some(notifier) = notifier {
        notifier.shut_down(Duration::from_secs(settings.grace)).await;
    }
    drop(stop_api);
    credentials.keep_uses().await;
    if let Some((_, serving)) = api {
        // An answer that is being written may end; one that never ends does not hold the exit up.
        let _ = tokio::time::timeout(Duration::from_secs(1), serving).await;
    }
    // It ends when the last of those is gone who have events to tell.
    let _ = tokio::time::timeout(Duration::from_secs(2), keeping).await;
    pool.close().await;
    Ok(())
}

/// What shows that the services live.
fn vitals(pool: &SqlitePool, relay: &Relay, bridge: Option<&Running>) -> Vitals {
    let pulse = relay.pulse().clone();
    let mut signs: Vec<systemd::Sign> = vec![Box::new(move || pulse.check())];
    if let Some(running) = bridge {
        signs.push(Box::new(running.bridge().alive()));
    }
    Vitals {
        pool: pool.clone(),
        signs,
    }
}

fn open_store(settings: &Settings, broker: Option<SocketAddr>) -> Result<Arc<FileStore>, StartError> {
    let (path, given) = settings.entrypoints();
    if !given && !path.exists() {
        write_first_run(&path, broker)?;
        tracing::info!(path = %path.display(), "there was no configuration, so one for a first run was written");
    }
    Ok(Arc::new(FileStore::open(path)?))
}

/// The embedded broker may listen elsewhere than usual.
fn write_first_run(path: &Path, broker: Option<SocketAddr>) -> Result<(), StartError> {
    let text = match broker {
        Some(address) => FIRST_RUN.replace(FIRST_BROKER, &address.to_string()),
        None => FIRST_RUN.to_owned(),
    };
    std::fs::File::create_new(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| StartError::FirstRun {
            path: path.display().to_string(),
            source,
        })
}

async fn start_history(
    settings: &Settings,
    history: &History,
) -> Result<(Arc<Sessions>, JoinHandle<()>), StartError> {
    if settings.api.listen == Listen::Off {
        return Ok((Sessions::off(), tokio::spawn(async {})));
    }
    history.close_left_open().await.map_err(StartError::History)?;
    let (sessions, events) = Sessions::new();
    let keeping = history.clone().follow(events, Arc::downgrade(&sessions));
    Ok((sessions, tokio::spawn(keeping)))
}

/// What systemd opened for devices, if it did; else the addresses of the settings.
fn relay_sockets(settings: &Settings) -> Result<Vec<ListenOn>, StartError> {
    let inherited = systemd::listeners().map_err(StartError::Inherited)?;
    if inherited.is_empty() {
        let addresses = settings.relay_addresses();
        return Ok(addresses.into_iter().map(ListenOn::Address).collect());
    }
    tracing::info!(
        sockets = inherited.len(),
        "devices connect to the sockets of the systemd unit; --relay-listen is not used"
    );
    let shared = inherited.into_iter().map(Arc::new);
    Ok(shared.map(ListenOn::Inherited).collect())
}

fn start_relay(
    settings: &Settings,
    store: &Arc<FileStore>,
    credentials: &Arc<CredentialStore>,
    books: Books,
    sessions: Arc<Sessions>,
    descriptors: u64,
) -> Result<Relay, StartError> {
    let limits = settings.limits.limits(descriptors);
    if limits.connections as u64 > descriptors / 2 {
        tracing::warn!(
            connections = limits.connections,
            open_files = descriptors,
            advice = "raise the limit of open files (LimitNOFILE= of the service), or lower --relay-max-connections",
            "a connection takes two of the open files, so there cannot be as many as may be"
        );
    }
    let relay = RelaySettings {
        listen: relay_sockets(settings)?,
        workers: settings.workers(),
        limits,
        usage_interval: settings.usage_interval,
        token_lifetime: Duration::from_secs(settings.token_lifetime),
        drain: Duration::from_secs(settings.drain),
        grace: Duration::from_secs(settings.grace),
    };
    let store = Arc::clone(store) as Arc<dyn Store>;
    let local = LocalAddresses::new(&settings.upstream_bind)?;
    let upstream = Upstream::new(Deadlines::default()).dialling_from(local);
    Ok(Relay::start(
        &relay,
        store,
        Arc::clone(credentials),
        upstream.with_detours(settings.connect_to.clone()),
        books,
        sessions,
    )?)
}

#[cfg(feature = "embedded-broker")]
async fn start_broker(settings: &Settings) -> Result<Option<SocketAddr>, StartError> {
    let Listen::On(address) = settings.broker_listen else {
        return Ok(None);
    };
    let broker = crate::broker::Broker::bind(address).await?;
    let address = broker.address();
    tokio::spawn(broker.run());
    Ok(Some(address))
}

#[cfg(not(feature = "embedded-broker"))]
async fn start_broker(_: &Settings) -> Result<Option<SocketAddr>, StartError> {
    Ok(None)
}

/// What the admin API works with.
fn api_state(
    settings: &Settings,
    store: &Arc<FileStore>,
    credentials: &Arc<CredentialStore>,
    relay: &Relay,
    history: History,
    readiness: Readiness,
    services: Services,
) -> Result<ApiState, StartError> {
    Ok(ApiState {
        store: Arc::clone(store) as Arc<dyn Store>,
        registry: Arc::clone(relay.registry()),
        history,
        books: relay.registry().books().clone(),
        readiness,
        credentials: Arc::clone(credentials),
        references: References::new(Arc::clone(store) as Arc<dyn Store>, Arc::clone(credentials)),
        auth: Arc::new(Auth::open(&settings.data)?),
        services,
    })
}

/// The admin API, its address and its task.
async fn start_api(
    address: SocketAddr,
    settings: &ApiArgs,
    state: ApiState,
    stopped: oneshot::Receiver<()>,
) -> Result<(SocketAddr, JoinHandle<()>), StartError> {
    let certificate = settings.tls().map(Certificate::open).transpose()?;
    let failed = |source| StartError::Api { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if certificate.is_none() && !address.ip().is_loopback() {
        tracing::warn!(%address, "the admin API is plain HTTP, as --api-allow-plain says: its token can be read on the way");
    }
    let tls = certificate
        .as_ref()
        .map(|certificate| TlsAcceptor::from(certificate.config()));
    if let Some(certificate) = certificate {
        tokio::spawn(certificate.watch());
    }
    let most = settings.max_connections;
    let serving = tokio::spawn(async move {
        // The sender is dropped when the program shuts down.
        let shutdown = async move { drop(stopped.await) };
        api::serve(listener, tls, state, most, shutdown).await;
    });
    Ok((address, serving))
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT. There is nothing to read again on SIGHUP, which ends nothing either.
    async fn until_end(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {}
            }
        }
    }

    /// SIGHUP reads the configuration again; SIGTERM and SIGINT end the wait.
    async fn until_shutdown(&mut self, store: &FileStore) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    if let Err(error) = store.reload().await {
                        tracing::error!(%error, "the configuration was not reloaded, the old one stays in force");
                    }
                }
            }
        }
    }
}
