//! From socket to socket through a pipe, as splice(2) wants it.

use super::Bypassed;
use crate::event_loop::TcpStream;
use crate::relay::outbox::Outbox;
use crate::relay::portion::LARGEST;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

/// The most bytes that go in one step: of a packet that is not taken no more is held than of others.
const STEP: usize = LARGEST;
/// Size of the pipe in between. It counts what comes in one piece as 4 KiB at least, and small pieces are common.
const PIPE: usize = 2 * STEP;

thread_local! {
    /// Shared by the connections of a worker, and empty whenever it is here.
    static BETWEEN: Cell<Option<Pipe>> = const { Cell::new(None) };
}

/// Hands up to `len` bytes from one socket to the other. What the second one does not take is held in `outbox`.
///
/// # Errors
/// Those of the socket `from`.
pub(in crate::relay) fn poll_pass(
    from: &TcpStream,
    to: &TcpStream,
    len: usize,
    outbox: &mut Outbox,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Bypassed>> {
    ready!(from.poll_readable(cx));
    // Without descriptors for a pipe, bytes are copied.
    let Some(pipe) = BETWEEN.take().or_else(|| Pipe::new().ok()) else {
        return Poll::Ready(Ok(Bypassed::Nothing));
    };
    let filled = match pipe.fill(from, len.min(STEP)) {
        Ok(filled @ 1..) => filled,
        Err(error) if !is_refusal(&error) => return Poll::Ready(Err(error)),
        // The end of the stream, a system that does not let us, or nothing. At urgent data there is nothing for ever, but a
        // read goes past it.
        _ => {
            BETWEEN.set(Some(pipe));
            return Poll::Ready(Ok(Bypassed::Nothing));
        }
    };
    let sent = pipe.send(to, filled, outbox, cx);
    if sent.is_ok() {
        BETWEEN.set(Some(pipe));
    }
    Poll::Ready(Ok(Bypassed::Bytes(filled, sent)))
}

/// Whether a read may do better: a sandbox may keep programs from this call.
fn is_refusal(error: &io::Error) -> bool {
    use ErrorKind::{Interrupted, InvalidInput, PermissionDenied, Unsupported, WouldBlock};
    matches!(
        error.kind(),
        WouldBlock | Interrupted | InvalidInput | PermissionDenied | Unsupported
    )
}

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // With the size that it has (where users may have no more) it works as well.
        let _ = fcntl_setpipe_size(&write, PIPE);
        Ok(Self { read, write })
    }

    fn fill(&self, from: &TcpStream, len: usize) -> io::Result<usize> {
        Ok(splice(from, None, &self.write, None, len, SpliceFlags::NONBLOCK)?)
    }

    /// Sends the `len` bytes that it holds, those that are not taken now by way of `outbox`.
    fn send(&self, to: &TcpStream, len: usize, outbox: &mut Outbox, cx: &mut Context<'_>) -> io::Result<()> {
        let mut left = len;
        while left > 0 {
            let move_on = || Ok(splice(&self.read, None, to, None, left, SpliceFlags::NONBLOCK)?);
            match to.poll_write_by(cx, move_on)? {
                Poll::Ready(0) => return Err(ErrorKind::WriteZero.into()),
                Poll::Ready(moved) => left -= moved,
                Poll::Pending => return outbox.hold_read(left, |bytes| self.take_out(bytes)),
            }
        }
        Ok(())
    }

    /// Takes out bytes that it holds.
    fn take_out(&self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::io::read(&self.read, &mut *bytes)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                n => bytes = &mut bytes[n..],
            }
        }
        Ok(())
    }
}

/// Whether a body has gone past this thread's memory.
#[cfg(test)]
pub(in crate::relay) fn was_used() -> bool {
    let pipe = BETWEEN.take();
    let was_used = pipe.is_some();
    BETWEEN.set(pipe);
    was_used
}
