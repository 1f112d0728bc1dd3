//! Entries on their way to the log book.

use super::{Entry, Source};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Entries that wait at most, a second's worth.
const MAX_WAITING: usize = 1000;
/// Entries of one source among them: a device that tries again and again does not drown the others.
const MAX_OF_ONE: usize = 20;
/// Entries of addresses without a SIM among them: strangers do not drown the SIMs.
const MAX_OF_STRANGERS: usize = 200;

/// Takes entries from any thread without waiting for the disk, and drops those past its bounds.
#[derive(Debug, Default)]
pub struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    of: HashMap<Source, usize>,
    strangers: usize,
    dropped: u64,
}

impl Queue {
    /// Adds an entry, or counts it as dropped. `entry` is made only if there is room for it.
    pub fn push(&self, source: Source, entry: impl FnOnce(Source) -> Entry) {
        let mut waiting = self.lock();
        if !waiting.has_room(&source) {
            waiting.dropped += 1;
            return;
        }
        *waiting.of.entry(source.clone()).or_default() += 1;
        waiting.strangers += usize::from(matches!(source, Source::Address(_)));
        let entry = entry(source);
        waiting.entries.push(entry);
    }

    /// Everything added since the last call.
    pub(super) fn take(&self) -> Vec<Entry> {
        let mut waiting = self.lock();
        waiting.of.clear();
        waiting.strangers = 0;
        std::mem::take(&mut waiting.entries)
    }

    /// Puts back what could not be written, as far as there is room.
    pub(super) fn put_back(&self, entries: Vec<Entry>) {
        for entry in entries {
            self.push(entry.source.clone(), |_| entry);
        }
    }

    /// How many entries were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn has_room(&self, source: &Source) -> bool {
        let strangers = matches!(source, Source::Sim(_)) || self.strangers < MAX_OF_STRANGERS;
        let of_source = self.of.get(source).copied().unwrap_or(0);
        strangers && self.entries.len() < MAX_WAITING && of_source < MAX_OF_ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logbook::Level;
    use crate::sim::Imsi;
    use std::net::{IpAddr, Ipv4Addr};

    fn push(queue: &Queue, source: Source) {
        queue.push(source, |source| Entry {
            time: 0,
            source,
            level: Level::Warning,
            body: serde_json::Map::new(),
        });
    }

    #[test]
    fn a_flood_is_bounded_and_counted_and_leaves_room_for_others() {
        let queue = Queue::default();
        for n in 0..100_000 {
            push(&queue, Source::Address(IpAddr::V4(Ipv4Addr::from_bits(n))));
        }
        let loud = Source::Sim(Imsi::new("440103000000001").unwrap());
        (0..1000).for_each(|_| push(&queue, loud.clone()));
        push(&queue, Source::Sim(Imsi::new("440103000000002").unwrap()));
        assert_eq!(
            queue.dropped(),
            (100_000 - MAX_OF_STRANGERS + 1000 - MAX_OF_ONE) as u64
        );
        let taken = queue.take();
        assert_eq!(taken.len(), MAX_OF_STRANGERS + MAX_OF_ONE + 1);
        queue.put_back(taken);
        assert_eq!(queue.take().len(), MAX_OF_STRANGERS + MAX_OF_ONE + 1);
        assert!(queue.take().is_empty());
    }
}
