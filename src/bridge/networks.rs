//! Networks whose members may call.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// What `lan` stands for: the private networks of RFC 1918 and RFC 4193, link-local ones, this machine.
const LAN: [&str; 8] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
];

/// One entry of an allow-list: an address, a network, or `lan`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network(Vec<IpNet>);

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no network; give one as in 192.168.1.0/24 or fd00::/8, a single address, or lan for all private networks"
)]
pub struct InvalidNetwork(String);

impl Network {
    /// Whether `address` is a member. IPv4 addresses that came in over IPv6 count as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = || InvalidNetwork(text.to_owned());
        if text == "lan" {
            let networks = LAN.iter().map(|network| network.parse());
            return networks
                .collect::<Result<_, _>>()
                .map(Self)
                .map_err(|_| invalid());
        }
        let network = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| invalid())?;
        Ok(Self(vec![network]))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&networks.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_members_in_both_families() {
        let table = [
            ("192.168.1.0/24", "192.168.1.77", true),
            ("192.168.1.0/24", "::ffff:192.168.1.77", true),
            ("192.168.1.0/24", "192.168.2.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("fd00::/8", "fd12::1", true),
            ("lan", "172.31.0.1", true),
            ("lan", "127.0.0.1", true),
            ("lan", "fe80::1", true),
            ("lan", "203.0.113.5", false),
            ("0.0.0.0/0", "203.0.113.5", true),
            ("0.0.0.0/0", "2001:db8::1", false),
        ];
        for (network, address, member) in table {
            let found = network
                .parse::<Network>()
                .unwrap()
                .contains(address.parse().unwrap());
            assert_eq!(found, member, "{address} in {network}");
        }
    }

    #[test]
    fn what_is_no_network_is_quoted() {
        for bad in ["", "LAN", "192.168.1.0/33", "192.168.1", "pi.local"] {
            let error = bad.parse::<Network>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{bad:?} is no network")), "{error}");
        }
    }
}
