//! Hours in which a destination is left in peace: what is not urgent waits for their end.

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

/// Quiet windows that follow each other without a gap are looked through up to this number: two weeks of days.
const LONGEST_CHAIN: usize = 14;

/// A window that begins on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietWindow {
    /// The days on which it begins.
    pub days: Vec<Weekday>,
    /// When it begins.
    pub from: Time,
    /// When it ends: on the same day if that is later than `from`, else on the next.
    pub to: Time,
}

impl QuietWindow {
    /// The window that begins on `day`, if one does.
    fn on(&self, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        if !self.days.contains(&day.weekday()) {
            return None;
        }
        let last = if self.to > self.from {
            day
        } else {
            day.tomorrow().ok()?
        };
        let at = |day: Date, time: Time| {
            let zoned = day.to_datetime(time).to_zoned_datetime(zone.clone()).ok()?;
            Some(zoned.timestamp())
        };
        Some((at(day, self.from)?, at(last, self.to)?))
    }
}

/// The quiet hours of a destination; none by default.
#[derive(Debug, Clone)]
pub struct QuietHours {
    /// Where the clock hangs that the windows mean.
    pub zone: TimeZone,
    /// The windows.
    pub windows: Vec<QuietWindow>,
}

impl QuietHours {
    /// When it is quiet at `now`, the time at which it no longer is.
    #[must_use]
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let mut end = None;
        let mut at = now;
        for _ in 0..LONGEST_CHAIN {
            match self.end_of_window(at) {
                Some(later) => (end, at) = (Some(later), later),
                None => break,
            }
        }
        end
    }

    fn end_of_window(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned_datetime(self.zone.clone()).date();
        // A window past midnight began yesterday.
        let days = [today.yesterday().unwrap_or(today), today];
        let windows = self.windows.iter();
        let open = windows.flat_map(|window| days.map(|day| window.on(day, &self.zone)));
        let open = open.flatten().filter(|(from, to)| *from <= now && now < *to);
        open.map(|(_, to)| to).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Weekday::*;

    const WEEK: [Weekday; 7] = [Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday];

    fn window(days: &[Weekday], from: (i8, i8), to: (i8, i8)) -> QuietWindow {
        QuietWindow {
            days: days.to_vec(),
            from: Time::constant(from.0, from.1, 0, 0),
            to: Time::constant(to.0, to.1, 0, 0),
        }
    }

    /// The end as local time, in which a table can be read.
    fn until(zone: &str, windows: &[QuietWindow], now: &str) -> Option<String> {
        let hours = QuietHours {
            zone: TimeZone::get(zone).unwrap(),
            windows: windows.to_vec(),
        };
        let end = hours.until(now.parse().unwrap())?;
        let end = end.to_zoned_datetime(hours.zone.clone());
        Some(end.strftime("%a %d %H:%M").to_string())
    }

    #[test]
    fn nights_and_weekends_end_when_people_are_back() {
        // 2026-11-23 is a Monday.
        let nights = [window(&WEEK, (22, 0), (7, 0))];
        let mut office = vec![window(
            &[Monday, Tuesday, Wednesday, Thursday, Friday],
            (18, 0),
            (8, 30),
        )];
        office.push(window(&[Saturday, Sunday], (0, 0), (0, 0)));
        office.push(window(&[Monday], (0, 0), (8, 30)));
        let cases: [(&[QuietWindow], &str, Option<&str>); 10] = [
            (&[], "2026-11-23T03:00:00+09:00", None),
            (&nights, "2026-11-23T21:59:59+09:00", None),
            (&nights, "2026-11-23T22:00:00+09:00", Some("Tue 24 07:00")),
            (&nights, "2026-11-24T06:59:59+09:00", Some("Tue 24 07:00")),
            (&nights, "2026-11-24T07:00:00+09:00", None),
            (&office, "2026-11-23T12:00:00+09:00", None),
            (&office, "2026-11-23T19:00:00+09:00", Some("Tue 24 08:30")),
            (&office, "2026-11-27T18:00:00+09:00", Some("Mon 30 08:30")),
            (&office, "2026-11-29T12:00:00+09:00", Some("Mon 30 08:30")),
            (&office, "2026-11-30T08:30:00+09:00", None),
        ];
        for (windows, now, expected) in cases {
            assert_eq!(until("Asia/Tokyo", windows, now).as_deref(), expected, "{now}");
        }
    }

    #[test]
    fn a_night_in_which_clocks_change_ends_at_the_time_on_the_wall() {
        let nights = [window(&WEEK, (22, 0), (7, 0))];
        for now in ["2026-03-29T00:30:00+01:00", "2026-03-29T04:30:00+02:00"] {
            assert_eq!(
                until("Europe/Berlin", &nights, now).as_deref(),
                Some("Sun 29 07:00"),
                "{now}"
            );
        }
        // 02:30 does not exist on that night.
        let short = [window(&[Sunday], (2, 30), (4, 0))];
        assert_eq!(until("Europe/Berlin", &short, "2026-03-29T03:10:00+02:00"), None);
        assert_eq!(
            until("Europe/Berlin", &short, "2026-03-29T03:45:00+02:00").as_deref(),
            Some("Sun 29 04:00")
        );
    }
}
