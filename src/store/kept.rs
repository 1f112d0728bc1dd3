//! What a value of a configuration must not be, so that the file holds it as it was given.

use serde_json::Value;

use crate::json::{Path, Problem};

/// The most levels of arrays and objects in a value. The reader of the file gives up at 128, of which the groups around
/// it take a few.
const LEVELS: usize = 32;

/// From here on a whole number is read as a fraction with some 16 digits.
const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;

/// Refuses what would not be read again as it was written.
pub(super) fn check(value: &Value, path: &Path<'_>, problems: &mut Vec<Problem>) {
    if levels(value) > LEVELS {
        problems.push(path.problem(format!("the value is nested more than {LEVELS} levels deep")));
    }
    check_numbers(value, path, problems);
}

fn levels(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(levels).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

/// Says where a number is and not which: it may be a password that lacks its quotes.
fn check_numbers(value: &Value, path: &Path<'_>, problems: &mut Vec<Problem>) {
    match value {
        Value::Number(number)
            if number.is_f64() && number.as_f64().is_some_and(|it| it.abs() >= TOO_LARGE) =>
        {
            problems.push(
                path.problem("the number is too large to keep all its digits: write it as text, in quotes"),
            );
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                check_numbers(element, &path.index(index), problems);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                check_numbers(member, &path.key(key), problems);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let value = serde_json::from_str(text).unwrap();
        check(&value, &Path::ROOT.key("k"), &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_number_that_would_lose_digits_is_refused_with_its_place() {
        let kept = "[18446744073709551615, -9223372036854775808, 8981100000000000017, 1.5, 1e18, 0.1]";
        assert!(problems(kept).is_empty());
        assert_eq!(
            problems(r#"{"a": [{"iccid": 89811000000000000170}], "b": -9223372036854775809}"#),
            [
                "k.a[0].iccid: the number is too large to keep all its digits: write it as text, in quotes",
                "k.b: the number is too large to keep all its digits: write it as text, in quotes",
            ]
        );
    }

    #[test]
    fn a_value_is_32_levels_deep_at_most() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(problems(&nested(32)).is_empty());
        assert_eq!(
            problems(&nested(33)),
            ["k: the value is nested more than 32 levels deep"]
        );
        assert_eq!(problems(&format!(r#"{{"a": {}}}"#, nested(32))).len(), 1);
    }
}
