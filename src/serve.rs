//! `simrelay run`: services started in order, signals, services shut down in order.

use crate::relay::{Relay, RelaySettings};
use crate::settings::{Listen, LogFormat, Settings};
use crate::store::{CredentialStore, FileStore, Store};
use crate::upstream::{Deadlines, Upstream};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The configuration of a first run.
const FIRST_RUN: &str = include_str!("../entrypoints.json");

/// Why simrelay could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The relay cannot listen.
    #[error(transparent)]
    Relay(#[from] crate::relay::RelayError),
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
    /// Signals cannot be caught.
    #[error("cannot catch signals: {0}")]
    Signals(std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`] names what keeps it from starting.
pub async fn run(settings: &Settings, format: LogFormat) -> Result<(), StartError> {
    let mut signals = Signals::catch().map_err(StartError::Signals)?;
    let store = open_store(settings)?;
    let credentials = Arc::new(CredentialStore::new(&settings.certs));
    let broker = start_broker(settings).await?;
    let relay = start_relay(settings, &store, &credentials)?;
    let watching = Arc::clone(&store);
    tokio::spawn(async move { watching.watch().await });
    announce(settings, format, &relay, broker, &store);
    signals.until_shutdown(&store).await;
    relay.shut_down().await;
    Ok(())
}

fn open_store(settings: &Settings) -> Result<Arc<FileStore>, StartError> {
    let (path, given) = settings.entrypoints();
    if !given && !path.exists() {
        write_first_run(&path)?;
        tracing::info!(path = %path.display(), "there was no configuration, so one for a first run was written");
    }
    Ok(Arc::new(FileStore::open(path)?))
}

fn write_first_run(path: &Path) -> Result<(), StartError> {
    std::fs::File::create_new(path)
        .and_then(|mut file| file.write_all(FIRST_RUN.as_bytes()))
        .map_err(|source| StartError::FirstRun { path: path.display().to_string(), source })
}

fn start_relay(
    settings: &Settings,
    store: &Arc<FileStore>,
    credentials: &Arc<CredentialStore>,
) -> Result<Relay, StartError> {
    let relay = RelaySettings {
        listen: settings.relay_addresses(),
        workers: settings.workers(),
        usage_interval: settings.usage_interval,
        grace: Duration::from_secs(settings.grace),
    };
    let store = Arc::clone(store) as Arc<dyn Store>;
    Ok(Relay::start(&relay, store, Arc::clone(credentials), Upstream::new(Deadlines::default()))?)
}

#[cfg(feature = "embedded-broker")]
async fn start_broker(settings: &Settings) -> Result<Option<SocketAddr>, StartError> {
    let Listen::On(address) = settings.broker_listen else { return Ok(None) };
    let broker = crate::broker::Broker::bind(address).await?;
    let address = broker.address();
    tokio::spawn(broker.run());
    Ok(Some(address))
}

#[cfg(not(feature = "embedded-broker"))]
async fn start_broker(_: &Settings) -> Result<Option<SocketAddr>, StartError> {
    Ok(None)
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

fn announce(
    settings: &Settings,
    format: LogFormat,
    relay: &Relay,
    broker: Option<SocketAddr>,
    store: &Arc<FileStore>,
) {
    let _ = (settings, format, store);
    for address in relay.addresses() {
        tracing::info!(event = "listening", service = "relay", %address, "listening");
    }
    if let Some(address) = broker {
        tracing::info!(event = "listening", service = "broker", %address, "listening");
    }
}
