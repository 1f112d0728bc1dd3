//! The modem that a SIM is bound to.

use super::identifier::{Imei, InvalidIdentifier};
use std::fmt;
use std::str::FromStr;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
