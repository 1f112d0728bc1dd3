//! Listening sockets that several threads share.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// One listener for each of `workers` threads on the same address; the kernel spreads connections over them.
///
/// # Errors
/// Those of the system, `AddrInUse` among them.
pub(super) fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
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
    socket.listen(BACKLOG)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_an_address_and_a_second_program_does_not_get_it() {
        let listeners = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let address = listeners[0].local_addr().unwrap();
        assert_eq!(address, listeners[1].local_addr().unwrap());
        assert_eq!(bind(address, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
