//! Refusals that get a log line each, and those that are only counted: a flood must not fill the log.

use super::ByKind;
use crate::sim::Imsi;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Lines about one SIM, between two looks at what was not said.
const OF_SIM: u32 = 60;
/// Lines about all addresses that belong to no SIM.
const OF_STRANGERS: u32 = 60;

/// Lines about refusals since the last [`Self::take_unsaid`], by SIM. `None` are the addresses of no SIM.
#[derive(Debug, Default)]
pub(super) struct LineBudget(Mutex<HashMap<Option<Imsi>, Said>>);

#[derive(Debug, Default)]
struct Said {
    lines: u32,
    unsaid: ByKind,
}

impl LineBudget {
    /// Whether this refusal gets a line of its own; else it is counted.
    pub(super) fn may_say(&self, about: Option<&Imsi>, kind: &'static str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = said.entry(about.cloned()).or_default();
        let most = if about.is_some() { OF_SIM } else { OF_STRANGERS };
        if said.lines < most {
            said.lines += 1;
            return true;
        }
        *said.unsaid.entry(kind).or_default() += 1;
        false
    }

    /// What was counted since the last call. Everybody may say something again.
    pub(super) fn take_unsaid(&self) -> Vec<(Option<Imsi>, ByKind)> {
        let said = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        said.into_iter()
            .filter(|(_, said)| !said.unsaid.is_empty())
            .map(|(about, said)| (about, said.unsaid))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_others_are_still_heard() {
        let budget = LineBudget::default();
        let loud = Imsi::new("440103000000001").unwrap();
        let said = (0..1000)
            .filter(|_| budget.may_say(Some(&loud), "too_fast"))
            .count();
        assert_eq!(said, OF_SIM as usize);
        assert!(budget.may_say(Some(&Imsi::new("440103000000002").unwrap()), "too_fast"));
        assert!(budget.may_say(None, "unknown_address"));
        let unsaid = budget.take_unsaid();
        let expected = ByKind::from([("too_fast", 1000 - u64::from(OF_SIM))]);
        assert_eq!(unsaid, [(Some(loud.clone()), expected)]);
        assert!(budget.may_say(Some(&loud), "too_fast"));
        assert!(budget.take_unsaid().is_empty());
    }
}
