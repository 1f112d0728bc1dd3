//! TLS over a broker's TCP stream, with no buffer of its own while nothing is on its way.
//!
//! rustls's own stream keeps 4 KiB a connection for what may come next. Here records come into and go out of room that
//! all connections of a thread share, and only what cannot go on at once is kept: the beginning of a record, and what
//! the other side does not take.

use crate::event_loop::{Order, wake_behind_the_sockets};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, Error, InvalidMessage};
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that a socket is asked for at least, however little room the reader has; and those of records that may wait
/// to go out together with the next.
const LITTLE: usize = 4 * 1024;
/// Bytes that are read or encrypted at once.
const MOST: usize = 64 * 1024;
/// Bytes of records that may wait for the rest of theirs, or of the message in them. rustls bounds the message (64 KiB)
/// but not the records around it, which may be padding but for one byte.
const MOST_HELD: usize = 128 * 1024;
/// Reads that bring nothing for the reader, only tickets or a part of a record, before other tasks get their turn.
const MOST_IN_VAIN: usize = 4;

thread_local! {
    /// Room for records that come or go.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The client's side of a TLS connection. It is for one task: a read sends as well what waits to go out, so who waits
/// to write is woken as whoever reads.
pub struct TlsStream<IO> {
    io: IO,
    session: UnbufferedClientConnection,
    /// The beginning of a record, or of a message in several.
    incoming: Vec<u8>,
    /// What was decrypted and the reader had no room for.
    plain: Backlog,
    /// Records that have not gone out.
    outgoing: Backlog,
    /// Whether nothing comes any more.
    ended: bool,
    /// What was against the rules of TLS, here or for the broker. The session is not asked for anything from then on.
    failure: Option<Box<Error>>,
    /// Whether the broker was told that nothing goes any more.
    closed: bool,
}

/// What is to be done once the session has looked at all records.
enum Goal<'a> {
    Read,
    /// Records of these bytes into this room.
    Write(&'a [u8], &'a mut Vec<u8>),
    Close(&'a mut Vec<u8>),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> TlsStream<IO> {
    /// Shakes hands with `server`. The last flight goes out with the first bytes that are written, or when
    /// the stream is first read.
    ///
    /// # Errors
    /// What the socket said, or within [`io::Error`] the [`rustls::Error`]: why the broker is not trusted, or
    /// what it did not like.
    pub async fn connect(config: Arc<ClientConfig>, server: ServerName<'static>, io: IO) -> io::Result<Self> {
        let mut stream = Self {
            io,
            session: UnbufferedClientConnection::new(config, server).map_err(invalid)?,
            incoming: Vec::new(),
            plain: Backlog::default(),
            outgoing: Backlog::default(),
            ended: false,
            failure: None,
            closed: false,
        };
        stream.process(&mut [], &mut none(), Goal::Read).1?;
        while stream.session.is_handshaking() {
            stream.check()?;
            if stream.ended {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"));
            }
            poll_fn(|cx| {
                // A dead socket shows itself in the read, behind what the broker said last.
                let _ = stream.poll_send(cx);
                stream.poll_receive(cx, &mut none())
            })
            .await?;
        }
        Ok(stream)
    }

    /// Has the session look at `records`. What it decrypts goes to `reader` as far as that has room, what it has to say
    /// to the backlog. Gives how many bytes of `records` are done with, and how many the goal's room holds now.
    fn process(
        &mut self,
        records: &mut [u8],
        reader: &mut ReadBuf<'_>,
        mut goal: Goal<'_>,
    ) -> (usize, io::Result<usize>) {
        let mut done = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.session.process_tls_records(&mut records[done..]);
            let result = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        self.plain.deliver(record.payload, reader);
                    }
                    None
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    self.outgoing.append_handshake(|room| data.encode(room));
                    None
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    None
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.ended = true;
                    None
                }
                Err(error) => {
                    self.fail(error);
                    Some(self.check().map(|()| 0))
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => Some(match &mut goal {
                    Goal::Read => Ok(0),
                    Goal::Write(bytes, room) => {
                        encrypt(room, bytes.len(), |room| traffic.encrypt(bytes, room))
                    }
                    Goal::Close(room) => encrypt(room, 0, |room| traffic.queue_close_notify(room)),
                }),
                Ok(_) => Some(match goal {
                    Goal::Read => Ok(0),
                    Goal::Write(..) | Goal::Close(_) => Err(io::ErrorKind::BrokenPipe.into()),
                }),
            };
            done += discard;
            if let Some(result) = result {
                return (done, result);
            }
        }
    }

    /// Puts the alert that tells the broker, if there is one, into the backlog.
    fn fail(&mut self, error: Error) {
        while self.session.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(mut data)) =
                self.session.process_tls_records(&mut []).state
        {
            self.outgoing.append_handshake(|room| data.encode(room));
        }
        self.ended = true;
        self.failure = Some(Box::new(error));
    }

    fn check(&self) -> io::Result<()> {
        match &self.failure {
            Some(error) => Err(invalid(Error::clone(error))),
            None => Ok(()),
        }
    }

    /// Reads once from the socket, and decrypts every record that is whole. An error is the socket's; one of TLS is kept
    /// until what was decrypted before it has been read.
    fn poll_receive(&mut self, cx: &mut Context<'_>, reader: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ROOM.with_borrow_mut(|room| {
            let held = self.incoming.len();
            let end = held + reader.remaining().clamp(LITTLE, MOST);
            if room.len() < end {
                room.resize(end, 0);
            }
            let mut read = ReadBuf::new(&mut room[held..end]);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            let end = held + read.filled().len();
            if end == held {
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
            room[..held].copy_from_slice(&self.incoming);
            let (done, _) = self.process(&mut room[..end], reader, Goal::Read);
            if self.failure.is_none() && end - done > MOST_HELD {
                self.fail(InvalidMessage::HandshakePayloadTooLarge.into());
            }
            if self.failure.is_some() {
                self.incoming = Vec::new();
                // The alert, if the socket takes it.
                let _ = self.poll_send(cx);
            } else {
                self.incoming = room[done..end].to_vec();
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Has the session make records in the goal's room. Gives how many bytes they are.
    fn put(&mut self, goal: Goal<'_>) -> io::Result<usize> {
        self.check()?;
        let mut incoming = mem::take(&mut self.incoming);
        let (done, put) = self.process(&mut incoming, &mut none(), goal);
        incoming.drain(..done);
        self.incoming = incoming;
        put
    }

    /// Sends records behind the backlog. What the socket does not take joins that.
    fn send(&mut self, cx: &mut Context<'_>, mut records: &[u8]) -> io::Result<()> {
        if self.outgoing.is_empty() {
            while !records.is_empty()
                && let Poll::Ready(sent) = poll_out(&mut self.io, cx, records)
            {
                records = &records[sent?..];
            }
            self.outgoing.bytes.extend_from_slice(records);
            return Ok(());
        }
        self.outgoing.bytes.extend_from_slice(records);
        match self.poll_send(cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    /// Sends the backlog.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let sent = ready!(poll_out(&mut self.io, cx, self.outgoing.rest()))?;
            self.outgoing.take(sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<IO> {
    /// Ends where the broker said so, and where TCP ends without a word as well: many brokers close like that, and MQTT has
    /// its own framing, by which a cut packet is noticed all the same.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        for _ in 0..MOST_IN_VAIN {
            if !this.plain.is_empty() {
                this.plain.give(buf);
            } else if this.ended {
                return Poll::Ready(this.check());
            } else if buf.remaining() > 0 {
                // What is not taken waits for the next write, flush or read. A dead socket shows itself in the read,
                // behind what the broker said last.
                let _ = this.poll_send(cx);
                ready!(this.poll_receive(cx, buf))?;
            }
            if buf.filled().len() > before || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        wake_behind_the_sockets(cx.waker(), Order::Last);
        Poll::Pending
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<IO> {
    /// Takes bytes as soon as little of those before is left.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.outgoing.rest().len() > LITTLE {
            ready!(this.poll_send(cx))?;
        }
        let bytes = &bytes[..bytes.len().min(MOST)];
        let sent = ROOM.with_borrow_mut(|room| {
            let put = this.put(Goal::Write(bytes, room))?;
            this.send(cx, &room[..put])
        });
        Poll::Ready(sent.map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed && this.failure.is_none() {
            this.closed = true;
            ROOM.with_borrow_mut(|room| {
                let put = this.put(Goal::Close(room))?;
                this.send(cx, &room[..put])
            })?;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl<IO: fmt::Debug> fmt::Debug for TlsStream<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}

/// Bytes that could not go on yet. Takes no memory while there are none.
#[derive(Default)]
struct Backlog {
    bytes: Vec<u8>,
    gone: usize,
}

impl Backlog {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    /// Lets the first `count` of the rest go.
    fn take(&mut self, count: usize) {
        self.gone += count;
        if self.gone == self.bytes.len() {
            *self = Self::default();
        }
    }

    /// To `reader` as far as it has room.
    fn give(&mut self, reader: &mut ReadBuf<'_>) {
        let fits = self.rest().len().min(reader.remaining());
        reader.put_slice(&self.rest()[..fits]);
        self.take(fits);
    }

    /// To `reader` as far as it has room, behind what waits for it already.
    fn deliver(&mut self, bytes: &[u8], reader: &mut ReadBuf<'_>) {
        let fits = match self.is_empty() {
            true => bytes.len().min(reader.remaining()),
            false => 0,
        };
        reader.put_slice(&bytes[..fits]);
        self.bytes.extend_from_slice(&bytes[fits..]);
    }

    /// What `write` has to say, which asked with no room tells how much it is.
    fn append_handshake(&mut self, mut write: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
        if let Err(EncodeError::InsufficientSize(needs)) = write(&mut []) {
            let at = self.bytes.len();
            self.bytes.resize(at + needs.required_size, 0);
            let written = write(&mut self.bytes[at..]).unwrap_or_default();
            self.bytes.truncate(at + written);
        }
    }
}

/// Has `write` make records of `len` bytes of plaintext in `room`, which grows as they need. Gives how many bytes they are.
fn encrypt(
    room: &mut Vec<u8>,
    len: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> io::Result<usize> {
    // A record of up to 16 KiB has 22 bytes around it in TLS 1.3, and up to 37 in TLS 1.2.
    let mut needed = len + len / 256 + 64;
    loop {
        if room.len() < needed {
            room.resize(needed, 0);
        }
        match write(room) {
            Ok(written) => return Ok(written),
            Err(EncryptError::InsufficientSize(more)) => needed = more.required_size,
            Err(error @ EncryptError::EncryptExhausted) => return Err(io::Error::other(error)),
        }
    }
}

fn poll_out<IO: AsyncWrite + Unpin>(
    io: &mut IO,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(io).poll_write(cx, bytes)) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        sent => Poll::Ready(sent),
    }
}

/// A reader that takes nothing.
fn none() -> ReadBuf<'static> {
    ReadBuf::new(&mut [])
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
#[path = "tls_stream_tests.rs"]
mod tests;
