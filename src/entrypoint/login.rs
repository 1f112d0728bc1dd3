//! Which user name and password the broker sees.

use super::template::{SecretTemplate, Template};

/// Which user name and password the broker sees.
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
}
