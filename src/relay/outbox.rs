//! What a socket did not take yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// The end of a direction. Holds memory only while its socket takes less than it is offered; nothing is
/// read for a direction whose outbox is not clear, so what it holds is bounded by one read.
#[derive(Debug, Default)]
pub(super) struct Outbox(Option<Box<Held>>);

#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    sent: usize,
    /// Requests that are complete when all bytes have gone.
    requests: u32,
}

impl Outbox {
    /// Whether everything has gone.
    #[inline]
    pub(super) fn is_clear(&self) -> bool {
        self.0.is_none()
    }

    /// How many bytes of what is held have gone.
    #[inline]
    pub(super) fn sent(&self) -> usize {
        self.0.as_ref().map_or(0, |held| held.sent)
    }

    /// Keeps bytes for the next [`Self::poll_clear`].
    pub(super) fn hold(&mut self, bytes: &[u8], requests: u32) {
        let held = self.0.get_or_insert_default();
        held.bytes.extend_from_slice(bytes);
        held.requests += requests;
    }

    /// The same for `len` bytes that `read` puts into the place where they are kept.
    pub(super) fn hold_read(
        &mut self,
        len: usize,
        read: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let held = self.0.get_or_insert_default();
        let at = held.bytes.len();
        held.bytes.resize(at + len, 0);
        read(&mut held.bytes[at..])
    }

    /// Sends what is held. Gives the requests that went out with it.
    #[inline]
    pub(super) fn poll_clear<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<u32>> {
        let Some(held) = &mut self.0 else {
            return Poll::Ready(Ok(0));
        };
        while held.sent < held.bytes.len() {
            held.sent += ready!(poll_write(stream, cx, &held.bytes[held.sent..]))?;
        }
        ready!(Pin::new(stream).poll_flush(cx))?;
        let requests = held.requests;
        self.0 = None;
        Poll::Ready(Ok(requests))
    }

    /// Sends `bytes`, of which what the socket does not take is held. Only while clear. Gives the requests
    /// that are out completely.
    #[inline]
    pub(super) fn send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
        requests: u32,
    ) -> io::Result<u32> {
        debug_assert!(self.is_clear());
        if bytes.is_empty() {
            return Ok(requests);
        }
        while !bytes.is_empty() {
            match poll_write(stream, cx, bytes) {
                Poll::Ready(n) => bytes = &bytes[n?..],
                Poll::Pending => {
                    self.hold(bytes, requests);
                    return Ok(0);
                }
            }
        }
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(flushed) => flushed.map(|()| requests),
            Poll::Pending => {
                self.hold(&[], requests);
                Ok(0)
            }
        }
    }
}

#[inline]
fn poll_write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(stream).poll_write(cx, bytes)) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(written),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn requests_count_when_their_last_byte_is_out_and_memory_goes_with_them() {
        let (mut near, mut far) = tokio::io::duplex(4);
        let mut outbox = Outbox::default();
        let sent = poll_fn(|cx| Poll::Ready(outbox.send(&mut near, cx, b"123456", 2))).await;
        assert_eq!(sent.unwrap(), 0);
        assert!(!outbox.is_clear());
        let mut read = [0; 4];
        far.read_exact(&mut read).await.unwrap();
        let cleared = poll_fn(|cx| outbox.poll_clear(&mut near, cx)).await;
        assert_eq!(cleared.unwrap(), 2);
        assert!(outbox.is_clear());
        far.read_exact(&mut read[..2]).await.unwrap();
        assert_eq!(&read[..2], b"56");
    }
}
