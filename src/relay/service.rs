//! The relay as a whole: started, watched, shut down.

use super::bookkeeper::Bookkeeper;
use super::context::Context;
use super::listen::reached_at;
use super::pace::Pace;
use super::registry::Registry;
use super::worker::Worker;
use super::{Administrative, Books, Limits, ListenOn, Pulse, token_watch};
use crate::sessions::Sessions;
use crate::store::{CredentialStore, Store};
use crate::timers::Timekeeper;
use crate::upstream::Upstream;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle as Task;
use tokio::time::{Instant, sleep_until};

/// Where the relay listens, and what it may do.
#[derive(Debug)]
pub struct RelaySettings {
    /// Where devices connect.
    pub listening: Listening,
    /// How much devices may take.
    pub limits: Limits,
    /// Seconds between two usage lines of a SIM.
    pub usage_interval: NonZeroU32,
    /// How long a token lives that is made for Azure IoT Hub or a Google-style registry.
    pub token_lifetime: Duration,
    /// Over how long open connections are closed when the relay shuts down, so that a fleet does not come back all
    /// at once.
    pub drain: Duration,
    /// How long the last of them may take to close.
    pub grace: Duration,
}

/// Why the relay did not start.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// An address cannot be had.
    #[error("cannot listen on {address}: {source}{}", hint(source))]
    Listen {
        /// The address, in words.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A thread cannot be had.
    #[error("cannot start a worker thread: {0}")]
    Thread(#[from] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program has the port: stop it or choose another with --relay-listen"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    }
}

/// The running relay.
#[derive(Debug)]
pub struct Relay {
    addresses: Vec<SocketAddr>,
    registry: Arc<Registry>,
    shutdown: watch::Sender<bool>,
    workers: Vec<JoinHandle<io::Result<()>>>,
    watcher: Task<()>,
    pulse: Pulse,
    /// Writes usage and log entries until the sender is dropped.
    bookkeeper: (oneshot::Sender<()>, Task<Bookkeeper>),
    drain: Duration,
}

impl Relay {
    /// Starts a worker for each share of the listeners. The caller's runtime runs what is not on the data
    /// plane: the bookkeeper and the watch over configuration changes.
    ///
    /// # Errors
    /// [`RelayError`]: a thread cannot be had.
    pub fn start(
        settings: RelaySettings,
        store: Arc<dyn Store>,
        credentials: Arc<CredentialStore>,
        upstream: Upstream,
        books: Books,
        sessions: Arc<Sessions>,
    ) -> Result<Self, RelayError> {
        let Listening {
            addresses,
            own,
            shares,
        } = settings.listening;
        let count = shares.len();
        let registry = Arc::new(Registry::new(count, settings.limits, books, sessions));
        let (shutdown, down) = watch::channel(false);
        let context = Arc::new(Context {
            store: Arc::clone(&store),
            credentials,
            upstream: upstream.away_from(own),
            registry: Arc::clone(&registry),
            pace: Pace::new(settings.limits.accepts),
            token_lifetime: settings.token_lifetime,
            shutdown: down,
        });
        let pulse = Pulse::new(count);
        let grace = settings.drain + settings.grace;
        let (workers, all_accept) = start_workers(shares, &context, &pulse, grace)?;
        if !all_accept {
            // Ends the others.
            drop(shutdown);
            return Err(first_failure(workers));
        }
        let watched = Arc::clone(&registry);
        let watcher = tokio::spawn(async move {
            tokio::join!(
                close_what_lost_its_ground(&watched, store),
                token_watch::watch(&watched)
            );
        });
        let bookkeeper = Bookkeeper::new(Arc::clone(&registry), settings.usage_interval.get().into());
        let (stop, stopped) = oneshot::channel();
        let bookkeeper = (stop, tokio::spawn(bookkeeper.keep(stopped)));
        Ok(Self {
            addresses,
            registry,
            shutdown,
            workers,
            watcher,
            pulse,
            bookkeeper,
            drain: settings.drain,
        })
    }

    /// Where it listens, with the ports that were given for port 0.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Who is connected.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Whether the threads of the data plane live.
    #[must_use]
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Stops accepting, closes every connection without a DISCONNECT to its broker, one after the other over the
    /// drain time, waits for the grace period at most, and writes what was counted to its end.
    pub async fn shut_down(self) {
        self.watcher.abort();
        let _ = self.shutdown.send(true);
        let registry = Arc::clone(&self.registry);
        let drain = self.drain;
        let closing = tokio::spawn(async move {
            drain_over(&registry, drain).await;
            // Again and again, for those whose handshake was just ending.
            loop {
                registry.for_each(|connection| connection.close(Administrative::Shutdown));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let workers = self.workers;
        let joined = tokio::task::spawn_blocking(move || {
            workers.into_iter().for_each(|worker| {
                if let Ok(Err(error)) = worker.join() {
                    tracing::error!(%error, "a worker failed");
                }
            });
        });
        let _ = joined.await;
        closing.abort();
        let (stop, bookkeeper) = self.bookkeeper;
        drop(stop);
        match bookkeeper.await {
            Ok(bookkeeper) => bookkeeper.close().await,
            Err(error) => tracing::error!(%error, "the bookkeeper failed"),
        }
    }
}

/// What the relay listens on: devices that connect wait until it starts.
#[derive(Debug, Default)]
pub struct Listening {
    addresses: Vec<SocketAddr>,
    /// Under which of this machine's addresses it is reached there.
    own: Vec<SocketAddr>,
    /// A listener on each address for each worker.
    shares: Vec<Vec<TcpListener>>,
}

impl Listening {
    /// Binds all addresses, for so many threads of the data plane.
    ///
    /// # Errors
    /// [`RelayError`] names the address that cannot be had.
    pub fn bind(listen: &[ListenOn], workers: NonZeroUsize) -> Result<Self, RelayError> {
        let workers = workers.get();
        let mut bound = Self {
            shares: (0..workers).map(|_| Vec::new()).collect(),
            ..Self::default()
        };
        for on in listen {
            let listeners = on.open(workers).map_err(|source| RelayError::Listen {
                address: on.to_string(),
                source,
            })?;
            bound.addresses.push(listeners[0].local_addr()?);
            bound.own.extend(reached_at(&listeners[0])?);
            for (share, listener) in bound.shares.iter_mut().zip(listeners) {
                share.push(listener);
            }
        }
        Ok(bound)
    }
}

/// A thread for each share of listeners, and whether all of them accept.
fn start_workers(
    shares: Vec<Vec<TcpListener>>,
    context: &Arc<Context>,
    pulse: &Pulse,
    grace: Duration,
) -> io::Result<(Vec<JoinHandle<io::Result<()>>>, bool)> {
    let timers = Timekeeper::start()?;
    let mut workers = Vec::new();
    let (accepting, accepts) = mpsc::channel();
    for (number, listeners) in shares.into_iter().enumerate() {
        let worker = Worker {
            number,
            listeners,
            context: Arc::clone(context),
            timers: timers.clone(),
            pulse: pulse.clone(),
            grace,
        };
        let accepting = accepting.clone();
        let thread = std::thread::Builder::new().name(format!("relay-{number}"));
        workers.push(thread.spawn(move || worker.run(accepting))?);
    }
    drop(accepting);
    // What cannot accept is gone by then, and its end of the channel with it.
    let all_accept = accepts.iter().count() == workers.len();
    Ok((workers, all_accept))
}

/// Why a worker did not begin.
fn first_failure(workers: Vec<JoinHandle<io::Result<()>>>) -> RelayError {
    let mut failures = workers
        .into_iter()
        .filter_map(|worker| worker.join().ok().and_then(Result::err));
    let unknown = || io::Error::other("a worker of the relay ended at its start");
    failures.next().unwrap_or_else(unknown).into()
}

/// Closes the connections one after the other, evenly over `time`.
async fn drain_over(registry: &Registry, time: Duration) {
    let mut open = Vec::new();
    registry.for_each(|connection| open.push(Arc::clone(connection)));
    let began = Instant::now();
    for (at, connection) in (0_u32..).zip(&open) {
        sleep_until(began + time.mul_f64(f64::from(at) / open.len() as f64)).await;
        connection.close(Administrative::Shutdown);
    }
}

/// A disabled or deleted entry point, a deleted SIM and a moved SIM close their connections at once.
async fn close_what_lost_its_ground(registry: &Registry, store: Arc<dyn Store>) {
    let mut changes = store.changes();
    while changes.changed().await.is_ok() {
        let snapshot = store.snapshot();
        registry.for_each(|connection| {
            if let Some(reason) = connection.admission.lost(connection.peer.ip(), &snapshot) {
                connection.close(reason);
            }
        });
    }
}
