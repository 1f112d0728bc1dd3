//! The notifier's connection to the broker: a session that the broker keeps while the notifier is away.

use super::configuration::Notifications;
use super::intake::{Arrival, Received};
use super::message::Message;
use super::session::{self, ClientId};
use super::subscriptions::Subscriptions;
use crate::backoff::{Backoff, chance};
use crate::site_broker::{SiteBroker, Step, Trouble, is_over_what_came};
use jiff::Timestamp;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{
    DisconnectReasonCode, Packet, Publish, RetainForwardRule, SubscribeProperties, SubscribeReasonCode,
};
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, Outgoing, StateError, SubscribeFilterInput};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, watch};

/// After a connection that failed or did not last.
const RETRY: Backoff = Backoff {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(30),
};
/// A connection that lasted this long was a good one.
const STABLE: Duration = Duration::from_secs(10);
/// When so many connections in a row were given up over what the broker sent, it sends the same again on each.
const STUCK: u32 = 3;

/// What to do then.
const STUCK_ADVICE: &str = "the broker sends again and again what cannot be taken, and what waits behind it is not told; \
    let the one who publishes it change it (the broker's own log says who), or drop what the broker holds for the notifier by giving \
    it another --notifier-client-id";

/// Keeps the connection to the broker.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) broker: SiteBroker,
    pub(super) client_id: ClientId,
    pub(super) subscriptions: Subscriptions,
    pub(super) notifications: watch::Receiver<Arc<Notifications>>,
    pub(super) arrivals: mpsc::Sender<Arrival>,
    /// One permit for each byte that may be between the broker and the disk.
    pub(super) room: Arc<Semaphore>,
    /// Whether the broker can be reached.
    pub(super) connected: watch::Sender<bool>,
    pub(super) stop: watch::Receiver<bool>,
}

/// Acknowledgements on their way to the broker. It has read them when it answers a PINGREQ that went behind them.
#[derive(Debug, Default)]
struct Acknowledgements {
    sent: Vec<u16>,
    before_ping: Vec<u16>,
}

impl Subscriber {
    /// Until the program ends.
    pub(super) async fn run(mut self) {
        let (mut failures, mut refused) = (0, 0);
        while !*self.stop.borrow() {
            let began = Instant::now();
            let end = self.connection().await;
            let was_connected = self.connected.send_replace(false);
            if *self.stop.borrow() {
                return;
            }
            if began.elapsed() >= STABLE {
                (failures, refused) = (0, 0);
            }
            failures += 1;
            refused = if is_over_what_came(&end) { refused + 1 } else { 0 };
            if refused >= STUCK {
                tracing::error!(event = "notifier_stuck", broker = %self.broker.destination(), times = refused, "{STUCK_ADVICE}");
            }
            let wait = RETRY.wait(failures, chance());
            tracing::warn!(event = "notifier_disconnected", broker = %self.broker.destination(), "{}; next attempt in {:.1} s",
                reason(&self.broker, &end, was_connected), wait.as_secs_f32());
            tokio::select! {
                _ = tokio::time::sleep(wait) => {}
                // Also when nobody is left who could say stop: then the program is ending.
                _ = self.stop.changed() => return,
            }
        }
    }

    /// One connection, with a client of its own: nothing of an earlier one is sent on a later one.
    async fn connection(&mut self) -> ConnectionError {
        // Unbounded, so that an acknowledgement never waits for the loop that waits for the intake.
        let options = session::options(&self.broker, &self.client_id);
        let (client, mut events) = AsyncClient::builder(options).unbounded().build();
        let mut acknowledgements = Acknowledgements::default();
        loop {
            let event = tokio::select! {
                event = events.poll() => event,
                Ok(()) = self.notifications.changed(), if *self.connected.borrow() => {
                    self.subscribe(&client).await;
                    continue;
                }
                _ = self.stop.changed() => return say_goodbye(&client, &mut events).await,
            };
            match event {
                Ok(event) => self.follow(event, &client, &mut acknowledgements).await,
                Err(error) => return error,
            }
        }
    }

    async fn follow(&mut self, event: Event, client: &AsyncClient, acknowledgements: &mut Acknowledgements) {
        match event {
            Event::Incoming(Packet::ConnAck(connack)) => {
                self.connected.send_replace(true);
                let subscriptions = self.subscribe(client).await;
                tracing::info!(event = "notifier_connected", broker = %self.broker.destination(), subscriptions,
                    session_present = connack.session_present, "the notifier listens");
            }
            Event::Incoming(Packet::SubAck(suback)) => refusals(&suback.return_codes),
            Event::Incoming(Packet::Publish(publish)) => self.receive(&publish, client).await,
            Event::Outgoing(Outgoing::PubAck(packet_id)) => acknowledgements.sent.push(packet_id),
            Event::Outgoing(Outgoing::PingReq) => {
                acknowledgements.before_ping = std::mem::take(&mut acknowledgements.sent);
            }
            Event::Incoming(Packet::PingResp) => {
                let settled = std::mem::take(&mut acknowledgements.before_ping);
                let _ = self.arrivals.send(Arrival::Settled(settled)).await;
            }
            _ => {}
        }
    }

    /// Hands a message to the intake as soon as there is room. The broker is not read meanwhile.
    async fn receive(&self, publish: &Publish, client: &AsyncClient) {
        let size = u32::try_from(publish.topic.len() + publish.payload.len()).unwrap_or(u32::MAX);
        // It is never closed.
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(size).await else {
            return;
        };
        let arrival = Arrival::Message(Box::new(Received {
            message: message(publish),
            client: client.clone(),
            acknowledgement: client.prepare_ack(publish),
            _room: room,
        }));
        // The intake ends after this task only.
        let _ = self.arrivals.send(arrival).await;
    }

    /// Makes the broker's session hold what the configuration asks for now. Returns how many filters that are.
    async fn subscribe(&mut self, client: &AsyncClient) -> usize {
        let wanted = self.notifications.borrow_and_update().subscriptions();
        let stale = match self.subscriptions.begin(&wanted).await {
            Ok(stale) => stale,
            Err(error) => {
                tracing::error!(%error, "the list of subscriptions cannot be written");
                Vec::new()
            }
        };
        for filter in &stale {
            // A request fails only on a connection that is gone; the next one asks again.
            let _ = client.unsubscribe(filter.as_str()).await;
        }
        for (filter, retained) in &wanted {
            let rule = match retained {
                true => RetainForwardRule::OnNewSubscribe,
                false => RetainForwardRule::Never,
            };
            let asked =
                SubscribeFilterInput::new(filter.as_str(), QoS::AtLeastOnce).retain_forward_rule(rule);
            let properties = SubscribeProperties {
                id: Some(filter.subscription_id()),
                user_properties: Vec::new(),
            };
            let _ = client.subscribe_many_with_properties([asked], properties).await;
        }
        wanted.len()
    }
}

/// Lets the broker know, so that it does not take the end for an accident.
async fn say_goodbye(client: &AsyncClient, events: &mut EventLoop) -> ConnectionError {
    let _ = client.disconnect_now().await;
    let last = async {
        loop {
            if let Err(error) = events.poll().await {
                return error;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(1), last)
        .await
        .unwrap_or(ConnectionError::RequestsDone)
}

fn message(publish: &Publish) -> Message {
    let properties = publish.properties.as_ref();
    Message {
        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
        payload: publish.payload.to_vec(),
        packet_id: publish.pkid,
        duplicate: publish.dup,
        retained: publish.retain,
        subscriptions: properties
            .map(|p| p.subscription_identifiers.clone())
            .unwrap_or_default(),
        time: Timestamp::now(),
    }
}

fn refusals(codes: &[SubscribeReasonCode]) {
    for code in codes {
        if !matches!(code, SubscribeReasonCode::Success(_)) {
            tracing::error!(
                event = "subscription_refused",
                "the broker refuses a subscription: {code:?}; allow the \
                notifier's user to read the topics of notifications.json, in the broker's access list"
            );
        }
    }
}

/// What happened and what to do.
fn reason(broker: &SiteBroker, error: &ConnectionError, was_connected: bool) -> String {
    if let ConnectionError::MqttState(StateError::ServerDisconnect {
        reason_code: DisconnectReasonCode::SessionTakenOver,
        ..
    }) = error
    {
        return "another notifier uses the same client id; give each its own with --notifier-client-id"
            .to_owned();
    }
    let Trouble { step, what, advice } = match was_connected {
        true => broker.explain(error),
        false => broker.explain_unanswered(error),
    };
    let settings = match step {
        Step::Login => " (--notifier-broker-user, SIMRELAY_NOTIFIER_BROKER_PASSWORD)",
        Step::Name | Step::Reach | Step::Open => "",
    };
    format!("the broker cannot be listened to: {what}; {advice}{settings}")
}
