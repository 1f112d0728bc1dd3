//! A device that is connecting: its CONNECT, and what it sends ahead of the answer.

use super::Refusal;
use super::caller::Caller;
use super::first_packet::FirstPacket;
use crate::event_loop::TcpStream;
use crate::mqtt::{Connect, ConnectError, FixedHeader, MAX_CONNECT, PacketType, Version, Violation};
use crate::upstream::{BrokerStream, TlsCause};
use std::future::pending;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The most bytes that a device may send ahead of its CONNACK before it is not read any more.
const MAX_AHEAD: usize = 64 * 1024;
/// The largest CONNECT that is read from an address of no SIM, only to say no in its own version.
const MAX_STRANGER: usize = 4 * 1024;

/// A device's socket and what it sent that has not been passed on.
pub(super) struct Device {
    pub(super) stream: TcpStream,
    pub(super) ahead: Vec<u8>,
    closed: bool,
}

/// What went wrong between CONNECT and CONNACK.
pub(super) enum Failed {
    /// The error, and what it comes from if it was TLS's.
    Closed(String, Option<TlsCause>),
    Answer(Violation),
    /// The device answered the broker's AUTH with something else.
    DeviceAnswer(Violation),
    Device,
}

impl Failed {
    pub(super) fn refusal(self, destination: &crate::entrypoint::Destination) -> Refusal {
        let destination = destination.clone();
        match self {
            Self::Closed(detail, tls) => Refusal::BrokerClosed {
                destination,
                detail,
                tls,
            },
            Self::Answer(violation) => Refusal::BrokerAnswer {
                destination,
                violation,
            },
            Self::DeviceAnswer(violation) => Refusal::Connect(ConnectError::Malformed {
                version: Some(Version::V5),
                violation,
            }),
            Self::Device => Refusal::DeviceLeft { ahead: 0 },
        }
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Closed(format!(" ({error})"), TlsCause::of_connection(&error))
    }
}

impl Device {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
            closed: false,
        }
    }

    /// Reads until the CONNECT is there whole; what came behind it stays in `ahead`.
    pub(super) async fn read_connect(&mut self, caller: &mut Caller) -> Result<Vec<u8>, Refusal> {
        let limit = if caller.sim.is_some() {
            MAX_CONNECT
        } else {
            MAX_STRANGER
        };
        self.ahead.reserve(512);
        loop {
            let header = FixedHeader::parse(&self.ahead)
                .map_err(|_| Refusal::NotConnect(FirstPacket::guess(&self.ahead)))?;
            if let Some(header) = header {
                if header.packet != PacketType::Connect || header.first & 0x0f != 0 {
                    return Err(Refusal::NotConnect(FirstPacket::guess(&self.ahead)));
                }
                if header.total() > limit {
                    // Its first bytes mostly came together, and with them the version to answer in.
                    caller.version = Connect::version_of(&self.ahead);
                    let size = header.total();
                    return Err(match caller.sim {
                        Some(_) => Refusal::ConnectTooLarge { size, limit },
                        None => Refusal::UnknownAddress(caller.peer.ip()),
                    });
                }
                if self.ahead.len() >= header.total() {
                    let ahead = self.ahead.split_off(header.total());
                    return Ok(std::mem::replace(&mut self.ahead, ahead));
                }
            }
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(1..) => {}
                _ => return Err(Refusal::DeviceLeft { ahead: 0 }),
            }
        }
    }

    /// Runs `work` and meanwhile holds what the device sends ahead, within a bound. A device that leaves and has
    /// something to send again ends the wait: its CONNECT must not take over the session of the connection that it
    /// has perhaps opened since, nor may its packets come again behind those of that one.
    pub(super) async fn while_waiting<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Refusal> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            refusal = self.hold_ahead() => Err(refusal),
        }
    }

    async fn hold_ahead(&mut self) -> Refusal {
        while self.ahead.len() < MAX_AHEAD && !self.closed {
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(1..) => {}
                // It said all it has to say and hung up: that still gets there.
                read if has_said_all(&self.ahead, read.is_ok()) => self.closed = true,
                // Its network broke. Nothing was acknowledged to it, so what matters it sends again.
                _ => {
                    let ahead = self.ahead.len();
                    return Refusal::DeviceLeft { ahead };
                }
            }
        }
        pending().await
    }

    /// Passes the broker's AUTH on and the device's AUTH back. Nothing else may come before CONNACK but a DISCONNECT
    /// ([MQTT-3.1.2-30]).
    pub(super) async fn relay_auth(
        &mut self,
        broker: &mut BrokerStream<TcpStream>,
        auth: &[u8],
        connect: &Connect<'_>,
    ) -> Result<(), Failed> {
        if !connect.enhanced_auth {
            return Err(Failed::Answer(Violation::Unexpected(PacketType::Auth)));
        }
        self.stream.write_all(auth).await.map_err(|_| Failed::Device)?;
        loop {
            if let Some(header) = FixedHeader::parse(&self.ahead).map_err(Failed::DeviceAnswer)? {
                let (packet, size, limit) = (header.packet, header.total(), MAX_AHEAD);
                match packet {
                    PacketType::Auth if size <= limit => {}
                    PacketType::Auth => {
                        return Err(Failed::DeviceAnswer(Violation::TooLarge { packet, size, limit }));
                    }
                    PacketType::Disconnect => return Err(Failed::Device),
                    _ => return Err(Failed::DeviceAnswer(Violation::Unexpected(packet))),
                }
                if self.ahead.len() >= header.total() {
                    broker.write_all(&self.ahead[..header.total()]).await?;
                    broker.flush().await?;
                    self.ahead.drain(..header.total());
                    return Ok(());
                }
            }
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(1..) => {}
                _ => return Err(Failed::Device),
            }
        }
    }
}

/// Whether a device that leaves behind these packets sends none of them again: the last is a DISCONNECT, the final packet of
/// a client that leaves on purpose (§3.14), or it closed properly behind messages of QoS 0, which nobody acknowledges.
fn has_said_all(mut packets: &[u8], closed_properly: bool) -> bool {
    let mut is_unacknowledged = closed_properly;
    while let Ok(Some(header)) = FixedHeader::parse(packets) {
        is_unacknowledged &= header.packet == PacketType::Publish && header.qos() == 0;
        match packets.get(header.total()..) {
            Some([]) => return is_unacknowledged || header.packet == PacketType::Disconnect,
            Some(rest) => packets = rest,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_closes_behind_a_disconnect_or_messages_of_qos_0_sends_nothing_again() {
        const PUBLISH: [u8; 5] = [0x30, 3, 0, 1, b't'];
        const QOS_1: [u8; 7] = [0x32, 5, 0, 1, b't', 0, 9];
        const DISCONNECT: [u8; 2] = [0xe0, 0];
        for (packets, when_closed, when_broken) in [
            (vec![&DISCONNECT[..]], true, true),
            (vec![&PUBLISH, &DISCONNECT], true, true),
            (vec![&QOS_1, &DISCONNECT], true, true),
            // MQTT 5, with a reason.
            (vec![&PUBLISH, &[0xe0, 1, 4]], true, true),
            (vec![&PUBLISH, &PUBLISH], true, false),
            (vec![&PUBLISH, &QOS_1], false, false),
            (vec![&QOS_1, &PUBLISH], false, false),
            (vec![&PUBLISH, &[0xc0, 0]], false, false),
            (vec![], false, false),
            // Not there whole.
            (vec![&[0xe0]], false, false),
            (vec![&PUBLISH, &PUBLISH[..4]], false, false),
            (vec![&PUBLISH, &[0xe0, 1]], false, false),
            // The payload only looks like one, and the packet is not there whole.
            (vec![&[0x30, 7, 0, 1, b't'], &DISCONNECT], false, false),
            (vec![&DISCONNECT, &[0xc0, 0]], false, false),
        ] {
            let packets = packets.concat();
            assert_eq!(has_said_all(&packets, true), when_closed, "{packets:02x?}");
            assert_eq!(has_said_all(&packets, false), when_broken, "{packets:02x?}");
        }
    }
}
