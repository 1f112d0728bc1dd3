//! One thing that is wrong in a JSON document, and where.

use std::fmt;

use serde_json::Value;

/// A step into a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// The member of an object.
    Key(String),
    /// The element of an array, counted from 0.
    Index(usize),
}

/// Something wrong in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", Location(path))]
pub struct Problem {
    /// Where, from the outermost value inwards.
    pub path: Vec<Segment>,
    /// The value and what is allowed, in words.
    pub message: String,
}

/// A path as JavaScript would write it, with a colon behind it, or nothing for the document itself.
struct Location<'a>(&'a [Segment]);

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if !is_plain(key) => write!(f, "[{key:?}]")?,
                Segment::Key(key) if depth == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
            }
        }
        if self.0.is_empty() {
            Ok(())
        } else {
            f.write_str(": ")
        }
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'))
}

/// The longest part of a value that an error quotes, in characters.
const QUOTE_LIMIT: usize = 100;

/// `value` as it is shown in an error.
pub(crate) fn quote(value: &Value) -> String {
    let mut text = value.to_string();
    if let Some((cut, _)) = text.char_indices().nth(QUOTE_LIMIT) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// The sentence for an unknown name, with the nearest known one.
pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(candidate) => format!("is not a known {what}; did you mean {candidate:?}?"),
        None => format!("is not a known {what}; known are {}", known.join(", ")),
    }
}

/// The known name that is so near that it may be meant.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let nearest = known
        .iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()),
                *candidate,
            )
        })
        .min_by_key(|(distance, _)| *distance);
    let (distance, candidate) = nearest?;
    (distance <= candidate.len().div_ceil(2)).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_javascript() {
        let key = |k: &str| Segment::Key(k.to_owned());
        let cases = [
            (vec![], "wrong"),
            (
                vec![key("sims"), Segment::Index(3), key("imsi")],
                "sims[3].imsi: wrong",
            ),
            (
                vec![key("a"), key("mqtt://x:1"), key("$credentialsId")],
                "a[\"mqtt://x:1\"].$credentialsId: wrong",
            ),
        ];
        for (path, expected) in cases {
            assert_eq!(
                Problem {
                    path,
                    message: "wrong".to_owned()
                }
                .to_string(),
                expected
            );
        }
    }

    #[test]
    fn a_misspelled_name_gets_the_nearest_known_one_and_nonsense_gets_them_all() {
        let known = ["enabled", "destination"];
        assert_eq!(
            unknown("field", "enabeld", &known),
            "is not a known field; did you mean \"enabled\"?"
        );
        assert_eq!(
            unknown("field", "zzzzzzzzzzzz", &known),
            "is not a known field; known are enabled, destination"
        );
    }

    #[test]
    fn a_long_value_is_quoted_in_part() {
        assert_eq!(
            quote(&Value::from("あ".repeat(200))).chars().count(),
            QUOTE_LIMIT + 1
        );
    }
}
