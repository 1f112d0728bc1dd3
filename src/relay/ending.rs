//! Why a connection is over, in words for the log and for an MQTT 5 device.

use crate::mqtt::{Reason, Violation, disconnect};
use std::io;
use std::time::Duration;

/// Why the relay itself closes a connection that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Administrative {
    /// Its entry point was disabled or deleted.
    #[error("the entry point was disabled or deleted")]
    EntryPointGone = 1,
    /// Its SIM was deleted, or the address belongs to another SIM now.
    #[error("the SIM was deleted, or its address belongs to another SIM now")]
    SessionGone,
    /// Its SIM was put into another group.
    #[error("the SIM was put into another group")]
    GroupChanged,
    /// The relay shuts down.
    #[error("the relay is shutting down")]
    Shutdown,
    /// An administrator deleted the session, or closed the connection.
    #[error("an administrator closed it")]
    ByAdministrator,
    /// Its SIM was deactivated, suspended or terminated.
    #[error("the SIM was deactivated, suspended or terminated")]
    SimSwitchedOff,
    /// The token that the broker was shown ends soon. Waits for the end of a packet.
    #[error("the token that the broker was shown ends; a new connection gets a new one")]
    TokenEnds,
    /// The token that the broker was shown is over, and no packet has ended in time.
    #[error("the token that the broker was shown is over; a new connection gets a new one")]
    TokenOver,
}

impl Administrative {
    /// Whether it waits until no packet is on its way.
    pub(super) fn waits(self) -> bool {
        self == Self::TokenEnds
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        [
            Self::EntryPointGone,
            Self::SessionGone,
            Self::GroupChanged,
            Self::Shutdown,
            Self::ByAdministrator,
            Self::SimSwitchedOff,
            Self::TokenEnds,
            Self::TokenOver,
        ]
        .into_iter()
        .find(|reason| *reason as u8 == code)
    }
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub enum Ending {
    /// The device said DISCONNECT.
    #[error("the device disconnected")]
    DeviceDisconnected,
    /// The device closed without DISCONNECT.
    #[error("the device closed the connection without DISCONNECT")]
    DeviceClosed,
    /// The device's TCP connection broke.
    #[error("the connection to the device broke: {0}")]
    DeviceLost(io::Error),
    /// Nothing came from the device for 1.5 times its keep alive.
    #[error("nothing came from the device for {} s, 1.5 times its keep alive", limit.as_secs_f32())]
    DeviceIdle {
        /// The limit.
        limit: Duration,
    },
    /// Keep alive is 0 and nothing came from either side.
    #[error("keep alive is 0 and nothing passed either way for {} min", limit.as_secs() / 60)]
    Quiet {
        /// The limit.
        limit: Duration,
    },
    /// The device broke the protocol.
    #[error("the device broke the protocol: {0}")]
    DeviceViolation(Violation),
    /// The broker said DISCONNECT.
    #[error("the broker disconnected: {} ({_0:#04x})", disconnect::code_in_words(*_0))]
    BrokerDisconnected(u8),
    /// The broker closed.
    #[error("the broker closed the connection")]
    BrokerClosed,
    /// The broker's TCP connection broke.
    #[error("the connection to the broker broke: {0}")]
    BrokerLost(io::Error),
    /// The broker does not take what the device sends.
    #[error("the broker took nothing of what the device sent for {} s", limit.as_secs_f32())]
    BrokerStalled {
        /// The limit.
        limit: Duration,
    },
    /// The device does not take the answers to what it sends.
    #[error("the device took none of the acknowledgements that wait for it for {} s", limit.as_secs_f32())]
    DeviceStalled {
        /// The limit.
        limit: Duration,
    },
    /// The broker broke the protocol.
    #[error("the broker broke the protocol: {0}")]
    BrokerViolation(Violation),
    /// The relay closed it.
    #[error("{0}")]
    Administrative(Administrative),
}

impl Ending {
    /// What an MQTT 5 device is told with DISCONNECT; `None` where it knows, or cannot hear.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::DeviceIdle { .. } | Self::Quiet { .. } => Some(Reason::KeepAliveTimeout),
            Self::DeviceViolation(violation) => Some(violation.reason()),
            Self::Administrative(Administrative::Shutdown) => Some(Reason::ServerShuttingDown),
            Self::Administrative(Administrative::TokenEnds | Administrative::TokenOver) => {
                Some(Reason::MaximumConnectTime)
            }
            Self::Administrative(_) => Some(Reason::AdministrativeAction),
            Self::BrokerLost(_)
            | Self::BrokerStalled { .. }
            | Self::DeviceStalled { .. }
            | Self::BrokerViolation(_) => Some(Reason::UnspecifiedError),
            Self::DeviceDisconnected
            | Self::DeviceClosed
            | Self::DeviceLost(_)
            | Self::BrokerDisconnected(_)
            | Self::BrokerClosed => None,
        }
    }

    /// Its kind in one word, for counting and searching.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DeviceDisconnected => "device_disconnected",
            Self::DeviceClosed => "device_closed",
            Self::DeviceLost(_) => "device_lost",
            Self::DeviceIdle { .. } => "device_idle",
            Self::Quiet { .. } => "quiet",
            Self::DeviceViolation(_) => "device_violation",
            Self::BrokerDisconnected(_) => "broker_disconnected",
            Self::BrokerClosed => "broker_closed",
            Self::BrokerLost(_) => "broker_lost",
            Self::BrokerStalled { .. } => "broker_stalled",
            Self::DeviceStalled { .. } => "device_stalled",
            Self::BrokerViolation(_) => "broker_violation",
            Self::Administrative(Administrative::Shutdown) => "shutdown",
            Self::Administrative(Administrative::TokenEnds | Administrative::TokenOver) => "token_expired",
            Self::Administrative(_) => "administrative",
        }
    }

    /// What to do about it, where something can be done.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::DeviceLost(_) => "check the radio link, and NAT time-outs shorter than the keep alive",
            Self::DeviceIdle { .. } => "check the radio link, and that the device sends PINGREQ in time",
            Self::DeviceStalled { .. } => {
                "the device publishes and does not read: check its MQTT library, and how many messages it has in flight"
            }
            Self::Quiet { .. } => "give the device a keep alive if it is to stay connected",
            Self::DeviceViolation(violation) => violation_advice(violation),
            Self::BrokerDisconnected(0x8e) => "another connection with the same client id took over",
            Self::BrokerClosed => {
                "check the broker's log: another connection with the same client id, its access rules, its limits"
            }
            Self::BrokerDisconnected(_) | Self::BrokerViolation(_) => "check the broker's log",
            Self::BrokerLost(_) | Self::BrokerStalled { .. } => {
                "check the way to the broker, and that the broker keeps up"
            }
            Self::DeviceDisconnected | Self::DeviceClosed | Self::Administrative(_) => return None,
        })
    }

    /// Whether it is the broker, or the way to it, that failed.
    #[must_use]
    pub fn is_upstream_failure(&self) -> bool {
        matches!(
            self,
            Self::BrokerDisconnected(_)
                | Self::BrokerClosed
                | Self::BrokerLost(_)
                | Self::BrokerStalled { .. }
                | Self::BrokerViolation(_)
        )
    }

    /// Whether the device may still be there to read what comes.
    #[must_use]
    pub(super) fn device_listens(&self) -> bool {
        !matches!(
            self,
            Self::DeviceDisconnected | Self::DeviceClosed | Self::DeviceLost(_)
        )
    }

    /// Whether an operator should look at it.
    #[must_use]
    pub fn is_odd(&self) -> bool {
        !matches!(
            self,
            Self::DeviceDisconnected | Self::DeviceClosed | Self::Administrative(_)
        )
    }
}

/// A limit of the relay's own is no fault of the device's library.
pub(super) fn violation_advice(violation: &Violation) -> &'static str {
    match violation {
        Violation::RewrittenTopic(_) => "shorten the device's topic, or what the entry point puts into it",
        Violation::TooLarge { .. } | Violation::TooMany { .. } => {
            "have the device send less in one packet: fewer topic filters, or fewer and shorter properties"
        }
        _ => "the device's MQTT library breaks the specification: update or replace it",
    }
}
