//! A device.

use super::names;
use super::packet::{CONNACK, DISCONNECT, Header, connect as connect_packet, packet_id, subscribe};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Device {
    pub number: u64,
    pub stream: TcpStream,
}

/// One after the other.
pub async fn connect_all(proxy: SocketAddr, numbers: Range<u64>) -> Vec<Device> {
    let mut fleet = Vec::new();
    for number in numbers {
        fleet.push(connect(proxy, number).await);
    }
    fleet
}

/// A device with its own source address, let in.
///
/// # Panics
/// If it is not let in.
pub async fn connect(proxy: SocketAddr, number: u64) -> Device {
    try_connect(proxy, number).await.expect("the device is let in")
}

/// The same where a proxy may be asked for more than it can do in time.
pub async fn try_connect(proxy: SocketAddr, number: u64) -> std::io::Result<Device> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((names::address(number), 0).into())?;
    let mut stream = socket.connect(proxy).await?;
    stream.set_nodelay(true)?;
    let packet = connect_packet(&names::client_id(number));
    stream.write_all(&packet).await?;
    let mut connack = [0; 4];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut connack)).await??;
    if connack != CONNACK {
        return Err(std::io::Error::other(format!("refused: {connack:02x?}")));
    }
    Ok(Device { number, stream })
}

impl Device {
    /// Takes leave, and waits until the proxy has closed.
    pub async fn disconnect(mut self) {
        self.stream.write_all(&DISCONNECT).await.unwrap();
        // Either way of closing will do.
        let _ = self.stream.read(&mut [0]).await;
    }

    pub async fn subscribe(&mut self, filter: &str) {
        self.stream.write_all(&subscribe(filter)).await.unwrap();
        let mut suback = [0; 5];
        self.stream.read_exact(&mut suback).await.unwrap();
        assert_eq!(suback, [0x90, 3, 0, 1, 0]);
    }
}

/// Reads the PUBACK of message `number`, and no other.
pub async fn puback(reader: &mut (impl AsyncRead + Unpin), number: u32) {
    let mut packet = [0; 4];
    reader.read_exact(&mut packet).await.unwrap();
    let [high, low] = packet_id(number);
    assert_eq!(packet, [0x40, 2, high, low], "PUBACK of message {number}");
}

/// The whole packets at the front of a buffer.
pub fn packets(bytes: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = Header::read(rest)?;
        let (packet, behind) = rest.split_at_checked(header.total())?;
        rest = behind;
        Some((header, packet))
    })
}
