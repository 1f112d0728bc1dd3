//! Text with `#{imsi}`, `#{imei}` and `#{simId}` in it.

use std::fmt;

use zeroize::Zeroizing;

use super::MQTT_FIELD_LIMIT;
use super::placeholder::{LONGEST_VALUE, Placeholder};
use crate::sim::Sim;

const SPELLINGS: [(&str, Placeholder); 3] = [
    ("#{imsi}", Placeholder::Imsi),
    ("#{imei}", Placeholder::Imei),
    ("#{simId}", Placeholder::SimId),
];

/// Text that no MQTT field can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// It can be too long once its placeholders are replaced.
    #[error("can be {0} bytes long, but MQTT allows at most 65535")]
    TooLong(usize),
    /// MQTT forbids U+0000 in strings (MQTT 3.1.1 §1.5.3).
    #[error("holds the character U+0000, which MQTT forbids")]
    NullCharacter,
}

/// A text that is completed for each SIM. Always short enough for an MQTT field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Box<str>);

impl Template {
    /// Checks and wraps `text`.
    ///
    /// # Errors
    /// When it could be longer than an MQTT field for some SIM, or holds U+0000.
    pub fn new(text: &str) -> Result<Self, InvalidTemplate> {
        check_length(text)?;
        if text.contains('\0') {
            return Err(InvalidTemplate::NullCharacter);
        }
        Ok(Self(text.into()))
    }

    /// The text for `sim`.
    #[must_use]
    pub fn render(&self, sim: &Sim) -> String {
        render(&self.0, sim)
    }
}

/// A [`Template`] that is a secret: not shown by `Debug`, wiped from memory.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretTemplate(Zeroizing<String>);

impl SecretTemplate {
    /// Checks and wraps `text`.
    ///
    /// # Errors
    /// When it could be longer than an MQTT field for some SIM.
    pub fn new(text: &str) -> Result<Self, InvalidTemplate> {
        check_length(text)?;
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The secret for `sim`.
    #[must_use]
    pub fn render(&self, sim: &Sim) -> Zeroizing<String> {
        Zeroizing::new(render(&self.0, sim))
    }
}

impl fmt::Debug for SecretTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretTemplate(***)")
    }
}

enum Piece<'a> {
    Text(&'a str),
    Value(Placeholder),
}

/// Takes the next piece off `rest`. What looks like a placeholder but is none is text.
fn next_piece<'a>(rest: &mut &'a str) -> Option<Piece<'a>> {
    if rest.is_empty() {
        return None;
    }
    for (spelling, placeholder) in SPELLINGS {
        if let Some(behind) = rest.strip_prefix(spelling) {
            *rest = behind;
            return Some(Piece::Value(placeholder));
        }
    }
    let first = rest.chars().next().map_or(0, char::len_utf8);
    let end = rest[first..].find("#{").map_or(rest.len(), |at| first + at);
    let (text, behind) = rest.split_at(end);
    *rest = behind;
    Some(Piece::Text(text))
}

fn pieces(mut rest: &str) -> impl Iterator<Item = Piece<'_>> {
    std::iter::from_fn(move || next_piece(&mut rest))
}

/// `text` with its placeholders replaced. Allocates once, so that no half of a secret stays behind.
pub(super) fn render(text: &str, sim: &Sim) -> String {
    let values = |piece| match piece {
        Piece::Text(text) => text,
        Piece::Value(placeholder) => placeholder.value(sim),
    };
    let mut rendered = String::with_capacity(pieces(text).map(|piece| values(piece).len()).sum());
    pieces(text).for_each(|piece| rendered.push_str(values(piece)));
    rendered
}

/// `text` with the longest value in each placeholder.
pub(super) fn longest(text: &str) -> String {
    pieces(text)
        .map(|piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Value(_) => "0".repeat(LONGEST_VALUE),
        })
        .collect()
}

/// Whether the text differs between SIMs.
pub(super) fn has_placeholder(text: &str) -> bool {
    pieces(text).any(|piece| matches!(piece, Piece::Value(_)))
}

fn check_length(text: &str) -> Result<(), InvalidTemplate> {
    let length: usize = pieces(text)
        .map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Value(_) => LONGEST_VALUE,
        })
        .sum();
    if length > MQTT_FIELD_LIMIT {
        Err(InvalidTemplate::TooLong(length))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::placeholder::tests::sim;
    use super::*;

    #[test]
    fn each_placeholder_becomes_the_identifier_and_all_else_stays() {
        let cases = [
            ("", ""),
            ("plain", "plain"),
            ("#{imsi}", "440103000000001"),
            (
                "a-#{imsi}-#{simId}-#{imei}-b",
                "a-440103000000001-8981100000000000017-352709570000018-b",
            ),
            ("##{imsi}#{imsi}", "#440103000000001440103000000001"),
            ("#{IMSI}#{}#{#{imsi}", "#{IMSI}#{}#{440103000000001"),
            ("{{imsi}} #imsi #{imsi", "{{imsi}} #imsi #{imsi"),
            ("温度#{imsi}度", "温度440103000000001度"),
        ];
        for (text, expected) in cases {
            let sim = sim(Some("352709570000018"));
            assert_eq!(Template::new(text).unwrap().render(&sim), expected, "{text:?}");
            assert_eq!(
                *SecretTemplate::new(text).unwrap().render(&sim),
                expected,
                "{text:?}"
            );
        }
        assert_eq!(
            Template::new("#{imei}").unwrap().render(&sim(None)),
            "unknown-imei"
        );
    }

    #[test]
    fn a_template_that_could_outgrow_an_mqtt_field_is_refused() {
        assert!(Template::new(&"x".repeat(65_535)).is_ok());
        assert_eq!(
            Template::new(&"x".repeat(65_536)),
            Err(InvalidTemplate::TooLong(65_536))
        );
        let text = format!("{}#{{imsi}}", "x".repeat(65_514));
        assert_eq!(Template::new(&text), Err(InvalidTemplate::TooLong(65_536)));
        assert_eq!(Template::new("a\0b"), Err(InvalidTemplate::NullCharacter));
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(
            format!("{:?}", SecretTemplate::new("hunter2").unwrap()),
            "SecretTemplate(***)"
        );
    }
}
