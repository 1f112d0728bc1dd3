//! The notifier beside the relay, or alone.

use super::systemd::{self, Vitals};
use super::{Signals, StartError};
use crate::database;
use crate::entrypoint::{Destination, Host, Scheme};
use crate::notifier::configuration::NotificationsFile;
use crate::notifier::secret::Secret;
use crate::notifier::{BrokerAccess, FIRST_RUN, Notifier};
use crate::settings::{LogFormat, NotifierBroker, NotifierSettings, Settings};
use sqlx::SqlitePool;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// The variable with the password at the broker; no flag, as anybody on the machine can read those.
const PASSWORD: &str = "SIMRELAY_NOTIFIER_BROKER_PASSWORD";
/// Where the embedded broker usually is.
const USUAL_BROKER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1884);

/// Why the notifier could not start.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// Its file cannot be used.
    #[error(transparent)]
    File(#[from] crate::store::StoreError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Trust(#[from] crate::notifier::TrustError),
    /// The password at the broker is not there.
    #[error("the password at the notifier's broker: {0}")]
    Password(#[from] crate::notifier::secret::MissingSecret),
    /// A password without a user.
    #[error("there is a password for the notifier's broker, but no user name; give --notifier-broker-user")]
    NoUser,
    /// It was switched off and asked for at once.
    #[error("--notifier-broker is off, and nothing else was to be run; give the URL of a broker")]
    Off,
    /// The file of a first run cannot be written.
    #[error("cannot write {path}: {source}; give another path with --notifications")]
    FirstRun {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// `simrelay notifier`: runs it until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`] names what keeps it from starting.
pub async fn notifier(settings: &Settings, format: LogFormat) -> Result<(), StartError> {
    let mut signals = Signals::catch().map_err(StartError::Signals)?;
    let broker = match &settings.notifier.notifier_broker {
        Some(NotifierBroker::Off) => return Err(NotifierError::Off.into()),
        Some(NotifierBroker::At(destination)) => destination.clone(),
        None => at(USUAL_BROKER),
    };
    let pool = database::open(&settings.data).await?;
    let (path, given) = settings.notifier.notifications();
    if !given && !path.exists() {
        write_first_run(&path)?;
    }
    let running = start(settings, broker.clone(), &path, pool.clone())?;
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
        pool: pool.clone(),
        signs: vec![Box::new(running.alive())],
    };
    let living = vitals.tell();
    signals.until_end().await;
    systemd::stopping();
    tracing::info!(event = "stopping", "shutting down");
    living.abort();
    running.shut_down(Duration::from_secs(settings.grace)).await;
    pool.close().await;
    Ok(())
}

/// The notifier of `simrelay run`: on if there is a broker to listen to, its own or one that was named.
pub(super) fn beside(
    settings: &Settings,
    embedded: Option<SocketAddr>,
    pool: SqlitePool,
) -> Result<Option<Notifier>, NotifierError> {
    let broker = match (&settings.notifier.notifier_broker, embedded) {
        (Some(NotifierBroker::Off), _) => return Ok(None),
        (Some(NotifierBroker::At(destination)), _) => destination.clone(),
        (None, Some(address)) => at(address),
        (None, None) => {
            tracing::info!(
                "without the embedded broker the notifier needs --notifier-broker; it does not run"
            );
            return Ok(None);
        }
    };
    let (path, given) = settings.notifier.notifications();
    if !given && !path.exists() {
        // A relay does not stay down for a file that nobody asked for.
        if let Err(error) = write_first_run(&path) {
            tracing::warn!("{error}; the notifier does not run");
            return Ok(None);
        }
    }
    start(settings, broker, &path, pool).map(Some)
}

fn start(
    settings: &Settings,
    broker: Destination,
    path: &Path,
    pool: SqlitePool,
) -> Result<Notifier, NotifierError> {
    let file = NotificationsFile::open(path)?;
    let NotifierSettings {
        notifier_broker_ca,
        notifier_client_id,
        ..
    } = &settings.notifier;
    let login = login(&settings.notifier)?;
    let access = BrokerAccess::new(
        broker,
        notifier_client_id.clone(),
        login,
        notifier_broker_ca.as_deref(),
    )?;
    Ok(Notifier::start(file, access, pool, settings.data.clone())?)
}

fn login(settings: &NotifierSettings) -> Result<Option<(String, Zeroizing<String>)>, NotifierError> {
    let secret = match &settings.notifier_broker_password_file {
        Some(path) => Some(Secret::File(path.clone())),
        None => std::env::var_os(PASSWORD).map(|_| Secret::Environment(PASSWORD.to_owned())),
    };
    let password = secret.map(|secret| secret.read()).transpose()?;
    match (&settings.notifier_broker_user, password) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(NotifierError::NoUser),
        (Some(user), password) => Ok(Some((user.clone(), password.unwrap_or_default()))),
    }
}

fn at(address: SocketAddr) -> Destination {
    Destination {
        scheme: Scheme::Mqtt,
        host: Host::Ip(address.ip()),
        port: address.port(),
    }
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
