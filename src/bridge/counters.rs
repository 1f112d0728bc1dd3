//! What the bridge counts, for log lines and for whoever wants to show it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Numbers since the start of the program.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages that the broker took.
    pub published: AtomicU64,
    /// Messages that callers left in the queue on disk.
    pub accepted: AtomicU64,
    /// Messages that the broker refused.
    pub refused: AtomicU64,
    /// Messages that were not taken, as too many waited.
    pub full: AtomicU64,
    /// Messages that the disk did not take.
    pub unkept: AtomicU64,
    /// Requests that were not served, by HTTP status: those that the program gives, never a caller's word.
    refusals: Mutex<BTreeMap<u16, u64>>,
}

impl Counters {
    /// Name, meaning, number.
    #[must_use]
    pub fn numbers(&self) -> [(&'static str, &'static str, u64); 5] {
        let all = [
            ("published", "Messages that the broker took", &self.published),
            (
                "accepted",
                "Messages that callers left in the queue on disk",
                &self.accepted,
            ),
            ("refused", "Messages that the broker refused", &self.refused),
            (
                "full",
                "Messages that were not taken, as too many waited",
                &self.full,
            ),
            ("unkept", "Messages that the disk did not take", &self.unkept),
        ];
        all.map(|(name, meaning, number)| (name, meaning, number.load(Ordering::Relaxed)))
    }

    /// A request was refused with this HTTP status.
    pub(super) fn refused_with(&self, status: u16) {
        *self.lock().entry(status).or_default() += 1;
    }

    /// How many requests were refused with which HTTP status.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<u16, u64> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u16, u64>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, _, number) in self.numbers() {
            write!(f, "{name} {number} ")?;
        }
        Ok(())
    }
}
