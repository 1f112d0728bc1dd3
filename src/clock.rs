//! The system clock, and where a wrong one does harm. A Raspberry Pi has no clock that runs without power: until it has
//! asked a time server it lives in the past, and tokens made then are refused by every broker.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When this program was built, in seconds since 1970. No clock that is right shows less.
const BUILT: &str = env!("SIMRELAY_BUILT");

/// The system clock is behind the day on which this program was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system clock says {now} s since 1970, which is before this program was built ({built})")]
pub struct ClockBehind {
    now: u64,
    built: u64,
}

impl ClockBehind {
    /// What to do about it.
    pub const ADVICE: &str =
        "set the clock of this server: check its time service (timedatectl, chronyc tracking)";
}

/// The time in seconds since 1970, if the system clock can be right.
///
/// # Errors
/// [`ClockBehind`] says what the clock shows.
pub fn trusted_now() -> Result<u64, ClockBehind> {
    not_behind(seconds(SystemTime::now()))
}

/// `now`, in seconds since 1970, if it can be right.
pub(crate) fn not_behind(now: u64) -> Result<u64, ClockBehind> {
    let built = BUILT.parse().unwrap_or(0);
    if now < built {
        Err(ClockBehind { now, built })
    } else {
        Ok(now)
    }
}

/// Since 1970; 0 before.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Now, in milliseconds since 1970: how the database and the API keep times.
pub(crate) fn now_millis() -> i64 {
    millis(SystemTime::now())
}

/// Now, in seconds since 1970.
pub(crate) fn now_seconds() -> i64 {
    now_millis() / 1000
}

/// Milliseconds since 1970; 0 before.
pub(crate) fn millis(time: SystemTime) -> i64 {
    whole_millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The milliseconds of a span, to be added to a time.
pub(crate) fn whole_millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// By how much the system clock may be put right without anybody noticing, in milliseconds: a minute.
const UNNOTICED: i64 = 60_000;

/// A moment on the system clock, and on the one that counts from the machine's start, sleep included, and that nobody
/// sets; both in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since 1970, by the system clock.
    pub(crate) wall: i64,
    /// Since the machine's start.
    pub(crate) steady: i64,
}

impl Moment {
    /// This one.
    pub(crate) fn now() -> Self {
        let steady = clock_gettime(ClockId::Boottime);
        Self {
            wall: now_millis(),
            steady: steady.tv_sec * 1000 + steady.tv_nsec / 1_000_000,
        }
    }

    /// The milliseconds since an earlier one, whatever became of the system clock.
    pub(crate) fn since(self, earlier: Self) -> i64 {
        self.steady - earlier.steady
    }

    /// By how many milliseconds the system clock was set since an earlier one, forward, or back if below 0. `None` if it
    /// was not, or by less than a minute.
    pub(crate) fn set_since(self, earlier: Self) -> Option<i64> {
        let by = self.wall - earlier.wall - self.since(earlier);
        (by.abs() > UNNOTICED).then_some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_told_from_one_that_runs_or_is_corrected() {
        let earlier = Moment::now();
        assert_eq!(Moment::now().set_since(earlier), None);
        let later = |wall: i64, steady: i64| Moment {
            wall: earlier.wall + wall,
            steady: earlier.steady + steady,
        };
        assert_eq!(later(86_400_000, 86_400_000).set_since(earlier), None);
        assert_eq!(later(64_000, 5_000).set_since(earlier), None);
        assert_eq!(later(172_805_000, 5_000).set_since(earlier), Some(172_800_000));
        assert_eq!(later(-3_595_000, 5_000).set_since(earlier), Some(-3_600_000));
    }

    #[test]
    fn the_clock_of_a_pi_without_network_is_told_from_one_that_can_be_right() {
        assert!(trusted_now().is_ok());
        let behind = not_behind(1_483_228_800).unwrap_err().to_string();
        assert!(behind.contains("1483228800 s since 1970"), "{behind}");
        let built: u64 = BUILT.parse().unwrap();
        assert!(not_behind(built - 1).is_err() && not_behind(built).is_ok());
    }

    #[test]
    fn the_steady_clock_counts_milliseconds_since_the_start_of_the_machine() {
        let steady = || {
            let time = clock_gettime(ClockId::Boottime);
            i64::try_from(Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_millis()).unwrap()
        };
        let (before, now, after) = (steady(), Moment::now(), steady());
        assert!((before..=after).contains(&now.steady), "{before} {now:?} {after}");
    }

    #[test]
    fn a_correction_of_a_minute_is_not_told() {
        let earlier = Moment { wall: 0, steady: 0 };
        let later = |wall| Moment { wall, steady: 0 };
        assert_eq!(later(60_000).set_since(earlier), None);
        assert_eq!(later(-60_001).set_since(earlier), Some(-60_001));
    }

    #[test]
    fn the_time_that_is_trusted_is_that_of_the_system() {
        let before = seconds(SystemTime::now());
        assert!((before..before + 60).contains(&trusted_now().unwrap()));
    }
}
