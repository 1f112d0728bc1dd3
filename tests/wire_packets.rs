//! Legal and illegal packets by normative statement, each as it is and cut at every byte.
//!
//! Statements are those of MQTT 5.0, of MQTT 3.1.1 in rows of that version; rows of MQTT 3.1, which has
//! no numbers, and rules without a number name the section. Where a rule concerns only the two ends, as
//! in the properties of a PUBACK, the relay passes the packet on and leaves it to them to judge: such
//! rows are marked "theirs".
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use simrelay::mqtt::Version::{V5, V31, V311};
use simrelay::mqtt::{
    Connack, Connect, ConnectError, Downlink, Login, PacketType, Reason, Scratch, TopicRewrite, Unchanged,
    Uplink, Version, Violation,
};

/// Looks at every topic and changes none, so that all rules are applied.
#[derive(Debug, Clone, Copy)]
struct Watch;

impl TopicRewrite for Watch {
    fn topic_name(&self, _: &str, _: &mut Vec<u8>) -> bool {
        false
    }
    fn topic_filter(&self, _: &str, _: &mut Vec<u8>) -> bool {
        false
    }
    fn response_topic(&self, _: &str, _: &mut Vec<u8>) -> bool {
        false
    }
    fn rewrites_filters(&self) -> bool {
        true
    }
    fn rewrites_response_topics(&self) -> bool {
        true
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// Every byte passes as it is.
    Passes,
    /// So it does, and it was a DISCONNECT.
    Ends,
    /// Refused: with this code in MQTT 5.
    Wrong(Reason, Violation),
}
use Outcome::{Ends, Passes, Wrong};

type Row = (&'static str, Version, Vec<u8>, Outcome);

fn malformed(violation: Violation) -> Outcome {
    Wrong(Reason::MalformedPacket, violation)
}

fn protocol(violation: Violation) -> Outcome {
    Wrong(Reason::ProtocolError, violation)
}

fn flags(packet: PacketType, flags: u8) -> Outcome {
    malformed(Violation::Flags { packet, flags })
}

fn length(packet: PacketType, remaining: usize) -> Outcome {
    malformed(Violation::Length { packet, remaining })
}

fn wildcard(topic: &str) -> Outcome {
    Wrong(Reason::TopicNameInvalid, Violation::WildcardInTopic(topic.into()))
}

fn misplaced(id: u32, place: &'static str) -> Outcome {
    malformed(Violation::Property { id, place })
}

/// A packet with the shortest remaining length.
fn p(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut len = body.len();
    while len >= 0x80 {
        packet.push(len as u8 | 0x80);
        len >>= 7;
    }
    packet.push(len as u8);
    packet.extend_from_slice(body);
    packet
}

/// A CONNECT with keep alive 60.
fn connect(name: &str, level: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![0, name.len() as u8];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(&[level, flags, 0, 60]);
    body.extend_from_slice(rest);
    p(0x10, &body)
}

/// A PUBLISH of MQTT 5 to `t` with these properties and payload `x`.
fn with_properties(block: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 1, b't', block.len() as u8];
    body.extend_from_slice(block);
    body.push(b'x');
    p(0x30, &body)
}

const TOPIC: &str = "the topic name";

#[rustfmt::skip]
fn from_devices_fixed_header() -> Vec<Row> {
    use PacketType as P;
    use Violation as V;
    vec![
        ("2.1.2", V5, vec![0x00, 0x00], malformed(V::ReservedType(0))),
        ("2.1.2", V311, vec![0x0f, 0x00], malformed(V::ReservedType(0))),
        ("2.1.2 AUTH", V311, vec![0xf0, 0x00], protocol(V::Unexpected(P::Auth))),
        ("2.1.2 AUTH", V31, vec![0xf0, 0x00], protocol(V::Unexpected(P::Auth))),
        ("2.1.2 AUTH", V5, vec![0xf0, 0x00], Passes),
        ("2.1.2 AUTH", V5, p(0xf0, b"\x18\x05\x15\0\x02SC"), Passes),
        ("MQTT-3.1.0-2", V5, connect("MQTT", 5, 2, b"\0\0\x01c"), protocol(V::Unexpected(P::Connect))),
        ("MQTT-3.1.0-2", V311, connect("MQTT", 4, 2, b"\0\x01c"), protocol(V::Unexpected(P::Connect))),
        ("MQTT-3.1.0-2", V31, connect("MQIsdp", 3, 2, b"\0\x01c"), protocol(V::Unexpected(P::Connect))),
        ("2.1.2 from the server only", V311, p(0x20, b"\0\0"), protocol(V::Unexpected(P::Connack))),
        ("2.1.2 from the server only", V5, p(0x20, b"\0\0\0"), protocol(V::Unexpected(P::Connack))),
        ("2.1.2 from the server only", V5, p(0x90, b"\0\x01\0\0"), protocol(V::Unexpected(P::Suback))),
        ("2.1.2 from the server only", V311, p(0xb0, b"\0\x01"), protocol(V::Unexpected(P::Unsuback))),
        ("2.1.2 from the server only", V31, vec![0xd0, 0], protocol(V::Unexpected(P::Pingresp))),
        ("MQTT-2.1.3-1", V5, vec![0xc1, 0], flags(P::Pingreq, 1)),
        ("MQTT-2.2.2-2", V311, vec![0xc8, 0], flags(P::Pingreq, 8)),
        ("3.1: 2.1 flags unused", V31, vec![0xcf, 0], Passes),
        ("MQTT-2.1.3-1", V5, p(0x41, b"\0\x01"), flags(P::Puback, 1)),
        ("MQTT-2.1.3-1", V5, p(0x52, b"\0\x01"), flags(P::Pubrec, 2)),
        ("MQTT-2.1.3-1", V5, p(0x74, b"\0\x01"), flags(P::Pubcomp, 4)),
        ("MQTT-3.6.1-1", V5, p(0x60, b"\0\x01"), flags(P::Pubrel, 0)),
        ("MQTT-3.6.1-1", V311, p(0x6a, b"\0\x01"), flags(P::Pubrel, 0xa)),
        ("MQTT-3.6.1-1", V311, p(0x62, b"\0\x01"), Passes),
        ("3.1: 2.1 DUP on PUBREL", V31, p(0x6a, b"\0\x01"), Passes),
        ("MQTT-3.8.1-1", V5, p(0x80, b"\0\x01\0\0\x01a\0"), flags(P::Subscribe, 0)),
        ("MQTT-3.8.1-1", V311, p(0x8a, b"\0\x01\0\x01a\0"), flags(P::Subscribe, 0xa)),
        ("3.1: 2.1 DUP on SUBSCRIBE", V31, p(0x8a, b"\0\x01\0\x01a\0"), Passes),
        ("3.1: 2.1 SUBSCRIBE has QoS 1", V31, p(0x80, b"\0\x01\0\x01a\0"), flags(P::Subscribe, 0)),
        ("MQTT-3.10.1-1", V5, p(0xa0, b"\0\x01\0\0\x01a"), flags(P::Unsubscribe, 0)),
        ("MQTT-3.10.1-1", V311, p(0xa3, b"\0\x01\0\x01a"), flags(P::Unsubscribe, 3)),
        ("3.1: 2.1 DUP on UNSUBSCRIBE", V31, p(0xaa, b"\0\x01\0\x01a"), Passes),
        ("MQTT-3.14.1-1", V5, vec![0xe1, 0], flags(P::Disconnect, 1)),
        ("MQTT-3.14.1-1", V311, vec![0xe2, 0], flags(P::Disconnect, 2)),
        ("MQTT-3.15.1-1", V5, vec![0xf2, 0], flags(P::Auth, 2)),
        ("MQTT-1.5.5-1", V5, vec![0xc0, 0x80, 0], malformed(V::RemainingLength)),
        ("MQTT-1.5.5-1", V5, b"\x30\x84\x00\0\x01t\0".to_vec(), malformed(V::RemainingLength)),
        ("2.2.3 no shortest form asked", V311, vec![0xc0, 0x80, 0], Passes),
        ("2.2.3 no shortest form asked", V311, b"\x30\x84\x80\x00\0\x01tx".to_vec(), Passes),
        ("2.1.4", V5, vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01], malformed(V::RemainingLength)),
        ("2.2.3", V311, vec![0x30, 0x80, 0x80, 0x80, 0x80, 0x00], malformed(V::RemainingLength)),
        ("2.1: remaining length", V31, vec![0xc0, 0xff, 0xff, 0xff, 0xff], malformed(V::RemainingLength)),
        ("3.12", V5, vec![0xc0, 1, 0], length(P::Pingreq, 1)),
        ("3.14", V311, vec![0xe0, 1, 0], length(P::Disconnect, 1)),
        ("3.4", V311, p(0x40, b"\0\x01\0"), length(P::Puback, 3)),
        ("3.4", V5, p(0x40, b"\x01"), length(P::Puback, 1)),
        ("3.5", V311, vec![0x50, 0], length(P::Pubrec, 0)),
    ]
}

#[rustfmt::skip]
fn from_devices_acknowledgements() -> Vec<Row> {
    vec![
        ("3.4.2.1 no reason, no properties", V5, p(0x40, b"\0\x01"), Passes),
        ("3.4.2.2 reason without properties", V5, p(0x40, b"\0\x01\x10"), Passes),
        ("3.4.2.2 explicit default", V5, p(0x40, b"\0\x01\0\0"), Passes),
        ("3.4.2.2 Reason String", V5, p(0x40, b"\0\x01\x80\x05\x1f\0\x02no"), Passes),
        ("3.5.2.1 short", V5, p(0x50, b"\0\x01\x10"), Passes),
        ("3.6.2.1 short", V5, p(0x62, b"\0\x01\x92"), Passes),
        ("3.7.2.1 long", V5, p(0x70, b"\0\x01\0\x07\x26\0\x01a\0\x01b"), Passes),
        ("theirs: 3.4.2.2.2", V5, p(0x40, b"\0\x01\0\x02\x01\0"), Passes),
        ("3.14.2.1 nil", V5, vec![0xe0, 0], Ends),
        ("3.14.2.1 reason only", V5, vec![0xe0, 1, 4], Ends),
        ("3.14.2.2 explicit", V5, vec![0xe0, 2, 4, 0], Ends),
        ("3.14.2.2.2 Session Expiry", V5, p(0xe0, b"\0\x05\x11\0\0\0\x09"), Ends),
        ("3.14", V311, vec![0xe0, 0], Ends),
        ("3.14", V31, vec![0xe0, 0], Ends),
        ("MQTT-3.14.4-1 nothing follows", V311, vec![0xe0, 0], Ends),
        ("3.15.2.1 nil", V5, vec![0xf0, 0], Passes),
        ("3.15.2.1 reauthenticate", V5, p(0xf0, b"\x19\x06\x15\0\x01m\x16\0"), Passes),
        ("3.12", V31, vec![0xc0, 0], Passes),
    ]
}

#[rustfmt::skip]
fn from_devices_publish() -> Vec<Row> {
    use PacketType as P;
    use Violation as V;
    let text = || malformed(V::Text(TOPIC));
    let long = |n: usize| {
        let mut body = (n as u16).to_be_bytes().to_vec();
        body.resize(2 + n, b'l');
        p(0x30, &body)
    };
    vec![
        ("MQTT-3.3.1-4", V5, p(0x36, b"\0\x01t\0\x01\0x"), malformed(V::Qos)),
        ("MQTT-3.3.1-4", V311, p(0x36, b"\0\x01t\0\x01x"), malformed(V::Qos)),
        ("3.1: 2.1 QoS 3 is reserved", V31, p(0x3f, b"\0\x01t\0\x01x"), malformed(V::Qos)),
        ("MQTT-3.3.1-2", V5, p(0x38, b"\0\x01t\0x"), malformed(V::DupAtQos0)),
        ("MQTT-3.3.1-2", V311, p(0x39, b"\0\x01tx"), malformed(V::DupAtQos0)),
        ("3.1: 2.1 DUP means nothing at QoS 0", V31, p(0x38, b"\0\x01tx"), Passes),
        ("MQTT-3.3.1-1", V311, p(0x3a, b"\0\x01t\0\x01x"), Passes),
        ("MQTT-3.3.1-1", V5, p(0x3d, b"\0\x01t\0\x01\0x"), Passes),
        ("MQTT-2.2.1-3", V5, p(0x32, b"\0\x01t\0\0\0x"), malformed(V::PacketId(P::Publish))),
        ("MQTT-2.3.1-1", V311, p(0x34, b"\0\x01t\0\0x"), malformed(V::PacketId(P::Publish))),
        ("3.1: 2.4 message id 0 is reserved", V31, p(0x32, b"\0\x01t\0\0x"), malformed(V::PacketId(P::Publish))),
        ("MQTT-2.2.1-2", V311, p(0x30, b"\0\x01t\0\0"), Passes),
        ("2.2.1 largest identifier", V311, p(0x32, b"\0\x01t\xff\xff"), Passes),
        ("MQTT-3.3.2-1", V311, p(0x30, b"\0\x02t"), malformed(V::Truncated(TOPIC))),
        ("MQTT-3.3.2-1", V5, p(0x30, b"\0\x05t\0"), malformed(V::Truncated(TOPIC))),
        ("MQTT-3.3.2-1", V311, p(0x32, b"\0\x01t\0"), malformed(V::Truncated(TOPIC))),
        ("3.3.2", V311, p(0x30, b"\0"), length(P::Publish, 1)),
        ("3.3.2", V31, vec![0x30, 0], length(P::Publish, 0)),
        ("3.3.2", V5, p(0x32, b"\0\x01t"), length(P::Publish, 3)),
        ("3.3.3 no payload", V311, p(0x31, b"\0\x01t"), Passes),
        ("3.3.3 any payload", V5, p(0x30, b"\0\x01t\0\xff\0\xfe#+"), Passes),
        ("MQTT-3.3.2-2", V5, p(0x30, b"\0\x03a/#\0"), wildcard("a/#")),
        ("MQTT-3.3.2-2", V311, p(0x30, b"\0\x03+/ax"), wildcard("+/a")),
        ("3.1: 3.3 no wildcard", V31, p(0x30, b"\0\x02a+x"), wildcard("a+")),
        ("MQTT-4.7.3-1", V311, p(0x30, b"\0\0x"), protocol(V::EmptyTopic)),
        ("MQTT-4.7.3-1", V31, p(0x30, b"\0\0x"), protocol(V::EmptyTopic)),
        ("3.3.2.1 alias for the topic", V5, p(0x30, b"\0\0\x03\x23\0\x01x"), Passes),
        ("theirs: 3.3.2.1 no topic, no alias", V5, p(0x30, b"\0\0\0x"), Passes),
        ("MQTT-4.7.3-3", V311, long(65_535), Passes),
        ("MQTT-1.5.4-2", V5, p(0x30, b"\0\x03a\0b\0"), text()),
        ("MQTT-1.5.3-2", V311, p(0x30, b"\0\x01\0"), text()),
        ("MQTT-1.5.4-2 and MQTT-3.3.2-2", V5, p(0x30, b"\0\x03#\0b\0"), text()),
        ("MQTT-1.5.4-1 lone continuation", V5, p(0x30, b"\0\x02a\x80\0"), text()),
        ("MQTT-1.5.4-1 overlong", V5, p(0x30, b"\0\x02\xc0\xaf\0"), text()),
        ("MQTT-1.5.4-1 overlong U+0000", V5, p(0x30, b"\0\x02\xc0\x80\0"), text()),
        ("MQTT-1.5.3-1 overlong of three", V311, p(0x30, b"\0\x03\xe0\x80\xaf"), text()),
        ("MQTT-1.5.4-1 surrogate", V5, p(0x30, b"\0\x03\xed\xa0\x80\0"), text()),
        ("MQTT-1.5.3-1 surrogate", V311, p(0x30, b"\0\x03\xed\xbf\xbf"), text()),
        ("MQTT-1.5.3-1 surrogate pair", V31, p(0x30, b"\0\x06\xed\xa0\xbd\xed\xb8\x80"), text()),
        ("MQTT-1.5.4-1 over U+10FFFF", V5, p(0x30, b"\0\x04\xf4\x90\x80\x80\0"), text()),
        ("MQTT-1.5.4-1 cut character", V5, p(0x30, b"\0\x02\xe6\xb8\0"), text()),
        ("1.5.4 multi-byte first character", V5, p(0x30, b"\0\x06\xe6\xb8\xa9\xe5\xba\xa6\0"), Passes),
        ("1.5.3 four bytes", V311, p(0x30, b"\0\x04\xf0\x9f\x98\x80"), Passes),
        ("MQTT-1.5.4-3 byte order mark", V5, p(0x30, b"\0\x04\xef\xbb\xbft\0"), Passes),
        ("1.5.4 control characters may pass", V311, p(0x30, b"\0\x03a\x01\x7f"), Passes),
        ("1.5.4 non-characters may pass", V5, p(0x30, b"\0\x03\xef\xbf\xbf\0"), Passes),
        ("4.7.2 $ topics", V311, p(0x30, b"\0\x04$SYSx"), Passes),
        ("4.7.3 only a slash, spaces", V311, p(0x30, b"\0\x04/ //"), Passes),
    ]
}

#[rustfmt::skip]
fn from_devices_properties() -> Vec<Row> {
    use Violation as V;
    let property = "a property";
    let runs_out = |what| malformed(V::Truncated(what));
    vec![
        ("MQTT-2.2.2-1", V5, with_properties(b""), Passes),
        ("2.2.2.1 length is missing", V5, p(0x30, b"\0\x01t"), runs_out("the property length")),
        ("2.2.2.1 length over the end", V5, p(0x30, b"\0\x01t\x02\x01"), runs_out("the property length")),
        ("2.2.2.1 length never ends", V5, p(0x30, b"\0\x01t\x80"), runs_out("the property length")),
        ("MQTT-1.5.5-1", V5, p(0x30, b"\0\x01t\x80\0"), malformed(V::Varint("the property length"))),
        ("1.5.5 five bytes", V5, p(0x30, b"\0\x01t\x80\x80\x80\x80\0"), malformed(V::Varint("the property length"))),
        ("MQTT-1.5.5-1", V5, with_properties(b"\x81\0\x01"), malformed(V::Varint("property identifier"))),
        ("3.3.2.3 one of each", V5, with_properties(b"\x01\x01\x02\0\0\0\x09\x23\0\x01\x08\0\x01r\x09\0\x02\0\xff\x26\0\x01k\0\x01v\x03\0\x01c"), Passes),
        ("3.3.2.3 any order", V5, with_properties(b"\x26\0\x01k\0\0\x03\0\x01c\x26\0\0\0\x01v\x01\0"), Passes),
        ("3.3.2.3.7 user property twice the same", V5, with_properties(b"\x26\0\x01k\0\x01v\x26\0\x01k\0\x01v"), Passes),
        ("MQTT-3.3.4-6", V5, with_properties(b"\x0b\x01"), misplaced(0x0b, "PUBLISH")),
        ("MQTT-3.3.4-6 several", V5, with_properties(b"\x0b\x01\x0b\x02\x0b\x03"), misplaced(0x0b, "PUBLISH")),
        ("2.2.2.2 not in PUBLISH", V5, with_properties(b"\x21\0\x01"), misplaced(0x21, "PUBLISH")),
        ("2.2.2.2 not in PUBLISH", V5, with_properties(b"\x1f\0\x01r"), misplaced(0x1f, "PUBLISH")),
        ("2.2.2.2 only in a will", V5, with_properties(b"\x18\0\0\0\x01"), misplaced(0x18, "PUBLISH")),
        ("2.2.2.2 unknown", V5, with_properties(b"\x00"), misplaced(0, "PUBLISH")),
        ("2.2.2.2 unknown", V5, with_properties(b"\x7f\0"), misplaced(0x7f, "PUBLISH")),
        ("2.2.2.2 unknown, two bytes", V5, with_properties(b"\x81\x01\0"), misplaced(0x81, "PUBLISH")),
        ("2.2.2.2 unknown, four bytes", V5, with_properties(b"\xff\xff\xff\x7f"), misplaced(0xfff_ffff, "PUBLISH")),
        ("3.3.2.3.2 twice", V5, with_properties(b"\x01\0\x01\0"), protocol(V::DuplicateProperty(0x01))),
        ("3.3.2.3.3 twice", V5, with_properties(b"\x02\0\0\0\x01\x02\0\0\0\x01"), protocol(V::DuplicateProperty(0x02))),
        ("3.3.2.3.4 twice", V5, with_properties(b"\x23\0\x01\x23\0\x02"), protocol(V::DuplicateProperty(0x23))),
        ("3.3.2.3.5 twice", V5, with_properties(b"\x08\0\x01a\x08\0\x01b"), protocol(V::DuplicateProperty(0x08))),
        ("3.3.2.3.6 twice", V5, with_properties(b"\x09\0\0\x09\0\0"), protocol(V::DuplicateProperty(0x09))),
        ("3.3.2.3.9 twice", V5, with_properties(b"\x03\0\0\x03\0\0"), protocol(V::DuplicateProperty(0x03))),
        ("MQTT-3.3.2-8", V5, with_properties(b"\x23\0\0"), protocol(V::PropertyValue(0x23))),
        ("3.3.2.3.2 neither 0 nor 1", V5, with_properties(b"\x01\x02"), protocol(V::PropertyValue(0x01))),
        ("MQTT-3.3.2-13", V5, with_properties(b"\x08\0\x02\xc3\x28"), malformed(V::Text("the response topic"))),
        ("MQTT-3.3.2-14", V5, with_properties(b"\x08\0\x03a/#"), wildcard("a/#")),
        ("MQTT-3.3.2-14", V5, with_properties(b"\x08\0\x03+/a"), wildcard("+/a")),
        ("3.3.2.3.6 binary", V5, with_properties(b"\x09\0\x04\0\xff\xc0\x80"), Passes),
        ("MQTT-1.5.7-1", V5, with_properties(b"\x26\0\x01\xff\0\0"), malformed(V::Text("a user property"))),
        ("MQTT-1.5.7-1", V5, with_properties(b"\x26\0\x01k\0\x01\0"), malformed(V::Text("a user property"))),
        ("MQTT-1.5.4-1", V5, with_properties(b"\x03\0\x01\xff"), malformed(V::Text(property))),
        ("2.2.2.2 value cut", V5, with_properties(b"\x02\0\0\0"), runs_out(property)),
        ("2.2.2.2 value cut", V5, with_properties(b"\x23\0"), runs_out(property)),
        ("2.2.2.2 text over the block", V5, with_properties(b"\x08\0\x05r"), runs_out("the response topic")),
        ("2.2.2.2 pair without value", V5, with_properties(b"\x26\0\x01k"), runs_out("a user property")),
        ("2.2.2.2 identifier only", V5, with_properties(b"\x01"), runs_out(property)),
    ]
}

#[rustfmt::skip]
fn from_devices_subscriptions() -> Vec<Row> {
    use PacketType as P;
    use Violation as V;
    let empty = || Wrong(Reason::TopicFilterInvalid, V::EmptyFilter);
    let filter = || malformed(V::Text("a topic filter"));
    let options = |byte| V::SubscribeOptions(byte);
    vec![
        ("3.8.3", V311, p(0x82, b"\0\x01\0\x01a\0\0\x03b/#\x01\0\x01+\x02"), Passes),
        ("3.8.3", V31, p(0x82, b"\0\x01\0\x01#\x02"), Passes),
        ("3.8.3", V5, p(0x82, b"\0\x01\0\0\x01a\x2e\0\x03$SY\x11"), Passes),
        ("3.8.2.1.2", V5, p(0x82, b"\0\x01\x02\x0b\x01\0\x01a\0"), Passes),
        ("3.8.2.1.2 largest, before a user property", V5, p(0x82, b"\0\x01\x0c\x0b\xff\xff\xff\x7f\x26\0\x01k\0\x01v\0\x01a\0"), Passes),
        ("3.8.2.1.2 behind a user property", V5, p(0x82, b"\0\x01\x09\x26\0\x01k\0\x01v\x0b\x05\0\x01a\0"), Passes),
        ("3.8.2.1.2 zero", V5, p(0x82, b"\0\x01\x02\x0b\0\0\x01a\0"), protocol(V::PropertyValue(0x0b))),
        ("3.8.2.1.2 twice", V5, p(0x82, b"\0\x01\x04\x0b\x01\x0b\x02\0\x01a\0"), protocol(V::DuplicateProperty(0x0b))),
        ("MQTT-1.5.5-1", V5, p(0x82, b"\0\x01\x03\x0b\x81\0\0\x01a\0"), malformed(V::Varint("a property"))),
        ("2.2.2.2 not in SUBSCRIBE", V5, p(0x82, b"\0\x01\x03\x23\0\x01\0\x01a\0"), misplaced(0x23, "SUBSCRIBE")),
        ("2.2.2.2 not in UNSUBSCRIBE", V5, p(0xa2, b"\0\x01\x02\x0b\x01\0\x01a"), misplaced(0x0b, "UNSUBSCRIBE")),
        ("2.2.2.1 length over the end", V5, p(0x82, b"\0\x01\x09\0\x01a\0"), malformed(V::Truncated("the properties"))),
        ("MQTT-2.2.1-3", V5, p(0x82, b"\0\0\0\0\x01a\0"), malformed(V::PacketId(P::Subscribe))),
        ("MQTT-2.3.1-1", V311, p(0x82, b"\0\0\0\x01a\0"), malformed(V::PacketId(P::Subscribe))),
        ("MQTT-2.3.1-1", V311, p(0xa2, b"\0\0\0\x01a"), malformed(V::PacketId(P::Unsubscribe))),
        ("MQTT-3.8.3-1", V5, p(0x82, b"\0\x01\0\0\x01\xff\0"), filter()),
        ("MQTT-3.8.3-1", V311, p(0x82, b"\0\x01\0\x02a\0\0"), filter()),
        ("MQTT-3.10.3-1", V5, p(0xa2, b"\0\x01\0\0\x02\xc0\x80"), filter()),
        ("MQTT-3.8.3-2", V5, p(0x82, b"\0\x01\0"), protocol(V::NoFilter(P::Subscribe))),
        ("MQTT-3.8.3-3", V311, p(0x82, b"\0\x01"), protocol(V::NoFilter(P::Subscribe))),
        ("MQTT-3.8.3-2 behind properties", V5, p(0x82, b"\0\x01\x07\x26\0\x01k\0\x01v"), protocol(V::NoFilter(P::Subscribe))),
        ("MQTT-3.10.3-2", V5, p(0xa2, b"\0\x01\0"), protocol(V::NoFilter(P::Unsubscribe))),
        ("MQTT-3.10.3-2", V311, p(0xa2, b"\0\x01"), protocol(V::NoFilter(P::Unsubscribe))),
        ("3.8.2", V311, p(0x82, b"\x01"), length(P::Subscribe, 1)),
        ("3.10.2", V31, vec![0xa2, 0], length(P::Unsubscribe, 0)),
        ("MQTT-4.7.3-1", V5, p(0x82, b"\0\x01\0\0\0\0"), empty()),
        ("MQTT-4.7.3-1 the second of two", V311, p(0x82, b"\0\x01\0\x01a\0\0\0\0"), empty()),
        ("MQTT-4.7.3-1", V311, p(0x82, b"\0\x01\0\0\0"), empty()),
        ("MQTT-4.7.3-1", V5, p(0xa2, b"\0\x01\0\0\0"), empty()),
        ("MQTT-4.7.3-1", V311, p(0xa2, b"\0\x01\0\0"), empty()),
        ("MQTT-3.8.3-5 reserved bits", V5, p(0x82, b"\0\x01\0\0\x01a\x40"), malformed(options(0x40))),
        ("MQTT-3.8.3-5 reserved bits", V5, p(0x82, b"\0\x01\0\0\x01a\x83"), malformed(options(0x83))),
        ("3.8.3.1 QoS 3", V5, p(0x82, b"\0\x01\0\0\x01a\x03"), protocol(options(0x03))),
        ("3.8.3.1 Retain Handling 3", V5, p(0x82, b"\0\x01\0\0\x01a\x30"), protocol(options(0x30))),
        ("MQTT-3-8.3-4", V311, p(0x82, b"\0\x01\0\x01a\x04"), protocol(options(0x04))),
        ("MQTT-3-8.3-4", V311, p(0x82, b"\0\x01\0\x01a\x03"), protocol(options(0x03))),
        ("3.1: 3.8 QoS 3", V31, p(0x82, b"\0\x01\0\x01a\x03"), protocol(options(0x03))),
        ("3.8.3 options are missing", V311, p(0x82, b"\0\x01\0\x02ab"), malformed(V::Truncated("the subscription options"))),
        ("3.8.3 filter over the end", V311, p(0x82, b"\0\x01\0\x09ab\0"), malformed(V::Truncated("a topic filter"))),
        ("3.10.3 half a length", V311, p(0xa2, b"\0\x01\0\x01a\0"), malformed(V::Truncated("a topic filter"))),
        ("theirs: MQTT-4.7.1-2", V311, p(0x82, b"\0\x01\0\x04a+/#\0"), Passes),
        ("theirs: MQTT-3.8.3-4 No Local, shared", V5, p(0x82, b"\0\x01\0\0\x0a$share/g/t\x04"), Passes),
        ("3.10.3", V311, p(0xa2, b"\0\x01\0\x01a\0\x03b/#"), Passes),
        ("3.10.3", V5, p(0xa2, b"\0\x01\x07\x26\0\x01k\0\x01v\0\x01a"), Passes),
        ("3.8.3 multi-byte filter", V311, p(0x82, b"\0\x01\0\x05\xe6\xb8\xa9/#\0"), Passes),
    ]
}

#[rustfmt::skip]
fn from_brokers() -> Vec<Row> {
    use PacketType as P;
    use Violation as V;
    vec![
        ("2.1.2 from the client only", V311, connect("MQTT", 4, 2, b"\0\x01c"), protocol(V::Unexpected(P::Connect))),
        ("2.1.2 from the client only", V5, p(0x82, b"\0\x01\0\0\x01a\0"), protocol(V::Unexpected(P::Subscribe))),
        ("2.1.2 from the client only", V31, p(0xa2, b"\0\x01\0\x01a"), protocol(V::Unexpected(P::Unsubscribe))),
        ("2.1.2 from the client only", V311, vec![0xc0, 0], protocol(V::Unexpected(P::Pingreq))),
        ("2.1.2 from the client only", V311, vec![0xe0, 0], protocol(V::Unexpected(P::Disconnect))),
        ("2.1.2 from the client only", V31, vec![0xe0, 0], protocol(V::Unexpected(P::Disconnect))),
        ("MQTT-3.2.0-2 a second CONNACK", V5, p(0x20, b"\0\0\0"), protocol(V::Unexpected(P::Connack))),
        ("2.1.2 AUTH", V311, vec![0xf0, 0], protocol(V::Unexpected(P::Auth))),
        ("3.15", V5, p(0xf0, b"\x18\x04\x15\0\x01m"), Passes),
        ("3.14", V5, vec![0xe0, 0], Ends),
        ("3.14", V5, vec![0xe0, 1, 0x8b], Ends),
        ("3.14.2.2.5 Server Reference", V5, p(0xe0, b"\x9c\x04\x1c\0\x01s"), Ends),
        ("2.1.2", V5, vec![0, 0], malformed(V::ReservedType(0))),
        ("MQTT-2.1.3-1", V5, p(0x91, b"\0\x01\0\0"), flags(P::Suback, 1)),
        ("MQTT-2.2.2-2", V311, vec![0xd4, 0], flags(P::Pingresp, 4)),
        ("3.1: 2.1 flags unused", V31, vec![0xdf, 0], Passes),
        ("MQTT-3.3.1-4", V311, p(0x36, b"\0\x01t\0\x01"), malformed(V::Qos)),
        ("MQTT-3.3.1-2", V5, p(0x38, b"\0\x01t\0"), malformed(V::DupAtQos0)),
        ("MQTT-1.5.5-1", V5, vec![0xd0, 0x80, 0], malformed(V::RemainingLength)),
        ("2.2.3", V311, vec![0x30, 0xff, 0xff, 0xff, 0xff], malformed(V::RemainingLength)),
        ("3.9.3", V311, p(0x90, b"\0\x01"), length(P::Suback, 2)),
        ("3.13", V5, vec![0xd0, 1, 0], length(P::Pingresp, 1)),
        ("3.11", V311, p(0xb0, b"\0\x01\0"), length(P::Unsuback, 3)),
        ("3.11.3", V5, p(0xb0, b"\0\x01\0\x11"), Passes),
        ("3.9.3", V311, p(0x90, b"\0\x01\0\x80"), Passes),
        ("MQTT-3.3.4-3 several Subscription Identifiers", V5, with_properties(b"\x0b\x01\x0b\x02\x0b\xff\x01"), Passes),
        ("theirs: MQTT-3.3.2-2", V311, p(0x30, b"\0\x01#"), Passes),
        ("3.6.1", V5, p(0x62, b"\0\x01\x92\0"), Passes),
    ]
}

#[rustfmt::skip]
fn connects() -> Vec<Row> {
    use Violation as V;
    let cut = |what| malformed(V::Truncated(what));
    let bad = |what| malformed(V::Text(what));
    let bits = |flags| malformed(V::ConnectFlags(flags));
    let c3 = |flags, rest: &[u8]| connect("MQIsdp", 3, flags, rest);
    let c4 = |flags, rest: &[u8]| connect("MQTT", 4, flags, rest);
    let c5 = |flags, rest: &[u8]| connect("MQTT", 5, flags, rest);
    vec![
        ("3.1", V31, c3(0xf6, b"\0\x01c\0\x01w\0\x01m\0\x01u\0\x01p"), Passes),
        ("3.1: 3.1 user name missing behind its flag", V31, c3(0x02, b"\0\x01c"), Passes),
        ("3.1: 3.1 password needs a user name", V31, c3(0x42, b"\0\x01c\0\x01p"), bits(0x42)),
        ("3.1", V311, c4(0xce, b"\0\x01c\0\x01w\0\0\0\x01u\0\x01p"), Passes),
        ("3.1", V5, c5(0xce, b"\0\0\x01c\0\0\x01w\0\0\0\x01u\0\x01p"), Passes),
        ("MQTT-3.1.2-3", V5, c5(0x03, b"\0\0\x01c"), bits(0x03)),
        ("MQTT-3.1.2-3", V311, c4(0x03, b"\0\x01c"), bits(0x03)),
        ("MQTT-3.1.2-11", V5, c5(0x0a, b"\0\0\x01c"), bits(0x0a)),
        ("MQTT-3.1.2-11", V311, c4(0x12, b"\0\x01c"), bits(0x12)),
        ("MQTT-3.1.2-12", V5, c5(0x1e, b"\0\0\x01c\0\0\x01w\0\0"), bits(0x1e)),
        ("MQTT-3.1.2-14", V311, c4(0x1e, b"\0\x01c\0\x01w\0\0"), bits(0x1e)),
        ("MQTT-3.1.2-13", V5, c5(0x22, b"\0\0\x01c"), bits(0x22)),
        ("MQTT-3.1.2-15", V311, c4(0x22, b"\0\x01c"), bits(0x22)),
        ("MQTT-3.1.2-22", V311, c4(0x42, b"\0\x01c\0\x01p"), bits(0x42)),
        ("3.1.2.9 password alone", V5, c5(0x42, b"\0\0\x01c\0\x01p"), Passes),
        ("MQTT-3.1.2-9", V5, c5(0x06, b"\0\0\x01c"), cut("the property length")),
        ("MQTT-3.1.2-9", V311, c4(0x06, b"\0\x01c"), cut(TOPIC_OF_WILL)),
        ("MQTT-3.1.2-9", V311, c4(0x06, b"\0\x01c\0\x01w"), cut("the will payload")),
        ("MQTT-3.1.2-17", V5, c5(0x82, b"\0\0\x01c"), cut("the user name")),
        ("MQTT-3.1.2-19", V311, c4(0xc2, b"\0\x01c\0\x01u"), cut("the password")),
        ("MQTT-3.1.2-16", V311, c4(0x02, b"\0\x01c\0\x01u"), malformed(V::Trailing(3))),
        ("MQTT-3.1.3-3", V311, c4(0x02, b""), cut("the client identifier")),
        ("MQTT-3.1.3-4", V5, c5(0x02, b"\0\0\x01\xff"), bad("the client identifier")),
        ("MQTT-1.5.3-2", V311, c4(0x02, b"\0\x01\0"), bad("the client identifier")),
        ("MQTT-3.1.3-6", V5, c5(0x02, b"\0\0\0"), Passes),
        ("theirs: MQTT-3.1.3-8", V311, c4(0x00, b"\0\0"), Passes),
        ("MQTT-3.1.3-11", V5, c5(0x06, b"\0\0\x01c\0\0\x01\xff\0\0"), bad(TOPIC)),
        ("MQTT-3.1.3-10", V311, c4(0x06, b"\0\x01c\0\x03\xed\xa0\x80\0\0"), bad(TOPIC)),
        ("4.7.1 wildcard in a will topic", V311, c4(0x06, b"\0\x01c\0\x01#\0\0"), wildcard("#")),
        ("MQTT-4.7.3-1", V5, c5(0x06, b"\0\0\x01c\0\0\0\0\0"), protocol(V::EmptyTopic)),
        ("3.1.3.4 binary will payload", V311, c4(0x06, b"\0\x01c\0\x01w\0\x03\0\xff\xc0"), Passes),
        ("MQTT-3.1.3-12", V5, c5(0x82, b"\0\0\x01c\0\x01\xff"), bad("the user name")),
        ("3.1.3.5 empty user name", V311, c4(0x82, b"\0\x01c\0\0"), Passes),
        ("3.1.3.5 binary password", V311, c4(0xc2, b"\0\x01c\0\x01u\0\x04\0\xff\xc0\x80"), Passes),
        ("3.1.3.6 binary password", V5, c5(0xc2, b"\0\0\x01c\0\x01u\0\x02\xfe\xff"), Passes),
        ("3.1.3.6 empty password", V5, c5(0x42, b"\0\0\x01c\0\0"), Passes),
        ("3.1.2.11 one of each", V5, c5(0x02,
            b"\x2a\x11\0\0\0\x09\x21\0\x01\x27\0\0\0\x80\x22\0\0\x19\x01\x17\0\x26\0\x01k\0\x01v\x15\0\x02AB\x16\0\x02\0\xff\x26\0\0\0\0\0\x01c"),
            Passes),
        ("3.1.2.11.5 Topic Alias Maximum 0", V5, c5(0x02, b"\x03\x22\0\0\0\x01c"), Passes),
        ("3.1.2.11.3 zero", V5, c5(0x02, b"\x03\x21\0\0\0\x01c"), protocol(V::PropertyValue(0x21))),
        ("3.1.2.11.4 zero", V5, c5(0x02, b"\x05\x27\0\0\0\0\0\x01c"), protocol(V::PropertyValue(0x27))),
        ("3.1.2.11.6 neither 0 nor 1", V5, c5(0x02, b"\x02\x19\x02\0\x01c"), protocol(V::PropertyValue(0x19))),
        ("3.1.2.11.7 neither 0 nor 1", V5, c5(0x02, b"\x02\x17\x02\0\x01c"), protocol(V::PropertyValue(0x17))),
        ("3.1.2.11.2 twice", V5, c5(0x02, b"\x0a\x11\0\0\0\x01\x11\0\0\0\x01\0\x01c"), protocol(V::DuplicateProperty(0x11))),
        ("3.1.2.11.9 twice", V5, c5(0x02, b"\x06\x15\0\0\x15\0\0\0\x01c"), protocol(V::DuplicateProperty(0x15))),
        ("2.2.2.2 not in CONNECT", V5, c5(0x02, b"\x02\x01\0\0\x01c"), misplaced(0x01, "CONNECT")),
        ("2.2.2.2 not in CONNECT", V5, c5(0x02, b"\x05\x18\0\0\0\x01\0\x01c"), misplaced(0x18, "CONNECT")),
        ("2.2.2.2 not in a will", V5, c5(0x06, b"\0\0\x01c\x03\x23\0\x01\0\x01w\0\0"), misplaced(0x23, "the will")),
        ("3.1.3.2 one of each", V5, c5(0x06,
            b"\0\0\x01c\x1e\x18\0\0\0\x01\x01\x01\x02\0\0\0\x01\x03\0\x01t\x08\0\x01r\x09\0\x01\xff\x26\0\x01k\0\0\0\x01w\0\0"),
            Passes),
        ("MQTT-3.3.2-14 in a will", V5, c5(0x06, b"\0\0\x01c\x04\x08\0\x01+\0\x01w\0\0"), wildcard("+")),
        ("MQTT-1.5.5-1", V5, c5(0x02, b"\x80\0\0\x01c"), malformed(V::Varint("the property length"))),
        ("2.2.2.1 length over the end", V5, c5(0x02, b"\x7f\0\x01c"), cut("the properties")),
        ("MQTT-2.1.3-1", V5, {
            let mut packet = c5(0x02, b"\0\0\x01c");
            packet[0] |= 1;
            packet
        }, flags(PacketType::Connect, 1)),
    ]
}

const TOPIC_OF_WILL: &str = "the will topic";

fn all_from_devices() -> Vec<Row> {
    [
        from_devices_fixed_header(),
        from_devices_acknowledgements(),
        from_devices_publish(),
        from_devices_properties(),
        from_devices_subscriptions(),
    ]
    .concat()
}

/// Feeds `parts` to a fresh [`Uplink`]; what passed, and how it ended.
fn up<'a>(version: Version, parts: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Outcome) {
    let mut uplink = Uplink::new(version, Watch);
    let mut scratch = Scratch::default();
    let (mut out, mut outcome) = (Vec::new(), Passes);
    for part in parts {
        let passed = uplink.pass(part, &mut scratch);
        out.extend_from_slice(passed.bytes);
        if passed.disconnect {
            outcome = Ends;
        }
        if let Some(violation) = passed.violation {
            assert_eq!(outcome, Passes, "one end only");
            outcome = Wrong(violation.reason(), violation);
        }
    }
    (out, outcome)
}

fn down<'a>(version: Version, parts: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Outcome) {
    let mut downlink = Downlink::new(version);
    let (mut out, mut outcome) = (Vec::new(), Passes);
    for part in parts {
        let scanned = downlink.scan(part);
        out.extend_from_slice(&part[..scanned.len]);
        if scanned.disconnect.is_some() {
            outcome = Ends;
        }
        if let Some(violation) = scanned.violation {
            assert_eq!(outcome, Passes, "one end only");
            outcome = Wrong(violation.reason(), violation);
        }
    }
    (out, outcome)
}

/// `stream` whole, byte by byte, and in two parts with the cut everywhere (long ones only near the ends).
fn cuts(stream: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let len = stream.len();
    let two = (1..len).filter(move |at| len < 200 || *at < 20 || len - at < 20);
    let two = two.map(move |at| vec![&stream[..at], &stream[at..]]);
    [vec![stream], stream.chunks(1).collect()].into_iter().chain(two)
}

#[test]
fn what_a_device_sends_is_judged_by_the_specification_wherever_it_is_cut() {
    for (statement, version, packet, expected) in all_from_devices() {
        // A packet before it passes whatever follows; one behind it passes unless this one is the last.
        let mut stream = vec![0xc0, 0x00];
        stream.extend_from_slice(&packet);
        stream.extend_from_slice(&[0xc0, 0x00]);
        let passing = match expected {
            Passes => stream.len(),
            Ends => stream.len() - 2,
            Wrong(..) => 2,
        };
        for parts in cuts(&stream) {
            let (out, outcome) = up(version, parts.iter().copied());
            let row = format!(
                "[{statement}] MQTT {version} {packet:02x?} cut behind {}",
                parts[0].len()
            );
            assert_eq!(outcome, expected, "{row}");
            assert!(out == stream[..passing], "{row}: {out:02x?} passed");
        }
    }
}

#[test]
fn what_a_broker_sends_is_judged_by_its_fixed_header_wherever_it_is_cut() {
    for (statement, version, packet, expected) in from_brokers() {
        let mut stream = vec![0xd0, 0x00];
        stream.extend_from_slice(&packet);
        let whole = down(version, std::iter::once(&stream[..]));
        for parts in cuts(&stream) {
            let (out, outcome) = down(version, parts.iter().copied());
            let row = format!(
                "[{statement}] MQTT {version} {packet:02x?} cut behind {}",
                parts[0].len()
            );
            assert_eq!(outcome, expected, "{row}");
            assert!(stream.starts_with(&out), "{row}");
            if let Wrong(..) = expected {
                // Bytes of a fixed header that was cut are not held back; the verdict falls with its last.
                assert_eq!(whole.0.len(), 2, "{row}");
                assert!((2..2 + 5).contains(&out.len()), "{row}: {out:02x?} passed");
            } else {
                assert_eq!(out.len(), stream.len(), "{row}");
            }
        }
    }
}

#[test]
fn connects_are_judged_by_the_specification() {
    for (statement, version, packet, expected) in connects() {
        let row = format!("[{statement}] MQTT {version} {packet:02x?}");
        match (Connect::parse(&packet), expected) {
            (Ok(connect), Passes) => {
                assert_eq!(connect.version, version, "{row}");
                assert_eq!(
                    connect.patched(Login::PassThrough, &Unchanged).unwrap(),
                    packet,
                    "{row}"
                );
                assert_eq!(
                    connect.patched(Login::PassThrough, &Watch).unwrap(),
                    packet,
                    "{row}"
                );
                for end in 0..packet.len() {
                    assert!(Connect::parse(&packet[..end]).is_err(), "{row} cut behind {end}");
                }
            }
            (
                Err(ConnectError::Malformed {
                    version: known,
                    violation,
                }),
                Wrong(reason, expected),
            ) => {
                assert_eq!((known, &violation), (Some(version), &expected), "{row}");
                assert_eq!(violation.reason(), reason, "{row}");
            }
            (result, expected) => panic!("{row}: {result:?} is not {expected:?}"),
        }
    }
}

#[test]
fn a_first_packet_that_is_no_connect_is_refused() {
    for packet in [
        p(0x30, b"\0\x04MQTT\x04\x02\0\x3c\0\x01c"),
        vec![0xc0, 0],
        b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        vec![0xf0, 0],
    ] {
        let error = Connect::parse(&packet).unwrap_err();
        assert!(
            matches!(error, ConnectError::Malformed { version: None, .. }),
            "[MQTT-3.1.0-1] {packet:02x?}"
        );
    }
}

#[test]
fn protocols_that_are_not_carried_are_named() {
    for (name, level) in [
        ("MQTT", 3),
        ("MQTT", 6),
        ("MQTT", 0x84),
        ("MQIsdp", 4),
        ("MQIsdp", 5),
        ("mqtt", 4),
        ("", 4),
    ] {
        let packet = connect(name, level, 2, b"\0\x01c");
        let expected = ConnectError::Protocol {
            name: name.into(),
            level,
        };
        assert_eq!(
            Connect::parse(&packet),
            Err(expected),
            "[MQTT-3.1.2-1] [MQTT-3.1.2-2]"
        );
    }
}

#[test]
fn mqtt31_lets_user_name_and_password_be_missing_behind_their_flags() {
    let connect = |flags, rest| connect("MQIsdp", 3, flags, rest);
    for (packet, username, password) in [
        (connect(0xc2, b"\0\x01c"), None, None),
        (connect(0xc2, b"\0\x01c\0\x01u"), Some("u"), None),
        (
            connect(0xc2, b"\0\x01c\0\x01u\0\x01p"),
            Some("u"),
            Some(&b"p"[..]),
        ),
    ] {
        let connect = Connect::parse(&packet).unwrap();
        assert_eq!(
            (connect.username, connect.password),
            (username, password),
            "{packet:02x?}"
        );
        let patched = connect.patched(Login::PassThrough, &Unchanged).unwrap();
        assert_eq!(Connect::parse(&patched).unwrap(), connect, "{packet:02x?}");
    }
}

type ConnackRow = (&'static str, Version, Vec<u8>, Result<(bool, u8), Violation>);

fn connacks() -> Vec<ConnackRow> {
    use Violation as V;
    let cut = |what| Err(V::Truncated(what));
    #[rustfmt::skip]
    let rows: Vec<ConnackRow> = vec![
        ("3.2", V31, p(0x20, b"\0\0"), Ok((false, 0))),
        ("3.2", V311, p(0x20, b"\x01\0"), Ok((true, 0))),
        ("3.2", V311, p(0x20, b"\0\x05"), Ok((false, 5))),
        ("3.2", V5, p(0x20, b"\0\x87\0"), Ok((false, 0x87))),
        ("3.2.2.3 one of each", V5, p(0x20, b"\0\0\x3a\x11\0\0\0\x09\x21\0\x01\x24\x01\x25\x01\x27\0\0\0\x80\x12\0\x01i\x22\0\0\
            \x1f\0\x01r\x26\0\0\0\0\x28\x01\x29\x01\x2a\x01\x13\0\x1e\x1a\0\x01f\x1c\0\x01s\x15\0\x01m\x16\0\x01\xff"), Ok((false, 0))),
        ("3.2", V311, p(0x20, b"\0"), cut("the reason code")),
        ("3.2", V5, p(0x20, b"\0\0"), cut("the property length")),
        ("3.2", V311, p(0x20, b"\0\0\0"), Err(V::Trailing(1))),
        ("2.2.2.2 not in CONNACK", V5, p(0x20, b"\0\0\x02\x01\0"), Err(V::Property { id: 1, place: "CONNACK" })),
        ("3.2.2.3.3 zero", V5, p(0x20, b"\0\0\x03\x21\0\0"), Err(V::PropertyValue(0x21))),
        ("3.2.2.3.4 QoS 2", V5, p(0x20, b"\0\0\x02\x24\x02"), Err(V::PropertyValue(0x24))),
        ("3.2.2.3.14 twice", V5, p(0x20, b"\0\0\x06\x13\0\x01\x13\0\x01"), Err(V::DuplicateProperty(0x13))),
        ("MQTT-2.1.3-1", V5, p(0x21, b"\0\0\0"), Err(V::Flags { packet: PacketType::Connack, flags: 1 })),
        ("MQTT-3.2.0-1", V5, p(0x30, b"\0\x01t\0"), Err(V::Unexpected(PacketType::Publish))),
    ];
    rows
}

#[test]
fn connacks_are_judged_by_the_specification() {
    for (statement, version, packet, expected) in connacks() {
        let row = format!("[{statement}] MQTT {version} {packet:02x?}");
        let connack = Connack::parse(&packet, version);
        assert_eq!(connack.map(|c| (c.session_present, c.code)), expected, "{row}");
        for end in 0..packet.len() {
            assert!(
                Connack::parse(&packet[..end], version).is_err(),
                "{row} cut behind {end}"
            );
        }
    }
}

#[test]
fn the_table_is_as_long_as_it_claims() {
    let rows = all_from_devices().len() + from_brokers().len() + connects().len();
    assert!(rows >= 230, "{rows} rows");
}

/// The tables as the fuzzers take them: a byte for the version, for a stream one for where it is cut.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let byte = |version| match version {
        V311 => 0,
        V5 => 1,
        V31 => 2,
    };
    let mut seeds = Vec::new();
    for (_, version, packet, _) in all_from_devices() {
        if packet[0] >> 4 == 3 && packet.len() > 2 && packet[1] < 0x80 {
            let head = [byte(version), packet[0] & 15];
            seeds.push(("splice", [&head, &packet[2..]].concat()));
        }
        seeds.push(("uplink", [&[byte(version), 7], packet.as_slice()].concat()));
    }
    for (_, version, packet, _) in from_brokers() {
        seeds.push(("downlink", [&[byte(version), 7], packet.as_slice()].concat()));
    }
    seeds.extend(
        connects()
            .into_iter()
            .map(|(_, _, packet, _)| ("connect", packet)),
    );
    for (_, version, packet, _) in connacks() {
        seeds.push(("connack", [&[byte(version)], packet.as_slice()].concat()));
    }
    // An attack of 16 MB is no seed.
    seeds.retain(|(_, seed)| seed.len() < 4096);
    seeds
}

/// `SIMRELAY_WRITE_SEEDS=1` writes what is missing.
#[test]
fn every_row_is_a_seed_of_the_fuzzers() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut numbers = std::collections::BTreeMap::<_, usize>::new();
    for (target, seed) in seeds() {
        let number = numbers.entry(target).or_default();
        let path = folder.join(target).join(format!("{number:03}"));
        *number += 1;
        if std::env::var_os("SIMRELAY_WRITE_SEEDS").is_some() {
            std::fs::create_dir_all(folder.join(target)).unwrap();
            std::fs::write(&path, &seed).unwrap();
        }
        let found = std::fs::read(&path).unwrap_or_default();
        assert_eq!(found, seed, "{} is not the row of its number", path.display());
    }
}
