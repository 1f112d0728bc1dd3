//! The HTTP bridge, alone or with the others.

use super::error::StartError;
use super::signals::Signals;
use super::systemd::{self, Vitals};
use crate::bridge::{Bridge, BridgeSettings};
use crate::claim::{Claim, Claimant};
use crate::database::Database;
use crate::settings::{LogFormat, Settings};
use std::io::Write;
use std::net::SocketAddr;

/// A bridge and its claim on the data folder.
#[derive(Debug)]
pub(super) struct Running {
    bridge: Bridge,
    broker: String,
    _claim: Claim,
}

impl Running {
    /// Starts the bridge, unless it is switched off.
    pub(super) async fn start(
        settings: &Settings,
        bridge: Option<BridgeSettings>,
        embedded: Option<SocketAddr>,
        database: &Database,
    ) -> Result<Option<Self>, StartError> {
        let Some(bridge) = bridge else {
            return Ok(None);
        };
        let broker = settings.bridge.site_broker(embedded)?;
        let claim = Claim::take(&settings.data, Claimant::Bridge)?;
        Ok(Some(Self {
            broker: broker.destination().to_string(),
            bridge: Bridge::start(bridge, broker, database.clone()).await?,
            _claim: claim,
        }))
    }

    pub(super) fn bridge(&self) -> &Bridge {
        &self.bridge
    }

    /// The URL of the broker.
    pub(super) fn broker(&self) -> &str {
        &self.broker
    }

    pub(super) async fn shut_down(self) {
        self.bridge.shut_down().await;
    }
}

/// `simrelay bridge`: runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`] names what keeps it from starting.
pub async fn bridge(settings: &Settings, format: LogFormat) -> Result<(), StartError> {
    let mut signals = Signals::catch()?;
    let asked = settings.bridge.settings()?;
    let database = Database::open(&settings.data).await?;
    let running = Running::start(settings, asked, None, &database)
        .await?
        .ok_or(StartError::BridgeOff)?;
    show(&running, format);
    let alive = running.bridge().alive();
    let vitals = Vitals {
        database: database.clone(),
        signs: vec![Box::new(alive)],
    };
    let living = vitals.tell();
    signals.until_end().await;
    systemd::stopping();
    tracing::info!(event = "stopping", "shutting down");
    running.shut_down().await;
    living.abort();
    database.close().await;
    Ok(())
}

fn show(running: &Running, format: LogFormat) {
    let url = running.bridge().url();
    if format == LogFormat::Human {
        // A closed standard error is no reason not to run.
        let _ = writeln!(
            std::io::stderr(),
            "simrelay {}\n  bridge  {url}: GET and POST /notify, POST /publish, to {}",
            env!("CARGO_PKG_VERSION"),
            running.broker()
        );
        return;
    }
    let address = running.bridge().address();
    tracing::info!(event = "listening", service = "bridge", %address, url, broker = running.broker(), "listening");
    tracing::info!(event = "ready", version = env!("CARGO_PKG_VERSION"), "ready");
}
