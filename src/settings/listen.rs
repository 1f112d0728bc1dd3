//! Where a service listens.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Where a service listens, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// The service does not run.
    Off,
    /// Address and port; port 0 takes a free one.
    On(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        if value == "off" {
            return Ok(Self::Off);
        }
        value
            .parse()
            .map(Self::On)
            .map_err(|_| "give an address and a port, as in 127.0.0.1:8090 or [::1]:8090, or off".to_owned())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On(address) => address.fmt(f),
        }
    }
}
