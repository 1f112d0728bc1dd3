//! What a socket did not take yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// The end of a direction. Holds memory only while its socket takes less than it is offered; nothing is
/// read for a direction whose outbox is not clear, so what it holds is bounded by one read.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    held: Vec<u8>,
    sent: usize,
    /// Requests that are complete when all held bytes have gone.
    requests: u32,
    /// TLS took bytes that are not on the wire yet.
    unflushed: bool,
}

impl Outbox {
    /// Whether everything has gone.
    #[inline]
    pub(super) fn is_clear(&self) -> bool {
        self.held.is_empty() && !self.unflushed
    }

    /// Keeps bytes for the next [`Self::poll_clear`].
    pub(super) fn hold(&mut self, bytes: &[u8], requests: u32) {
        self.held.extend_from_slice(bytes);
        self.requests += requests;
    }

    /// Sends what is held. Gives the requests that went out with it.
    #[inline]
    pub(super) fn poll_clear<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<u32>> {
        if self.is_clear() {
            return Poll::Ready(Ok(0));
        }
        while self.sent < self.held.len() {
            match Pin::new(&mut *stream).poll_write(cx, &self.held[self.sent..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    self.sent += n;
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let requests = std::mem::take(&mut self.requests);
        // An idle connection gives its memory back.
        self.held = Vec::new();
        self.sent = 0;
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                Poll::Ready(Ok(requests))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.requests = requests;
                Poll::Pending
            }
        }
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
            match Pin::new(&mut *stream).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => bytes = &bytes[n..],
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.hold(bytes, requests);
                    self.unflushed = true;
                    return Ok(0);
                }
            }
        }
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(flushed) => flushed.map(|()| requests),
            Poll::Pending => {
                self.requests = requests;
                self.unflushed = true;
                Ok(0)
            }
        }
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
        assert_eq!(outbox.held.capacity(), 0);
        far.read_exact(&mut read[..2]).await.unwrap();
        assert_eq!(&read[..2], b"56");
    }
}
