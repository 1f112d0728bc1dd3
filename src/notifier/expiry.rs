//! How long a notification is of use.

use super::configuration::Destination;
use jiff::Timestamp;
use std::time::Duration;

/// When a notification of `time` is of no use. What quiet hours hold back gets its time to live behind them.
pub(super) fn expires(destination: &Destination, urgent: bool, time: Timestamp) -> i64 {
    let quiet = destination.quiet.until(time).filter(|_| !urgent);
    quiet
        .unwrap_or(time)
        .as_millisecond()
        .saturating_add(millis(destination.time_to_live))
}

/// Milliseconds, as the database keeps times.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
