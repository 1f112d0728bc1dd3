//! As whom the broker sees the device.

use super::credentials::CredentialsTemplate;
use super::platform::Platform;
use super::template::{SecretTemplate, Template};

/// As whom the broker sees the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Those that the device sent (`useClientCredentials`).
    PassThrough,
    /// Those of the entry point; the device's own are taken out.
    Fixed {
        /// The user name, `None` where the field is absent or empty.
        username: Option<Template>,
        /// The password, `None` where the field is absent or empty.
        password: Option<SecretTemplate>,
    },
    /// What the platform wants, client id included, made with this credential.
    Platform(Platform, CredentialsTemplate),
}

impl Login {
    /// Whether the entry point itself holds a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        matches!(
            self,
            Self::Fixed {
                password: Some(_),
                ..
            }
        )
    }
}
