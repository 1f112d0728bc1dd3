//! Times of authentication: seconds since 1970, as SORACOM gives them here.

use crate::clock::now_millis;
use jiff::Timestamp;

/// Now.
pub(super) fn now() -> i64 {
    now_millis() / 1000
}

/// `seconds` as `2026-07-31T09:15:00Z`.
pub(super) fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::MAX)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_722_480_500, "2024-08-01T02:48:20Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
