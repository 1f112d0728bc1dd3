//! Destinations that want a CONNECT of their own shape: what each makes of a device's.
//!
//! | platform | client id | user name | password |
//! |---|---|---|---|
//! | [`Platform::PubNub`] | keys, then the device's | - | - |
//! | [`Platform::GoogleIot`] | path of the device in its registry | `unused` | a JWT |
//! | [`Platform::AzureIot`] | the device's, which is its device id | hub and device | a shared access signature |

mod azure;
mod google;
mod pubnub;

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use super::MQTT_FIELD_LIMIT;
use super::destination::Host;
use crate::clock::ClockBehind;
use crate::credential::{Credential, CredentialType};
use crate::sim::Sim;

/// A service with its own ways of saying who is calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    /// PubNub.
    PubNub,
    /// A registry in the style of Google Cloud IoT Core, such as ClearBlade's.
    GoogleIot,
    /// Azure IoT Hub.
    AzureIot,
}

impl Platform {
    /// All of them, in the order of the Beam page.
    pub const ALL: [Self; 3] = [Self::PubNub, Self::GoogleIot, Self::AzureIot];

    /// The field of the entry point that chooses it.
    #[must_use]
    pub fn switch(self) -> &'static str {
        match self {
            Self::PubNub => "usePubnub",
            Self::GoogleIot => "useGoogleIoT",
            Self::AzureIot => "useAzureIoT",
        }
    }

    /// The field of the entry point that names its credential.
    #[must_use]
    pub fn credential_field(self) -> &'static str {
        match self {
            Self::PubNub => "pubnubCredential",
            Self::GoogleIot => "googleIoTCredential",
            Self::AzureIot => "azureIoTCredential",
        }
    }

    /// The type of its credential.
    #[must_use]
    pub fn credential_type(self) -> CredentialType {
        match self {
            Self::PubNub => CredentialType::PubNub,
            Self::GoogleIot => CredentialType::GoogleIot,
            Self::AzureIot => CredentialType::AzureIot,
        }
    }

    /// The longest keep alive that it takes, in seconds, where that is less than what MQTT allows.
    #[must_use]
    pub fn longest_keep_alive(self) -> Option<u16> {
        match self {
            // 29.45 minutes without a packet, of which the keep alive is two thirds.
            Self::AzureIot => Some(1177),
            Self::PubNub | Self::GoogleIot => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PubNub => "PubNub",
            Self::GoogleIot => "Google Cloud IoT Core",
            Self::AzureIot => "Azure IoT Hub",
        })
    }
}

/// What a platform looks at in a device's CONNECT, and where it leads.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Who is calling.
    pub sim: &'a Sim,
    /// The client id that the device gave.
    pub client_id: &'a str,
    /// The host of the destination.
    pub host: &'a Host,
    /// The time in seconds since 1970, if the clock can be right.
    pub now: Result<u64, ClockBehind>,
    /// How long a token is to live.
    pub lifetime: Duration,
}

/// As whom the broker sees the device.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Client id. A secret where it holds keys.
    pub client_id: Zeroizing<String>,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Zeroizing<String>>,
    /// When the password is over, in seconds since 1970.
    pub expires: Option<u64>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Why a platform cannot be told who is calling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// The device gave no client id where the platform needs its own.
    #[error("{0} knows a device by its client id, and this one gave none")]
    NoClientId(Platform),
    /// The device's client id cannot be one of the platform.
    #[error("client id {id:?} is no device id of {platform}: {allowed}")]
    ClientId {
        /// What the device gave.
        id: String,
        /// Who does not take it.
        platform: Platform,
        /// What would be one.
        allowed: &'static str,
    },
    /// MQTT cannot carry it.
    #[error("the {field} for {platform} would be {len} bytes long, and MQTT allows at most 65535")]
    TooLong {
        /// For whom.
        platform: Platform,
        /// Which field.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// A token that is made now would be worth nothing.
    #[error("no token can be made: {0}")]
    Clock(#[from] ClockBehind),
    /// The credential holds something that cannot be used, though it was checked when it was stored.
    #[error("no token can be made with the credential: {field} {reason}")]
    Credential {
        /// Field of the credential.
        field: &'static str,
        /// What is wrong with it, without the value.
        reason: String,
    },
}

impl PlatformError {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoClientId(_) | Self::ClientId { .. } => "set the device's client id",
            Self::TooLong { .. } => "shorten the device's client id, or the values of the credential",
            Self::Clock(_) => ClockBehind::ADVICE,
            Self::Credential { .. } => "store the credential again: PUT /v1/credentials/{credentials_id}",
        }
    }
}

/// As whom `platform` is to see the device that calls.
///
/// # Errors
/// [`PlatformError`] says what of device or credential does not fit.
pub fn identity(
    platform: Platform,
    credential: &Credential,
    call: &Call<'_>,
) -> Result<Identity, PlatformError> {
    let identity = match platform {
        Platform::PubNub => pubnub::identity(&credential.values, call),
        Platform::GoogleIot => google::identity(&credential.values, call),
        Platform::AzureIot => azure::identity(&credential.values, call),
    }?;
    let fields = [
        ("client id", identity.client_id.len()),
        ("user name", identity.username.as_ref().map_or(0, String::len)),
        (
            "password",
            identity.password.as_ref().map_or(0, |text| text.len()),
        ),
    ];
    match fields.into_iter().find(|(_, len)| *len > MQTT_FIELD_LIMIT) {
        Some((field, len)) => Err(PlatformError::TooLong { platform, field, len }),
        None => Ok(identity),
    }
}

#[cfg(test)]
mod tests;
