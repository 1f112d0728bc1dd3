//! The addresses of this machine that brokers are dialled from. One of them has some 28,000 ports towards
//! one broker address, which is as many connections.

use super::{Socket, liveness};
use socket2::{Domain, Protocol, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Local addresses, used in turn: IPv4 ones towards IPv4 brokers, IPv6 ones towards IPv6. For a family without
/// any, the system chooses.
#[derive(Debug, Default)]
pub struct LocalAddresses {
    v4: Turns,
    v6: Turns,
}

/// An address that no broker can be dialled from.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot dial brokers from {address}: {source}; --upstream-bind takes addresses that an interface of this machine has"
)]
pub struct InvalidLocalAddress {
    /// The address.
    pub address: IpAddr,
    /// What the system said.
    pub source: io::Error,
}

impl LocalAddresses {
    /// These addresses; one that is there twice counts once.
    ///
    /// # Errors
    /// [`InvalidLocalAddress`] names the first that this machine does not have.
    pub fn new(addresses: &[IpAddr]) -> Result<Self, InvalidLocalAddress> {
        let mut local = Self::default();
        for address in addresses.iter().map(IpAddr::to_canonical) {
            let invalid = |source| InvalidLocalAddress { address, source };
            if address.is_unspecified() {
                return Err(invalid(io::ErrorKind::AddrNotAvailable.into()));
            }
            socket(address, Some(address)).map_err(invalid)?;
            let turns = local.family(address);
            if !turns.addresses.contains(&address) {
                turns.addresses.push(address);
            }
        }
        Ok(local)
    }

    fn family(&mut self, address: IpAddr) -> &mut Turns {
        if address.is_ipv4() {
            &mut self.v4
        } else {
            &mut self.v6
        }
    }

    /// Connects to `broker` from the next address that has a free port towards it.
    ///
    /// # Errors
    /// Those of the system: `AddrNotAvailable` if no address has a free port.
    pub(super) async fn connect<S: Socket>(&self, broker: SocketAddr) -> io::Result<S> {
        let turns = self.towards(broker);
        let mut out_of_ports = None;
        for address in turns.next() {
            let connected = match socket(broker.ip(), address).and_then(prepared) {
                Ok(socket) => S::connect(socket, broker).await,
                Err(error) => Err(error),
            };
            match connected {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => out_of_ports = Some(error),
                other => return other,
            }
        }
        Err(out_of_ports.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
    }

    /// The addresses that `broker` is dialled from, in words.
    pub(super) fn in_words(&self, broker: SocketAddr) -> String {
        let addresses = &self.towards(broker).addresses;
        let names: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        if names.is_empty() {
            "the one address that the system chooses".to_owned()
        } else {
            names.join(", ")
        }
    }

    fn towards(&self, broker: SocketAddr) -> &Turns {
        if broker.is_ipv4() { &self.v4 } else { &self.v6 }
    }
}

#[derive(Debug, Default)]
struct Turns {
    addresses: Vec<IpAddr>,
    next: AtomicUsize,
}

impl Turns {
    /// Every address once, from the one whose turn it is; `None` where the system is to choose.
    fn next(&self) -> impl Iterator<Item = Option<IpAddr>> {
        let count = self.addresses.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let own = (0..count).map(move |n| Some(self.addresses[first.wrapping_add(n) % count]));
        own.chain((count == 0).then_some(None))
    }
}

/// A socket towards an address of the family of `broker`.
fn socket(broker: IpAddr, local: Option<IpAddr>) -> io::Result<socket2::Socket> {
    let domain = Domain::for_address(SocketAddr::new(broker, 0));
    let socket = socket2::Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if let Some(local) = local {
        choose_port_late(&socket);
        socket.bind(&SocketAddr::new(local, 0).into())?;
    }
    Ok(socket)
}

/// Sets what holds for every connection to a broker. The kernel arms the timers of one that is open already twice.
fn prepared(socket: socket2::Socket) -> io::Result<socket2::Socket> {
    socket.set_tcp_nodelay(true)?;
    liveness::watch(&socket)?;
    Ok(socket)
}

/// Lets the system choose the port when the broker is known: chosen earlier it could serve one broker only. A
/// system without this option gives fewer connections, no wrong ones.
#[cfg(target_os = "linux")]
fn choose_port_late(socket: &socket2::Socket) {
    let _ = nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true);
}

#[cfg(not(target_os = "linux"))]
fn choose_port_late(_: &socket2::Socket) {}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use tokio::net::{TcpListener, TcpStream};

    fn local(addresses: &[&str]) -> Result<LocalAddresses, InvalidLocalAddress> {
        let addresses: Vec<_> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        LocalAddresses::new(&addresses)
    }

    /// Where the next connection comes from.
    async fn source(local: &LocalAddresses, listener: &TcpListener) -> String {
        let stream: TcpStream = local.connect(listener.local_addr().unwrap()).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(stream.local_addr().unwrap(), peer);
        peer.ip().to_string()
    }

    #[tokio::test]
    async fn addresses_of_the_brokers_family_are_used_in_turn() {
        let local = local(&["127.8.0.1", "::1", "127.8.0.2", "::ffff:127.8.0.1", "127.8.0.3"]).unwrap();
        let v4 = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let v6 = TcpListener::bind("[::1]:0").await.unwrap();
        for expected in ["127.8.0.1", "127.8.0.2", "127.8.0.3", "127.8.0.1"] {
            assert_eq!(source(&local, &v4).await, expected);
            assert_eq!(source(&local, &v6).await, "::1");
        }
        assert_eq!(
            local.in_words(v4.local_addr().unwrap()),
            "127.8.0.1, 127.8.0.2, 127.8.0.3"
        );
    }

    #[tokio::test]
    async fn without_addresses_the_system_chooses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert_eq!(source(&LocalAddresses::default(), &listener).await, "127.0.0.1");
    }

    #[tokio::test]
    async fn what_is_sent_to_a_broker_goes_at_once_and_one_that_vanishes_is_missed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let broker = listener.local_addr().unwrap();
        let stream: TcpStream = LocalAddresses::default().connect(broker).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named() {
        for address in ["192.0.2.1", "2001:db8::1", "0.0.0.0"] {
            let error = local(&["127.0.0.1", address]).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("cannot dial brokers from {address}: ")),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn the_port_is_chosen_when_the_broker_is_known() {
        for address in ["127.8.0.1", "::1"] {
            let address = address.parse().unwrap();
            let socket = socket(address, Some(address)).unwrap();
            let chosen = socket.local_addr().unwrap().as_socket();
            assert_eq!(chosen, Some(SocketAddr::new(address, 0)));
        }
    }
}
