//! Identifiers, validated once where they enter the program.

use std::fmt;

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
    fn an_error_quotes_the_value_and_says_what_is_allowed() {
        let error = Imsi::new("12ab").unwrap_err().to_string();
        assert_eq!(error, "\"12ab\" is not an IMSI: 6 to 15 digits");
    }
}
