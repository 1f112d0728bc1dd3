//! A listening socket of an event loop.

use super::source::{READ, Source};
use super::stream::TcpStream;
use mio::Interest;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

/// Accepts connections, on the thread where it was made.
pub(crate) struct TcpListener {
    socket: mio::net::TcpListener,
    source: Rc<Source>,
}

impl TcpListener {
    /// Takes over a listener, which must not block.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn from_std(socket: std::net::TcpListener) -> io::Result<Self> {
        let mut socket = mio::net::TcpListener::from_std(socket);
        let source = Source::register(&mut socket, 0, Interest::READABLE)?;
        Ok(Self { socket, source })
    }

    /// The next connection, and whose it is.
    ///
    /// # Errors
    /// Those of the system, who may have no more descriptors.
    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = poll_fn(|cx| self.source.poll_by(READ, cx, || self.socket.accept())).await?;
        Ok((TcpStream::accepted(socket)?, peer))
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.source.forget_shared(&mut self.socket);
    }
}
