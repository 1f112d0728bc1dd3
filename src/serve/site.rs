//! `simrelay run` and `simrelay relay`: all services of a machine, started and shut down in order.

use super::admin::{self, Admin};
use super::banner::Banner;
use super::bridge::Running;
use super::error::StartError;
use super::signals::Signals;
use super::systemd::{self, Sign, Vitals};
use super::{configuration, notifier, relay};
use crate::api::{ApiState, Auth, Readiness, Services};
use crate::claim::{Claim, Claimant};
use crate::clock::{self, ClockBehind};
use crate::database::Database;
use crate::descriptors;
use crate::relay::{Books, Listening, Relay};
use crate::sessions::{History, Sessions};
use crate::settings::{Listen, LogFormat, NotifierBroker, Settings};
use crate::store::{CredentialStore, FileStore, References, Store};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often the last use of each credential is written down.
const KEEP_USES: Duration = Duration::from_secs(60);
/// How long the last session events may take to be written at the end.
const LAST_EVENTS: Duration = Duration::from_secs(2);

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
    let mut signals = Signals::catch()?;
    let site = Site::start(settings).await?;
    site.banner(settings).show(format);
    let living = site.vitals().tell();
    signals.until_shutdown(&site.store).await;
    systemd::stopping();
    tracing::info!(event = "stopping", "shutting down");
    living.abort();
    site.shut_down(Duration::from_secs(settings.grace)).await;
    Ok(())
}

/// What runs.
struct Site {
    /// Files and sockets that may be open.
    descriptors: u64,
    database: Database,
    broker: Option<SocketAddr>,
    store: Arc<FileStore>,
    credentials: Arc<CredentialStore>,
    notifier: Option<notifier::Running>,
    /// Writes session events down.
    keeping: JoinHandle<()>,
    relay: Relay,
    bridge: Option<Running>,
    readiness: Readiness,
    admin: Option<Admin>,
    _claim: Claim,
}

impl Site {
    async fn start(settings: &Settings) -> Result<Self, StartError> {
        // Refused before anything starts.
        let relay_addresses = settings.relay_addresses()?;
        let admin_address = settings.api.address()?;
        let bridge = settings.bridge.settings()?;
        let descriptors = descriptors::raise();
        descriptors::make_room(descriptors);
        let sockets = relay::sockets(&relay_addresses)?;
        if sockets.is_empty() && admin_address.is_none() && bridge.is_none() && is_all_else_off(settings) {
            return Err(StartError::NothingToDo);
        }
        // Before the first write, and before all that a running relay would not survive unharmed.
        let claim = Claim::take(&settings.data, Claimant::Relay)?;
        let listening = Listening::bind(&sockets, settings.workers())?;
        let bound = match admin_address {
            Some(address) => Some(admin::Bound::bind(address, &settings.api).await?),
            None => None,
        };
        // First, as the configuration of a first run leads to it.
        let broker = start_broker(settings).await?;
        let store = configuration::open(settings, broker)?;
        let credentials = Arc::new(CredentialStore::open(settings.certs(), &settings.data)?);
        let database = Database::open(&settings.data).await?;
        let notifier = notifier::beside(settings, broker, database.clone())?;
        let history = History::new(database.clone());
        let (sessions, keeping) = follow_sessions(settings, &history).await?;
        // The embedded broker has an end of each connection, too.
        let share = broker.map_or(descriptors, |_| descriptors / 3 * 2);
        let books = Books::new(&database);
        let relay = relay::start(settings, listening, &store, &credentials, books, sessions, share)?;
        let bridge = Running::start(settings, bridge, broker, &database).await?;
        let mut site = Self {
            descriptors,
            readiness: Readiness::starting(database.clone()),
            database,
            broker,
            store,
            credentials,
            notifier,
            keeping,
            relay,
            bridge,
            admin: None,
            _claim: claim,
        };
        if let Some(bound) = bound {
            let state = site.api_state(settings, history)?;
            site.admin = Some(bound.serve(&settings.api, state));
        }
        site.readiness.serving();
        site.watch();
        Ok(site)
    }

    /// What the admin API works with.
    fn api_state(&self, settings: &Settings, history: History) -> Result<ApiState, StartError> {
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let registry = self.relay.registry();
        let services = Services {
            notifier: self
                .notifier
                .as_ref()
                .map(|running| Arc::clone(running.notifier().counters())),
            bridge: self
                .bridge
                .as_ref()
                .map(|running| running.bridge().outbox().view()),
        };
        Ok(ApiState {
            store: Arc::clone(&store),
            registry: Arc::clone(registry),
            history,
            books: registry.books().clone(),
            readiness: self.readiness.clone(),
            credentials: Arc::clone(&self.credentials),
            references: References::new(store, Arc::clone(&self.credentials)),
            auth: Arc::new(Auth::open(&settings.data)?),
            services,
        })
    }

    /// What is looked at again and again until the program ends.
    fn watch(&self) {
        let using = Arc::clone(&self.credentials);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(KEEP_USES).await;
                using.keep_uses().await;
            }
        });
        let expiring = Arc::clone(&self.credentials);
        tokio::spawn(async move { expiring.watch_expiry().await });
        let edited = Arc::clone(&self.store);
        tokio::spawn(async move { edited.watch().await });
    }

    fn banner<'a>(&'a self, settings: &'a Settings) -> Banner<'a> {
        Banner {
            settings,
            store: &self.store,
            relay: &self.relay,
            descriptors: self.descriptors,
            api: self.admin.as_ref().map(Admin::address),
            broker: self.broker,
            bridge: self.bridge.as_ref(),
            notifies: self.notifier.is_some(),
        }
    }

    /// What shows that the services live.
    fn vitals(&self) -> Vitals {
        let pulse = self.relay.pulse().clone();
        let mut signs: Vec<Sign> = vec![Box::new(move || pulse.check())];
        if let Some(running) = &self.bridge {
            signs.push(Box::new(running.bridge().alive()));
        }
        if let Some(running) = &self.notifier {
            signs.push(Box::new(running.notifier().alive()));
        }
        let database = self.database.clone();
        Vitals { database, signs }
    }

    /// From the entrances inwards; the last of the notifier's deliveries may take `grace`.
    async fn shut_down(self, grace: Duration) {
        self.readiness.stopping();
        if let Some(bridge) = self.bridge {
            bridge.shut_down().await;
        }
        // The API tells for as long as devices are there that nobody else should come.
        self.relay.shut_down().await;
        if let Some(running) = self.notifier {
            running.shut_down(grace).await;
        }
        self.credentials.keep_uses().await;
        if let Some(admin) = self.admin {
            admin.shut_down().await;
        }
        // It ends when the last of those is gone who have events to tell.
        let _ = tokio::time::timeout(LAST_EVENTS, self.keeping).await;
        self.database.close().await;
    }
}

/// Whether there is neither an embedded broker nor a notifier to run.
fn is_all_else_off(settings: &Settings) -> bool {
    let embeds_broker = cfg!(feature = "embedded-broker") && settings.broker_listen != Listen::Off;
    let notifies = matches!(settings.notifier.notifier_broker, Some(NotifierBroker::At(_)));
    !embeds_broker && !notifies
}

/// Who is online, and the task that writes it down; neither without an admin API to tell it.
async fn follow_sessions(
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
