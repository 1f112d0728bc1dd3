//! The properties of MQTT 5 by their identifiers, and where each may stand: the table of §2.2.2.2.

pub(super) const PAYLOAD_FORMAT_INDICATOR: u32 = 0x01;
pub(super) const MESSAGE_EXPIRY_INTERVAL: u32 = 0x02;
pub(super) const CONTENT_TYPE: u32 = 0x03;
pub(super) const RESPONSE_TOPIC: u32 = 0x08;
pub(super) const CORRELATION_DATA: u32 = 0x09;
pub(super) const SUBSCRIPTION_IDENTIFIER: u32 = 0x0b;
pub(super) const SESSION_EXPIRY_INTERVAL: u32 = 0x11;
pub(super) const ASSIGNED_CLIENT_IDENTIFIER: u32 = 0x12;
pub(super) const SERVER_KEEP_ALIVE: u32 = 0x13;
pub(super) const AUTHENTICATION_METHOD: u32 = 0x15;
pub(super) const AUTHENTICATION_DATA: u32 = 0x16;
pub(super) const REQUEST_PROBLEM_INFORMATION: u32 = 0x17;
pub(super) const WILL_DELAY_INTERVAL: u32 = 0x18;
pub(super) const REQUEST_RESPONSE_INFORMATION: u32 = 0x19;
pub(super) const RESPONSE_INFORMATION: u32 = 0x1a;
pub(super) const SERVER_REFERENCE: u32 = 0x1c;
pub(super) const REASON_STRING: u32 = 0x1f;
pub(super) const RECEIVE_MAXIMUM: u32 = 0x21;
pub(super) const TOPIC_ALIAS_MAXIMUM: u32 = 0x22;
pub(super) const TOPIC_ALIAS: u32 = 0x23;
pub(super) const MAXIMUM_QOS: u32 = 0x24;
pub(super) const RETAIN_AVAILABLE: u32 = 0x25;
pub(super) const USER_PROPERTY: u32 = 0x26;
pub(super) const MAXIMUM_PACKET_SIZE: u32 = 0x27;
pub(super) const WILDCARD_SUBSCRIPTION_AVAILABLE: u32 = 0x28;
pub(super) const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u32 = 0x29;
pub(super) const SHARED_SUBSCRIPTION_AVAILABLE: u32 = 0x2a;

/// Whether the value is one byte, 0 or 1.
pub(super) fn is_flag(id: u32) -> bool {
    matches!(
        id,
        PAYLOAD_FORMAT_INDICATOR
            | REQUEST_PROBLEM_INFORMATION
            | REQUEST_RESPONSE_INFORMATION
            | MAXIMUM_QOS
            | RETAIN_AVAILABLE
            | WILDCARD_SUBSCRIPTION_AVAILABLE
            | SUBSCRIPTION_IDENTIFIER_AVAILABLE
            | SHARED_SUBSCRIPTION_AVAILABLE
    )
}

/// Where a property block stands, which decides what may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Connect,
    Will,
    Connack,
    /// PUBLISH from a client: no Subscription Identifier ([MQTT-3.3.4-6]).
    Publish,
    Subscribe,
    Unsubscribe,
}

impl Place {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Will => "the will",
            Self::Connack => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
        }
    }

    /// The table, as far as packets that the relay reads go.
    pub(super) fn allows(self, id: u32) -> bool {
        let allowed: &[u32] = match self {
            Self::Connect => &[
                SESSION_EXPIRY_INTERVAL,
                AUTHENTICATION_METHOD,
                AUTHENTICATION_DATA,
                REQUEST_PROBLEM_INFORMATION,
                REQUEST_RESPONSE_INFORMATION,
                RECEIVE_MAXIMUM,
                TOPIC_ALIAS_MAXIMUM,
                USER_PROPERTY,
                MAXIMUM_PACKET_SIZE,
            ],
            Self::Will => &[
                PAYLOAD_FORMAT_INDICATOR,
                MESSAGE_EXPIRY_INTERVAL,
                CONTENT_TYPE,
                RESPONSE_TOPIC,
                CORRELATION_DATA,
                WILL_DELAY_INTERVAL,
                USER_PROPERTY,
            ],
            Self::Connack => &[
                SESSION_EXPIRY_INTERVAL,
                ASSIGNED_CLIENT_IDENTIFIER,
                SERVER_KEEP_ALIVE,
                AUTHENTICATION_METHOD,
                AUTHENTICATION_DATA,
                RESPONSE_INFORMATION,
                SERVER_REFERENCE,
                REASON_STRING,
                RECEIVE_MAXIMUM,
                TOPIC_ALIAS_MAXIMUM,
                MAXIMUM_QOS,
                RETAIN_AVAILABLE,
                USER_PROPERTY,
                MAXIMUM_PACKET_SIZE,
                WILDCARD_SUBSCRIPTION_AVAILABLE,
                SUBSCRIPTION_IDENTIFIER_AVAILABLE,
                SHARED_SUBSCRIPTION_AVAILABLE,
            ],
            Self::Publish => &[
                PAYLOAD_FORMAT_INDICATOR,
                MESSAGE_EXPIRY_INTERVAL,
                CONTENT_TYPE,
                RESPONSE_TOPIC,
                CORRELATION_DATA,
                TOPIC_ALIAS,
                USER_PROPERTY,
            ],
            Self::Subscribe => &[SUBSCRIPTION_IDENTIFIER, USER_PROPERTY],
            Self::Unsubscribe => &[USER_PROPERTY],
        };
        allowed.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_the_properties_of_the_table() {
        let places = [
            (Place::Connect, 9),
            (Place::Will, 7),
            (Place::Connack, 17),
            (Place::Publish, 7),
            (Place::Subscribe, 2),
            (Place::Unsubscribe, 1),
        ];
        for (place, expected) in places {
            let allowed = (0..=0xff).filter(|&id| place.allows(id)).count();
            assert_eq!(allowed, expected, "{}", place.name());
            assert!(place.allows(USER_PROPERTY), "{}", place.name());
            assert!(
                (0x40..=0x100).all(|id| !place.allows(id)),
                "{} is a bit of `seen`",
                place.name()
            );
        }
    }
}
