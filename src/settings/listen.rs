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

/// `off` among the places where devices connect, which says both that there are some and that there are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--relay-listen is {0}, but off stands alone: give it once and nothing else, or give addresses only")]
pub struct OffBesideOthers(String);

/// The addresses of a list, or none where it is `off`.
pub(super) fn addresses(list: &[Listen]) -> Result<Vec<SocketAddr>, OffBesideOthers> {
    if list == [Listen::Off] {
        return Ok(Vec::new());
    }
    let address = |listen: &Listen| match listen {
        Listen::On(address) => Some(*address),
        Listen::Off => None,
    };
    let all: Option<Vec<_>> = list.iter().map(address).collect();
    all.ok_or_else(|| {
        let given: Vec<String> = list.iter().map(ToString::to_string).collect();
        OffBesideOthers(given.join(","))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_address_with_a_port_or_off() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!(
            "127.0.0.1:0".parse(),
            Ok(Listen::On("127.0.0.1:0".parse().unwrap()))
        );
        assert_eq!("[::]:1883".parse::<Listen>().unwrap().to_string(), "[::]:1883");
        for bad in ["", "1883", "127.0.0.1", "localhost:1883", "OFF", "::1:1883x"] {
            assert!(bad.parse::<Listen>().is_err(), "{bad:?}");
        }
    }

    fn addresses_of(list: &str) -> Result<Vec<SocketAddr>, String> {
        let list: Vec<Listen> = list.split(',').map(|text| text.parse().unwrap()).collect();
        addresses(&list).map_err(|error| error.to_string())
    }

    #[test]
    fn off_stands_alone() {
        assert_eq!(addresses_of("off"), Ok(Vec::new()));
        assert_eq!(addresses_of("127.0.0.1:1,[::1]:1").unwrap().len(), 2);
        for bad in ["off,127.0.0.1:1883", "[::1]:1883,off", "off,off"] {
            let error = addresses_of(bad).unwrap_err();
            let start = format!("--relay-listen is {bad}, but off stands alone");
            assert!(error.starts_with(&start), "{error}");
        }
    }
}
