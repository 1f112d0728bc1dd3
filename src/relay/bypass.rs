//! The way past the relay's memory for the body of a large packet: nobody has to look at it, so the kernel hands it from
//! one socket to the other and nobody copies it. Everything else, and all that is TLS, is read and written.

#[cfg(target_os = "linux")]
mod pipe;

use super::portion::LARGEST;
use crate::event_loop::TcpStream;
use crate::upstream::BrokerStream;
use std::io;

#[cfg(target_os = "linux")]
pub(super) use pipe::poll_pass;
#[cfg(all(test, target_os = "linux"))]
pub(super) use pipe::was_used;

/// With less to come than this, the calls cost more than they spare.
pub(super) const WORTHWHILE: usize = LARGEST;

/// A stream that may be a bare TCP socket.
pub(super) trait Bare {
    /// The socket, if nothing lies between it and MQTT.
    fn bare(&self) -> Option<&TcpStream>;
}

impl Bare for TcpStream {
    #[inline]
    fn bare(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl Bare for BrokerStream<TcpStream> {
    #[inline]
    fn bare(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(_) => None,
        }
    }
}

/// What went past.
pub(super) enum Bypassed {
    /// Nothing can now: a read has to find out why.
    Nothing,
    /// So many bytes left the first socket, and this came of them at the second one.
    Bytes(usize, io::Result<()>),
}

/// Other systems have no such way.
#[cfg(not(target_os = "linux"))]
pub(super) fn poll_pass(
    _: &TcpStream,
    _: &TcpStream,
    _: usize,
    _: &mut super::outbox::Outbox,
    _: &mut std::task::Context<'_>,
) -> std::task::Poll<io::Result<Bypassed>> {
    std::task::Poll::Ready(Ok(Bypassed::Nothing))
}
