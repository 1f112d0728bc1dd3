//! What the notifier counts, for log lines and for whoever wants to show it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Numbers since the start of the program. Cheap to add to from everywhere.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages that the broker sent.
    pub received: AtomicU64,
    /// Of them, those that had come before and were only acknowledged again.
    pub duplicates: AtomicU64,
    /// Of them, kept ones that no route asks for.
    pub retained: AtomicU64,
    /// Repeats that routes left out.
    pub collapsed: AtomicU64,
    /// Notifications that were put into the queue.
    pub queued: AtomicU64,
    /// Notifications that became dead letters because they had got too old while their destination failed.
    pub outlived: AtomicU64,
    /// Notifications that got too old without an attempt, and are gone.
    pub expired: AtomicU64,
    /// Notifications that were too many, and are gone.
    pub overflowed: AtomicU64,
    destinations: Mutex<BTreeMap<String, DeliveryCounters>>,
}

/// Numbers of one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryCounters {
    /// Notifications that it took.
    pub delivered: u64,
    /// Attempts that failed and will be made again.
    pub failed: u64,
    /// Notifications that it will never take.
    pub dead: u64,
}

impl Counters {
    /// Those that are not of one destination: name, meaning, number.
    #[must_use]
    pub fn numbers(&self) -> [(&'static str, &'static str, u64); 8] {
        let all = [
            ("received", "Messages that the broker sent", &self.received),
            ("duplicates", "Messages that had come before", &self.duplicates),
            (
                "retained",
                "Messages that the broker had kept and no route asks for",
                &self.retained,
            ),
            ("collapsed", "Repeats that routes left out", &self.collapsed),
            ("queued", "Notifications put into the queue", &self.queued),
            (
                "outlived",
                "Notifications that became dead letters by their age",
                &self.outlived,
            ),
            (
                "expired",
                "Notifications that got too old without an attempt",
                &self.expired,
            ),
            ("overflowed", "Notifications that were too many", &self.overflowed),
        ];
        all.map(|(name, meaning, number)| (name, meaning, number.load(Ordering::Relaxed)))
    }

    /// Adds to the numbers of a destination.
    pub fn of(&self, destination: &str, add: impl FnOnce(&mut DeliveryCounters)) {
        let mut destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        if !destinations.contains_key(destination) {
            destinations.insert(destination.to_owned(), DeliveryCounters::default());
        }
        if let Some(delivery) = destinations.get_mut(destination) {
            add(delivery);
        }
    }

    /// The numbers of each destination.
    #[must_use]
    pub fn destinations(&self) -> BTreeMap<String, DeliveryCounters> {
        self.destinations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Adds to a number.
pub(super) fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, _, number) in self.numbers() {
            write!(f, "{name} {number} ")?;
        }
        for (
            name,
            DeliveryCounters {
                delivered,
                failed,
                dead,
            },
        ) in self.destinations()
        {
            write!(f, "| {name}: delivered {delivered} failed {failed} dead {dead} ")?;
        }
        Ok(())
    }
}
