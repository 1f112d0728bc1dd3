//! Why a device was not let in, in words that help the person who has to mend it.

use super::ending::{Administrative, violation_advice};
use super::first_packet::FirstPacket;
use super::limits::OverLimit;
use crate::entrypoint::{Destination, Platform, PlatformError};
use crate::logbook::shortened;
use crate::mqtt::{Connack, ConnectError, Reason, Version, Violation};
use crate::sim::{GroupId, Imei, ImeiLock, Imsi, SimStatus};
use crate::store::CredentialError;
use crate::upstream::{TlsCause, UpstreamError};
use std::net::IpAddr;
use std::time::Duration;

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A limit of the relay is reached.
    #[error("{0}")]
    OverLimit(#[from] OverLimit),
    /// The device said nothing, or not all of its CONNECT, in time.
    #[error("no complete CONNECT within {} s", limit.as_secs())]
    NoConnect {
        /// The deadline.
        limit: Duration,
    },
    /// The device went away before its CONNECT was answered.
    #[error("the device closed the connection before it was answered{}", unsaid(*ahead))]
    DeviceLeft {
        /// Bytes that it had sent behind its CONNECT, and that went nowhere.
        ahead: usize,
    },
    /// The first bytes are not a CONNECT.
    #[error("the first packet is not a CONNECT ({0})")]
    NotConnect(FirstPacket),
    /// The CONNECT is larger than any legal one needs to be.
    #[error("a CONNECT of {size} bytes, over the limit of {limit}")]
    ConnectTooLarge {
        /// Bytes that its header announces.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The CONNECT cannot be read, or is of a version that is not carried.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// No SIM has this source address.
    #[error("source address {0} belongs to no SIM")]
    UnknownAddress(IpAddr),
    /// The SIM is switched off.
    #[error("SIM {0} is {1}")]
    SwitchedOff(Imsi, SimStatus),
    /// The SIM sits in another modem than the one that it is locked to.
    #[error("SIM {imsi} is locked to IMEI {lock}, and its modem is {}", imei.as_ref().map_or("unknown", Imei::as_str))]
    ImeiLock {
        /// The SIM.
        imsi: Imsi,
        /// Its modem, where known.
        imei: Option<Imei>,
        /// The modem that it may be used in.
        lock: ImeiLock,
    },
    /// The SIM is in no group.
    #[error("SIM {0} is in no group")]
    NoGroup(Imsi),
    /// The group has no MQTT entry point.
    #[error("group {0} has no MQTT entry point")]
    NoEntryPoint(GroupId),
    /// The entry point is switched off.
    #[error("the MQTT entry point of group {0} is disabled")]
    Disabled(GroupId),
    /// MQTT 5, where the entry point's platform version does not carry it.
    #[error("the MQTT entry point of group {0} has version \"201509\", which does not carry MQTT 5")]
    TooNew(GroupId),
    /// Keep alive outside Beam's range.
    #[error("keep alive {0} s is neither 0 nor 5 to 1200")]
    KeepAlive(u16),
    /// Keep alive that Beam takes and the platform does not.
    #[error("keep alive {keep_alive} s is more than the {longest} s that {platform} takes")]
    PlatformKeepAlive {
        /// In seconds.
        keep_alive: u16,
        /// Where the entry point leads.
        platform: Platform,
        /// Its limit in seconds.
        longest: u16,
    },
    /// The platform cannot be told who is calling.
    #[error("{0}")]
    Platform(#[from] PlatformError),
    /// The credential for this SIM cannot be used.
    #[error("{0}")]
    Credential(#[from] CredentialError),
    /// No credential is named for this SIM.
    #[error("clientCerts has neither an entry for IMSI {0} nor a default")]
    NoCredential(Imsi),
    /// The will cannot be carried.
    #[error("the will: {0}")]
    Will(Violation),
    /// The broker cannot be reached.
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
    /// The broker took the connection and went away without an answer.
    #[error("{destination} closed the connection before CONNACK{detail}")]
    BrokerClosed {
        /// The broker.
        destination: Destination,
        /// The socket's error, where there was one.
        detail: String,
        /// What it comes from, if it was TLS's.
        tls: Option<TlsCause>,
    },
    /// The broker took the connection and never answered.
    #[error("{destination} sent no CONNACK within {} s", limit.as_secs())]
    BrokerSilent {
        /// The broker.
        destination: Destination,
        /// The deadline.
        limit: Duration,
    },
    /// The broker asked for more of a login and the device did not answer (§4.12).
    #[error("the device did not answer the broker's AUTH before the {} s for CONNACK were over", limit.as_secs())]
    NoAuth {
        /// The deadline.
        limit: Duration,
    },
    /// What rules the connection changed while the broker was waited for.
    #[error("while the broker was waited for: {0}")]
    Changed(Administrative),
    /// The broker answered with something that is not MQTT.
    #[error("{destination} answered with something that is no CONNACK: {violation}")]
    BrokerAnswer {
        /// The broker.
        destination: Destination,
        /// What is wrong with it.
        violation: Violation,
    },
    /// The broker refused; its CONNACK went to the device as it was.
    #[error("{destination} refuses: {} ({:#04x}){}", connack.code_in_words(), connack.code, said(connack))]
    ByBroker {
        /// The broker.
        destination: Destination,
        /// Its answer.
        connack: Connack,
        /// What it is, where the relay logs in as that platform wants.
        platform: Option<Platform>,
    },
    /// The relay is shutting down.
    #[error("the relay is shutting down")]
    Shutdown,
}

fn unsaid(ahead: usize) -> String {
    if ahead == 0 {
        return String::new();
    }
    format!(
        " and without DISCONNECT; the {ahead} bytes that it had sent behind its CONNECT were not acknowledged and go nowhere"
    )
}

fn said(connack: &Connack) -> String {
    connack
        .reason_string
        .as_deref()
        .map(|text| format!(", it says: {}", shortened(text)))
        .unwrap_or_default()
}

impl Refusal {
    /// Its kind in one word, for counting and searching.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OverLimit(over) => over.kind(),
            Self::NoConnect { .. } => "no_connect",
            Self::DeviceLeft { .. } => "device_left",
            Self::NotConnect(_) => "not_connect",
            Self::ConnectTooLarge { .. } => "connect_too_large",
            Self::Connect(ConnectError::Protocol { .. }) | Self::TooNew(_) => "protocol_version",
            Self::Connect(_) => "malformed_connect",
            Self::UnknownAddress(_) => "unknown_address",
            Self::SwitchedOff(..) => "sim_switched_off",
            Self::ImeiLock { .. } => "imei_lock",
            Self::NoGroup(_) => "no_group",
            Self::NoEntryPoint(_) => "no_entry_point",
            Self::Disabled(_) => "entry_point_disabled",
            Self::KeepAlive(_) | Self::PlatformKeepAlive { .. } => "keep_alive",
            Self::Platform(PlatformError::Clock(_)) => "clock",
            Self::Platform(PlatformError::Credential { .. }) => "credential",
            Self::Platform(_) => "client_id",
            Self::Credential(_) => "credential",
            Self::NoCredential(_) => "no_credential",
            Self::Will(_) => "will",
            Self::Upstream(error) => error.kind(),
            Self::BrokerClosed { .. } => "broker_closed",
            Self::BrokerSilent { .. } => "broker_silent",
            Self::NoAuth { .. } => "no_auth",
            Self::Changed(_) => "changed",
            Self::BrokerAnswer { .. } => "broker_answer",
            Self::ByBroker { .. } => "refused_by_broker",
            Self::Shutdown => "shutdown",
        }
    }

    /// Whether it is the broker, or the way to it, that failed.
    #[must_use]
    pub fn is_upstream_failure(&self) -> bool {
        matches!(
            self,
            Self::Upstream(_)
                | Self::BrokerClosed { .. }
                | Self::BrokerSilent { .. }
                | Self::BrokerAnswer { .. }
                | Self::ByBroker { .. }
        )
    }

    /// The MQTT reason; `None` where the broker's own answer went to the device, or nobody is there to read one.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        Some(match self {
            Self::DeviceLeft { .. }
            | Self::NoConnect { .. }
            | Self::NotConnect(_)
            | Self::ByBroker { .. } => {
                return None;
            }
            Self::OverLimit(OverLimit::OfSim { .. }) => Reason::QuotaExceeded,
            Self::OverLimit(_) => Reason::ServerBusy,
            Self::ConnectTooLarge { .. } => Reason::PacketTooLarge,
            Self::Connect(ConnectError::Protocol { .. }) | Self::TooNew(_) => {
                Reason::UnsupportedProtocolVersion
            }
            Self::Connect(ConnectError::Malformed { violation, .. }) | Self::Will(violation) => {
                violation.reason()
            }
            Self::UnknownAddress(_)
            | Self::SwitchedOff(..)
            | Self::ImeiLock { .. }
            | Self::NoGroup(_)
            | Self::NoEntryPoint(_)
            | Self::Disabled(_)
            | Self::KeepAlive(_)
            | Self::PlatformKeepAlive { .. }
            | Self::NoAuth { .. }
            | Self::Changed(_) => Reason::NotAuthorized,
            Self::Platform(PlatformError::NoClientId(_) | PlatformError::ClientId { .. }) => {
                Reason::ClientIdentifierNotValid
            }
            Self::Platform(_)
            | Self::Credential(_)
            | Self::NoCredential(_)
            | Self::Upstream(_)
            | Self::BrokerClosed { .. }
            | Self::BrokerSilent { .. }
            | Self::BrokerAnswer { .. } => Reason::ServerUnavailable,
            Self::Shutdown => Reason::ServerShuttingDown,
        })
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::OverLimit(over) => over.advice(),
            Self::NoConnect { .. } => {
                "something else than an MQTT client connects here, or the link is too slow for a CONNECT"
            }
            Self::DeviceLeft { ahead: 1.. } => {
                "the device lost its link, or hung up without DISCONNECT: it has to send again what was not acknowledged"
            }
            Self::DeviceLeft { .. } => {
                "the device's own connect time-out may be shorter than the broker takes to answer"
            }
            Self::NotConnect(FirstPacket::Tls) => {
                "the device speaks TLS: give it plain MQTT (mqtt://) towards the relay"
            }
            Self::NotConnect(FirstPacket::Http) => {
                "an HTTP client calls the MQTT port: check the port it was given"
            }
            Self::NotConnect(_) => "check that the device speaks MQTT and sends CONNECT first",
            Self::ConnectTooLarge { .. } => "shorten will, user name, password or properties",
            // Mosquitto marks itself so with a bit in the level.
            Self::Connect(ConnectError::Protocol {
                level: 0x83 | 0x84, ..
            }) => "a Mosquitto bridge calls: give its connection `try_private false`",
            Self::Connect(ConnectError::Protocol { .. }) => "set the device to MQTT 3.1, 3.1.1 or 5",
            Self::Connect(ConnectError::Malformed { violation, .. }) => violation_advice(violation),
            Self::UnknownAddress(_) => "add the address to the addresses of its SIM",
            Self::SwitchedOff(_, SimStatus::Terminated) => {
                "a terminated SIM stays so: delete it and create it again if the device may connect"
            }
            Self::SwitchedOff(..) => "activate the SIM, or set its status to active",
            Self::ImeiLock { imei: Some(_), .. } => {
                "put the SIM back into its modem, or change the lock with set_imei_lock or unset_imei_lock"
            }
            Self::ImeiLock { .. } => {
                "tell the SIM's IMEI, or lock it with |ANONYMOUS behind the IMEI so that it may be unknown"
            }
            Self::NoGroup(_) => "give the SIM a groupId",
            Self::NoEntryPoint(_) => {
                "put an entry point mqtt://beam.soracom.io:1883 into the group's SoracomBeam configuration"
            }
            Self::Disabled(_) => "set enabled to true in the group's entry point",
            Self::TooNew(_) => {
                "set version to \"201912\" in the group's entry point, or the device to MQTT 3.1.1"
            }
            Self::KeepAlive(_) => "set the device's keep alive to 0 or to 5 to 1200 s",
            Self::PlatformKeepAlive { .. } => "shorten the device's keep alive",
            Self::Platform(error) => error.advice(),
            Self::Credential(_) => "put the credential into the credential store, or correct $credentialsId",
            Self::NoCredential(_) => "add the IMSI or default to clientCerts",
            Self::Will(_) => "shorten the device's will topic",
            Self::Upstream(error) => error.advice(),
            Self::BrokerClosed { tls: Some(cause), .. } if *cause != TlsCause::Other => cause.advice(),
            Self::BrokerClosed { destination, .. } if destination.is_aws_iot() => {
                "AWS IoT Core closes where the certificate is not active, or its policy does not allow this client id"
            }
            Self::BrokerClosed { .. } => {
                "check the broker's log: it may want another MQTT version, TLS (mqtts://), or a client certificate"
            }
            Self::BrokerSilent { .. } => {
                "check that an MQTT broker answers on that port, and whether it wants TLS"
            }
            Self::NoAuth { .. } => "check that the device knows the authentication method that it asks for",
            Self::Changed(_) => "the device may connect again if the new configuration lets it",
            Self::BrokerAnswer { .. } => "check that an MQTT broker answers on that port",
            Self::ByBroker {
                connack,
                platform: Some(platform),
                ..
            } => platform_advice(*platform, connack.code),
            Self::ByBroker { connack, .. } => broker_advice(connack.code),
            Self::Shutdown => "the device may connect again when the relay is back",
        }
    }

    /// The MQTT 3 return code or MQTT 5 reason code that the device gets.
    #[must_use]
    pub fn code(&self, version: Option<Version>) -> Option<u8> {
        match self {
            Self::ByBroker { connack, .. } => Some(connack.code),
            _ => self.reason()?.connack_code(version?),
        }
    }
}

/// The device has no part in the login here, so it is not told to change it.
fn platform_advice(platform: Platform, code: u8) -> &'static str {
    match (code, platform) {
        (1 | 0x84, Platform::GoogleIot | Platform::AzureIot) => {
            "set the device to MQTT 3.1.1, or for one of MQTT 3.1 version to \"201509\" in the group's entry point"
        }
        (1 | 0x84, Platform::PubNub) => "set the device to MQTT 3.1 or 3.1.1",
        (_, Platform::PubNub) => "check pubKey and subKey of the credential",
        (_, Platform::GoogleIot) => {
            "check that the registry knows the device and its public key, and the credential's projectId, region, registryId and deviceId"
        }
        (_, Platform::AzureIot) => {
            "check that the hub knows a device of this client id, the hub's name in destination, and the credential's key, whose policy needs DeviceConnect"
        }
    }
}

fn broker_advice(code: u8) -> &'static str {
    match code {
        1 | 0x84 => "the broker does not carry the device's MQTT version: change it on the device",
        2 | 0x85 => "the broker does not take this client id: change it on the device",
        4 | 0x86 => "check username, password and useClientCredentials of the entry point",
        5 | 0x87 => {
            "check username, password and useClientCredentials of the entry point, and the broker's access rules for this client id and certificate"
        }
        _ => "check the broker's log",
    }
}
