//! Whether a SIM may connect.

use super::identifier::InvalidIdentifier;
use std::fmt;
use std::str::FromStr;

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
    /// All there are.
    pub const ALL: [Self; 6] = [
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_of_soracoms() {
        for status in SimStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        let error = "Active".parse::<SimStatus>().unwrap_err().to_string();
        assert!(error.starts_with("\"Active\" is not a status: ready,"), "{error}");
    }
}
