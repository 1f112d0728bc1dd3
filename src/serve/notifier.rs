//! The notifier beside the relay, or alone.

use super::error::{NotifierError, StartError};
use super::signals::Signals;
use super::systemd::{self, Vitals};
use crate::claim::{Claim, Claimant};
use crate::database::Database;
use crate::entrypoint::Destination;
use crate::notifier::configuration::NotificationsFile;
use crate::notifier::{FIRST_RUN, Notifier};
use crate::settings::{LogFormat, NotifierBroker, Settings};
use crate::site_broker::SiteBroker;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A notifier and its claim on the data folder.
pub(super) struct Running {
    notifier: Notifier,
    _claim: Claim,
}

impl Running {
    fn start(
        settings: &Settings,
        broker: Destination,
        path: &Path,
        database: Database,
    ) -> Result<Self, NotifierError> {
        let file = NotificationsFile::open(path)?;
        let client_id = settings.notifier.notifier_client_id.clone();
        let broker = settings.notifier.site_broker(broker)?;
        let claim = Claim::take(&settings.data, Claimant::Notifier)?;
        let data = settings.data.clone();
        Ok(Self {
            notifier: Notifier::start(file, broker, client_id, database, data)?,
            _claim: claim,
        })
    }

    pub(super) fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    pub(super) async fn shut_down(self, grace: Duration) {
        self.notifier.shut_down(grace).await;
    }
}

/// `simrelay notifier`: runs it until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`] names what keeps it from starting.
pub async fn notifier(settings: &Settings, format: LogFormat) -> Result<(), StartError> {
    let mut signals = Signals::catch()?;
    let broker = match &settings.notifier.notifier_broker {
        Some(NotifierBroker::Off) => return Err(NotifierError::Off.into()),
        Some(NotifierBroker::At(destination)) => destination.clone(),
        None => SiteBroker::USUAL.into(),
    };
    let database = Database::open(&settings.data).await?;
    let file = settings.notifier.notifications();
    let path = file.path();
    if file.awaits_first_run() {
        write_first_run(path)?;
    }
    let running = Running::start(settings, broker.clone(), path, database.clone())?;
    if format == LogFormat::Human {
        let version = env!("CARGO_PKG_VERSION");
        // A closed standard error is no reason not to run.
        let _ = writeln!(
            std::io::stderr(),
            "simrelay {version}\n  notifier listens to {broker}, as {} says",
            path.display()
        );
    } else {
        tracing::info!(event = "ready", version = env!("CARGO_PKG_VERSION"), "ready");
    }
    let vitals = Vitals {
        database: database.clone(),
        signs: vec![Box::new(running.notifier().alive())],
    };
    let living = vitals.tell();
    signals.until_end().await;
    systemd::stopping();
    tracing::info!(event = "stopping", "shutting down");
    living.abort();
    running.shut_down(Duration::from_secs(settings.grace)).await;
    database.close().await;
    Ok(())
}

/// The notifier of `simrelay run`: on if there is a broker to listen to, its own or one that was named.
pub(super) fn beside(
    settings: &Settings,
    embedded: Option<SocketAddr>,
    database: Database,
) -> Result<Option<Running>, NotifierError> {
    let broker = match (&settings.notifier.notifier_broker, embedded) {
        (Some(NotifierBroker::Off), _) => return Ok(None),
        (Some(NotifierBroker::At(destination)), _) => destination.clone(),
        (None, Some(address)) => address.into(),
        (None, None) => {
            tracing::info!(
                "without the embedded broker the notifier needs --notifier-broker; it does not run"
            );
            return Ok(None);
        }
    };
    let file = settings.notifier.notifications();
    let path = file.path();
    if file.awaits_first_run() {
        // A relay does not stay down for a file that nobody asked for.
        if let Err(error) = write_first_run(path) {
            tracing::warn!("{error}; the notifier does not run");
            return Ok(None);
        }
    }
    Running::start(settings, broker, path, database).map(Some)
}

fn write_first_run(path: &Path) -> Result<(), NotifierError> {
    std::fs::File::create_new(path)
        .and_then(|mut file| file.write_all(FIRST_RUN.as_bytes()))
        .map_err(|source| NotifierError::FirstRun {
            path: path.display().to_string(),
            source,
        })?;
    tracing::info!(path = %path.display(), "there were no notifications, so a file for a first run was written");
    Ok(())
}
