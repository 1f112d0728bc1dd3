//! Buckets of time: five minutes, day, month. Days and months begin at 00:00 UTC.

use std::str::FromStr;

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
            Self::Month => {
                let (year, month, _) = civil(time.div_euclid(DAY));
                month_start(year, month)
            }
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
                let (year, month, _) = civil(now.div_euclid(DAY));
                let months = year * 12 + month - 1 - 18;
                month_start(months.div_euclid(12), months.rem_euclid(12) + 1)
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
        let (year, month, day) = civil(start.div_euclid(DAY));
        let minute = start.rem_euclid(DAY) / MINUTE;
        match self {
            Self::Minutes => format!("{year:04}{month:02}{day:02}T{:02}{:02}", minute / 60, minute % 60),
            Self::Day => format!("{year:04}{month:02}{day:02}"),
            Self::Month => format!("{year:04}{month:02}"),
        }
    }
}

fn month_start(year: i64, month: i64) -> i64 {
    days_before(year, month, 1) * DAY
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March here, which puts the leap
/// day at their end.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * day_of_year + 2) / 153;
    let month = (march + 2) % 12 + 1;
    let year = year_of_era + days.div_euclid(146_097) * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 14:10:11 UTC.
    const NOW: i64 = 1_795_443_011;

    #[test]
    fn every_day_of_800_years_is_found_again() {
        for days in -146_097..146_097 {
            let (year, month, day) = civil(days);
            assert_eq!(days_before(year, month, day), days);
        }
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
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
