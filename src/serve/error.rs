//! Why a service does not start.

use crate::server_tls::TlsError;
use crate::settings::{BridgeSettingsError, NotifierBrokerError, OffBesideOthers, PlainApi};
use std::net::SocketAddr;

/// Why simrelay could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Store(#[from] crate::json::JsonFileError),
    /// Usage, log book and session events cannot be kept.
    #[error(transparent)]
    Database(#[from] crate::database::DatabaseError),
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
    Auth(#[from] crate::api::AuthFileError),
    /// The credential store cannot be put right after a crash.
    #[error(transparent)]
    Credentials(#[from] crate::store::CredentialChangeError),
    /// The relay is to listen, and not to.
    #[error(transparent)]
    RelayListen(#[from] OffBesideOthers),
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
    /// The bridge cannot do with its settings.
    #[error(transparent)]
    BridgeSettings(#[from] BridgeSettingsError),
    /// Another one works with the data folder.
    #[error(transparent)]
    Claim(#[from] crate::claim::ClaimError),
    /// Nothing is left to run.
    #[error("simrelay bridge with --bridge-listen off has nothing to do; give it an address")]
    BridgeOff,
    /// Nothing is left to run.
    #[error(
        "relay, admin API, embedded broker, bridge and notifier are all off, so there is nothing to do; give one of them an address, as with --relay-listen"
    )]
    NothingToDo,
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

/// Why the notifier could not start.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// Its file cannot be used.
    #[error(transparent)]
    File(#[from] crate::json::JsonFileError),
    /// No service can be spoken to.
    #[error(transparent)]
    Https(#[from] crate::notifier::NoHttpsClient),
    /// Its broker cannot be tried.
    #[error(transparent)]
    Broker(#[from] NotifierBrokerError),
    /// Another one works with the data folder.
    #[error(transparent)]
    Claim(#[from] crate::claim::ClaimError),
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
