//! Settings of the HTTP bridge.

use clap::Args;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use super::listen::Listen;
use crate::bridge::{ApiKey, BridgeSettings, InvalidKey, Network, Rate};
use crate::entrypoint::Destination;
use crate::server_tls::TlsFiles;
use crate::site_broker::{Password, SiteBroker, SiteBrokerError};

/// Settings of the HTTP bridge.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP bridge")]
pub struct BridgeArgs {
    /// Where phones, browsers and scripts call, or off
    #[arg(
        id = "bridge_listen",
        long = "bridge-listen",
        env = "SIMRELAY_BRIDGE_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS",
        global = true
    )]
    pub listen: Listen,

    /// The broker that messages go to [default: the embedded one where it runs, else mqtt://127.0.0.1:1884]
    #[arg(
        id = "bridge_broker",
        long = "bridge-broker",
        env = "SIMRELAY_BRIDGE_BROKER",
        value_name = "URL",
        global = true
    )]
    pub broker: Option<Destination>,

    /// User name at the broker
    #[arg(
        id = "bridge_username",
        long = "bridge-broker-user",
        env = "SIMRELAY_BRIDGE_BROKER_USER",
        requires = "bridge_password",
        value_name = "NAME",
        global = true
    )]
    pub username: Option<String>,

    /// Password at the broker; in the environment rather, where other users do not see it
    #[arg(
        id = "bridge_password",
        long = "bridge-broker-password",
        env = "SIMRELAY_BRIDGE_BROKER_PASSWORD",
        hide_env_values = true,
        requires = "bridge_username",
        value_name = "PASSWORD",
        global = true
    )]
    pub password: Option<Password>,

    /// CA of an mqtts:// broker, PEM; trusted beside the system's
    #[arg(
        id = "bridge_ca",
        long = "bridge-broker-ca",
        env = "SIMRELAY_BRIDGE_BROKER_CA",
        value_name = "FILE",
        global = true
    )]
    pub ca: Option<PathBuf>,

    /// A key that callers must show; several are separated by commas; in the environment rather
    #[arg(
        id = "bridge_key",
        long = "bridge-key",
        env = "SIMRELAY_BRIDGE_KEY",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "KEY",
        global = true
    )]
    pub keys: Vec<Password>,

    /// Networks that may call, separated by commas: 192.168.1.0/24, an address, lan for all private ones
    #[arg(
        id = "bridge_allow",
        long = "bridge-allow",
        env = "SIMRELAY_BRIDGE_ALLOW",
        value_delimiter = ',',
        value_name = "NETWORK",
        global = true
    )]
    pub allow: Vec<Network>,

    /// Reverse proxies whose X-Forwarded-For is believed, separated by commas
    #[arg(
        id = "bridge_proxy",
        long = "bridge-proxy",
        env = "SIMRELAY_BRIDGE_PROXY",
        value_delimiter = ',',
        value_name = "NETWORK",
        global = true
    )]
    pub proxies: Vec<Network>,

    /// Requests a minute that one address may send, or off
    #[arg(
        id = "bridge_rate",
        long = "bridge-rate",
        env = "SIMRELAY_BRIDGE_RATE",
        default_value = "300",
        value_name = "N",
        global = true
    )]
    pub rate: Rate,

    /// Connections at a time; others wait in the kernel's queue
    #[arg(
        id = "bridge_max_connections",
        long = "bridge-max-connections",
        env = "SIMRELAY_BRIDGE_MAX_CONNECTIONS",
        default_value = "1000",
        value_name = "N",
        global = true
    )]
    pub max_connections: NonZeroU32,

    /// Let other machines call without key and without allow-list
    #[arg(
        id = "bridge_open",
        long = "bridge-open",
        env = "SIMRELAY_BRIDGE_OPEN",
        global = true
    )]
    pub is_open: bool,

    /// Certificate chain, PEM, to serve HTTPS; looked at every 5 s for a renewal
    #[arg(
        id = "bridge_tls_cert",
        long = "bridge-tls-cert",
        env = "SIMRELAY_BRIDGE_TLS_CERT",
        requires = "bridge_tls_key",
        value_name = "FILE",
        global = true
    )]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate, PEM
    #[arg(
        id = "bridge_tls_key",
        long = "bridge-tls-key",
        env = "SIMRELAY_BRIDGE_TLS_KEY",
        requires = "bridge_tls_cert",
        value_name = "FILE",
        global = true
    )]
    pub tls_key: Option<PathBuf>,
}

impl BridgeArgs {
    /// What the bridge needs, if it runs at all. Keys are checked only here, as the command line quotes what it
    /// refuses.
    ///
    /// # Errors
    /// [`InvalidKey`] says what a key has to be.
    pub fn settings(&self) -> Result<Option<BridgeSettings>, InvalidKey> {
        let Listen::On(listen) = self.listen else {
            return Ok(None);
        };
        let keys = self.keys.iter().map(|key| key.as_str().parse::<ApiKey>());
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        Ok(Some(BridgeSettings {
            listen,
            keys: keys.collect::<Result<_, _>>()?,
            allow: self.allow.clone(),
            proxies: self.proxies.clone(),
            rate: self.rate,
            most_connections: self.max_connections,
            is_open: self.is_open,
            tls: tls.map(|(cert, key)| TlsFiles { cert, key }),
        }))
    }

    /// The broker that messages go to; `embedded` runs in this process.
    ///
    /// # Errors
    /// [`SiteBrokerError`] names the CA file.
    pub fn site_broker(&self, embedded: Option<SocketAddr>) -> Result<SiteBroker, SiteBrokerError> {
        let usual = || embedded.unwrap_or(SiteBroker::USUAL).into();
        let destination = self.broker.clone().unwrap_or_else(usual);
        let login = self.username.clone().zip(self.password.clone());
        SiteBroker::new(destination, login, self.ca.as_deref())
    }
}
