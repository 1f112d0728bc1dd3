//! How often what happened since the start: totals, and for each entry point.

use super::{Ending, Refusal};
use crate::sim::GroupId;
use crate::usage::Counts;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often, by kind. Kinds are words of the program, never of a device.
pub type ByKind = BTreeMap<&'static str, u64>;

/// Counts since the start. Nobody waits long for its lock: a packet does not take it, a connection does
/// when it opens and when it ends.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Totals>);

/// What a [`Tally`] holds.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    /// Connections that the broker accepted.
    pub opened: u64,
    /// Connections that are over, by kind of ending.
    pub closed: ByKind,
    /// Connections that did not come about, by kind of refusal.
    pub refused: ByKind,
    /// Failures of the broker leg, before and after CONNACK, by kind.
    pub upstream_failures: ByKind,
    /// How often accepting paused, because more connections came than may.
    pub accept_pauses: u64,
    /// Requests and bytes.
    pub counts: Counts,
    /// By the group that holds the entry point.
    pub groups: BTreeMap<GroupId, OfGroup>,
    /// Flushes of the ledger that had something to write, failed ones too.
    pub flushes: u64,
    /// How long they took in all.
    pub flushing: Duration,
    /// Those that failed.
    pub failed_flushes: u64,
}

/// What happened to one entry point.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct OfGroup {
    /// Connections that the broker accepted.
    pub opened: u64,
    /// Connections that are over.
    pub closed: u64,
    /// Connections that did not come about.
    pub refused: u64,
    /// Failures of the broker leg.
    pub upstream_failures: u64,
    /// Requests and bytes.
    pub counts: Counts,
}

impl Tally {
    pub(super) fn opened(&self, group: Option<&GroupId>) {
        let mut totals = self.lock();
        totals.opened += 1;
        totals.of(group, |group| group.opened += 1);
    }

    pub(super) fn paused(&self) {
        self.lock().accept_pauses += 1;
    }

    pub(super) fn closed(&self, group: Option<&GroupId>, ending: &Ending) {
        let mut totals = self.lock();
        let failed = ending.is_upstream_failure();
        *totals.closed.entry(ending.kind()).or_default() += 1;
        if failed {
            *totals.upstream_failures.entry(ending.kind()).or_default() += 1;
        }
        totals.of(group, |group| {
            group.closed += 1;
            group.upstream_failures += u64::from(failed);
        });
    }

    pub(super) fn refused(&self, group: Option<&GroupId>, refusal: &Refusal) {
        let mut totals = self.lock();
        let failed = refusal.is_upstream_failure();
        *totals.refused.entry(refusal.kind()).or_default() += 1;
        if failed {
            *totals.upstream_failures.entry(refusal.kind()).or_default() += 1;
        }
        totals.of(group, |group| {
            group.refused += 1;
            group.upstream_failures += u64::from(failed);
        });
    }

    pub(super) fn counted(&self, group: Option<&GroupId>, counts: Counts) {
        let mut totals = self.lock();
        totals.counts += counts;
        totals.of(group, |group| group.counts += counts);
    }

    pub(super) fn flushed(&self, took: Duration, failed: bool) {
        let mut totals = self.lock();
        totals.flushes += 1;
        totals.flushing += took;
        totals.failed_flushes += u64::from(failed);
    }

    /// The numbers now. Groups that are not there any more, as `exists` says, are forgotten, so that their
    /// number stays that of the configuration.
    #[must_use]
    pub fn totals(&self, exists: impl Fn(&GroupId) -> bool) -> Totals {
        let mut totals = self.lock();
        totals.groups.retain(|group, _| exists(group));
        totals.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Totals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    fn of(&mut self, group: Option<&GroupId>, count: impl FnOnce(&mut OfGroup)) {
        let Some(group) = group else { return };
        match self.groups.get_mut(group) {
            Some(known) => count(known),
            None => count(self.groups.entry(group.clone()).or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_outlive_the_group() {
        let tally = Tally::default();
        let group = GroupId::new("g").unwrap();
        tally.opened(Some(&group));
        tally.closed(Some(&group), &Ending::BrokerClosed);
        tally.refused(None, &Refusal::DeviceLeft { ahead: 0 });
        tally.refused(Some(&group), &Refusal::KeepAlive(1));
        let totals = tally.totals(|_| true);
        let expected = OfGroup {
            opened: 1,
            closed: 1,
            refused: 1,
            upstream_failures: 1,
            ..OfGroup::default()
        };
        assert_eq!(totals.groups[&group], expected);
        let totals = tally.totals(|_| false);
        assert!(totals.groups.is_empty());
        assert_eq!((totals.opened, totals.refused.values().sum::<u64>()), (1, 2));
        assert_eq!(totals.upstream_failures, ByKind::from([("broker_closed", 1)]));
    }
}
