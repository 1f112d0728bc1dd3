//! Settings of the notifier.

use super::config_file::ConfigFile;
use super::secret;
use super::unquoted::Unquoted;
use crate::entrypoint::Destination;
use crate::notifier::ClientId;
use crate::secret::MissingSecret;
use crate::site_broker::{Password, SiteBroker, SiteBrokerError};
use clap::Args;
use std::path::PathBuf;
use std::str::FromStr;

/// The variable with the password at the broker.
pub(super) const PASSWORD: &str = "SIMRELAY_NOTIFIER_BROKER_PASSWORD";

/// Why the notifier's broker cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum NotifierBrokerError {
    /// The password is not there.
    #[error("the password at the notifier's broker: {0}")]
    Password(#[from] MissingSecret),
    /// A password without a user.
    #[error("there is a password for the notifier's broker, but no user name; give --notifier-broker-user")]
    NoUser,
    /// Its address and its CA do not do.
    #[error("the notifier's broker: {0}; see --notifier-broker and --notifier-broker-ca")]
    Broker(#[from] SiteBrokerError),
}

/// The broker that the notifier listens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifierBroker {
    /// The notifier does not run.
    Off,
    /// Its URL.
    At(Destination),
}

impl FromStr for NotifierBroker {
    type Err = String;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        if value == "off" {
            return Ok(Self::Off);
        }
        value
            .parse()
            .map(Self::At)
            .map_err(|error: crate::entrypoint::InvalidDestination| format!("{error}, or off"))
    }
}

/// What can be set for the notifier. Where notifications go is in a file of its own.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings of the notifier")]
pub struct NotifierSettings {
    /// Destinations and routes of notifications [default: notifications.json]
    #[arg(long, env = "SIMRELAY_NOTIFICATIONS", value_name = "FILE", global = true)]
    pub notifications: Option<PathBuf>,

    /// Broker that the notifier listens to, mqtt:// or mqtts://, or off [default: the embedded one]
    #[arg(
        long,
        env = "SIMRELAY_NOTIFIER_BROKER",
        value_parser = Unquoted::<NotifierBroker>::new(),
        value_name = "URL",
        global = true
    )]
    pub notifier_broker: Option<NotifierBroker>,

    /// User name at that broker; the password is in the environment variable
    /// SIMRELAY_NOTIFIER_BROKER_PASSWORD or in a file
    #[arg(
        long,
        env = "SIMRELAY_NOTIFIER_BROKER_USER",
        value_name = "NAME",
        global = true
    )]
    pub notifier_broker_user: Option<String>,

    /// File with the password at that broker
    #[arg(
        long,
        env = "SIMRELAY_NOTIFIER_BROKER_PASSWORD_FILE",
        value_name = "FILE",
        global = true
    )]
    pub notifier_broker_password_file: Option<PathBuf>,

    /// CA of that broker's certificate, as PEM, besides those that this machine trusts
    #[arg(long, env = "SIMRELAY_NOTIFIER_BROKER_CA", value_name = "FILE", global = true)]
    pub notifier_broker_ca: Option<PathBuf>,

    /// Client id at that broker, which keeps messages for it; every notifier needs its own
    #[arg(
        long,
        env = "SIMRELAY_NOTIFIER_CLIENT_ID",
        default_value = "simrelay-notifier",
        value_name = "ID",
        global = true
    )]
    pub notifier_client_id: ClientId,
}

impl NotifierSettings {
    /// The file of destinations and routes.
    #[must_use]
    pub fn notifications(&self) -> ConfigFile {
        ConfigFile::new(self.notifications.as_ref(), "notifications.json")
    }

    /// The broker at `destination`, with the notifier's login and CA.
    ///
    /// # Errors
    /// [`NotifierBrokerError`] says what is missing.
    pub fn site_broker(&self, destination: Destination) -> Result<SiteBroker, NotifierBrokerError> {
        let ca = self.notifier_broker_ca.as_deref();
        Ok(SiteBroker::new(
            destination,
            "--notifier-broker",
            self.login()?,
            ca,
        )?)
    }

    fn login(&self) -> Result<Option<(String, Password)>, NotifierBrokerError> {
        let password = secret::read(self.notifier_broker_password_file.as_deref(), PASSWORD)?;
        match (&self.notifier_broker_user, password) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(NotifierBrokerError::NoUser),
            (Some(user), password) => Ok(Some((user.clone(), password.unwrap_or_default()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_is_a_url_or_off() {
        assert_eq!("off".parse(), Ok(NotifierBroker::Off));
        assert!(matches!(
            "mqtts://broker.example".parse(),
            Ok(NotifierBroker::At(_))
        ));
        for bad in ["", "localhost", "http://x", "mqtt://u:p@x"] {
            assert!(bad.parse::<NotifierBroker>().is_err(), "{bad:?}");
        }
    }
}
