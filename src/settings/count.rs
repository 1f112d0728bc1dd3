//! Numbers of which there has to be at least one.

use std::num::{IntErrorKind, ParseIntError};
use std::str::FromStr;

/// Parses one of the `NonZero` types; their own words for zero are none for people.
pub(super) fn at_least_one<N: FromStr<Err = ParseIntError>>(text: &str) -> Result<N, String> {
    text.parse().map_err(|error: ParseIntError| match error.kind() {
        IntErrorKind::Zero => "give at least 1".to_owned(),
        _ => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    #[test]
    fn zero_is_refused_with_the_least_that_is_taken() {
        let parsed = at_least_one::<NonZeroU32>;
        assert_eq!(parsed("1").unwrap().get(), 1);
        assert_eq!(parsed("0").unwrap_err(), "give at least 1");
        assert!(parsed("99999999999").unwrap_err().contains("number too large"));
        assert!(parsed("-1").is_err() && parsed("").is_err());
    }
}
