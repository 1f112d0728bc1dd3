//! The splice of topics, against an independent decoder.

use super::{Rules, named, replaced, version};
use mqtt_protocol_core::mqtt::packet::{Property, ResponseTopic, v3_1_1, v5_0};
use simrelay::mqtt::{FixedHeader, Scratch, Uplink, Version};

/// A PUBLISH: but for its topics, another decoder sees the same before and after.
pub fn splice(data: &[u8]) {
    let [first, flags, body @ ..] = data else { return };
    let version = version(*first);
    let mut packet = vec![0x30 | flags & 0x0f];
    let mut len = body.len();
    while len >= 0x80 {
        packet.push(len as u8 | 0x80);
        len /= 0x80;
    }
    packet.push(len as u8);
    packet.extend_from_slice(body);
    let (mut uplink, mut scratch) = (Uplink::new(version, Rules), Scratch::default());
    let passed = uplink.pass(&packet, &mut scratch);
    if passed.violation.is_some() {
        return;
    }
    assert_eq!(passed.requests, 1);
    let header = FixedHeader::parse(passed.bytes).ok().flatten().expect("a packet");
    assert_eq!(header.total(), passed.bytes.len());
    let after = Publish::read(version, passed.bytes[0], &passed.bytes[header.len..]);
    if let Some(before) = Publish::read(version, packet[0], body) {
        assert_eq!(after, Some(before.rewritten()));
    }
}

/// All that another decoder sees of a PUBLISH.
#[derive(Debug, PartialEq)]
struct Publish {
    first: u8,
    dup: bool,
    qos: u8,
    retain: bool,
    topic: String,
    packet_id: Option<u16>,
    properties: Vec<Property>,
    payload: Vec<u8>,
}

impl Publish {
    /// `None` if that decoder does not take it, or not all of it.
    fn read(version: Version, first: u8, body: &[u8]) -> Option<Self> {
        let flags = first & 0x0f;
        let (publish, len) = match version {
            Version::V5 => {
                let (publish, len) = v5_0::Publish::parse(flags, body.into()).ok()?;
                let publish = Self {
                    first,
                    dup: publish.dup(),
                    qos: publish.qos() as u8,
                    retain: publish.retain(),
                    topic: publish.topic_name().to_owned(),
                    packet_id: publish.packet_id(),
                    properties: publish.props().to_vec(),
                    payload: publish.payload().as_slice().to_vec(),
                };
                (publish, len)
            }
            Version::V311 | Version::V31 => {
                let (publish, len) = v3_1_1::Publish::parse(flags, body.into()).ok()?;
                let publish = Self {
                    first,
                    dup: publish.dup(),
                    qos: publish.qos() as u8,
                    retain: publish.retain(),
                    topic: publish.topic_name().to_owned(),
                    packet_id: publish.packet_id(),
                    properties: Vec::new(),
                    payload: publish.payload().as_slice().to_vec(),
                };
                (publish, len)
            }
        };
        (len == body.len()).then_some(publish)
    }

    /// What is to become of it.
    fn rewritten(self) -> Self {
        let topic = match self.topic.as_str() {
            // The broker has the rewritten topic under its alias.
            "" => String::new(),
            topic => named(topic),
        };
        Self {
            topic,
            properties: rewritten(self.properties),
            ..self
        }
    }
}

/// What is to become of the properties of a PUBLISH or a will.
pub(super) fn rewritten(properties: Vec<Property>) -> Vec<Property> {
    let rewritten = |property| match property {
        Property::ResponseTopic(topic) => {
            let topic = ResponseTopic::new(replaced(topic.val()));
            Property::ResponseTopic(topic.expect("a topic that fits, as the packet passed"))
        }
        other => other,
    };
    properties.into_iter().map(rewritten).collect()
}
