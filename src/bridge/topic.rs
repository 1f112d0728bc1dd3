//! Topics that may be published to.

use std::fmt;
use std::str::FromStr;

/// The longest topic that MQTT can carry, in bytes.
const LONGEST: usize = 65_535;
/// Mosquitto closes the connection of a client that uses more levels.
const MOST_LEVELS: usize = 200;

/// A topic that every broker takes: one that a broker answers by closing the connection would cut off all
/// other messages too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic(Box<str>);

/// A text that is no topic to publish to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopic {
    /// Nothing at all, MQTT-4.7.3-1.
    #[error("the topic is empty")]
    Empty,
    /// A wildcard, MQTT-3.3.2-2.
    #[error("the topic holds + or #, which are for subscriptions only")]
    Wildcard,
    /// Control characters and code points that are no characters, MQTT-1.5.4.
    #[error("the topic holds a control character or another code point that is no text")]
    NoText,
    /// The broker's own topics.
    #[error("the topic begins with $, which is the broker's own")]
    BrokersOwn,
    /// More than 65,535 bytes.
    #[error("the topic is longer than 65535 bytes")]
    TooLong,
    /// More than 200 levels.
    #[error("the topic has more than 200 levels")]
    TooDeep,
}

impl Topic {
    /// The topic as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = InvalidTopic;

    fn from_str(text: &str) -> Result<Self, InvalidTopic> {
        if text.is_empty() {
            Err(InvalidTopic::Empty)
        } else if text.len() > LONGEST {
            Err(InvalidTopic::TooLong)
        } else if text.contains(['+', '#']) {
            Err(InvalidTopic::Wildcard)
        } else if text.starts_with('$') {
            Err(InvalidTopic::BrokersOwn)
        } else if text.chars().any(|c| c.is_control() || is_noncharacter(c)) {
            Err(InvalidTopic::NoText)
        } else if text.split('/').count() > MOST_LEVELS {
            Err(InvalidTopic::TooDeep)
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_what_every_broker_takes() {
        let deep = vec!["a"; MOST_LEVELS].join("/");
        let long = "x".repeat(LONGEST);
        for good in ["notify/slack", "倉庫/A棚", "a b", "/", "a//b", "a$", &deep, &long] {
            assert!(good.parse::<Topic>().is_ok(), "{good:?}");
        }
        for (bad, error) in [
            ("", InvalidTopic::Empty),
            ("alert/#", InvalidTopic::Wildcard),
            ("a+b", InvalidTopic::Wildcard),
            ("$SYS/x", InvalidTopic::BrokersOwn),
            ("a\0", InvalidTopic::NoText),
            ("a\nb", InvalidTopic::NoText),
            ("a\u{85}", InvalidTopic::NoText),
            ("\u{FFFE}", InvalidTopic::NoText),
            ("\u{1FFFF}", InvalidTopic::NoText),
            (&format!("{deep}/a"), InvalidTopic::TooDeep),
            (&format!("{long}x"), InvalidTopic::TooLong),
        ] {
            assert_eq!(bad.parse::<Topic>(), Err(error), "{bad:?}");
        }
    }
}
