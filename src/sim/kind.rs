//! What kind of SIM it is.

use super::identifier::{InvalidIdentifier, SpeedClass};
use std::str::FromStr;

/// Enums that are written as one of SORACOM's words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $($(#[$of:meta])* $variant:ident = $word:literal,)+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $variant,)+
        }

        impl $name {
            /// As it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidIdentifier;

            fn from_str(value: &str) -> Result<Self, Self::Err> {
                match value {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(InvalidIdentifier { value: value.to_owned(), expected: $expected }),
                }
            }
        }
    };
}

words!(
    /// What a SIM is.
    SimType,
    "a type: euicc, uicc or virtual",
    /// Profiles can be put on it later.
    Euicc = "euicc",
    /// One profile for good.
    Uicc = "uicc",
    /// No card at all.
    Virtual = "virtual",
);
words!(
    /// The form of the card.
    ModuleType,
    "a moduleType: mini, micro, nano, trio, embedded, virtual, integrated or profilePackage",
    /// 2FF
    Mini = "mini",
    /// 3FF
    Micro = "micro",
    /// 4FF
    Nano = "nano",
    /// Can be cut into all three.
    Trio = "trio",
    /// MFF2
    Embedded = "embedded",
    /// None.
    Virtual = "virtual",
    /// iSIM
    Integrated = "integrated",
    /// An eSIM profile.
    ProfilePackage = "profilePackage",
);

/// What kind of SIM it is, as far as somebody said; kept and shown, as nothing here depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SimKind {
    /// `type`
    pub sim_type: Option<SimType>,
    /// `moduleType`
    pub module_type: Option<ModuleType>,
    /// `speedClass`
    pub speed_class: Option<SpeedClass>,
}
