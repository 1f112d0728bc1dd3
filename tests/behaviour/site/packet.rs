//! MQTT packets, written and read by hand, so that a test says every byte that it means.

use std::io::{self, Read};

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V31,
    V311,
    V5,
}

impl Version {
    pub(crate) const ALL: [Self; 3] = [Self::V31, Self::V311, Self::V5];

    /// As `mosquitto_pub -V` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V31 => "mqttv31",
            Self::V311 => "mqttv311",
            Self::V5 => "mqttv5",
        }
    }

    /// The code of a refusal: `old` as 3.1 and 3.1.1 say it, `new` as 5 does.
    pub(crate) fn code(self, old: u8, new: u8) -> u8 {
        if self == Self::V5 { new } else { old }
    }
}

pub(crate) const CONNACK_311: &[u8] = &[0x20, 2, 0, 0];
pub(crate) const CONNACK_5: &[u8] = &[0x20, 3, 0, 0, 0];
pub(crate) const PINGREQ: &[u8] = &[0xc0, 0];
pub(crate) const PINGRESP: &[u8] = &[0xd0, 0];

/// A will.
#[derive(Debug, Clone)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    /// Properties of MQTT 5, without their length.
    pub(crate) properties: Vec<u8>,
}

impl Will {
    pub(crate) fn new(topic: &str, payload: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.as_bytes().to_vec(),
            qos: 0,
            properties: Vec::new(),
        }
    }
}

/// A CONNECT.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) keep_alive: u16,
    pub(crate) clean: bool,
    pub(crate) will: Option<Will>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    /// Properties of MQTT 5, without their length.
    pub(crate) properties: Vec<u8>,
}

impl Connect {
    pub(crate) fn new(version: Version, client_id: &str) -> Self {
        Self {
            version,
            client_id: client_id.to_owned(),
            keep_alive: 60,
            clean: true,
            will: None,
            username: None,
            password: None,
            properties: Vec::new(),
        }
    }

    pub(crate) fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    pub(crate) fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    pub(crate) fn login(mut self, username: &str, password: &str) -> Self {
        self.username = Some(username.to_owned());
        self.password = Some(password.to_owned());
        self
    }

    pub(crate) fn properties(mut self, properties: &[u8]) -> Self {
        self.properties = properties.to_vec();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let v5 = self.version == Version::V5;
        let mut body = Vec::new();
        let (name, level) = match self.version {
            Version::V31 => ("MQIsdp", 3),
            Version::V311 => ("MQTT", 4),
            Version::V5 => ("MQTT", 5),
        };
        push_text(&mut body, name);
        let will = self.will.as_ref().map_or(0, |will| 0x04 | (will.qos << 3));
        let flags = (u8::from(self.clean) << 1)
            | will
            | (u8::from(self.username.is_some()) << 7)
            | (u8::from(self.password.is_some()) << 6);
        body.extend_from_slice(&[level, flags]);
        body.extend_from_slice(&self.keep_alive.to_be_bytes());
        if v5 {
            push_block(&mut body, &self.properties);
        }
        push_text(&mut body, &self.client_id);
        if let Some(will) = &self.will {
            if v5 {
                push_block(&mut body, &will.properties);
            }
            push_text(&mut body, &will.topic);
            push_binary(&mut body, &will.payload);
        }
        for field in [&self.username, &self.password].into_iter().flatten() {
            push_text(&mut body, field);
        }
        frame(0x10, &body)
    }
}

fn push_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    push_binary(out, text.as_bytes());
}

fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn push_block(out: &mut Vec<u8>, properties: &[u8]) {
    push_varint(out, properties.len());
    out.extend_from_slice(properties);
}

/// A packet: first byte, remaining length, body.
pub(crate) fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    push_varint(&mut packet, body.len());
    packet.extend_from_slice(body);
    packet
}

/// A property that is a string.
pub(crate) fn property_text(id: u8, text: &str) -> Vec<u8> {
    let mut property = vec![id];
    push_text(&mut property, text);
    property
}

/// PUBLISH of 3.1 and 3.1.1; `id` counts for QoS 1 and 2 only.
pub(crate) fn publish(topic: &str, qos: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(&mut body, topic);
    if qos > 0 {
        body.extend_from_slice(&id.to_be_bytes());
    }
    body.extend_from_slice(payload);
    frame(0x30 | (qos << 1), &body)
}

/// PUBLISH of 5.
pub(crate) fn publish_5(topic: &str, qos: u8, id: u16, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    push_block(&mut rest, properties);
    rest.extend_from_slice(payload);
    publish(topic, qos, id, &rest)
}

pub(crate) fn puback(id: u16) -> Vec<u8> {
    frame(0x40, &id.to_be_bytes())
}

/// SUBSCRIBE with filters and their options.
pub(crate) fn subscribe(version: Version, id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    for (filter, options) in filters {
        push_text(&mut body, filter);
        body.push(*options);
    }
    frame(0x82, &body)
}

pub(crate) fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    for filter in filters {
        push_text(&mut body, filter);
    }
    frame(0xa2, &body)
}

pub(crate) fn disconnect() -> Vec<u8> {
    vec![0xe0, 0]
}

/// AUTH with a reason code, a method and data.
pub(crate) fn auth(code: u8, method: &str, data: &[u8]) -> Vec<u8> {
    let mut properties = property_text(0x15, method);
    properties.push(0x16);
    push_binary(&mut properties, data);
    let mut body = vec![code];
    push_block(&mut body, &properties);
    frame(0xf0, &body)
}

/// A packet as it came.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    header: usize,
}

impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.bytes[..self.bytes.len().min(200)];
        write!(f, "{shown:02x?} {:?}", String::from_utf8_lossy(shown))
    }
}

impl Packet {
    /// The packet type: 2 for CONNACK, 3 for PUBLISH, and so on.
    pub(crate) fn kind(&self) -> u8 {
        self.bytes[0] >> 4
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[self.header..]
    }

    pub(crate) fn qos(&self) -> u8 {
        (self.bytes[0] >> 1) & 3
    }

    fn text(&self, at: usize) -> (String, usize) {
        let body = self.body();
        let len = usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
        let text = String::from_utf8(body[at + 2..at + 2 + len].to_vec()).unwrap();
        (text, at + 2 + len)
    }

    /// The password of a CONNECT, which is its last field, behind the user name `username`.
    pub(crate) fn password_behind(&self, username: &str) -> String {
        assert_eq!(self.kind(), 1, "{self:?}");
        let body = self.body();
        let found = body
            .windows(username.len())
            .rposition(|at| at == username.as_bytes());
        let at = found.unwrap_or_else(|| panic!("no {username:?} in {self:?}"));
        let (password, end) = self.text(at + username.len());
        assert_eq!(end, body.len(), "{self:?}");
        password
    }

    /// The topic of a PUBLISH.
    pub(crate) fn topic(&self) -> String {
        assert_eq!(self.kind(), 3, "{self:?}");
        self.text(0).0
    }

    /// The packet identifier of a PUBLISH of QoS 1 or 2.
    pub(crate) fn publish_id(&self) -> u16 {
        let at = self.text(0).1;
        u16::from_be_bytes([self.body()[at], self.body()[at + 1]])
    }

    /// What follows topic and packet identifier of a PUBLISH: in MQTT 5 the properties come first.
    pub(crate) fn payload(&self) -> &[u8] {
        assert_eq!(self.kind(), 3, "{self:?}");
        let at = self.text(0).1 + if self.qos() > 0 { 2 } else { 0 };
        &self.body()[at..]
    }

    /// The Reason String of a CONNACK or DISCONNECT of MQTT 5 that has no other property.
    pub(crate) fn reason_string(&self) -> Option<String> {
        let at = match self.kind() {
            2 => 2,
            14 => 1,
            _ => panic!("{self:?}"),
        };
        let mut at = at;
        // The property length takes two bytes when the text is long.
        while self.body().get(at)? & 0x80 != 0 {
            at += 1;
        }
        at += 1;
        (self.body().get(at)? == &0x1f).then(|| self.text(at + 1).0)
    }
}

/// The next packet, or `None` at a clean end of the stream.
pub(crate) fn read_packet(from: &mut impl Read) -> io::Result<Option<Packet>> {
    let mut bytes = vec![0];
    if from.read(&mut bytes)? == 0 {
        return Ok(None);
    }
    let mut remaining = 0;
    for shift in [0, 7, 14, 21] {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        bytes.push(byte[0]);
        remaining |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let header = bytes.len();
    bytes.resize(header + remaining, 0);
    from.read_exact(&mut bytes[header..])?;
    Ok(Some(Packet { bytes, header }))
}
