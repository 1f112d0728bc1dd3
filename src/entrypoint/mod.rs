//! The Beam object of the MQTT entry point: its JSON, checked once, and what it asks for.
//!
//! The fields are those of SORACOM's page "MQTT エントリポイント". Where that page says "the behaviour of
//! unexpected values is undefined", this module refuses the value and says what is allowed.

mod credentials;
mod destination;
mod login;
mod placeholder;
mod platform;
mod template;
mod topics;
mod wire;
mod wire_platform;

pub use credentials::{ClientCerts, CredentialsTemplate};
pub use destination::{Destination, Host, InvalidDestination, Scheme};
pub use login::Login;
pub use placeholder::UNKNOWN_IMEI;
pub use platform::{Call, Identity, Platform, PlatformError, identity};
pub use template::{InvalidTemplate, SecretTemplate, Template};
pub use topics::{TopicPlan, TopicRules};

use crate::credential::{CredentialType, CredentialsId};
use crate::json::{Path, Problem};
use crate::sim::Sim;
use std::fmt;

/// The key of the only entry point that this relay serves.
pub const MQTT_ENTRY_POINT: &str = "mqtt://beam.soracom.io:1883";

/// The namespace of a group's configuration that holds entry points.
pub const BEAM_NAMESPACE: &str = "SoracomBeam";

/// The longest text of MQTT, in bytes (a two-byte length precedes it).
const MQTT_FIELD_LIMIT: usize = 65_535;

/// By which of Beam's rules MQTT is relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlatformVersion {
    /// The broker gets MQTT 3.1.1 at QoS 0 and no will, and MQTTS wherever a client certificate is used.
    V201509,
    /// The device's own MQTT version, QoS and will go to the broker.
    V201912,
}

impl PlatformVersion {
    /// SORACOM's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V201509 => "201509",
            Self::V201912 => "201912",
        }
    }
}

impl fmt::Display for PlatformVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A valid entry point: what to do with the connections of a group's SIMs.
///
/// Omitted fields take their defaults: `name` empty, `enabled` true (the Beam page names no default, and an
/// entry point is written to be used), every other switch false, `version` "201912". Only `destination`
/// has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPoint {
    /// What the admin calls it; need not be unique.
    pub name: String,
    /// Whether SIMs may connect through it.
    pub enabled: bool,
    /// The broker it forwards to.
    pub destination: Destination,
    /// As whom the broker sees the device.
    pub login: Login,
    /// Credentials with the client certificate and the trusted CA, by SIM.
    pub client_certs: ClientCerts,
    /// Whether the client certificate is shown to the broker. The CA of the credential counts either way.
    pub use_client_cert: bool,
    /// What is done to topics.
    pub topics: TopicRules,
    /// By which of Beam's rules MQTT is relayed.
    pub version: PlatformVersion,
}

/// An entry point, and what its author should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What was understood.
    pub entry_point: EntryPoint,
    /// Fields that are kept and echoed but have no effect here.
    pub unused: Vec<String>,
    /// Combinations that are allowed but hardly meant, one sentence each.
    pub warnings: Vec<String>,
}

impl EntryPoint {
    /// The platform that the destination is; `None` for a standard broker.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        match self.login {
            Login::Platform(platform, _) => Some(platform),
            Login::PassThrough | Login::Fixed { .. } => None,
        }
    }

    /// The credential of `sim`, and of what type it has to be.
    #[must_use]
    pub fn credential(&self, sim: &Sim) -> Option<(CredentialsId, CredentialType)> {
        match &self.login {
            Login::Platform(platform, template) => Some((template.render(sim), platform.credential_type())),
            Login::PassThrough | Login::Fixed { .. } => {
                let id = self.client_certs.credentials_id(sim)?;
                Some((id, CredentialType::X509))
            }
        }
    }

    /// The credentials that are the same for every SIM, and of what type they have to be.
    pub fn shared_credentials(&self) -> impl Iterator<Item = (CredentialsId, CredentialType)> {
        let of_platform = match &self.login {
            Login::Platform(platform, template) => {
                template.literal().map(|id| (id, platform.credential_type()))
            }
            Login::PassThrough | Login::Fixed { .. } => None,
        };
        let certificates = self.client_certs.literals();
        of_platform
            .into_iter()
            .chain(certificates.map(|id| (id, CredentialType::X509)))
    }

    /// Checks the JSON value of an entry point.
    ///
    /// # Errors
    /// Every problem of the value, in the order of its fields; paths begin inside the value.
    pub fn from_value(value: &serde_json::Value) -> Result<Parsed, Vec<Problem>> {
        wire::parse(value, &Path::ROOT)
    }
}

pub(crate) use wire::parse as parse_at;
pub(crate) use wire_platform::spell_switches;
