//! Where the relay itself listens. An entry point that leads there would have one device open connections without end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses that no broker has.
#[derive(Debug, Default)]
pub(super) struct OwnAddresses(Vec<SocketAddr>);

impl OwnAddresses {
    pub(super) fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(addresses.into_iter().map(canonical).collect())
    }

    /// Whether who dials `address` reaches one of them.
    pub(super) fn are_reached_at(&self, address: SocketAddr) -> bool {
        let address = canonical(address);
        self.0.iter().any(|own| {
            let every = own.ip().is_unspecified() && own.is_ipv4() == address.is_ipv4();
            own.port() == address.port() && (own.ip() == address.ip() || every && is_here(address))
        })
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether `address` is one of this machine's: what goes there comes from there. Nothing is sent.
fn is_here(address: SocketAddr) -> bool {
    let any: IpAddr = match address.is_ipv4() {
        true => Ipv4Addr::UNSPECIFIED.into(),
        false => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(address)?;
        socket.local_addr()
    };
    let ip = address.ip();
    ip.is_loopback() || ip.is_unspecified() || source().is_ok_and(|source| source.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_itself_and_every_address_is_each_of_this_machine() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (own, dialled, expected) in [
            ("127.0.0.1:1883", "127.0.0.1:1883", true),
            ("127.0.0.1:1883", "[::ffff:127.0.0.1]:1883", true),
            ("127.0.0.1:1883", "127.0.0.2:1883", false),
            ("127.0.0.1:1883", "127.0.0.1:1884", false),
            ("0.0.0.0:1883", "127.0.0.5:1883", true),
            // The system takes it as the loopback address.
            ("0.0.0.0:1883", "0.0.0.0:1883", true),
            ("0.0.0.0:1883", "[::1]:1883", false),
            ("0.0.0.0:1883", "127.0.0.1:1884", false),
            ("0.0.0.0:1883", "192.0.2.1:1883", false),
            ("[::]:1883", "[::1]:1883", true),
            ("[::]:1883", "127.0.0.1:1883", false),
        ] {
            let own = OwnAddresses::new([address(own)]);
            assert_eq!(
                own.are_reached_at(address(dialled)),
                expected,
                "{own:?} {dialled}"
            );
        }
    }

    #[test]
    fn the_address_of_an_interface_is_known_and_that_of_another_machine_is_not() {
        let outwards = UdpSocket::bind("0.0.0.0:0").unwrap();
        // Of no network at all; where there is a route, the interface is one of this machine.
        if outwards.connect("192.0.2.1:9").is_ok() {
            assert!(is_here(outwards.local_addr().unwrap()));
        }
        assert!(!is_here("192.0.2.1:9".parse().unwrap()));
    }
}
