//! Settings of the HTTP bridge.

use clap::Args;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::listen::Listen;
use super::secret;
use super::unquoted::Unquoted;
use crate::bridge::{ApiKey, BridgeSettings, InvalidKey, Network, Rate};
use crate::entrypoint::Destination;
use crate::secret::MissingSecret;
use crate::server_tls::TlsFiles;
use crate::site_broker::{Password, SiteBroker, SiteBrokerError};

/// The variable with the keys that callers must show.
pub(super) const KEY: &str = "SIMRELAY_BRIDGE_KEY";
/// The variable with the password at the broker.
pub(super) const PASSWORD: &str = "SIMRELAY_BRIDGE_BROKER_PASSWORD";

/// Why the bridge cannot do with its settings.
#[derive(Debug, thiserror::Error)]
pub enum BridgeSettingsError {
    /// The keys are not where they should be.
    #[error("the key of the bridge (SIMRELAY_BRIDGE_KEY, --bridge-key-file): {0}")]
    NoKey(#[source] MissingSecret),
    /// A key is too short.
    #[error("SIMRELAY_BRIDGE_KEY: {0}")]
    Key(InvalidKey),
    /// A key in the file is too short.
    #[error("the bridge's key file {}, line {line}: {error}", path.display())]
    KeyInFile {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// What is wrong there.
        error: InvalidKey,
    },
    /// The password is not where it should be.
    #[error("the password at the bridge's broker: {0}")]
    Password(#[from] MissingSecret),
    /// A user without a password.
    #[error(
        "user {0:?} has no password at the bridge's broker; put it into SIMRELAY_BRIDGE_BROKER_PASSWORD, or into a file that --bridge-broker-password-file names"
    )]
    NoPassword(String),
    /// A password without a user.
    #[error("there is a password for the bridge's broker, but no user name; give --bridge-broker-user")]
    NoUser,
    /// Its address and its CA do not do.
    #[error(transparent)]
    Broker(#[from] SiteBrokerError),
}

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
        value_parser = Unquoted::<Destination>::new(),
        value_name = "URL",
        global = true
    )]
    pub broker: Option<Destination>,

    /// User name at the broker; the password is in the environment variable SIMRELAY_BRIDGE_BROKER_PASSWORD or
    /// in a file
    #[arg(
        id = "bridge_username",
        long = "bridge-broker-user",
        env = "SIMRELAY_BRIDGE_BROKER_USER",
        value_name = "NAME",
        global = true
    )]
    pub username: Option<String>,

    /// File with the password at the broker
    #[arg(
        id = "bridge_password_file",
        long = "bridge-broker-password-file",
        env = "SIMRELAY_BRIDGE_BROKER_PASSWORD_FILE",
        value_name = "FILE",
        global = true
    )]
    pub password_file: Option<PathBuf>,

    /// CA of an mqtts:// broker, PEM; trusted beside the system's
    #[arg(
        id = "bridge_ca",
        long = "bridge-broker-ca",
        env = "SIMRELAY_BRIDGE_BROKER_CA",
        value_name = "FILE",
        global = true
    )]
    pub ca: Option<PathBuf>,

    /// File with keys of which callers must show one, one a line; they may also be in the environment variable
    /// SIMRELAY_BRIDGE_KEY, separated by commas
    #[arg(
        id = "bridge_key_file",
        long = "bridge-key-file",
        env = "SIMRELAY_BRIDGE_KEY_FILE",
        value_name = "FILE",
        global = true
    )]
    pub key_file: Option<PathBuf>,

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
        value_parser = super::count::at_least_one::<NonZeroUsize>,
        value_name = "N",
        global = true
    )]
    pub max_connections: NonZeroUsize,

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
    /// What the bridge needs, if it runs at all.
    ///
    /// # Errors
    /// [`BridgeSettingsError`]: its keys cannot be read, or are none.
    pub fn settings(&self) -> Result<Option<BridgeSettings>, BridgeSettingsError> {
        let Listen::On(listen) = self.listen else {
            return Ok(None);
        };
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        Ok(Some(BridgeSettings {
            listen,
            keys: self.keys()?,
            allow: self.allow.clone(),
            proxies: self.proxies.clone(),
            rate: self.rate,
            most_connections: self.max_connections,
            is_open: self.is_open,
            tls: tls.map(|(cert, key)| TlsFiles { cert, key }),
        }))
    }

    /// An empty one among them is refused, as whoever wrote it meant to ask for a key.
    fn keys(&self) -> Result<Vec<ApiKey>, BridgeSettingsError> {
        let Some(keys) = secret::read(self.key_file.as_deref(), KEY).map_err(BridgeSettingsError::NoKey)?
        else {
            return Ok(Vec::new());
        };
        let numbered = (1..).zip(keys.as_str().split('\n'));
        let each = numbered.flat_map(|(line, text)| text.split(',').map(move |key| (line, key.trim())));
        let refused = |line, error| match self.key_file.clone() {
            Some(path) => BridgeSettingsError::KeyInFile { path, line, error },
            None => BridgeSettingsError::Key(error),
        };
        each.map(|(line, key)| key.parse().map_err(|error| refused(line, error)))
            .collect()
    }

    /// The broker that messages go to; `embedded` runs in this process.
    ///
    /// # Errors
    /// [`BridgeSettingsError`] names the CA file, or what of the login is missing.
    pub fn site_broker(&self, embedded: Option<SocketAddr>) -> Result<SiteBroker, BridgeSettingsError> {
        let usual = || embedded.unwrap_or(SiteBroker::USUAL).into();
        let destination = self.broker.clone().unwrap_or_else(usual);
        let ca = self.ca.as_deref();
        Ok(SiteBroker::new(
            destination,
            "--bridge-broker",
            self.login()?,
            ca,
        )?)
    }

    fn login(&self) -> Result<Option<(String, Password)>, BridgeSettingsError> {
        let password = secret::read(self.password_file.as_deref(), PASSWORD)?;
        match (&self.username, password) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(BridgeSettingsError::NoUser),
            (Some(user), None) => Err(BridgeSettingsError::NoPassword(user.clone())),
            (Some(user), Some(password)) => Ok(Some((user.clone(), password))),
        }
    }
}
