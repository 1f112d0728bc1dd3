//! The notifier's MQTT session. The broker keeps its half while the notifier is away. The client's half (MQTT 5, 4.1)
//! is always empty, as the notifier publishes nothing and receives with quality of service 1 at most. Which messages
//! came already is known to the database.

use super::packet_size::{self, Announcing};
use crate::site_broker::{IN_FLIGHT, SiteBroker};
use rumqttc::{
    AckMode, MqttOptions, PersistedAckMode, PersistedSession, SessionStore, SessionStoreError,
    SessionStoreKey,
};
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

/// The name under which the broker keeps the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientId(String);

/// There is no name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is empty: the broker would keep nothing for the notifier while it is away; give it a name, or leave it out"
)]
pub struct EmptyClientId;

impl FromStr for ClientId {
    type Err = EmptyClientId;

    fn from_str(text: &str) -> Result<Self, EmptyClientId> {
        match text.trim() {
            "" => Err(EmptyClientId),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

/// How long the broker keeps the session while the notifier is away, in seconds: a week.
const EXPIRY: u32 = 7 * 24 * 60 * 60;
/// Messages that the broker may have on their way to the queue.
const RECEIVE_MAXIMUM: u16 = 500;
/// Packets that the MQTT library reads before it hands over the first: each may be of the largest size.
const READ_AT_ONCE: usize = 8;

/// For one connection: nothing is acknowledged by itself, and the session is the one of the last time.
pub(super) fn options(broker: &SiteBroker, client_id: &ClientId) -> MqttOptions {
    let mut options = broker.options(&client_id.0);
    options
        .set_clean_start(false)
        .set_session_store(EmptySession)
        .set_session_expiry_interval(Some(EXPIRY))
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_max_packet_size(Some(packet_size::TAKEN))
        .set_read_batch_size(READ_AT_ONCE)
        .set_ack_mode(AckMode::Manual);
    let broker = broker.clone();
    options.set_socket_connector(move |_, _| {
        let broker = broker.clone();
        async move { broker.connect().await.map(Announcing::new) }
    });
    options
}

/// Tells the MQTT library that its half is empty, which otherwise would not trust a session that only the broker remembers.
#[derive(Debug, Clone, Copy)]
struct EmptySession;

impl SessionStore for EmptySession {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Answer<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(EXPIRY),
            outgoing_inflight_upper_limit: Some(IN_FLIGHT),
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(async { Ok(Some(session)) })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
