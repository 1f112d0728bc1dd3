//! Requests that are counted and not in the database yet.

use super::{Counts, Period, Sums, UsageKey};
use std::collections::BTreeMap;

/// How many buckets of five minutes are told apart while the database takes nothing. After that the oldest
/// is added to the one behind it: its requests are kept, only their time is coarser.
const MAX_BUCKETS: usize = 12;

/// Sums by bucket of five minutes. Its size is bounded by the number of SIMs, however long nothing is written.
#[derive(Debug, Default)]
pub struct Pending(BTreeMap<i64, Sums>);

impl Pending {
    /// Adds requests counted at `now`, in seconds since 1970, or [`UNDATED`](super::UNDATED). What is no request is not kept.
    pub fn add(&mut self, now: i64, key: UsageKey, counts: Counts) {
        if counts.requests() == 0 {
            return;
        }
        let bucket = Period::Minutes.start(now);
        *self.0.entry(bucket).or_default().entry(key).or_default() += counts;
        if self.0.len() > MAX_BUCKETS {
            self.merge_oldest();
        }
    }

    fn merge_oldest(&mut self) {
        let Some((_, oldest)) = self.0.pop_first() else {
            return;
        };
        if let Some(mut next) = self.0.first_entry() {
            for (key, counts) in oldest {
                *next.get_mut().entry(key).or_default() += counts;
            }
        }
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many sums there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(Sums::len).sum()
    }

    /// The requests in it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.values().flat_map(Sums::values).map(Counts::requests).sum()
    }

    /// Its sums, with the first second of their bucket of five minutes.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (i64, &Sums)> {
        self.0.iter().map(|(bucket, sums)| (*bucket, sums))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entrypoint::Scheme;
    use crate::usage::meter::tests::key_of;

    #[test]
    fn a_long_failure_of_the_database_loses_no_request_and_stays_bounded() {
        let mut pending = Pending::default();
        let key = key_of("440103000000001", Scheme::Mqtt);
        let one = Counts {
            device_up: 1,
            ..Counts::default()
        };
        for second in 0..86_400 {
            pending.add(second, key.clone(), one);
        }
        pending.add(86_400, key, Counts::default());
        assert_eq!(pending.requests(), 86_400);
        assert_eq!(pending.buckets().count(), MAX_BUCKETS);
    }
}
