//! Topic filters of routes: which topics they take, and the number that marks their subscription.

use std::fmt;

/// The longest topic filter in bytes; MQTT cannot frame a longer one.
const LONGEST: usize = 65_535;

/// A valid topic filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter(String);

/// A text that is no topic filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicFilter {
    /// Nothing, or more than MQTT can carry.
    #[error("a topic filter has 1 to {LONGEST} bytes, this one has {0}")]
    Length(usize),
    /// MQTT 5, 4.7.3.
    #[error("{0:?} holds a null character, which no topic may")]
    NullCharacter(String),
    /// MQTT 5, 4.7.1.
    #[error(
        "{0:?}: '#' stands alone in the last level, '+' alone in a level, as in sensor/+/temp or alert/#"
    )]
    Wildcard(String),
    /// Each of its members would get a part of the messages only.
    #[error("{0:?} is a shared subscription; name the filter behind $share/GROUP/ alone")]
    Shared(String),
}

impl TopicFilter {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`InvalidTopicFilter`] says what MQTT does not allow in it.
    pub fn new(text: &str) -> Result<Self, InvalidTopicFilter> {
        let owned = || text.to_owned();
        if text.is_empty() || text.len() > LONGEST {
            return Err(InvalidTopicFilter::Length(text.len()));
        }
        if text.contains('\0') {
            return Err(InvalidTopicFilter::NullCharacter(owned()));
        }
        if text.starts_with("$share/") {
            return Err(InvalidTopicFilter::Shared(owned()));
        }
        let last = text.split('/').count() - 1;
        let wrong = |(depth, level): (usize, &str)| match level {
            "+" => false,
            "#" => depth != last,
            _ => level.contains(['+', '#']),
        };
        if text.split('/').enumerate().any(wrong) {
            return Err(InvalidTopicFilter::Wildcard(owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The filter as it is subscribed to.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether messages of `topic` come through it (MQTT 5, 4.7).
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        // 4.7.2: wildcards do not reach into topics that begin with '$'.
        if topic.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = topic.split('/');
        for level in self.0.split('/') {
            match (level, levels.next()) {
                // It takes the parent level as well.
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (exact, Some(found)) if exact == found => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }

    /// The subscription identifier under which it is subscribed, the same in every run: a broker that sends a
    /// message once for each of two overlapping filters says with it which copy this is.
    #[must_use]
    pub fn subscription_id(&self) -> usize {
        // FNV-1a. MQTT 5, 3.8.2.1.2 allows 1 to 268,435,455.
        let hash = self.0.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        (hash % 268_435_455) as usize + 1
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_take_the_topics_that_the_specification_says() {
        let cases = [
            ("stock/low", "stock/low", true),
            ("stock/low", "stock/low/a", false),
            ("stock/low", "stock", false),
            ("sport/#", "sport", true),
            ("sport/#", "sport/tennis/player1", true),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "a/b", true),
            ("#", "$SYS/uptime", false),
            ("+/uptime", "$SYS/uptime", false),
            ("$SYS/#", "$SYS/uptime", true),
            ("倉庫/+/在庫", "倉庫/A/在庫", true),
        ];
        for (filter, topic, expected) in cases {
            assert_eq!(
                TopicFilter::new(filter).unwrap().matches(topic),
                expected,
                "{filter} {topic}"
            );
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in [
            "",
            "a/#/b",
            "a#",
            "a/b+",
            "++",
            "a\0",
            "$share/g/a",
            &"x".repeat(65_536),
        ] {
            assert!(TopicFilter::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_subscription_identifier_is_one_that_mqtt_allows() {
        for filter in ["#", "+", "stock/low", "batch/+"] {
            let id = TopicFilter::new(filter).unwrap().subscription_id();
            assert!((1..=268_435_455).contains(&id), "{filter}: {id}");
        }
    }

    #[test]
    fn another_level_is_another_topic() {
        for (filter, topic) in [
            ("stock/low", "stock/high"),
            ("a/+/c", "a/b/d"),
            ("a/b/#", "a/c/d"),
        ] {
            assert!(
                !TopicFilter::new(filter).unwrap().matches(topic),
                "{filter} {topic}"
            );
        }
    }

    #[test]
    fn a_subscription_identifier_is_the_same_in_every_version_of_the_program() {
        for (filter, id) in [("#", 101486869), ("stock/low", 260436861), ("stock/+", 140300164)] {
            assert_eq!(
                TopicFilter::new(filter).unwrap().subscription_id(),
                id,
                "{filter}"
            );
        }
    }
}
