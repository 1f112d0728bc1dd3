//! Kinds of packets.

use std::fmt;

/// MQTT control packet types (§2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// A client wants to connect.
    Connect = 1,
    /// The answer to CONNECT.
    Connack,
    /// A message.
    Publish,
    /// A message of QoS 1 has come.
    Puback,
    /// A message of QoS 2 has come.
    Pubrec,
    /// A message of QoS 2 may go on.
    Pubrel,
    /// A message of QoS 2 is done with.
    Pubcomp,
    /// A client wants messages.
    Subscribe,
    /// The answer to SUBSCRIBE.
    Suback,
    /// A client wants messages no more.
    Unsubscribe,
    /// The answer to UNSUBSCRIBE.
    Unsuback,
    /// A client is alive and asks whether the broker is.
    Pingreq,
    /// The answer to PINGREQ.
    Pingresp,
    /// The last packet of a connection.
    Disconnect,
    /// A step of an authentication of several (MQTT 5).
    Auth,
}

impl PacketType {
    pub(super) const ALL: [Self; 15] = [
        Self::Connect,
        Self::Connack,
        Self::Publish,
        Self::Puback,
        Self::Pubrec,
        Self::Pubrel,
        Self::Pubcomp,
        Self::Subscribe,
        Self::Suback,
        Self::Unsubscribe,
        Self::Unsuback,
        Self::Pingreq,
        Self::Pingresp,
        Self::Disconnect,
        Self::Auth,
    ];

    /// Whether one such packet is one request on the bill (Beam, version 201912).
    #[must_use]
    pub fn is_request(self) -> bool {
        matches!(self, Self::Publish | Self::Subscribe | Self::Unsubscribe)
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{self:?}").to_uppercase();
        f.write_str(&name)
    }
}
