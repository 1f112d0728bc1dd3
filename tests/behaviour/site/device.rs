//! A device: a TCP socket with a source address of its own, and MQTT by hand.

use super::SOON;
use super::packet::{Connect, Packet, read_packet};
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// One end of an MQTT connection: a device, or a fake broker's end.
#[derive(Debug)]
pub(crate) struct Stream<S> {
    pub(crate) stream: S,
}

pub(crate) type Device = Stream<TcpStream>;

impl Device {
    /// Connects from `source`.
    pub(crate) fn from(source: &str, relay: SocketAddr) -> Self {
        let source: IpAddr = source.parse().unwrap();
        let socket = Socket::new(Domain::for_address(relay), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect_timeout(&relay.into(), SOON).unwrap();
        Self::new(socket.into())
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        Self { stream }
    }

    /// Says that it has said everything.
    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Breaks the connection with a reset.
    pub(crate) fn reset(self) {
        Socket::from(self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// Whether nothing has come that could be read now.
    pub(crate) fn is_quiet(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let quiet = matches!(
            self.stream.peek(&mut [0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock
        );
        self.stream.set_nonblocking(false).unwrap();
        quiet
    }
}

impl<S: Read + Write> Stream<S> {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends what the other side may have no patience to read to its end.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) {
        // The test looks at what comes back.
        let _ = self.stream.write_all(bytes);
        let _ = self.stream.flush();
    }

    /// The next packet.
    pub(crate) fn read(&mut self) -> Packet {
        match read_packet(&mut self.stream) {
            Ok(Some(packet)) => packet,
            Ok(None) => panic!("closed where a packet was expected"),
            Err(error) => panic!("{error} where a packet was expected"),
        }
    }

    /// The next packet has to be these bytes.
    #[track_caller]
    pub(crate) fn expect(&mut self, bytes: &[u8]) {
        let packet = self.read();
        assert_eq!(
            packet.bytes,
            bytes,
            "{packet:?} came, not {}",
            String::from_utf8_lossy(bytes)
        );
    }

    /// Packets until the other side closes or resets.
    pub(crate) fn read_to_end(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            match read_packet(&mut self.stream) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => return packets,
                Err(error) if is_end(&error) => return packets,
                Err(error) => panic!("{error} after {packets:?}, where the end was expected"),
            }
        }
    }

    /// The CONNACK, or `None` if the other side ends before.
    pub(crate) fn connack_or_end(&mut self) -> Option<Packet> {
        match read_packet(&mut self.stream) {
            Ok(packet) => packet,
            Err(error) if is_end(&error) => None,
            Err(error) => panic!("{error} where a CONNACK was expected"),
        }
    }

    /// The other side closes, and says nothing before.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let packets = self.read_to_end();
        assert!(packets.is_empty(), "{packets:?} where the end was expected");
    }

    /// Sends a CONNECT and gives the CONNACK.
    pub(crate) fn connect(&mut self, connect: &Connect) -> Packet {
        self.send(&connect.bytes());
        let connack = self.read();
        assert_eq!(connack.kind(), 2, "{connack:?}");
        connack
    }

    /// Sends a CONNECT that has to be accepted.
    #[track_caller]
    pub(crate) fn enter(&mut self, connect: &Connect) {
        let connack = self.connect(connect);
        assert_eq!(connack.body()[1], 0, "{connack:?}");
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe
    )
}
