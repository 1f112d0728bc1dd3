//! Who is calling: SIMs and their identifiers, validated once where they enter the program.

mod by_imsi;

pub use self::by_imsi::ByImsi;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

/// An identifier that is not what 3GPP or SORACOM says it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct InvalidIdentifier {
    /// What was given.
    pub value: String,
    /// What it has to be, in words.
    pub expected: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks and wraps `value`.
            ///
            /// # Errors
            /// [`InvalidIdentifier`] quotes the value and says what it has to be.
            pub fn new(value: &str) -> Result<Self, InvalidIdentifier> {
                let valid: fn(&str) -> bool = $valid;
                if valid(value) {
                    Ok(Self(value.into()))
                } else {
                    Err(InvalidIdentifier { value: value.to_owned(), expected: $expected })
                }
            }

            /// The identifier as it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidIdentifier;
            fn from_str(value: &str) -> Result<Self, Self::Err> {
                Self::new(value)
            }
        }
    };
}

fn digits(value: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit())
}

identifier!(
    /// International Mobile Subscriber Identity: at most 15 digits (3GPP TS 23.003 §2.2).
    Imsi,
    "an IMSI: 6 to 15 digits",
    |v| digits(v, 6..=15)
);
identifier!(
    /// SORACOM's SIM id, which for a physical SIM is its ICCID (ITU-T E.118).
    SimId,
    "a SIM id: 18 to 22 digits",
    |v| digits(v, 18..=22)
);
identifier!(
    /// International Mobile Equipment Identity of the modem: 15 digits, or 16 with the software
    /// version (3GPP TS 23.003 §6.2).
    Imei,
    "an IMEI: 15 or 16 digits",
    |v| digits(v, 15..=16)
);
identifier!(
    /// Name of a group of SIMs that share configuration.
    GroupId,
    "a group id: 1 to 64 letters, digits, '-', '_' or '.'",
    |v| (1..=64).contains(&v.len())
        && v.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
);

identifier!(
    /// How fast a SIM may be; kept and shown, as nothing here depends on it.
    SpeedClass,
    "a speed class: 1 to 64 letters, digits, '-', '_' or '.', e.g. s1.standard",
    |v| GroupId::new(v).is_ok()
);

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

/// The modem that a SIM may be used in. SORACOM writes it as the IMEI, with `|ANONYMOUS` behind it where the SIM
/// may connect as well while the network does not tell the IMEI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImeiLock {
    imei: Imei,
    unreported: Unreported,
}

/// What becomes of a SIM whose modem is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unreported {
    Refused,
    Allowed,
}

impl ImeiLock {
    /// To this modem and no other, and not while it is unknown.
    #[must_use]
    pub fn to(imei: Imei) -> Self {
        Self {
            imei,
            unreported: Unreported::Refused,
        }
    }

    /// Whether the SIM may be used in the modem `imei`.
    #[must_use]
    pub fn allows(&self, imei: Option<&Imei>) -> bool {
        match imei {
            // The first 14 digits name the modem; a check digit or the software version follows (TS 23.003 §6.2).
            Some(imei) => imei.as_str().get(..14) == self.imei.as_str().get(..14),
            None => self.unreported == Unreported::Allowed,
        }
    }
}

const ANONYMOUS: &str = "|ANONYMOUS";

impl FromStr for ImeiLock {
    type Err = InvalidIdentifier;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let (imei, unreported) = match value.strip_suffix(ANONYMOUS) {
            Some(imei) => (imei, Unreported::Allowed),
            None => (value, Unreported::Refused),
        };
        let imei = Imei::new(imei).map_err(|_| InvalidIdentifier {
            value: value.to_owned(),
            expected: "an IMEI lock: 15 or 16 digits, with |ANONYMOUS behind them or not",
        })?;
        Ok(Self { imei, unreported })
    }
}

impl fmt::Display for ImeiLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unreported {
            Unreported::Refused => write!(f, "{}", self.imei),
            Unreported::Allowed => write!(f, "{}{ANONYMOUS}", self.imei),
        }
    }
}

/// What a SIM may do, in SORACOM's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SimStatus {
    /// Registered, never used. It may connect.
    Ready,
    /// It may connect.
    #[default]
    Active,
    /// Switched off by an administrator.
    Inactive,
    /// Kept for later. It may connect.
    Standby,
    /// Switched off for a while.
    Suspended,
    /// Switched off for ever.
    Terminated,
}

impl SimStatus {
    const ALL: [Self; 6] = [
        Self::Ready,
        Self::Active,
        Self::Inactive,
        Self::Standby,
        Self::Suspended,
        Self::Terminated,
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Standby => "standby",
            Self::Suspended => "suspended",
            Self::Terminated => "terminated",
        }
    }

    /// Whether a SIM of this status may connect.
    #[must_use]
    pub fn may_connect(self) -> bool {
        matches!(self, Self::Ready | Self::Active | Self::Standby)
    }
}

impl fmt::Display for SimStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SimStatus {
    type Err = InvalidIdentifier;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == value);
        found.ok_or_else(|| InvalidIdentifier {
            value: value.to_owned(),
            expected: "a status: ready, active, inactive, standby, suspended or terminated",
        })
    }
}

/// Free labels of the admin; `name` is the one that people see.
pub type Tags = BTreeMap<String, String>;

/// A SIM as the operator registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sim {
    /// SORACOM's id of the SIM.
    pub sim_id: SimId,
    /// The subscriber identity on it.
    pub imsi: Imsi,
    /// The modem it sits in, where the network tells.
    pub imei: Option<Imei>,
    /// The group whose configuration rules it. Without one it can connect nowhere.
    pub group_id: Option<GroupId>,
    /// The source addresses that belong to it, IPv4-mapped ones already as IPv4.
    pub addresses: Vec<IpAddr>,
    /// Free labels.
    pub tags: Tags,
    /// Whether it may connect, and why not.
    pub status: SimStatus,
    /// The modem that it may be used in; any where there is none.
    pub imei_lock: Option<ImeiLock>,
    /// What kind of SIM it is.
    pub kind: SimKind,
    /// When it was made through the API, in milliseconds since 1970.
    pub created_time: Option<i64>,
    /// When it was last changed through the API, in milliseconds since 1970.
    pub last_modified_time: Option<i64>,
}

impl Sim {
    /// An active SIM that has no more than its identifiers.
    #[must_use]
    pub fn new(sim_id: SimId, imsi: Imsi) -> Self {
        Self {
            sim_id,
            imsi,
            imei: None,
            group_id: None,
            addresses: Vec::new(),
            tags: Tags::new(),
            status: SimStatus::default(),
            imei_lock: None,
            kind: SimKind::default(),
            created_time: None,
            last_modified_time: None,
        }
    }
}

/// What the network knows now: this source address is this SIM.
#[derive(Debug, Clone)]
pub struct SimSession {
    /// The SIM that is calling.
    pub sim: Arc<Sim>,
    /// The address it calls from, IPv4-mapped ones already as IPv4.
    pub address: IpAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_take_what_the_networks_use_and_refuse_the_rest() {
        assert_eq!(Imsi::new("440103000000001").unwrap().as_str(), "440103000000001");
        assert_eq!(
            SimId::new("8981100000000000017").unwrap().to_string(),
            "8981100000000000017"
        );
        for imei in ["352709570000018", "3527095700000180"] {
            assert!(Imei::new(imei).is_ok(), "{imei}");
        }
        for bad in [
            "",
            "44010",
            "4401030000000012",
            "44010300000000x",
            "440103000000001",
            " 44010300000001",
        ] {
            assert_eq!(Imsi::new(bad).is_ok(), bad == "440103000000001", "{bad:?}");
        }
        for bad in ["", "a/b", "グループ", &"x".repeat(65)] {
            assert!(GroupId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_lock_allows_its_modem_and_an_unknown_one_only_where_it_says_so() {
        let imei = |text| Imei::new(text).unwrap();
        for (lock, unknown) in [("352709570000018", false), ("352709570000018|ANONYMOUS", true)] {
            let parsed: ImeiLock = lock.parse().unwrap();
            assert_eq!(parsed.to_string(), lock);
            assert!(parsed.allows(Some(&imei("352709570000018"))));
            assert!(
                parsed.allows(Some(&imei("3527095700000101"))),
                "with a software version"
            );
            assert!(!parsed.allows(Some(&imei("352709570000026"))));
            assert_eq!(parsed.allows(None), unknown);
        }
        for bad in ["", "|ANONYMOUS", "35270957000001", "352709570000018|anonymous"] {
            assert!(bad.parse::<ImeiLock>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_status_is_one_of_soracoms() {
        for status in SimStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        let error = "Active".parse::<SimStatus>().unwrap_err().to_string();
        assert!(error.starts_with("\"Active\" is not a status: ready,"), "{error}");
    }

    #[test]
    fn an_error_quotes_the_value_and_says_what_is_allowed() {
        let error = Imsi::new("12ab").unwrap_err().to_string();
        assert_eq!(error, "\"12ab\" is not an IMSI: 6 to 15 digits");
    }
}
