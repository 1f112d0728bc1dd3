//! Reason codes that the relay itself gives to a device.

use super::Version;

/// Why the relay refuses or ends a connection, as MQTT can say it (MQTT 5 §2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// 0x80: none of the others.
    UnspecifiedError = 0x80,
    /// 0x81: the packet does not follow the specification.
    MalformedPacket = 0x81,
    /// 0x82: out of order, or a value that is not allowed.
    ProtocolError = 0x82,
    /// 0x84: protocol name or level that the relay does not carry.
    UnsupportedProtocolVersion = 0x84,
    /// 0x85: the broker would not know the device by this client identifier.
    ClientIdentifierNotValid = 0x85,
    /// 0x87: the SIM may not do this.
    NotAuthorized = 0x87,
    /// 0x88: the broker cannot be reached.
    ServerUnavailable = 0x88,
    /// 0x89: the relay has no room now.
    ServerBusy = 0x89,
    /// 0x8B: the relay is shutting down.
    ServerShuttingDown = 0x8B,
    /// 0x8D: nothing came within 1.5 times the keep alive.
    KeepAliveTimeout = 0x8D,
    /// 0x8F: a topic filter is not accepted.
    TopicFilterInvalid = 0x8F,
    /// 0x90: a topic name is not accepted.
    TopicNameInvalid = 0x90,
    /// 0x95: larger than the relay holds.
    PacketTooLarge = 0x95,
    /// 0x97: the SIM has as many connections as it may.
    QuotaExceeded = 0x97,
    /// 0x98: an administrator closed the connection.
    AdministrativeAction = 0x98,
    /// 0xA0: the connection has lasted for as long as it was authorised.
    MaximumConnectTime = 0xA0,
}

impl Reason {
    /// The reason code of MQTT 5.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The nearest reason that a CONNACK of MQTT 5 may give: some are for DISCONNECT alone (§3.2.2.2).
    fn in_connack(self) -> Self {
        match self {
            Self::ServerShuttingDown => Self::ServerUnavailable,
            Self::AdministrativeAction | Self::MaximumConnectTime => Self::NotAuthorized,
            Self::KeepAliveTimeout | Self::TopicFilterInvalid => Self::UnspecifiedError,
            other => other,
        }
    }

    /// The CONNACK return code of `version`, or `None` where the specification gives none and the
    /// connection is closed without a word (MQTT 3.1.1 §3.2.2.3).
    #[must_use]
    pub fn connack_code(self, version: Version) -> Option<u8> {
        match (version, self) {
            (Version::V5, reason) => Some(reason.in_connack().code()),
            (_, Self::UnsupportedProtocolVersion) => Some(1),
            (_, Self::ClientIdentifierNotValid) => Some(2),
            (
                _,
                Self::ServerUnavailable | Self::ServerBusy | Self::ServerShuttingDown | Self::QuotaExceeded,
            ) => Some(3),
            (_, Self::NotAuthorized | Self::AdministrativeAction) => Some(5),
            _ => None,
        }
    }
}

/// What a reason code of MQTT 5 that stands for a failure means, in words (§2.4).
pub(super) fn error_in_words(code: u8) -> &'static str {
    match code {
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "implementation specific error",
        0x84 => "unsupported protocol version",
        0x85 => "client identifier not valid",
        0x86 => "bad user name or password",
        0x87 => "not authorized",
        0x88 => "server unavailable",
        0x89 => "server busy",
        0x8a => "banned",
        0x8b => "server shutting down",
        0x8c => "bad authentication method",
        0x8d => "keep alive time-out",
        0x8e => "session taken over",
        0x8f => "topic filter invalid",
        0x90 => "topic name invalid",
        0x93 => "receive maximum exceeded",
        0x94 => "topic alias invalid",
        0x95 => "packet too large",
        0x96 => "message rate too high",
        0x97 => "quota exceeded",
        0x98 => "administrative action",
        0x99 => "payload format invalid",
        0x9a => "retain not supported",
        0x9b => "QoS not supported",
        0x9c => "use another server",
        0x9d => "server moved",
        0x9e => "shared subscriptions not supported",
        0x9f => "connection rate exceeded",
        0xa0 => "maximum connect time",
        0xa1 => "subscription identifiers not supported",
        0xa2 => "wildcard subscriptions not supported",
        _ => "a code that the specification does not define",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_get_the_return_code_that_means_the_same() {
        for (reason, v311, v5) in [
            (Reason::UnsupportedProtocolVersion, Some(1), 0x84),
            (Reason::ServerUnavailable, Some(3), 0x88),
            (Reason::NotAuthorized, Some(5), 0x87),
            (Reason::MalformedPacket, None, 0x81),
            (Reason::ServerShuttingDown, Some(3), 0x88),
        ] {
            assert_eq!(reason.connack_code(Version::V311), v311, "{reason:?}");
            assert_eq!(reason.connack_code(Version::V31), v311, "{reason:?}");
            assert_eq!(reason.connack_code(Version::V5), Some(v5), "{reason:?}");
        }
    }
}
