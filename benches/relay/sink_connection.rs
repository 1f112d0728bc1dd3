//! One connection at the broker stub.

use super::names;
use super::packet::{CONNACK, Header, PINGRESP, Publish};
use super::payload::Expected;
use super::seen::Seen;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What fits less is not gathered before it is looked at.
const LARGE: usize = 65_536;

/// A message that is too large to be gathered.
struct Large {
    offset: usize,
    left: usize,
    puback: Option<[u8; 2]>,
}

#[derive(Default)]
struct Session {
    device: Option<(u64, Expected)>,
    large: Option<Large>,
    answers: Vec<u8>,
    subscribed: bool,
    ended: bool,
}

/// Answers until the connection ends; an error says what was wrong with what came.
pub async fn serve<R, W>(mut reader: R, writer: W, seen: &Seen) -> Result<(), String>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let mut writer = Some(writer);
    let mut session = Session::default();
    // Grows with traffic only, so that thousands of idle devices fit.
    let mut buffer = Vec::new();
    while !session.ended {
        buffer.reserve(4096);
        match reader.read_buf(&mut buffer).await {
            // However a connection ends: what is missing then is seen by the count.
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
        let used = session.take(&buffer, seen)?;
        buffer.drain(..used);
        if buffer.is_empty() {
            buffer = Vec::with_capacity(if used > 4096 { LARGE } else { 0 });
        }
        if let Some(open) = &mut writer
            && open
                .write_all(&session.answers)
                .await
                .and(open.flush().await)
                .is_err()
        {
            return Ok(());
        }
        session.answers.clear();
        if session.subscribed
            && let (Some(writer), Some((device, _))) = (writer.take(), &session.device)
        {
            seen.subscribers.lock().unwrap().push((*device, Box::new(writer)));
        }
    }
    Ok(())
}

impl Session {
    /// Takes what is whole; how many bytes that was.
    fn take(&mut self, bytes: &[u8], seen: &Seen) -> Result<usize, String> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if let Some(large) = &mut self.large {
                let piece = &rest[..rest.len().min(large.left)];
                if !seen.large.holds(large.offset, piece) {
                    return Err(format!("a large message is damaged behind byte {}", large.offset));
                }
                (large.offset, large.left) = (large.offset + piece.len(), large.left - piece.len());
                at += piece.len();
                if large.left > 0 {
                    return Ok(at);
                }
                self.answer_publish(seen);
                continue;
            }
            let Some(header) = Header::read(rest) else {
                return Ok(at);
            };
            if header.kind() == 3 && header.remaining > LARGE {
                let Some(publish) = Publish::read(&header, rest) else {
                    return Ok(at);
                };
                at += self.large(&header, &publish, rest)?;
                continue;
            }
            let Some(packet) = rest.get(..header.total()) else {
                return Ok(at);
            };
            self.packet(&header, packet, seen)?;
            at += header.total();
        }
    }

    /// Begins one; how many bytes stand before its payload.
    fn large(&mut self, header: &Header, publish: &Publish<'_>, bytes: &[u8]) -> Result<usize, String> {
        let (_, expected) = self.device.as_ref().ok_or("a PUBLISH before CONNECT")?;
        if !expected.is_topic(publish.topic) {
            return Err("a large message under a wrong topic".to_owned());
        }
        let head = bytes.len() - publish.payload.len();
        self.large = Some(Large {
            offset: 0,
            left: header.total() - head,
            puback: publish.id,
        });
        Ok(head)
    }

    fn answer_publish(&mut self, seen: &Seen) {
        if let Some(Large {
            puback: Some([high, low]),
            ..
        }) = self.large.take()
        {
            self.answers.extend_from_slice(&[0x40, 2, high, low]);
        }
        seen.messages.fetch_add(1, Relaxed);
    }

    fn packet(&mut self, header: &Header, packet: &[u8], seen: &Seen) -> Result<(), String> {
        match header.kind() {
            1 => {
                // Behind protocol name, level, flags and keepalive.
                self.device = packet.get(header.length + 12..).and_then(expected);
                if self.device.is_none() {
                    return Err(format!("a CONNECT that no device sent: {packet:02x?}"));
                }
                self.answers.extend_from_slice(&CONNACK);
            }
            3 => {
                let publish = Publish::read(header, packet).ok_or("a PUBLISH that is cut")?;
                let (_, expected) = self.device.as_mut().ok_or("a PUBLISH before CONNECT")?;
                expected.arrived(publish.topic, publish.payload)?;
                if let Some([high, low]) = publish.id {
                    self.answers.extend_from_slice(&[0x40, 2, high, low]);
                }
                seen.messages.fetch_add(1, Relaxed);
            }
            8 => {
                let (device, _) = self.device.as_ref().ok_or("a SUBSCRIBE before CONNECT")?;
                let (id, rest) = packet[header.length..].split_at(2);
                let topic = names::downlink_topic(*device);
                // Length in front, QoS behind.
                if rest.get(2..rest.len() - 1) != Some(topic.as_bytes()) {
                    return Err(format!("a SUBSCRIBE that is not to {topic}: {packet:02x?}"));
                }
                self.answers.extend_from_slice(&[0x90, 3, id[0], id[1], 0]);
                self.subscribed = true;
            }
            12 => self.answers.extend_from_slice(&PINGRESP),
            14 => self.ended = true,
            kind => return Err(format!("a packet of type {kind}")),
        }
        Ok(())
    }
}

/// What a device of this client id has to publish.
fn expected(client_id: &[u8]) -> Option<(u64, Expected)> {
    let device = names::device(client_id)?;
    Some((device, Expected::new(names::uplink_topic(device), device)))
}
