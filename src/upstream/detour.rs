//! Destinations that are dialled elsewhere than their name says: a private endpoint of a cloud, a tunnel. TLS still
//! asks for the destination's own name.

use crate::entrypoint::{Destination, Host};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::str::FromStr;

/// One of them, as curl's `--connect-to` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detour {
    host: Host,
    port: u16,
    address: SocketAddr,
}

/// A text that is no detour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not HOST:PORT=ADDRESS:PORT, as in broker.example.com:8883=10.0.0.5:8883")]
pub struct InvalidDetour(String);

impl FromStr for Detour {
    type Err = InvalidDetour;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDetour(text.to_owned());
        let (from, to) = text.split_once('=').ok_or_else(invalid)?;
        let address = to.parse().map_err(|_| invalid())?;
        // The port is not to be guessed from a scheme that is not there.
        let has_port = from.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let destination = format!("mqtts://{from}").parse::<Destination>();
        let destination = destination.map_err(|_| invalid())?;
        if !has_port || from.contains('/') {
            return Err(invalid());
        }
        Ok(Self {
            host: destination.host().clone(),
            port: destination.port(),
            address,
        })
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Detours(HashMap<(Host, u16), SocketAddr>);

impl Detours {
    pub(super) fn new(detours: impl IntoIterator<Item = Detour>) -> Self {
        let each = |Detour { host, port, address }| ((host, port), address);
        Self(detours.into_iter().map(each).collect())
    }

    /// Where `destination` is dialled, if not where its name says.
    pub(super) fn of(&self, destination: &Destination) -> Option<SocketAddr> {
        if self.0.is_empty() {
            return None;
        }
        self.0
            .get(&(destination.host().clone(), destination.port()))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detour_serves_one_host_on_one_port() {
        let texts = ["Broker.example.com:8883=127.0.0.9:99", "[::1]:1883=[::2]:1883"];
        let detours = Detours::new(texts.map(|text| text.parse().unwrap()));
        for (url, expected) in [
            ("mqtts://broker.example.com", Some("127.0.0.9:99")),
            ("mqtt://broker.example.com:8883", Some("127.0.0.9:99")),
            ("mqtt://broker.example.com", None),
            ("mqtt://[::1]", Some("[::2]:1883")),
            ("mqtt://example.com", None),
        ] {
            let address = detours.of(&url.parse().unwrap());
            assert_eq!(address.map(|a| a.to_string()).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn anything_else_is_quoted() {
        for bad in [
            "",
            "a=b",
            "a:1",
            "a=1.2.3.4:5",
            "a:1=1.2.3.4",
            "a:0=1.2.3.4:5",
            "a:1/x=1.2.3.4:5",
            "[::1]=[::2]:1",
        ] {
            let error = bad.parse::<Detour>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{bad:?} is not HOST:PORT=")),
                "{error}"
            );
        }
    }
}
