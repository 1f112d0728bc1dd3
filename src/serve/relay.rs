//! The relay, by the settings or on the sockets that systemd opened.

use super::error::StartError;
use super::systemd;
use crate::relay::{Books, ListenOn, Listening, Relay, RelaySettings};
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::store::{CredentialStore, FileStore, Store};
use crate::upstream::{Deadlines, LocalAddresses, Upstream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Starts it; it may have so many `descriptors` open.
pub(super) fn start(
    settings: &Settings,
    listening: Listening,
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
        listening,
        limits,
        usage_interval: settings.usage_interval,
        token_lifetime: Duration::from_secs(settings.token_lifetime),
        drain: Duration::from_secs(settings.drain),
        grace: Duration::from_secs(settings.grace),
    };
    let store = Arc::clone(store) as Arc<dyn Store>;
    let local = LocalAddresses::new(&settings.upstream_bind)?;
    let upstream = Upstream::new(Deadlines::default())
        .with_system_roots()
        .dialling_from(local);
    Ok(Relay::start(
        relay,
        store,
        Arc::clone(credentials),
        upstream.with_detours(settings.connect_to.clone()),
        books,
        sessions,
    )?)
}

/// What systemd opened for devices, if it did; else the `addresses` of the settings.
pub(super) fn sockets(addresses: &[SocketAddr]) -> Result<Vec<ListenOn>, StartError> {
    let inherited = systemd::listeners().map_err(StartError::Inherited)?;
    if inherited.is_empty() {
        return Ok(addresses.iter().copied().map(ListenOn::Address).collect());
    }
    tracing::info!(
        sockets = inherited.len(),
        "devices connect to the sockets of the systemd unit; --relay-listen is not used"
    );
    let shared = inherited.into_iter().map(Arc::new);
    Ok(shared.map(ListenOn::Inherited).collect())
}
