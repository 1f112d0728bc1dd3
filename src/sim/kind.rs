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
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

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

impl SimKind {
    /// The subscription of every SIM without a card, as SORACOM calls it. That of others nobody says here.
    pub const VIRTUAL_SUBSCRIPTION: &str = "planArc01";

    /// The form of the card: of a virtual SIM that it has none, where nothing else is said.
    #[must_use]
    pub fn form(&self) -> Option<ModuleType> {
        self.module_type
            .or_else(|| self.is_virtual().then_some(ModuleType::Virtual))
    }

    /// The subscription, where it is known.
    #[must_use]
    pub fn subscription(&self) -> Option<&'static str> {
        self.is_virtual().then_some(Self::VIRTUAL_SUBSCRIPTION)
    }

    fn is_virtual(&self) -> bool {
        self.sim_type == Some(SimType::Virtual)
    }
}
