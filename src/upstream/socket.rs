//! What a way to a broker begins with, whatever runs the caller.

use crate::event_loop;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use tokio::io::{AsyncRead, AsyncWrite};

/// A TCP connection of the runtime that the caller runs on.
pub trait Socket: AsyncRead + AsyncWrite + AsFd + Unpin + Sized {
    /// Connects `socket`, which does not block, to `address`.
    ///
    /// # Errors
    /// Those of the system.
    fn connect(socket: socket2::Socket, address: SocketAddr) -> impl Future<Output = io::Result<Self>>;
}

/// The data plane's.
impl Socket for event_loop::TcpStream {
    fn connect(socket: socket2::Socket, address: SocketAddr) -> impl Future<Output = io::Result<Self>> {
        Self::connect(socket, address)
    }
}

/// That of services which are clients of a broker.
impl Socket for tokio::net::TcpStream {
    fn connect(socket: socket2::Socket, address: SocketAddr) -> impl Future<Output = io::Result<Self>> {
        tokio::net::TcpSocket::from_std_stream(socket.into()).connect(address)
    }
}
