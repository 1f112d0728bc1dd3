//! What a person sees who starts simrelay: what listens where, and what to try next.

use super::bridge::Running;
use crate::api::AdminToken;
use crate::relay::Relay;
use crate::settings::{LogFormat, Settings};
use crate::store::{FileStore, Store};
use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

/// What runs now.
pub(super) struct Banner<'a> {
    pub(super) settings: &'a Settings,
    pub(super) store: &'a Arc<FileStore>,
    pub(super) relay: &'a Relay,
    /// Files and sockets that may be open.
    pub(super) descriptors: u64,
    pub(super) api: Option<SocketAddr>,
    pub(super) broker: Option<SocketAddr>,
    pub(super) bridge: Option<&'a Running>,
    pub(super) notifies: bool,
}

impl Banner<'_> {
    /// In words for people, as log lines for machines.
    pub(super) fn show(&self, format: LogFormat) {
        if format == LogFormat::Human {
            // A closed standard error is no reason not to run.
            let _ = write!(std::io::stderr(), "{self}");
            return;
        }
        for address in self.relay.addresses() {
            tracing::info!(event = "listening", service = "relay", %address, "listening");
        }
        let bridge = self.bridge.map(|running| running.bridge().address());
        for (service, address) in [("api", self.api), ("broker", self.broker), ("bridge", bridge)] {
            if let Some(address) = address {
                tracing::info!(event = "listening", service, %address, "listening");
            }
        }
        let limits = self.relay.registry().limits();
        tracing::info!(
            event = "limits",
            open_files = self.descriptors,
            connections = limits.connections,
            connections_per_sim = limits.per_sim,
            handshakes = limits.handshakes,
            handshakes_per_sim = limits.handshakes_per_sim,
            strangers = limits.strangers,
            rate_per_sim = limits.rate,
            rate = limits.accepts.map_or(0, NonZeroU32::get),
            "limits in force"
        );
        tracing::info!(event = "ready", version = env!("CARGO_PKG_VERSION"), "ready");
    }

    fn try_next(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(relay), Some(broker)) = (self.relay.addresses().first(), self.broker) else {
            return Ok(());
        };
        writeln!(f, "try:")?;
        writeln!(
            f,
            "  mosquitto_sub -h {} -p {} -t '#' -v &",
            broker.ip(),
            broker.port()
        )?;
        let port = if relay.port() == 1883 {
            String::new()
        } else {
            format!(" -p {}", relay.port())
        };
        writeln!(
            f,
            "  mosquitto_pub -h 127.0.0.1{port} -t 'sensors/{{{{imsi}}}}/temp' -m 21.5"
        )
    }
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.store.snapshot();
        let file = self.settings.entrypoints();
        let (groups, sims) = (snapshot.groups().len(), snapshot.sims().len());
        writeln!(f, "simrelay {}", env!("CARGO_PKG_VERSION"))?;
        writeln!(
            f,
            "  config  {}: {groups} group(s), {sims} SIM(s)",
            file.path().display()
        )?;
        for address in self.relay.addresses() {
            writeln!(f, "  relay   {address}: devices connect here with plain MQTT")?;
        }
        let limits = self.relay.registry().limits();
        writeln!(
            f,
            "  limits  {} connections, {} a SIM; {} open files",
            limits.connections, limits.per_sim, self.descriptors
        )?;
        if let Some(address) = self.api {
            let token = AdminToken::path(&self.settings.data);
            writeln!(
                f,
                "  api     {}://{address}/v1/groups: its token is in {}",
                self.settings.api.scheme(),
                token.display()
            )?;
        }
        if let Some(address) = self.broker {
            writeln!(f, "  broker  {address}: embedded, memory only, for a first try")?;
        }
        if let Some(running) = self.bridge {
            let (url, broker) = (running.bridge().url(), running.broker());
            writeln!(f, "  bridge  {url}/notify?message=hello: HTTP to {broker}")?;
        }
        if self.notifies {
            let file = self.settings.notifier.notifications();
            writeln!(
                f,
                "  notifier as {} says: simrelay notifications --help",
                file.path().display()
            )?;
        }
        self.try_next(f)
    }
}
