//! Buckets of time: five minutes, day, month. Days and months begin at 00:00 UTC.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

/// When something was counted while the clock could not be right: no time at all, until it is. It is the first second of
/// a bucket of each length.
pub const UNDATED: i64 = 0;

/// How long a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// Five minutes, kept for 32 days.
    Minutes,
    /// A day, kept for 18 months.
    Day,
    /// A month, kept for 18 months.
    Month,
}

/// A text that names no period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no period; allowed are \"month\", \"day\" and \"minutes\"")]
pub struct InvalidPeriod(pub String);

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let named = Self::ALL.into_iter().find(|period| period.as_str() == text);
        named.ok_or_else(|| InvalidPeriod(text.to_owned()))
    }
}

impl Period {
    /// From the shortest to the longest.
    pub const ALL: [Self; 3] = [Self::Minutes, Self::Day, Self::Month];

    /// Its name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minutes => "minutes",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// Its number in the database.
    pub(super) fn code(self) -> i64 {
        self as i64
    }

    /// The first second of the bucket that holds `time`, both in seconds since 1970.
    #[must_use]
    pub fn start(self, time: i64) -> i64 {
        match self {
            Self::Minutes => time - time.rem_euclid(5 * MINUTE),
            Self::Day => time - time.rem_euclid(DAY),
            Self::Month => Self::Day.start(time) - (i64::from(date(time).day()) - 1) * DAY,
        }
    }

    /// The first second of the bucket behind the one that begins at `start`.
    #[must_use]
    pub fn next(self, start: i64) -> i64 {
        match self {
            Self::Minutes => start + 5 * MINUTE,
            Self::Day => start + DAY,
            // No month is longer than 31 days, so 32 days on lies in the next one.
            Self::Month => self.start(start + 32 * DAY),
        }
    }

    /// The first second of the oldest bucket that is kept at `now`.
    #[must_use]
    pub fn kept_since(self, now: i64) -> i64 {
        match self {
            Self::Minutes => self.start(now - 32 * DAY),
            Self::Day | Self::Month => {
                (0..18).fold(Self::Month.start(now), |start, _| Self::Month.start(start - 1))
            }
        }
    }

    /// The buckets that hold any second from `from` to `to`, as far as they are kept at `now`.
    pub fn buckets(self, from: i64, to: i64, now: i64) -> impl Iterator<Item = i64> {
        let first = self.start(from.max(self.kept_since(now)));
        // Not before it is known to be past: a caller may ask for the end of all time, behind which there is none.
        let kept = move |start: i64| (start <= to.min(now)).then_some(start);
        std::iter::successors(kept(first), move |&start| kept(self.next(start)))
    }

    /// The bucket that begins at `start` in SORACOM's form: `202611`, `20261123`; with the time behind it
    /// for five minutes: `20261123T1405`.
    #[must_use]
    pub fn date(self, start: i64) -> String {
        let date = date(start);
        let (year, month, day) = (date.year(), date.month(), date.day());
        let minute = start.rem_euclid(DAY) / MINUTE;
        match self {
            Self::Minutes => format!("{year:04}{month:02}{day:02}T{:02}{:02}", minute / 60, minute % 60),
            Self::Day => format!("{year:04}{month:02}{day:02}"),
            Self::Month => format!("{year:04}{month:02}"),
        }
    }
}

/// The day in UTC that holds `time`, in seconds since 1970; the first or the last of the calendar for a time past it.
fn date(time: i64) -> Date {
    let past = if time < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let time = Timestamp::from_second(time).unwrap_or(past);
    Offset::UTC.to_datetime(time).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 14:10:11 UTC.
    const NOW: i64 = 1_795_443_011;

    #[test]
    fn days_and_months_are_those_of_the_calendar() {
        for (time, day, month, kept_since) in [
            (-100_000_000_000, "-11990215", -100_001_260_800, -100_048_780_800),
            (-12_219_292_801, "15821014", -12_220_502_400, -12_267_849_600),
            (-1, "19691231", -2_678_400, -50_025_600),
            (0, "19700101", 0, -47_433_600),
            (951_868_799, "20000229", 949_363_200, 901_929_600),
            (951_868_800, "20000301", 951_868_800, 904_608_000),
            (1_709_164_800, "20240229", 1_706_745_600, 1_659_312_000),
            (4_107_542_399, "21000228", 4_105_123_200, 4_057_689_600),
            (4_107_542_400, "21000301", 4_107_542_400, 4_060_368_000),
            (253_000_000_000, "99870402", 252_999_849_600, 252_952_588_800),
        ] {
            assert_eq!(Period::Day.date(Period::Day.start(time)), day);
            assert_eq!(Period::Month.start(time), month, "{day}");
            assert_eq!(Period::Month.kept_since(time), kept_since, "{day}");
        }
    }

    #[test]
    fn a_month_begins_on_its_first_day_and_the_next_one_behind_it() {
        let mut start = Period::Month.start(-146_097 * DAY);
        while start < 146_097 * DAY {
            assert!(Period::Day.date(start).ends_with("01"), "{start}");
            let next = Period::Month.next(start);
            assert!((28..=31).contains(&((next - start) / DAY)), "{start}");
            assert_eq!(Period::Month.start(next - 1), start);
            start = next;
        }
    }

    #[test]
    fn a_time_past_the_calendar_is_no_reason_to_panic() {
        for time in [i64::MAX, i64::MAX / 2, i64::MIN / 2] {
            assert!(Period::Month.start(time) <= time);
            assert!(Period::Month.kept_since(time) < time);
            assert!(!Period::Day.date(time).is_empty());
        }
    }

    #[test]
    fn buckets_begin_at_utc_boundaries() {
        let starts = Period::ALL.map(|period| period.date(period.start(NOW)));
        assert_eq!(starts, ["20261123T1410", "20261123", "202611"]);
        assert_eq!(Period::Day.start(NOW), NOW - (14 * 60 + 10) * 60 - 11);
        assert_eq!(
            Period::Month.date(Period::Month.next(Period::Month.start(NOW))),
            "202612"
        );
    }

    #[test]
    fn what_is_kept_is_32_days_and_18_months() {
        assert_eq!(NOW - Period::Minutes.kept_since(NOW), 32 * DAY + 11);
        assert_eq!(Period::Month.date(Period::Month.kept_since(NOW)), "202505");
        assert_eq!(Period::Day.date(Period::Day.kept_since(NOW)), "20250501");
    }

    #[test]
    fn a_range_is_widened_to_whole_buckets_and_bounded_by_what_is_kept() {
        let dates = |period: Period, from, to| -> Vec<_> {
            period
                .buckets(from, to, NOW)
                .map(|start| period.date(start))
                .collect()
        };
        assert_eq!(
            dates(Period::Minutes, NOW - 300, NOW),
            ["20261123T1405", "20261123T1410"]
        );
        assert_eq!(dates(Period::Month, NOW - 40 * DAY, NOW), ["202610", "202611"]);
        assert_eq!(dates(Period::Month, 0, i64::MAX).len(), 19);
        assert_eq!(dates(Period::Minutes, i64::MIN, i64::MAX).len(), 32 * 288 + 1);
        assert!(dates(Period::Day, NOW + DAY, NOW + 2 * DAY).is_empty());
        for period in Period::ALL {
            assert!(dates(period, i64::MAX, i64::MAX).is_empty());
        }
    }

    #[test]
    fn a_period_is_one_of_three() {
        for period in Period::ALL {
            assert_eq!(period.as_str().parse(), Ok(period));
        }
        let error = "hour".parse::<Period>().unwrap_err().to_string();
        assert!(error.contains("\"hour\""), "{error}");
    }
}
