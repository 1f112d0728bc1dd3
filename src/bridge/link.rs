//! The one MQTT connection of the bridge: kept up, fed from the outbox, one client for each time that it is up.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, PubAckReason, PublishNotice,
    PublishNoticeError, PublishOptions, PublishResult,
};
use tokio::time::{Instant, sleep};

use super::Message;
use super::journal::Number;
use super::outbox::{Next, Outbox};
use crate::backoff::{Backoff, chance};
use crate::private_file;
use crate::site_broker::{SiteBroker, Step, Trouble};

/// After a connection that failed or did not last.
const RETRY: Backoff = Backoff {
    first: Duration::from_millis(300),
    longest: Duration::from_secs(6),
};
/// A connection that lasted so long was a good one.
const STABLE: Duration = Duration::from_secs(10);
/// How long to wait when the queue cannot be read.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// Requests that wait inside the MQTT client.
const CAPACITY: usize = 128;
/// What a PUBLISH has beside topic and payload, in bytes, at most.
const OVERHEAD: usize = 16;

/// Keeps the connection up for as long as it is polled.
pub(super) async fn run(broker: SiteBroker, outbox: Outbox) {
    let mut failures = 0;
    let mut told: Option<Trouble> = None;
    loop {
        let began = Instant::now();
        let trouble = connection(&broker, &outbox).await;
        outbox.lost();
        failures = if began.elapsed() >= STABLE {
            1
        } else {
            failures + 1
        };
        // An outage is one line, not one an attempt.
        if told.as_ref() != Some(&trouble) || trouble.step == Step::Open {
            tracing::warn!(
                event = "broker_lost",
                broker = %broker.destination(),
                reason = trouble.what,
                advice = trouble.advice,
                waiting = outbox.len(),
                "the bridge has no broker; messages are kept"
            );
        }
        told = Some(trouble);
        sleep(RETRY.wait(failures, chance())).await;
    }
}

/// From CONNECT to the end of the connection; tells why it ended.
async fn connection(broker: &SiteBroker, outbox: &Outbox) -> Trouble {
    // A name of its own each time: two bridges must not throw each other out.
    let id = private_file::random_hex::<4>().map_or_else(|_| String::new(), |hex| hex.to_string());
    let mut options = broker.options(&format!("simrelay-bridge-{id}"));
    options.set_clean_start(true);
    let (client, mut events) = AsyncClient::builder(options).capacity(CAPACITY).build();
    let largest = match connack(&mut events).await {
        Ok(largest) => largest,
        Err(error) => return broker.explain_unanswered(&error),
    };
    tracing::info!(event = "broker_connected", broker = %broker.destination(), waiting = outbox.len(), "the bridge has its broker");
    outbox.connected();
    tokio::select! {
        error = drive(&mut events) => broker.explain(&error),
        () = feed(&client, outbox, largest) => broker.explain(&ConnectionError::RequestsDone),
    }
}

/// The largest packet that the broker takes.
async fn connack(events: &mut EventLoop) -> Result<usize, ConnectionError> {
    loop {
        if let Event::Incoming(Incoming::ConnAck(connack)) = events.poll().await? {
            let largest = connack
                .properties
                .and_then(|properties| properties.max_packet_size);
            return Ok(largest.map_or(usize::MAX, |size| size as usize));
        }
    }
}

async fn drive(events: &mut EventLoop) -> ConnectionError {
    loop {
        if let Err(error) = events.poll().await {
            return error;
        }
    }
}

/// Hands messages to the client; ends only when the client does.
async fn feed(client: &AsyncClient, outbox: &Outbox, largest: usize) {
    loop {
        let next = outbox.next().await;
        let Some((number, message)) = text_of(outbox, next).await else {
            continue;
        };
        if message.size() + OVERHEAD > largest {
            outbox.settle(
                number,
                Err(format!(
                    "it is larger than the {largest} bytes that the broker takes"
                )),
            );
            continue;
        }
        let topic = message.topic.as_str().to_owned();
        let options = PublishOptions::new(QoS::AtLeastOnce);
        match client.publish_tracked(topic, message.text.clone(), options).await {
            Ok(notice) => drop(tokio::spawn(acknowledge(outbox.clone(), number, message, notice))),
            Err(error) => {
                tracing::debug!(%error, "the MQTT client takes no message");
                return;
            }
        }
    }
}

async fn text_of(outbox: &Outbox, next: Next) -> Option<(Number, Arc<Message>)> {
    if let Some(message) = next.message {
        return Some((next.number, message));
    }
    loop {
        match outbox.load(next.number).await {
            Ok(Some(message)) => return Some((next.number, message.into())),
            Ok(None) => {
                outbox.settle(next.number, Ok(()));
                return None;
            }
            Err(error) => {
                tracing::error!(%error, "the bridge cannot read its queue");
                sleep(DISK_PAUSE).await;
            }
        }
    }
}

async fn acknowledge(outbox: Outbox, number: Number, message: Arc<Message>, notice: PublishNotice) {
    match notice.wait_async().await {
        Ok(PublishResult::Qos1(ack)) => outbox.settle(number, verdict(ack.reason, &message)),
        Err(PublishNoticeError::V5PubAck(reason)) => outbox.settle(number, verdict(reason, &message)),
        // The connection was lost, and the outbox is told so elsewhere.
        Ok(_) | Err(_) => {}
    }
}

fn verdict(reason: PubAckReason, message: &Message) -> Result<(), String> {
    match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
        PubAckReason::NotAuthorized => {
            let topic = message.topic.as_str();
            Err(format!(
                "the broker does not let the bridge's user publish to {topic:?} (NotAuthorized); see its acl_file"
            ))
        }
        other => Err(format!("the broker answered {other:?}")),
    }
}
