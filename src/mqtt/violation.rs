//! What can be wrong with a packet.

use super::{PacketType, Reason};

/// A packet that the specification forbids, or that the relay cannot carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Remaining Length of more than four bytes, or not in its shortest form in MQTT 5 (§1.5.5).
    #[error("remaining length is not a valid variable byte integer")]
    RemainingLength,
    /// A packet type that no version defines (§2.1.2).
    #[error("packet type {0} is reserved")]
    ReservedType(u8),
    /// Fixed header flags that the packet type does not have (§2.1.3).
    #[error("{packet} with fixed header flags {flags:#06b}")]
    Flags {
        /// The packet type.
        packet: PacketType,
        /// The lower four bits of the first byte.
        flags: u8,
    },
    /// A packet type that this end may not send, or not now (a second CONNECT).
    #[error("{0} is not allowed here")]
    Unexpected(PacketType),
    /// Remaining Length that cannot be right for the packet type.
    #[error("{packet} with a remaining length of {remaining}")]
    Length {
        /// The packet type.
        packet: PacketType,
        /// Its remaining length.
        remaining: usize,
    },
    /// A field runs past the end of its packet or of its property block.
    #[error("{0} runs past the end of the packet")]
    Truncated(&'static str),
    /// Bytes after the last field of a packet.
    #[error("{0} bytes after the last field of the packet")]
    Trailing(usize),
    /// A variable byte integer inside a packet that is too long or not in its shortest form (§1.5.5).
    #[error("{0} is not a valid variable byte integer")]
    Varint(&'static str),
    /// Not UTF-8, or with U+0000 (§1.5.4).
    #[error("{0} is not a valid UTF-8 string")]
    Text(&'static str),
    /// A packet identifier of zero ([MQTT-2.2.1-3]).
    #[error("{0} with packet identifier 0")]
    PacketId(PacketType),
    /// QoS 3 ([MQTT-3.3.1-4]).
    #[error("QoS 3 does not exist")]
    Qos,
    /// DUP on a QoS 0 message ([MQTT-3.3.1-2]).
    #[error("DUP is set on a QoS 0 PUBLISH")]
    DupAtQos0,
    /// A topic name without a character, where no topic alias can stand for it (§4.7.3).
    #[error("the topic name is empty")]
    EmptyTopic,
    /// `+` or `#` in a topic name ([MQTT-3.3.2-2]), of which a long one is shortened.
    #[error("topic name {0:?} holds a wildcard")]
    WildcardInTopic(String),
    /// An empty topic filter ([MQTT-4.7.3-1]).
    #[error("a topic filter is empty")]
    EmptyFilter,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter ([MQTT-3.8.3-2], [MQTT-3.10.3-2]).
    #[error("{0} without a topic filter")]
    NoFilter(PacketType),
    /// Reserved bits, QoS 3 or Retain Handling 3 in a subscription's options ([MQTT-3.8.3-5]).
    #[error("subscription options {0:#010b}")]
    SubscribeOptions(u8),
    /// A property id that MQTT 5 does not know, or not in this packet (§2.2.2.2).
    #[error("property {id:#04x} is not allowed in {place}")]
    Property {
        /// The property identifier.
        id: u32,
        /// The packet, or the will.
        place: &'static str,
    },
    /// A property that may stand once stands twice (§2.2.2.2).
    #[error("property {0:#04x} stands twice")]
    DuplicateProperty(u32),
    /// A property with a value that the specification forbids.
    #[error("property {0:#04x} has a value that is not allowed")]
    PropertyValue(u32),
    /// Reserved or contradicting CONNECT flags (§3.1.2.3).
    #[error("connect flags {0:#010b}")]
    ConnectFlags(u8),
    /// After placeholders were replaced the topic is longer than a string can be (§1.5.4).
    #[error("the rewritten topic would be {0} bytes, over 65535")]
    RewrittenTopic(usize),
    /// More properties or filters than the relay reads one by one while others wait.
    #[error("more than {limit} {what} in {place}, which the relay reads one by one")]
    TooMany {
        /// Properties or topic filters.
        what: &'static str,
        /// The packet, or the will.
        place: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The relay would have to hold more of this packet than it does.
    #[error("{packet} holds {size} bytes that have to be rewritten as a whole, over the limit of {limit}")]
    TooLarge {
        /// The packet type.
        packet: PacketType,
        /// Bytes that would have to be held.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Bytes of a device's text that an error quotes at most: what it can send is far longer than a log line.
const QUOTED: usize = 256;

impl Violation {
    pub(super) fn wildcard_in(topic: &str) -> Self {
        Self::WildcardInTopic(match topic.floor_char_boundary(QUOTED) {
            end if end < topic.len() => format!("{}…", &topic[..end]),
            _ => topic.to_owned(),
        })
    }

    /// The reason code that MQTT 5 gives it (§2.4, §4.13).
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unexpected(_)
            | Self::EmptyTopic
            | Self::NoFilter(_)
            | Self::DuplicateProperty(_)
            | Self::PropertyValue(_) => Reason::ProtocolError,
            // Reserved bits are malformed, QoS 3 and Retain Handling 3 are protocol errors (§3.8.3.1).
            Self::SubscribeOptions(options) if options & 0xc0 == 0 => Reason::ProtocolError,
            Self::WildcardInTopic(_) | Self::RewrittenTopic(_) => Reason::TopicNameInvalid,
            Self::EmptyFilter => Reason::TopicFilterInvalid,
            Self::TooLarge { .. } | Self::TooMany { .. } => Reason::PacketTooLarge,
            _ => Reason::MalformedPacket,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_topic_is_quoted_in_part_and_a_short_one_whole() {
        let quoted = |topic: &str| Violation::wildcard_in(topic);
        let whole = "x".repeat(256);
        assert_eq!(quoted(&whole), Violation::WildcardInTopic(whole.clone()));
        assert_eq!(
            quoted(&(whole.clone() + "é")),
            Violation::WildcardInTopic(whole + "…")
        );
    }
}
