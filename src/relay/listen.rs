//! Listening sockets that several threads share.

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
/// How long what was sent to a device may stay unacknowledged by its modem, or unwanted by it. A modem that sleeps
/// (eDRX) may be out of reach for minutes. A device that is silent is not asked whether it is there, as that would
/// wake its radio: the idle rule finds it.
const UNACKNOWLEDGED: Duration = Duration::from_secs(300);

/// Where the relay listens.
#[derive(Debug, Clone)]
pub enum ListenOn {
    /// Address and port; port 0 takes a free one.
    Address(SocketAddr),
    /// A socket that another program opened and keeps open over restarts of this one.
    Inherited(Arc<TcpListener>),
}

impl ListenOn {
    /// A listener for each of `workers` threads.
    ///
    /// # Errors
    /// Those of the system, `AddrInUse` among them.
    pub(super) fn open(&self, workers: usize) -> io::Result<Vec<TcpListener>> {
        match self {
            Self::Address(address) => bind(*address, workers),
            Self::Inherited(listener) => share(listener, workers),
        }
    }
}

impl fmt::Display for ListenOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Inherited(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "{address}, a socket that was handed over"),
                Err(_) => f.write_str("a socket that was handed over"),
            },
        }
    }
}

/// Every address at which `listener` is reached: `[::]` may take IPv4 too.
pub(super) fn reached_at(listener: &TcpListener) -> io::Result<Vec<SocketAddr>> {
    let address = listener.local_addr()?;
    let mut addresses = vec![address];
    if address.is_ipv6() && address.ip().is_unspecified() && !SockRef::from(listener).only_v6()? {
        addresses.push(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()));
    }
    Ok(addresses)
}

/// The same socket for each of `workers` threads: who is quickest accepts.
fn share(listener: &TcpListener, workers: usize) -> io::Result<Vec<TcpListener>> {
    listener.set_nonblocking(true)?;
    prepare(&SockRef::from(listener))?;
    (0..workers).map(|_| listener.try_clone()).collect()
}

/// Said of the listening socket, it holds for all that it accepts: packets leave at once, and a device that
/// vanished is missed.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

/// One listener for each of `workers` threads on the same address; the kernel spreads connections over them.
///
/// # Errors
/// Those of the system, `AddrInUse` among them.
fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    // SO_REUSEPORT would also let a second simrelay in beside the first. A socket without it tells.
    let first = socket(address, false)?
        .local_addr()?
        .as_socket()
        .unwrap_or(address);
    (0..workers)
        .map(|_| socket(first, true).map(TcpListener::from))
        .collect()
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 too, and its addresses come as IPv4-mapped ones.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    prepare(&socket)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_a_socket_that_was_opened_by_another_program() {
        let inherited = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = inherited.local_addr().unwrap();
        let listeners = ListenOn::Inherited(inherited).open(2).unwrap();
        assert_eq!(listeners.len(), 2);
        for listener in &listeners {
            let device = std::net::TcpStream::connect(address).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer, device.local_addr().unwrap());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn packets_leave_at_once_and_a_device_that_takes_none_is_missed_in_five_minutes() {
        let address = ListenOn::Address("127.0.0.1:0".parse().unwrap());
        let inherited = ListenOn::Inherited(Arc::new(TcpListener::bind("127.0.0.1:0").unwrap()));
        for on in [address, inherited] {
            let listener = on.open(1).unwrap().remove(0);
            let _device = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            let accepted = SockRef::from(&accepted);
            assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
            assert!(accepted.tcp_nodelay().unwrap());
        }
    }

    #[test]
    fn threads_share_an_address_and_a_second_program_does_not_get_it() {
        let listeners = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let address = listeners[0].local_addr().unwrap();
        assert_eq!(address, listeners[1].local_addr().unwrap());
        assert_eq!(bind(address, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
