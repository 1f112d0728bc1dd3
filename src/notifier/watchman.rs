//! Looks again and again at what changes by time alone: bounds, silences, and the clock itself.

use super::configuration::Notifications;
use super::counters::{Counters, add};
use super::queue::{ClockSet, Queue, Swept};
use super::{recall, silence};
use crate::clock::Moment;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(5);
/// How long the broker has to be connected before old messages are forgotten, and how old they are, in milliseconds: an
/// hour.
const SEEN_FOR: i64 = 60 * 60 * 1000;

/// Looks after bounds and silences.
pub(super) struct Watchman {
    pub(super) queue: Queue,
    pub(super) notifications: watch::Receiver<Arc<Notifications>>,
    pub(super) counters: Arc<Counters>,
    pub(super) connected: watch::Receiver<bool>,
    pub(super) wake: watch::Sender<u64>,
    /// Told when much has come into the queue.
    pub(super) much: Arc<Notify>,
}

/// What is known from one look to the next.
struct Seen {
    /// When the latest look was.
    latest: Moment,
    /// When the notifier began to listen, in milliseconds since 1970.
    listening_since: i64,
    /// Since when the broker has been connected at each look.
    connected_since: Option<Moment>,
}

impl Seen {
    fn at(now: Moment) -> Self {
        Self {
            latest: now,
            listening_since: now.wall,
            connected_since: None,
        }
    }
}

impl Watchman {
    pub(super) async fn run(self) {
        let mut seen = Seen::at(Moment::now());
        loop {
            // What comes fast must not fill the disk until the next look.
            let _ = tokio::time::timeout(LOOK, self.much.notified()).await;
            self.look(&mut seen, Moment::now()).await;
        }
    }

    async fn look(&self, seen: &mut Seen, now: Moment) {
        // Before all else, and again until it is done: what is too old by a clock that was set just now is not too old.
        if let Err(error) = self.follow_clock(seen, now).await {
            tracing::error!(%error, "the queue cannot follow the system clock, which was set");
            return;
        }
        let notifications = Arc::clone(&self.notifications.borrow());
        match self.queue.sweep(&notifications, now.wall).await {
            Ok(swept) => self.count(swept),
            Err(error) => tracing::error!(%error, "the queue cannot be kept in its bounds"),
        }
        let is_connected = *self.connected.borrow();
        if let Err(error) = self.forget(seen, is_connected, now).await {
            tracing::error!(%error, "old messages cannot be forgotten");
        }
        let broker = match is_connected {
            true => "connected",
            false => "unreachable",
        };
        let time = |milliseconds| Timestamp::from_millisecond(milliseconds).unwrap_or_default();
        let (began, now) = (time(seen.listening_since), time(now.wall));
        match silence::check(&self.queue, &notifications, &self.counters, began, now, broker).await {
            Ok(told) if told.is_empty() => {}
            Ok(_) => self.wake.send_modify(|number| *number += 1),
            Err(error) => tracing::error!(%error, "silences cannot be looked at"),
        }
    }

    async fn follow_clock(&self, seen: &mut Seen, now: Moment) -> Result<(), sqlx::Error> {
        if let Some(set) = ClockSet::between(seen.latest, now) {
            self.queue.follow_clock(set, now).await?;
            seen.listening_since += set.by;
            tracing::warn!(
                event = "clock_set",
                seconds = set.by / 1000,
                "the system clock was set; what waits keeps its time to live"
            );
        }
        seen.latest = now;
        Ok(())
    }

    /// What the broker still held it has sent again when it has been connected for so long.
    async fn forget(&self, seen: &mut Seen, is_connected: bool, now: Moment) -> Result<(), sqlx::Error> {
        if !is_connected {
            seen.connected_since = None;
            return Ok(());
        }
        let since = *seen.connected_since.get_or_insert(now);
        if now.since(since) < SEEN_FOR {
            return Ok(());
        }
        let mut transaction = self.queue.begin().await?;
        recall::forget(&mut transaction, now.wall - SEEN_FOR).await?;
        transaction.commit().await
    }

    fn count(&self, swept: Swept) {
        add(&self.counters.outlived, swept.buried);
        add(&self.counters.expired, swept.expired);
        add(&self.counters.overflowed, swept.overflowed);
        if swept != Swept::default() {
            tracing::warn!(
                event = "notifications_expired",
                expired = swept.expired,
                overflowed = swept.overflowed,
                dead = swept.buried,
                "notifications were too old (timeToLiveHours) or too many (mostWaiting, or all together too large)"
            );
        }
    }
}

#[cfg(test)]
#[path = "watchman_tests.rs"]
mod tests;
