//! The URL of the broker that an entry point forwards to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

/// How the broker is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// MQTT over TCP, port 1883 unless told.
    Mqtt,
    /// MQTT over TLS, port 8883 unless told.
    Mqtts,
}

impl Scheme {
    const fn default_port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
        }
    }
}

/// The machine in a destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name in ASCII and lower case, without a dot at its end.
    Dns(Box<str>),
    /// An address, IPv4-mapped ones already as IPv4.
    Ip(IpAddr),
}

/// The broker that an entry point forwards to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    scheme: Scheme,
    host: Host,
    port: u16,
    /// How it is written, as two log lines of each connection do.
    url: Arc<str>,
}

/// A text that is not the URL of a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDestination {
    /// No `scheme://`, or another scheme.
    #[error("{0:?} is not a URL that begins with mqtt:// or mqtts://")]
    Scheme(String),
    /// User name or password inside; not quoted because it may be a secret.
    #[error("the URL holds a user name or password; put them into the fields \"username\" and \"password\"")]
    UserInfo,
    /// A query or a fragment.
    #[error("{0:?} holds a '?' or '#'; allowed are scheme, host, port and a path, which is not used")]
    QueryOrFragment(String),
    /// Not a name and not an address.
    #[error(
        "{0:?} has no valid host; allowed are an ASCII host name, an IPv4 address, or an IPv6 address in brackets"
    )]
    Host(String),
    /// Not a port.
    #[error("{0:?} has no valid port; allowed are 1 to 65535")]
    Port(String),
}

impl Destination {
    /// The broker at this port of `host`.
    #[must_use]
    pub fn new(scheme: Scheme, host: Host, port: u16) -> Self {
        let url = format!("{scheme}://{host}:{port}").into();
        Self {
            scheme,
            host,
            port,
            url,
        }
    }

    /// TCP or TLS.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The machine.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The TCP port, never 0 if it was read from a URL.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL, with the port and without a path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// Whether it is an endpoint of AWS IoT Core under AWS's own name.
    #[must_use]
    pub fn is_aws_iot(&self) -> bool {
        let Host::Dns(name) = &self.host else {
            return false;
        };
        name.contains(".iot.") && (name.ends_with(".amazonaws.com") || name.ends_with(".amazonaws.com.cn"))
    }
}

/// A broker without TLS.
impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self::new(Scheme::Mqtt, Host::Ip(address.ip()), address.port())
    }
}

impl FromStr for Destination {
    type Err = InvalidDestination;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = split_scheme(url).ok_or_else(|| InvalidDestination::Scheme(url.to_owned()))?;
        Self::parse(scheme, rest, url)
    }
}

impl Destination {
    /// Reads a URL of either scheme as one of `mqtts://`: a port in it stays, the default is that of MQTTS.
    ///
    /// # Errors
    /// [`InvalidDestination`] quotes what is wrong.
    pub fn over_tls(url: &str) -> Result<Self, InvalidDestination> {
        let (_, rest) = split_scheme(url).ok_or_else(|| InvalidDestination::Scheme(url.to_owned()))?;
        Self::parse(Scheme::Mqtts, rest, url)
    }

    fn parse(scheme: Scheme, rest: &str, url: &str) -> Result<Self, InvalidDestination> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(InvalidDestination::UserInfo);
        }
        if path.contains(['?', '#']) {
            return Err(InvalidDestination::QueryOrFragment(url.to_owned()));
        }
        let (host, port) = split_port(authority);
        let host = parse_host(host).ok_or_else(|| InvalidDestination::Host(url.to_owned()))?;
        let port = match port {
            None => scheme.default_port(),
            Some(port) => parse_port(port).ok_or_else(|| InvalidDestination::Port(url.to_owned()))?,
        };
        Ok(Self::new(scheme, host, port))
    }
}

fn split_scheme(url: &str) -> Option<(Scheme, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "mqtt" => Some((Scheme::Mqtt, rest)),
        "mqtts" => Some((Scheme::Mqtts, rest)),
        _ => None,
    }
}

/// Splits at the colon of the port, which is not one of those inside the brackets of IPv6.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    // `u16::from_str` alone would take "+1883".
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok().map(NonZeroU16::get)).flatten()
}

fn parse_host(text: &str) -> Option<Host> {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().ok()?;
        return Some(Host::Ip(address.to_canonical()));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(Host::Ip(address.into()));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    is_host_name(name).then(|| Host::Dns(name.to_ascii_lowercase().into()))
}

/// RFC 1123 §2.1, and the underscore that container networks use. A last label of digits would be a broken
/// IPv4 address.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or(name);
    name.len() <= 253 && name.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_brokers_are_understood() {
        let cases = [
            ("mqtt://127.0.0.1:1884", "mqtt://127.0.0.1:1884"),
            ("mqtts://MQTT.Example.com", "mqtts://mqtt.example.com:8883"),
            ("MQTT://broker", "mqtt://broker:1883"),
            (
                "mqtts://mqtt.example.com/topicname",
                "mqtts://mqtt.example.com:8883",
            ),
            ("mqtt://host:1/a/b", "mqtt://host:1"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtts://[2001:DB8::1]:443/", "mqtts://[2001:db8::1]:443"),
            ("mqtt://[::ffff:10.0.0.1]:99", "mqtt://10.0.0.1:99"),
            ("mqtt://my_broker.:65535", "mqtt://my_broker:65535"),
        ];
        for (url, expected) in cases {
            let destination: Destination = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
            assert_eq!(destination.to_string(), expected, "{url}");
        }
    }

    #[test]
    fn a_url_read_as_mqtts_keeps_a_port_that_is_in_it() {
        for (url, expected) in [
            ("mqtt://broker", "mqtts://broker:8883"),
            ("MQTT://broker:1883/path", "mqtts://broker:1883"),
            ("mqtts://broker", "mqtts://broker:8883"),
        ] {
            assert_eq!(Destination::over_tls(url).unwrap().to_string(), expected, "{url}");
        }
        assert!(Destination::over_tls("http://broker").is_err());
    }

    #[test]
    fn anything_else_is_refused_with_what_is_allowed() {
        let cases = [
            ("", "mqtt:// or mqtts://"),
            ("broker:1883", "mqtt:// or mqtts://"),
            ("http://broker", "mqtt:// or mqtts://"),
            ("tcp://broker", "mqtt:// or mqtts://"),
            ("mqtt://", "no valid host"),
            ("mqtt://:1883", "no valid host"),
            ("mqtt://ho st", "no valid host"),
            ("mqtt://-a", "no valid host"),
            ("mqtt://a..b", "no valid host"),
            ("mqtt://1.2.3.256", "no valid host"),
            ("mqtt://ブローカー", "no valid host"),
            ("mqtt://::1", "no valid host"),
            ("mqtt://[::1", "no valid host"),
            ("mqtt://[fe80::1%eth0]", "no valid host"),
            ("mqtt://h:", "1 to 65535"),
            ("mqtt://h:0", "1 to 65535"),
            ("mqtt://h:65536", "1 to 65535"),
            ("mqtt://h:+1", "1 to 65535"),
            ("mqtt://u@h", "user name or password"),
            ("mqtt://u:secret@h", "user name or password"),
            ("mqtt://h?x", "'?' or '#'"),
            ("mqtt://h/#x", "'?' or '#'"),
        ];
        for (url, expected) in cases {
            let error = url.parse::<Destination>().unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }
}
