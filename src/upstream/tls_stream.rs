//! TLS over a broker's TCP stream, with no buffer of its own while nothing is on its way.
//!
//! rustls's own stream keeps 4 KiB a connection for what may come next. Here what comes is read into room that all
//! connections of a thread share, and only what cannot go on at once is kept: the beginning of a record, and what
//! the other side does not take.

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, Error};
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
/// Bytes that are encrypted at once.
const MOST: usize = 64 * 1024;

thread_local! {
    /// Room for records that come.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The client's side of a TLS connection.
pub struct TlsStream<IO> {
    io: IO,
    session: UnbufferedClientConnection,
    /// The beginning of a record, or of a message in several.
    incoming: Vec<u8>,
    /// What was decrypted and the reader had no room for.
    plain: Backlog,
    /// Records that have not gone out.
    outgoing: Backlog,
    /// Whether whoever writes waits for them to go.
    writer_waits: bool,
    /// Whether nothing comes any more.
    ended: bool,
    /// Whether it was against the rules of TLS.
    failed: bool,
    /// Whether the broker was told that nothing goes any more.
    closed: bool,
}

/// What is to be done once the session has looked at all records.
enum Goal<'a> {
    Read,
    Write(&'a [u8]),
    Close,
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
            writer_waits: false,
            ended: false,
            failed: false,
            closed: false,
        };
        stream.process(&mut [], &mut none(), &Goal::Read).1?;
        while stream.session.is_handshaking() {
            poll_fn(|cx| {
                let _ = stream.poll_send(cx)?;
                stream.poll_receive(cx, &mut none())
            })
            .await?;
            if stream.ended {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"));
            }
        }
        Ok(stream)
    }

    /// Has the session look at `records`. What it decrypts goes to `reader` as far as that has room, what it has to say
    /// to the backlog. Gives how many bytes of `records` are done with.
    fn process(
        &mut self,
        records: &mut [u8],
        reader: &mut ReadBuf<'_>,
        goal: &Goal<'_>,
    ) -> (usize, io::Result<()>) {
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
                    self.fail();
                    Some(Err(invalid(error)))
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => Some(match goal {
                    Goal::Read => Ok(()),
                    Goal::Write(bytes) => self
                        .outgoing
                        .append(bytes.len(), |room| traffic.encrypt(bytes, room)),
                    Goal::Close => self.outgoing.append(0, |room| traffic.queue_close_notify(room)),
                }),
                Ok(_) => Some(match goal {
                    Goal::Read => Ok(()),
                    Goal::Write(_) | Goal::Close => Err(io::ErrorKind::BrokenPipe.into()),
                }),
            };
            done += discard;
            if let Some(result) = result {
                return (done, result);
            }
        }
    }

    /// Puts the alert that tells the broker into the backlog. The session is not asked for anything else from then on.
    fn fail(&mut self) {
        while self.session.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(mut data)) =
                self.session.process_tls_records(&mut []).state
        {
            self.outgoing.append_handshake(|room| data.encode(room));
        }
        self.ended = true;
        self.failed = true;
    }

    /// Reads once from the socket, and decrypts every record that is whole.
    fn poll_receive(&mut self, cx: &mut Context<'_>, reader: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ROOM.with_borrow_mut(|room| {
            let held = self.incoming.len();
            let end = held + reader.remaining().max(LITTLE);
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
            let (done, result) = self.process(&mut room[..end], reader, &Goal::Read);
            self.incoming = room[done..end].to_vec();
            if result.is_err() {
                // The alert, if the socket takes it.
                let _ = self.poll_send(cx);
            }
            Poll::Ready(result)
        })
    }

    /// Puts what [`Goal`] says into the backlog.
    fn put(&mut self, goal: &Goal<'_>) -> io::Result<()> {
        if self.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut incoming = mem::take(&mut self.incoming);
        let (done, result) = self.process(&mut incoming, &mut none(), goal);
        incoming.drain(..done);
        self.incoming = incoming;
        result
    }

    /// Sends the backlog for whoever writes.
    fn poll_send_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.poll_send(cx);
        self.writer_waits = sent.is_pending();
        sent
    }

    /// Sends the backlog.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, self.outgoing.rest()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.outgoing.take(sent),
            }
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
        while buf.filled().len() == before && buf.remaining() > 0 {
            if !this.plain.is_empty() {
                let fits = this.plain.rest().len().min(buf.remaining());
                buf.put_slice(&this.plain.rest()[..fits]);
                this.plain.take(fits);
            } else if this.ended {
                break;
            } else {
                if !this.outgoing.is_empty() && !this.writer_waits {
                    // What is not taken waits for the next write, flush or read.
                    let _ = this.poll_send(cx)?;
                }
                ready!(this.poll_receive(cx, buf))?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<IO> {
    /// Takes bytes as soon as little of those before is left.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.outgoing.rest().len() > LITTLE {
            ready!(this.poll_send_on(cx))?;
        }
        let bytes = &bytes[..bytes.len().min(MOST)];
        this.put(&Goal::Write(bytes))?;
        match this.poll_send_on(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send_on(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed && !this.failed {
            this.put(&Goal::Close)?;
            this.closed = true;
        }
        ready!(this.poll_send_on(cx))?;
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

    /// To `reader` as far as it has room, behind what waits for it already.
    fn deliver(&mut self, bytes: &[u8], reader: &mut ReadBuf<'_>) {
        let fits = match self.is_empty() {
            true => bytes.len().min(reader.remaining()),
            false => 0,
        };
        reader.put_slice(&bytes[..fits]);
        self.bytes.extend_from_slice(&bytes[fits..]);
    }

    /// What `write` makes of `len` bytes of plaintext.
    fn append(
        &mut self,
        len: usize,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        let at = self.bytes.len();
        // A record of up to 16 KiB has 22 bytes around it in TLS 1.3, and up to 37 in TLS 1.2.
        let mut room = len + len / 256 + 64;
        loop {
            self.bytes.resize(at + room, 0);
            match write(&mut self.bytes[at..]) {
                Ok(written) => {
                    self.bytes.truncate(at + written);
                    return Ok(());
                }
                Err(EncryptError::InsufficientSize(more)) => room = more.required_size,
                Err(error @ EncryptError::EncryptExhausted) => {
                    self.bytes.truncate(at);
                    return Err(io::Error::other(error));
                }
            }
        }
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
