//! How fast connections are let in, of all SIMs and workers together. Those that come faster are not refused: they
//! wait in the kernel's queue, and beyond it their SYN is sent again.

use crate::complaint::Complaint;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much may be let in at once: short, so that those who are there do not notice a fleet that comes back.
const BURST: Duration = Duration::from_millis(100);

/// The theoretical arrival time (GCRA, ITU-T I.371) after one more that comes `now`, with `gap` between two; `paced` is that
/// before it.
pub(super) fn next_arrival(paced: Option<Instant>, gap: Duration, now: Instant) -> Instant {
    paced.map_or(now, |paced| paced.max(now)) + gap
}

/// Counts who is let in. Who is refused takes next to nothing, and does not count: strangers cannot use it up.
#[derive(Debug)]
pub(super) struct Pace {
    /// From one connection to the next; `None` for as many as come.
    gap: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// See [`next_arrival`].
    paced: Option<Instant>,
    /// Pauses that nobody was told of.
    pauses: u64,
    complaint: Complaint,
}

impl Pace {
    /// At most `rate` a second.
    pub(super) fn new(rate: Option<NonZeroU32>) -> Self {
        Self {
            gap: rate.map(|rate| Duration::from_secs(1) / rate.get()),
            state: Mutex::default(),
        }
    }

    /// One more was let in.
    pub(super) fn count(&self, now: Instant) {
        if let Some(gap) = self.gap {
            let mut state = self.state();
            state.paced = Some(next_arrival(state.paced, gap, now));
        }
    }

    /// How long the next one has to wait, if it has to.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.gap?;
        let wait = self.state().paced?.saturating_duration_since(now + BURST);
        (!wait.is_zero()).then_some(wait)
    }

    /// There is a pause: how many there were since this was last said, if it is to be said again.
    pub(super) fn complain(&self) -> Option<u64> {
        let mut state = self.state();
        state.pauses += 1;
        state
            .complaint
            .is_due()
            .then(|| std::mem::take(&mut state.pauses))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are let in within `time`, if as many come as may.
    fn let_in(rate: u32, time: Duration) -> u32 {
        let (pace, begin) = (Pace::new(NonZeroU32::new(rate)), Instant::now());
        let (mut now, mut count) = (begin, 0);
        while now < begin + time && count < 100_000 {
            match pace.wait(now) {
                Some(wait) => now += wait,
                None => {
                    pace.count(now);
                    count += 1;
                }
            }
        }
        count
    }

    #[test]
    fn a_short_burst_goes_in_and_after_it_the_pace_is_kept() {
        for (rate, millis, expected) in [
            (1000, 0, 0),
            (1000, 1, 102),
            (1000, 1000, 1101),
            (5000, 1800, 9501),
            (1, 3000, 4),
            (0, 1000, 100_000),
        ] {
            let found = let_in(rate, Duration::from_millis(millis));
            assert!(found.abs_diff(expected) <= 2, "{found} at {rate} in {millis} ms");
        }
    }

    #[test]
    fn a_quiet_time_saves_up_no_more_than_a_burst() {
        let (pace, begin) = (Pace::new(NonZeroU32::new(10)), Instant::now());
        let knocks = |now| {
            let before = pace.wait(now);
            pace.count(now);
            before.is_none()
        };
        assert!(knocks(begin));
        let later = begin + Duration::from_secs(3600);
        assert_eq!((0..5).filter(|_| knocks(later)).count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_said_once_in_ten_seconds_how_often_there_was_a_pause() {
        let pace = Pace::new(NonZeroU32::new(1));
        assert_eq!(pace.complain(), Some(1));
        assert!((0..7).all(|_| pace.complain().is_none()));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(pace.complain(), Some(8));
    }
}
