//! How long a notification is of use.

use super::configuration::Destination;
use crate::clock::whole_millis;
use jiff::Timestamp;

/// When a notification of `time` is of no use. What quiet hours hold back gets its time to live behind them.
pub(super) fn expires(destination: &Destination, urgent: bool, time: Timestamp) -> i64 {
    let quiet = destination.quiet.until(time).filter(|_| !urgent);
    quiet
        .unwrap_or(time)
        .as_millisecond()
        .saturating_add(whole_millis(destination.time_to_live))
}
