//! Messages that the broker has not acknowledged, in the order in which they came.
//!
//! A message is in memory while its caller waits. If that takes too long it is put on disk, and from then on
//! the memory only knows its number; the link reads it back when it has to be sent again. One order serves
//! both kinds, so nothing overtakes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use super::counters::{Counters, count};
use super::journal::{Journal, Kept, Number};
use super::{Message, Parked};
use crate::complaint::Complaint;

/// How long a caller waits for the broker.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Messages handed to the MQTT client at a time; it sends as many at once as the broker wants.
const WINDOW: usize = 100;
/// Messages that wait at most, and their bytes: a day's notices, not the whole disk.
const MOST_MESSAGES: usize = 100_000;
const MOST_BYTES: usize = 256 * 1024 * 1024;
/// How often to look which parked messages are to be sent again.
const LOOK: Duration = Duration::from_secs(2);
/// So often the broker may close the connection over one and the same message.
const STRIKES: u8 = 5;

/// What became of a message within the time that its caller waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The broker acknowledged it.
    Published,
    /// It is on disk and will be published.
    Accepted,
    /// The broker refused it; in its words.
    Refused(String),
    /// It cannot be kept: too much waits already.
    Full,
    /// It cannot be kept: the disk refused, in its words. It may be published nevertheless.
    Unkept(String),
}

/// The messages. Clones are the same box.
#[derive(Debug, Clone)]
pub struct Outbox(Arc<Shared>);

/// A look at an [`Outbox`] that does not keep it: when the bridge lets go of it, what it holds is written out.
#[derive(Debug, Clone)]
pub struct OutboxView(Weak<Shared>);

impl OutboxView {
    /// The outbox, while the bridge runs.
    #[must_use]
    pub fn outbox(&self) -> Option<Outbox> {
        self.0.upgrade().map(Outbox)
    }
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    journal: Journal,
    counters: Counters,
    /// Something can be sent, perhaps.
    work: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: BTreeMap<Number, Entry>,
    bytes: usize,
    /// The highest number that was ever given.
    last: Number,
    /// No earlier one is still to be given to the link on this connection.
    next: Number,
    handed: usize,
    /// The broker was not reachable when it was last tried.
    is_down: bool,
    /// Up to here messages are sent one by one, because the connection was lost over one of them.
    careful_to: Number,
}

#[derive(Debug)]
struct Entry {
    /// `None` if it is on disk only.
    message: Option<Arc<Message>>,
    caller: Option<oneshot::Sender<Outcome>>,
    size: usize,
    is_kept: bool,
    is_handed: bool,
    strikes: u8,
}

/// A message for the link.
#[derive(Debug, Clone)]
pub(super) struct Next {
    pub(super) number: Number,
    /// `None` if it has to be read from the journal.
    pub(super) message: Option<Arc<Message>>,
}

impl Outbox {
    /// For those who look on.
    #[must_use]
    pub fn view(&self) -> OutboxView {
        OutboxView(Arc::downgrade(&self.0))
    }

    /// The box with what an earlier run left in the journal.
    pub(super) async fn open(journal: Journal) -> Result<Self, sqlx::Error> {
        let mut waiting = Waiting {
            last: journal.last().await?,
            ..Waiting::default()
        };
        waiting.put_back(&journal.kept().await?);
        Ok(Self(Arc::new(Shared {
            waiting: Mutex::new(waiting),
            journal,
            counters: Counters::default(),
            work: Notify::new(),
        })))
    }

    /// How many messages wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages that the broker would not have after they were promised; they wait for an operator.
    #[must_use]
    pub fn parked(&self) -> Parked {
        self.0.journal.parked()
    }

    /// Whether the broker could not be reached when it was last tried.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.lock().is_down
    }

    /// What became of messages since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Publishes a message, or keeps it for later. It goes on if the future is dropped, but is then kept in
    /// memory only.
    pub async fn publish(&self, message: Message) -> Outcome {
        let outcome = self.publish_or_keep(message).await;
        let counters = self.counters();
        match outcome {
            Outcome::Accepted => count(&counters.accepted),
            Outcome::Full => count(&counters.full),
            Outcome::Unkept(_) => count(&counters.unkept),
            // Counted when the broker says so, whoever waits.
            Outcome::Published | Outcome::Refused(_) => {}
        }
        outcome
    }

    async fn publish_or_keep(&self, message: Message) -> Outcome {
        let Some((number, mut outcome, patience)) = self.add(message) else {
            return Outcome::Full;
        };
        if let Ok(Ok(outcome)) = timeout(patience, &mut outcome).await {
            return outcome;
        }
        let Some(kept) = self.keep(number) else {
            // It was settled in this moment.
            return outcome.await.unwrap_or(Outcome::Published);
        };
        match kept.await {
            Ok(Ok(())) => {
                self.forget_text(number);
                Outcome::Accepted
            }
            Ok(Err(reason)) => {
                self.give_up(number);
                Outcome::Unkept(reason)
            }
            Err(_) => Outcome::Unkept("the program is shutting down".to_owned()),
        }
    }

    fn add(&self, message: Message) -> Option<(Number, oneshot::Receiver<Outcome>, Duration)> {
        let mut waiting = self.lock();
        let size = message.size();
        if waiting.entries.len() >= MOST_MESSAGES || waiting.bytes + size > MOST_BYTES {
            return None;
        }
        waiting.last += 1;
        waiting.bytes += size;
        let number = waiting.last;
        let (caller, outcome) = oneshot::channel();
        waiting.entries.insert(number, Entry::new(message, caller));
        // Nobody has to wait for a broker that is known to be away.
        let patience = if waiting.is_down {
            Duration::ZERO
        } else {
            ANSWER_WITHIN
        };
        drop(waiting);
        self.0.work.notify_one();
        Some((number, outcome, patience))
    }

    /// Asks the journal to keep a message that still waits.
    fn keep(&self, number: Number) -> Option<oneshot::Receiver<Result<(), String>>> {
        let mut waiting = self.lock();
        let entry = waiting.entries.get_mut(&number)?;
        let message = entry.message.as_deref()?.clone();
        entry.is_kept = true;
        entry.caller = None;
        // Under the lock, so that a removal cannot get ahead of it.
        Some(self.0.journal.keep(number, message))
    }

    fn forget_text(&self, number: Number) {
        if let Some(entry) = self.lock().entries.get_mut(&number) {
            entry.message = None;
        }
    }

    /// The message is not on disk: it goes, unless it may be on its way already.
    fn give_up(&self, number: Number) {
        let mut waiting = self.lock();
        match waiting.entries.get_mut(&number) {
            Some(entry) if entry.is_handed => entry.is_kept = false,
            Some(_) => drop(waiting.remove(number)),
            None => {}
        }
    }

    /// The next message to send; waits until there is one and room for it.
    pub(super) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.lock().hand_out() {
                return next;
            }
            self.0.work.notified().await;
        }
    }

    /// Has sent again what an operator took out of the parked messages, for as long as it is polled.
    pub(super) async fn take_back(self) {
        let mut complaint = Complaint::default();
        loop {
            match self.0.journal.take_back().await {
                Ok(kept) => {
                    self.lock().put_back(&kept);
                    for one in kept {
                        let number = one.number;
                        tracing::info!(event = "requeued", number, "a parked message is sent again");
                        self.0.work.notify_one();
                    }
                }
                Err(error) if complaint.is_due() => {
                    tracing::error!(%error, "the bridge cannot look which parked messages are to be sent again; it tries on");
                }
                Err(_) => {}
            }
            sleep(LOOK).await;
        }
    }

    /// Reads a message from the journal.
    pub(super) async fn load(&self, number: Number) -> Result<Option<Message>, sqlx::Error> {
        self.0.journal.load(number).await
    }

    /// The broker took the message, or would not have it.
    pub(super) fn settle(&self, number: Number, result: Result<(), String>) {
        let mut waiting = self.lock();
        let Some(entry) = waiting.remove(number) else {
            return;
        };
        if entry.is_kept {
            match &result {
                Ok(()) => self.0.journal.remove(number),
                Err(reason) => self.0.journal.park(number, reason),
            }
        }
        drop(waiting);
        self.0.work.notify_one();
        match &result {
            Ok(()) => count(&self.counters().published),
            Err(_) => count(&self.counters().refused),
        }
        match (entry.caller, result) {
            // The caller may be gone.
            (Some(caller), Ok(())) => drop(caller.send(Outcome::Published)),
            (Some(caller), Err(reason)) => drop(caller.send(Outcome::Refused(reason))),
            (None, Ok(())) => tracing::debug!(
                event = "delivered",
                number,
                "a message from the queue was published"
            ),
            (None, Err(reason)) => tracing::error!(
                event = "parked",
                number,
                reason,
                "the broker refuses a message from the queue; it is set aside: `simrelay parked show {number}` shows it, `requeue` has it sent again, `drop` throws it away"
            ),
        }
    }

    /// The link is up.
    pub(super) fn connected(&self) {
        self.lock().is_down = false;
    }

    /// The link is down: what was handed out has to be handed out again.
    pub(super) fn lost(&self) {
        let culprit = self.lock().lost();
        if let Some(number) = culprit {
            let reason = format!("the broker closed the connection {STRIKES} times when it was sent");
            self.settle(number, Err(reason));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Adds what is on disk to those that wait.
    fn put_back(&mut self, kept: &[Kept]) {
        for kept in kept {
            self.bytes += kept.size;
            self.entries.insert(kept.number, Entry::kept(kept.size));
            self.next = self.next.min(kept.number);
        }
    }

    fn hand_out(&mut self) -> Option<Next> {
        let (&number, entry) = self
            .entries
            .range_mut(self.next..)
            .find(|(_, entry)| !entry.is_handed)?;
        let window = if number <= self.careful_to { 1 } else { WINDOW };
        if self.handed >= window {
            return None;
        }
        entry.is_handed = true;
        self.handed += 1;
        self.next = number + 1;
        Some(Next {
            number,
            message: entry.message.clone(),
        })
    }

    fn remove(&mut self, number: Number) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        self.bytes -= entry.size;
        self.handed -= usize::from(entry.is_handed);
        Some(entry)
    }

    /// Gives the message over which the connection was lost too often.
    fn lost(&mut self) -> Option<Number> {
        self.is_down = true;
        let mut culprit = None;
        let alone = self.handed == 1;
        for (&number, entry) in self.entries.range_mut(..self.next) {
            if std::mem::take(&mut entry.is_handed) {
                self.careful_to = self.careful_to.max(number);
                entry.strikes += u8::from(alone);
                if entry.strikes >= STRIKES {
                    culprit = Some(number);
                }
            }
        }
        self.handed = 0;
        self.next = self.entries.keys().next().copied().unwrap_or(self.next);
        culprit
    }
}

impl Entry {
    fn new(message: Message, caller: oneshot::Sender<Outcome>) -> Self {
        Self {
            size: message.size(),
            message: Some(Arc::new(message)),
            caller: Some(caller),
            is_kept: false,
            is_handed: false,
            strikes: 0,
        }
    }

    fn kept(size: usize) -> Self {
        Self {
            message: None,
            caller: None,
            size,
            is_kept: true,
            is_handed: false,
            strikes: 0,
        }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
