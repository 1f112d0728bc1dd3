//! The wire: MQTT 3.1 (MQIsdp), 3.1.1 and 5 as a relay needs them.
//!
//! A relay does not decode and encode: it finds the few bytes that have to change, changes them, and
//! passes every other byte as it came. Everything here is sans-io: slices in, slices out, no clock.
//!
//! | part | what it does |
//! |---|---|
//! | [`Connect`], [`Connack`] | the two packets of the handshake, parsed fully and patched |
//! | [`Uplink`] | what a device sends: framed, checked, counted, topics spliced |
//! | [`Downlink`] | what a broker sends: framed and counted |
//! | [`AtMostOnce`] | both streams where the broker gets MQTT 3.1.1 at QoS 0 and the relay acknowledges |
//! | [`TopicRewrite`] | what may be done to topics, told by the floor above |
//! | [`Reason`], [`disconnect`], [`connack`] | what the relay itself says to a device |
//! | [`Violation`] | what is wrong with a packet, with the code that the specification gives it |
//!
//! Section numbers are those of MQTT 5.0 unless another version is named; `[MQTT-x.y.z-n]` is a
//! normative statement of MQTT 5.0, `[3.1.1: MQTT-x.y.z-n]` one of MQTT 3.1.1.

mod at_most_once;
pub mod connack;
mod connect;
pub mod disconnect;
mod downlink;
mod frame;
mod packet_type;
mod properties;
mod property_table;
mod publish;
mod reader;
mod reason;
mod rewrite;
mod run;
mod subscribe;
mod uplink;
mod violation;

pub use at_most_once::AtMostOnce;
pub use connack::Connack;
pub use connect::{Connect, ConnectError, Login, MAX_CONNECT};
pub use downlink::{Downlink, Scanned};
pub use frame::{FixedHeader, MAX_REMAINING};
pub use packet_type::PacketType;
pub use reason::Reason;
pub use rewrite::{TopicRewrite, Unchanged};
pub use run::Scratch;
pub use uplink::{MAX_HEAD, Passed, Uplink};
pub use violation::Violation;

use std::fmt;

/// The protocol version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1: protocol name `MQIsdp`, level 3.
    V31,
    /// MQTT 3.1.1: protocol name `MQTT`, level 4.
    V311,
    /// MQTT 5: protocol name `MQTT`, level 5.
    V5,
}

impl Version {
    /// As people write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
