//! A TCP connection of an event loop.

use super::source::{READ, Source, WRITE};
use mio::Interest;
use socket2::Socket;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A TCP connection. It is read and written with tokio's traits, on the thread where it was made.
pub(crate) struct TcpStream {
    socket: mio::net::TcpStream,
    source: Rc<Source>,
}

impl TcpStream {
    /// Connects `socket`, which does not block, to `address`.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) async fn connect(socket: Socket, address: SocketAddr) -> io::Result<Self> {
        match socket.connect(&address.into()) {
            Err(error) if !is_under_way(&error) => return Err(error),
            _ => {}
        }
        let stream = Self::register(mio::net::TcpStream::from_std(socket.into()), 0)?;
        poll_fn(|cx| stream.source.poll_ready(WRITE, cx)).await;
        if stream.source.is_write_closed() {
            stream.socket.take_error()?.map_or(Ok(stream), Err)
        } else {
            Ok(stream)
        }
    }

    /// A connection that was accepted: it can be written, and the first packet has mostly come with it.
    pub(super) fn accepted(socket: mio::net::TcpStream) -> io::Result<Self> {
        Self::register(socket, READ | WRITE)
    }

    fn register(mut socket: mio::net::TcpStream, ready: u8) -> io::Result<Self> {
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        let source = Source::register(&mut socket, ready, interest)?;
        Ok(Self { socket, source })
    }

    /// Whether there may be something to be read. That there is not, only a read finds out.
    #[inline]
    pub(crate) fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        self.source.poll_ready(READ, cx)
    }

    /// Calls `write` as soon as something may be taken, and until it is.
    #[inline]
    pub(crate) fn poll_write_by<T>(
        &self,
        cx: &Context<'_>,
        write: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.source.poll_by(WRITE, cx, write)
    }
}

/// Whether a connect goes on by itself.
fn is_under_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32)
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.source.forget();
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncRead for TcpStream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buf.initialize_unfilled();
        let size = room.len();
        let len = ready!(self.source.poll_by(READ, cx, || (&self.socket).read(room)))?;
        // No more than that was there, and reading once more only to hear so is spared.
        if (1..size).contains(&len) {
            self.source.had_less(READ);
        }
        buf.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TcpStream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.poll_write_by(cx, || (&self.socket).write(bytes));
        written.map_ok(|len| {
            if len < bytes.len() {
                self.source.had_less(WRITE);
            }
            len
        })
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown(Shutdown::Write))
    }
}
