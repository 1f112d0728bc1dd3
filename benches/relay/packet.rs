//! Bytes of MQTT 3.1.1, by hand: a measuring tool shares no code with what it measures.

use super::payload::{self, Payload};

pub const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
pub const DISCONNECT: [u8; 2] = [0xe0, 0];
pub const PINGRESP: [u8; 2] = [0xd0, 0];

pub fn connect(client_id: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04\x02\x01\x2c".to_vec();
    string(&mut body, client_id);
    framed(0x10, &body)
}

pub fn subscribe(filter: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    string(&mut body, filter);
    body.push(0);
    framed(0x82, &body)
}

/// A PUBLISH up to its payload of `length` bytes; QoS 1 has packet id 1.
pub fn publish_head(topic: &str, qos: u8, length: usize) -> Vec<u8> {
    let mut variable = Vec::new();
    string(&mut variable, topic);
    if qos > 0 {
        variable.extend_from_slice(&[0, 1]);
    }
    let mut head = vec![0x30 | qos << 1];
    remaining_length(&mut head, variable.len() + length);
    head.extend_from_slice(&variable);
    head
}

fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    remaining_length(&mut packet, body.len());
    packet.extend_from_slice(body);
    packet
}

fn remaining_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// A fixed header.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    pub first: u8,
    pub length: usize,
    pub remaining: usize,
}

impl Header {
    /// `None` while it is incomplete.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let first = *bytes.first()?;
        let mut remaining = 0;
        for (n, byte) in bytes.get(1..)?.iter().take(4).enumerate() {
            remaining |= usize::from(byte & 0x7f) << (7 * n);
            if byte & 0x80 == 0 {
                return Some(Self {
                    first,
                    length: n + 2,
                    remaining,
                });
            }
        }
        None
    }

    pub fn total(&self) -> usize {
        self.length + self.remaining
    }

    pub fn kind(&self) -> u8 {
        self.first >> 4
    }
}

/// The parts of a PUBLISH, of whose payload not all need be there.
#[derive(Debug)]
pub struct Publish<'a> {
    pub topic: &'a [u8],
    pub id: Option<[u8; 2]>,
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// `None` where it ends before its payload starts.
    pub fn read(header: &Header, packet: &'a [u8]) -> Option<Self> {
        let body = packet.get(header.length..)?;
        let (length, rest) = body.split_at_checked(2)?;
        let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
        if header.first & 6 == 0 {
            return Some(Self {
                topic,
                id: None,
                payload: rest,
            });
        }
        let (id, payload) = rest.split_at_checked(2)?;
        Some(Self {
            topic,
            id: Some([id[0], id[1]]),
            payload,
        })
    }
}

/// What one sender publishes: the same PUBLISH again and again, each with the next number.
pub struct Publishes {
    packets: Vec<u8>,
    length: usize,
    qos: u8,
    payload: Payload,
}

impl Publishes {
    /// Of which up to `at_once` are wanted in one piece.
    pub fn new(topic: &str, device: u64, qos: u8, at_once: usize) -> Self {
        let payload = Payload::of(device);
        let mut packet = publish_head(topic, qos, payload::LENGTH);
        packet.extend_from_slice(payload.bytes());
        Self {
            length: packet.len(),
            packets: packet.repeat(at_once),
            qos,
            payload,
        }
    }

    /// The number of the next.
    pub fn number(&self) -> u32 {
        self.payload.number()
    }

    /// The next `count` of them.
    pub fn next(&mut self, count: usize) -> &[u8] {
        let bytes = &mut self.packets[..self.length * count];
        for packet in bytes.chunks_exact_mut(self.length) {
            let (head, payload) = packet.split_at_mut(self.length - payload::LENGTH);
            if self.qos > 0 {
                let id = head.len() - 2;
                head[id..].copy_from_slice(&packet_id(self.payload.number()));
            }
            payload.copy_from_slice(self.payload.bytes());
            self.payload.advance();
        }
        bytes
    }
}

/// The packet id of a sender's message.
pub fn packet_id(number: u32) -> [u8; 2] {
    ((number % 65_535) as u16 + 1).to_be_bytes()
}
