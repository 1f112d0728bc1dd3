//! Times that a caller gives. SORACOM has some in milliseconds and some in seconds; one in the other unit would find
//! nothing, and so it is refused.

use jiff::Timestamp;

use super::ApiError;
use super::paging::non_empty;

/// In milliseconds this is in March 1973, in seconds in the year 5138: nobody means either.
const BORDER: i64 = 100_000_000_000;

/// A time of a query in milliseconds since 1970, where there is one; 0 is the beginning.
pub(super) fn millis(name: &str, text: Option<&str>) -> Result<Option<i64>, ApiError> {
    let Some(text) = non_empty(text) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(time @ 1..BORDER) => Err(ApiError::InvalidQuery(format!(
            "{name}: {time} is {} when taken for milliseconds; give milliseconds since 1970, not seconds",
            day(time)
        ))),
        Ok(time @ 0..) => Ok(Some(time)),
        _ => Err(ApiError::not_allowed(
            name,
            text,
            "a time in milliseconds since 1970",
        )),
    }
}

/// `time`, if it can be one in seconds since 1970.
pub(super) fn seconds(name: &str, time: i64) -> Result<i64, ApiError> {
    match time {
        0..BORDER => Ok(time),
        BORDER.. => Err(ApiError::InvalidQuery(format!(
            "{name}: {time} is after the year 5000 when taken for seconds; give seconds since 1970, not milliseconds"
        ))),
        _ => Err(no_seconds(name, &time.to_string())),
    }
}

/// The refusal of what is no time in seconds.
pub(super) fn no_seconds(name: &str, text: &str) -> ApiError {
    ApiError::not_allowed(name, text, "a time in seconds since 1970")
}

fn day(millis: i64) -> String {
    let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
    time.strftime("%F").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_the_other_unit_is_refused_with_the_one_that_is_meant() {
        assert_eq!(millis("from", None).unwrap(), None);
        assert_eq!(millis("from", Some("0")).unwrap(), Some(0));
        assert_eq!(
            millis("from", Some("1795452483000")).unwrap(),
            Some(1_795_452_483_000)
        );
        let message = millis("from", Some("1795452483")).unwrap_err().to_string();
        assert!(
            message
                .starts_with("from: 1795452483 is 1970-01-21 when taken for milliseconds; give milliseconds"),
            "{message}"
        );
        assert_eq!(seconds("to", 0).unwrap(), 0);
        assert_eq!(seconds("to", 9_999_999_999).unwrap(), 9_999_999_999);
        let message = seconds("to", 1_795_452_483_000).unwrap_err().to_string();
        assert!(
            message.contains("1795452483000") && message.contains("give seconds"),
            "{message}"
        );
        for text in ["x", "-1", "1.5"] {
            let message = millis("to", Some(text)).unwrap_err().to_string();
            assert!(message.contains(text), "{message}");
        }
        assert!(seconds("to", -1).is_err());
    }
}
