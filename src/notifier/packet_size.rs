//! How large a packet of the broker may be. The MQTT library has one number for what its CONNECT announces and for what
//! it takes, and ends the connection over a byte more. Mosquitto 2.0 does not count a packet's first byte: it sends one
//! byte more than was announced, and sends that again on every connection. So the CONNECT is given a lower number on
//! its way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the broker is told: it sends nothing larger (MQTT 5, 3.1.2.11.4). Twice the longest message that is told, so that
/// those which are somewhat longer are dead letters and not lost without a word.
const ANNOUNCED: u32 = 2 * 1024 * 1024;
/// What the library takes, whatever a broker does not count.
pub(super) const TAKEN: u32 = ANNOUNCED + 1024;
/// The identifier of the property Maximum Packet Size.
const MAXIMUM_PACKET_SIZE: u8 = 0x27;

/// A stream to the broker whose CONNECT announces less than the library takes.
#[derive(Debug)]
pub(super) struct Announcing<S> {
    stream: S,
    connect: Connect,
}

/// The CONNECT, which the library writes first and at once.
#[derive(Debug)]
enum Connect {
    Expected,
    /// What of it is not yet written; in the end nothing.
    Leaving(Vec<u8>),
}

impl<S: AsyncWrite + Unpin> Announcing<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            connect: Connect::Expected,
        }
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Connect::Leaving(rest) = &mut self.connect else {
            return Poll::Ready(Ok(()));
        };
        while !rest.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => drop(rest.drain(..written)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The CONNECT with the lower number. What stands before it cannot look like it: the lengths are shorter, the other
/// properties smaller.
fn announcing(connect: &[u8]) -> Vec<u8> {
    let property = |size: u32| [&[MAXIMUM_PACKET_SIZE][..], &size.to_be_bytes()].concat();
    let (library, ours) = (property(TAKEN), property(ANNOUNCED));
    let mut connect = connect.to_vec();
    let at = connect.windows(library.len()).position(|bytes| bytes == library);
    if let Some(property) = at.and_then(|at| connect.get_mut(at..at + ours.len())) {
        property.copy_from_slice(&ours);
    }
    connect
}

impl<S: AsyncRead + Unpin> AsyncRead for Announcing<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Announcing<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if matches!(this.connect, Connect::Expected) {
            this.connect = Connect::Leaving(announcing(bytes));
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(this.poll_connect(cx))?;
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_connect(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::{AsyncClient, MqttOptions};
    use std::sync::Mutex;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    /// The CONNECT that comes out of a stream, 7 bytes at a time.
    async fn connect<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static>(
        wrap: impl Fn(DuplexStream) -> S + Send + Sync + 'static,
    ) -> Vec<u8> {
        let (ours, mut broker) = duplex(7);
        let ours = Mutex::new(Some(ours));
        let mut options = MqttOptions::new("client", ("localhost", 1));
        options.set_session_expiry_interval(Some(u32::MAX));
        options.set_max_packet_size(Some(TAKEN));
        options.set_credentials("user", "password");
        options.set_socket_connector(move |_, _| {
            let stream = ours.lock().unwrap().take().map(&wrap);
            async { stream.ok_or(io::Error::from(io::ErrorKind::NotConnected)) }
        });
        let (_client, mut events) = AsyncClient::builder(options).capacity(1).build();
        let polled = tokio::spawn(async move { events.poll().await.is_err() });
        let mut packet = vec![0; 2];
        broker.read_exact(&mut packet).await.unwrap();
        packet.resize(2 + usize::from(packet[1]), 0);
        broker.read_exact(&mut packet[2..]).await.unwrap();
        drop(broker);
        assert!(polled.await.unwrap());
        packet
    }

    #[tokio::test]
    async fn the_librarys_connect_announces_less_than_the_library_takes_and_nothing_else_is_changed() {
        let (library, mut ours) = (connect(|stream| stream).await, connect(Announcing::new).await);
        let announced = |packet: &[u8]| u32::from_be_bytes(*packet[19..].first_chunk().unwrap());
        assert_eq!((announced(&library), announced(&ours)), (TAKEN, ANNOUNCED));
        ours[19..23].copy_from_slice(&TAKEN.to_be_bytes());
        assert_eq!(library, ours);
    }

    #[tokio::test]
    async fn what_is_written_behind_the_connect_comes_behind_it_as_it_is() {
        let (ours, mut broker) = duplex(3);
        let mut stream = Announcing::new(ours);
        let wrote = tokio::spawn(async move {
            for part in [&b"connect"[..], b"and ", b"more"] {
                stream.write_all(part).await.unwrap();
            }
            stream.flush().await.unwrap();
        });
        let mut read = vec![0; 15];
        broker.read_exact(&mut read).await.unwrap();
        assert_eq!(read, b"connectand more");
        wrote.await.unwrap();
    }
}
