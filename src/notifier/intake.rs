//! Messages become notifications in the queue, many in one transaction; then, and not before, the broker is told.

use super::configuration::{Notifications, Route};
use super::counters::{Counters, add};
use super::expiry::expires;
use super::message::{Message, Published};
use super::queue::{self, NewJob, Queue};
use super::recall::{came_before, repeats, settle};
use super::silence;
use super::template::{TemplateError, Values};
use super::topic_filter::TopicFilter;
use jiff::Timestamp;
use rumqttc::{AsyncClient, ManualAck};
use sqlx::sqlite::SqliteConnection;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, watch};

/// Messages that one transaction takes at most.
const BATCH: usize = 500;
/// After so many bytes that came into the queue its bounds are looked at.
const MUCH: usize = 32 * 1024 * 1024;
/// How long to wait when the disk takes nothing.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// What comes from the broker.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A message.
    Message(Box<Received>),
    /// The broker has certainly seen the acknowledgements of these packet ids.
    Settled(Vec<u16>),
}

/// A message, and how to tell the broker that it is on disk.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) message: Message,
    pub(super) client: AsyncClient,
    /// None for quality of service 0.
    pub(super) acknowledgement: Option<ManualAck>,
    /// Its share of the bytes between the broker and the disk, given back when it goes.
    pub(super) _room: OwnedSemaphorePermit,
}

/// Takes arrivals into the queue.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) queue: Queue,
    pub(super) notifications: watch::Receiver<Arc<Notifications>>,
    pub(super) counters: Arc<Counters>,
    /// Told when there is something new.
    pub(super) wake: watch::Sender<u64>,
    /// Told when there is much that is new.
    pub(super) much: Arc<Notify>,
}

impl Intake {
    /// Until the sender of arrivals is gone.
    pub(super) async fn run(self, mut arrivals: mpsc::Receiver<Arrival>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut bytes = 0;
        while arrivals.recv_many(&mut batch, BATCH).await > 0 {
            let notifications = Arc::clone(&self.notifications.borrow());
            bytes += self.take_in_at_last(&notifications, &batch).await;
            if bytes >= MUCH {
                bytes = 0;
                self.much.notify_one();
            }
            self.wake.send_modify(|number| *number += 1);
            for arrival in batch.drain(..) {
                if let Arrival::Message(delivery) = arrival
                    && let Received {
                        client,
                        acknowledgement: Some(acknowledgement),
                        ..
                    } = *delivery
                {
                    // On a connection that is gone the broker sends it again, and it is recognised.
                    let _ = client.manual_ack(acknowledgement).await;
                }
            }
        }
    }

    /// As [`Self::take_in`], again and again. Not acknowledged, not lost: the broker has it, and so do we, until the disk is
    /// there again.
    async fn take_in_at_last(&self, notifications: &Notifications, batch: &[Arrival]) -> usize {
        loop {
            match self.take_in(notifications, batch).await {
                Ok(bytes) => return bytes,
                Err(error) => {
                    tracing::error!(%error, "notifications cannot be written; trying again, nothing is acknowledged meanwhile");
                }
            }
            tokio::time::sleep(DISK_PAUSE).await;
        }
    }

    /// Returns how many bytes came into the queue.
    async fn take_in(&self, notifications: &Notifications, batch: &[Arrival]) -> Result<usize, sqlx::Error> {
        let mut transaction = self.queue.begin().await?;
        let mut tally = Tally::default();
        let mut heard = BTreeSet::new();
        let known = notifications.subscriptions();
        let known = known.keys().map(TopicFilter::subscription_id).collect();
        for arrival in batch {
            match arrival {
                Arrival::Message(delivery) => {
                    let message = &delivery.message;
                    take_message(
                        &mut transaction,
                        notifications,
                        &known,
                        message,
                        &mut tally,
                        &mut heard,
                    )
                    .await?;
                }
                Arrival::Settled(packet_ids) => settle(&mut transaction, packet_ids).await?,
            }
        }
        for (alarm, topic) in heard {
            silence::heard(&mut transaction, alarm, topic, Timestamp::now().as_millisecond()).await?;
        }
        transaction.commit().await?;
        tally.add_to(&self.counters);
        Ok(tally.bytes)
    }
}

/// Counted only when the transaction is committed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    received: u64,
    duplicates: u64,
    retained: u64,
    collapsed: u64,
    queued: u64,
    bytes: usize,
    /// Of them, those that are dead letters at once, by destination.
    dead: BTreeMap<String, u64>,
}

impl Tally {
    fn add_to(&self, counters: &Counters) {
        add(&counters.received, self.received);
        add(&counters.duplicates, self.duplicates);
        add(&counters.retained, self.retained);
        add(&counters.collapsed, self.collapsed);
        add(&counters.queued, self.queued);
        for (name, dead) in &self.dead {
            counters.of(name, |numbers| numbers.dead += dead);
        }
    }
}

async fn take_message<'n>(
    connection: &mut SqliteConnection,
    notifications: &'n Notifications,
    known: &HashSet<usize>,
    message: &'n Message,
    tally: &mut Tally,
    heard: &mut BTreeSet<(&'n str, &'n str)>,
) -> Result<(), sqlx::Error> {
    tally.received += 1;
    if came_before(connection, message).await? {
        tally.duplicates += 1;
        return Ok(());
    }
    if !message.retained {
        let silences = notifications.silences.iter();
        heard.extend(
            silences
                .filter(|alarm| alarm.filter.matches(&message.topic))
                .map(|alarm| (alarm.name.as_str(), silence::watched(alarm, &message.topic))),
        );
    }
    let routes = notifications
        .routes
        .iter()
        .filter(|route| takes(route, message, known));
    let (wanted, unwanted): (Vec<_>, Vec<_>) = routes.partition(|route| route.retained || !message.retained);
    tally.retained += u64::from(wanted.is_empty() && !unwanted.is_empty());
    for route in wanted {
        match repeats(connection, route, message).await? {
            Some(repeats) => enqueue(connection, notifications, route, message, repeats, tally).await?,
            None => tally.collapsed += 1,
        }
    }
    Ok(())
}

/// Whether the route takes this copy of a message. A broker may send a copy for each of several filters that
/// match; a route takes the one of its first filter.
fn takes(route: &Route, message: &Message, known: &HashSet<usize>) -> bool {
    let Some(filter) = route.filters.iter().find(|filter| filter.matches(&message.topic)) else {
        return false;
    };
    // None that is subscribed to now: the broker does not say, or it says what an earlier configuration meant.
    let told = message.subscriptions.iter().any(|id| known.contains(id));
    !told || message.subscriptions.contains(&filter.subscription_id())
}

/// One notification for each destination of the route.
async fn enqueue(
    connection: &mut SqliteConnection,
    notifications: &Notifications,
    route: &Route,
    message: &Message,
    repeats: u32,
    tally: &mut Tally,
) -> Result<(), sqlx::Error> {
    let values = values(notifications, route, message.published(), repeats);
    for name in &route.to {
        let Some(destination) = notifications.destinations.get(name) else {
            continue;
        };
        let text = values.clone().and_then(|values| {
            let text = route.template.render(&values, destination.service.markup())?;
            Ok(with_repeats(text, repeats))
        });
        if let Err(error) = &text {
            *tally.dead.entry(name.clone()).or_default() += 1;
            tracing::warn!(
                event = "notification_dead",
                destination = name,
                route = route.name,
                topic = message.topic,
                "dead letter: {error}; {}",
                error.advice()
            );
        }
        let job = NewJob {
            destination: name,
            route: &route.name,
            topic: &message.topic,
            payload: Some(&message.payload),
            text: text.map_err(|error| error.to_string()),
            urgent: route.urgent,
            created: message.time.as_millisecond(),
            expires: expires(destination, route.urgent, message.time),
        };
        queue::insert(connection, &job).await?;
        tally.queued += 1;
        tally.bytes += job.size();
    }
    Ok(())
}

/// What the route's template is given.
pub(super) fn values(
    notifications: &Notifications,
    route: &Route,
    published: Published<'_>,
    repeats: u32,
) -> Result<Values, TemplateError> {
    let values = Values::at(published.time, &notifications.zone)
        .with("route", route.name.as_str())
        .with("repeats", repeats);
    values.with_message(published.topic, published.payload)
}

fn with_repeats(text: String, repeats: u32) -> String {
    match repeats {
        0 => text,
        _ => format!("{text} (+{repeats})"),
    }
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
