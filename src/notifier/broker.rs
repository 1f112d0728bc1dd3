//! Where the notifier's broker is, and who the notifier is there.

use super::session::EmptySession;
use super::trust::{TrustError, client_config};
use crate::entrypoint::{Destination, Host, Scheme};
use rumqttc::{AckMode, Broker, MqttOptions, TlsConfiguration, Transport};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long the broker keeps the session while the notifier is away: a week.
const SESSION_EXPIRY: u32 = 7 * 24 * 60 * 60;
/// Messages that the broker may have on their way to the queue.
const RECEIVE_MAXIMUM: u16 = 500;
/// The largest packet in bytes that the broker may send: a notification is for people to read.
const MAX_PACKET: u32 = 1024 * 1024;
/// Seconds between two signs of life.
const KEEP_ALIVE: u16 = 30;

/// The broker and the login there.
#[derive(Clone)]
pub struct BrokerAccess {
    destination: Destination,
    client_id: String,
    login: Option<(String, Zeroizing<String>)>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl BrokerAccess {
    /// Access to the broker at `destination`, whose certificate may come from a CA in the file `ca`.
    ///
    /// # Errors
    /// The CA cannot be used.
    pub fn new(
        destination: Destination,
        client_id: String,
        login: Option<(String, Zeroizing<String>)>,
        ca: Option<&Path>,
    ) -> Result<Self, TrustError> {
        let tls = match destination.scheme {
            Scheme::Mqtt => None,
            Scheme::Mqtts => Some(Arc::new(client_config(ca)?)),
        };
        Ok(Self {
            destination,
            client_id,
            login,
            tls,
        })
    }

    /// For one connection: nothing is acknowledged by itself, and the session is the one of the last time.
    pub(super) fn options(&self) -> MqttOptions {
        let host = match &self.destination.host {
            Host::Dns(name) => name.to_string(),
            Host::Ip(address) => address.to_string(),
        };
        let mut options = MqttOptions::new(&self.client_id, Broker::tcp(host, self.destination.port));
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_start(false)
            .set_session_store(EmptySession {
                expiry: SESSION_EXPIRY,
            })
            .set_session_expiry_interval(Some(SESSION_EXPIRY))
            .set_receive_maximum(Some(RECEIVE_MAXIMUM))
            .set_max_packet_size(Some(MAX_PACKET))
            .set_connect_timeout(Duration::from_secs(10))
            .set_ack_mode(AckMode::Manual);
        if let Some((user, password)) = &self.login {
            options.set_credentials(user, password.as_bytes().to_vec());
        }
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(
                tls,
            ))));
        }
        options
    }
}

impl fmt::Display for BrokerAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.destination.fmt(f)
    }
}

impl fmt::Debug for BrokerAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerAccess")
            .field("destination", &self.destination)
            .field("client_id", &self.client_id)
            .field("user", &self.login.as_ref().map(|(user, _)| user))
            .finish_non_exhaustive()
    }
}
