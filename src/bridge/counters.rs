//! What the bridge counts, for log lines and for whoever wants to show it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

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
