//! Types of credentials, and what each consists of.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

/// A type of credential. The names are SORACOM's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialType {
    /// A client certificate with its key, a CA to trust, or both.
    X509,
    /// For a broker that wants a login.
    UsernamePassword,
    /// A shared access key of Azure IoT Hub.
    AzureIot,
    /// A device of a registry in the style of Google Cloud IoT Core.
    GoogleIot,
    /// The keys of a PubNub key set.
    PubNub,
    /// An access key of AWS; kept, as nothing here uses it yet.
    Aws,
}

/// One value that a credential consists of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) required: bool,
    /// Never leaves through the API.
    secret: bool,
}

const fn secret(name: &'static str) -> Field {
    Field {
        name,
        required: true,
        secret: true,
    }
}

const fn plain(name: &'static str) -> Field {
    Field {
        name,
        required: true,
        secret: false,
    }
}

const fn optional(field: Field) -> Field {
    Field {
        required: false,
        ..field
    }
}

impl CredentialType {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::X509,
        Self::UsernamePassword,
        Self::AzureIot,
        Self::GoogleIot,
        Self::PubNub,
        Self::Aws,
    ];

    /// As it stands in the API and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X509 => "x509",
            Self::UsernamePassword => "username-password-credentials",
            Self::AzureIot => "azureIoT-credentials",
            Self::GoogleIot => "googleIoT-credentials",
            Self::PubNub => "pubnub-credentials",
            Self::Aws => "aws-credentials",
        }
    }

    /// The type with this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The field of this name, if the type has it.
    pub(crate) fn field_name(self, name: &str) -> Option<&'static str> {
        self.fields()
            .iter()
            .map(|field| field.name)
            .find(|known| *known == name)
    }

    pub(super) fn fields(self) -> &'static [Field] {
        match self {
            // Which of them go together is looked at with their content.
            Self::X509 => {
                const {
                    &[
                        optional(secret("key")),
                        optional(plain("cert")),
                        optional(plain("ca")),
                    ]
                }
            }
            Self::UsernamePassword => const { &[plain("username"), secret("password")] },
            Self::AzureIot => const { &[plain("sharedAccessKeyName"), secret("sharedAccessKey")] },
            Self::GoogleIot => {
                const {
                    &[
                        plain("projectId"),
                        plain("region"),
                        plain("registryId"),
                        plain("deviceId"),
                        plain("algorithm"),
                        secret("privateKey"),
                    ]
                }
            }
            // Whoever knows these keys may publish and subscribe.
            Self::PubNub => const { &[secret("pubKey"), secret("subKey")] },
            Self::Aws => const { &[plain("accessKeyId"), secret("secretAccessKey")] },
        }
    }
}

impl fmt::Display for CredentialType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The values of a credential, by name. Wiped from memory; `Debug` shows the names only.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Values(BTreeMap<&'static str, Zeroizing<String>>);

impl Values {
    pub(crate) fn insert(&mut self, name: &'static str, value: String) {
        self.0.insert(name, Zeroizing::new(value));
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    /// All of them, secrets too: for the file that keeps them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(&name, value)| (name, value.as_str()))
    }

    /// Those that may be shown.
    pub fn shown(&self, kind: CredentialType) -> impl Iterator<Item = (&'static str, &str)> {
        let fields = kind.fields().iter().filter(|field| !field.secret);
        fields.filter_map(|field| Some((field.name, self.get(field.name)?)))
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
