use super::*;
use crate::mqtt::{PacketType, Unchanged, Violation};
use mqttbytes::v4::{self, Packet};
use mqttbytes::{QoS, qos};
use proptest::prelude::*;

/// A connection of MQTT 3.1.1, and what came out of it.
struct Carried {
    streams: AtMostOnce<Unchanged>,
    scratch: Scratch,
    to_broker: Vec<u8>,
    to_device: Vec<u8>,
    received: u32,
    requests: u32,
}

impl Carried {
    fn new(version: Version) -> Self {
        Self {
            streams: AtMostOnce::new(version, Unchanged),
            scratch: Scratch::default(),
            to_broker: Vec::new(),
            to_device: Vec::new(),
            received: 0,
            requests: 0,
        }
    }

    fn up(&mut self, input: &[u8]) -> Option<Violation> {
        let passed = self.streams.up(input, &mut self.scratch);
        self.to_broker.extend_from_slice(passed.bytes);
        self.received += passed.received;
        self.requests += passed.requests;
        passed.violation
    }

    fn down(&mut self, input: &[u8]) {
        let (bytes, scanned) = self.streams.down(input, &mut self.scratch);
        self.to_device.extend_from_slice(bytes);
        assert_eq!((scanned.len, scanned.violation), (input.len(), None));
    }

    /// The broker took all, and the device takes what it may be told.
    fn written(&mut self) {
        self.streams.broker_has_all();
        self.to_device.extend(self.streams.answers());
    }
}

const V31: Version = Version::V31;
const V311: Version = Version::V311;

#[test]
fn every_packet_of_a_device_becomes_one_of_311_at_qos_0() {
    type Row = (Version, &'static [u8], &'static [u8], &'static [u8]);
    #[rustfmt::skip]
    let rows: &[Row] = &[
        // PUBLISH: the identifier goes, QoS and DUP are cleared, RETAIN stays.
        (V311, b"\x30\x04\0\x01tx", b"\x30\x04\0\x01tx", b""),
        (V311, b"\x31\x04\0\x01tx", b"\x31\x04\0\x01tx", b""),
        (V311, b"\x32\x06\0\x01t\x12\x34x", b"\x30\x04\0\x01tx", b"\x40\x02\x12\x34"),
        (V311, b"\x3b\x06\0\x01t\0\x07x", b"\x31\x04\0\x01tx", b"\x40\x02\0\x07"),
        (V311, b"\x32\x05\0\x01t\0\x07", b"\x30\x03\0\x01t", b"\x40\x02\0\x07"),
        (V311, b"\x34\x06\0\x01t\0\x07x", b"\x30\x04\0\x01tx", b"\x50\x02\0\x07"),
        (V31, b"\x38\x04\0\x01tx", b"\x30\x04\0\x01tx", b""),
        // A remaining length that is not the shortest, as these versions allow, becomes it.
        (V311, b"\x32\x86\0\0\x01t\0\x07x", b"\x30\x04\0\x01tx", b"\x40\x02\0\x07"),
        (V311, b"\x62\x02\0\x07", b"", b"\x70\x02\0\x07"),
        (V31, b"\x6a\x02\0\x07", b"", b"\x70\x02\0\x07"),
        // SUBSCRIBE asks for QoS 0.
        (V311, b"\x82\x0a\0\x09\0\x01a\x02\0\x01b\0", b"\x82\x0a\0\x09\0\x01a\0\0\x01b\0", b""),
        (V31, b"\x8a\x06\0\x09\0\x01a\x01", b"\x82\x06\0\x09\0\x01a\0", b""),
        (V311, b"\xa2\x05\0\x09\0\x01a", b"\xa2\x05\0\x09\0\x01a", b""),
        (V31, b"\xaa\x05\0\x09\0\x01a", b"\xa2\x05\0\x09\0\x01a", b""),
        // A session of earlier days may still bring messages at QoS 1 and 2, which the device answers.
        (V311, b"\x40\x02\0\x07\x50\x02\0\x08\x70\x02\0\x08", b"\x40\x02\0\x07\x50\x02\0\x08\x70\x02\0\x08", b""),
        (V311, b"\xc0\0\xe0\0", b"\xc0\0\xe0\0", b""),
        (V31, b"\xcf\0\xef\0", b"\xc0\0\xe0\0", b""),
    ];
    for (version, input, expected, answers) in rows {
        for size in 1..=input.len() {
            let mut carried = Carried::new(*version);
            for part in input.chunks(size) {
                assert_eq!(carried.up(part), None, "{input:02x?}");
            }
            carried.written();
            assert_eq!(
                (&*carried.to_broker, &*carried.to_device),
                (*expected, *answers),
                "{input:02x?} in parts of {size}"
            );
        }
    }
}

#[test]
fn the_shorter_packet_may_need_fewer_bytes_for_its_length() {
    let publish = |first: u8, id: &[u8], payload: usize| {
        let mut packet = vec![first];
        crate::mqtt::frame::push_varint(&mut packet, 3 + id.len() + payload);
        [&*packet, b"\0\x01t", id, &vec![7; payload]].concat()
    };
    for payload in [122, 123, 124, 125, 16_378, 16_379, 16_380, 16_381] {
        let mut carried = Carried::new(V311);
        carried.up(&publish(0x32, &[0, 1], payload));
        assert_eq!(carried.to_broker, publish(0x30, &[], payload), "{payload}");
    }
}

#[test]
fn an_answer_waits_until_the_broker_has_all_of_its_message() {
    let mut carried = Carried::new(V311);
    carried.up(b"\x32\x06\0\x01t\0\x07");
    carried.written();
    assert_eq!(carried.to_device, b"", "its last byte has not come yet");
    carried.up(b"x\x32\x06\0\x01t\0");
    assert_eq!(
        carried.streams.answers(),
        b"",
        "its last byte has not been written yet"
    );
    carried.written();
    assert_eq!(carried.to_device, b"\x40\x02\0\x07");
    carried.up(b"\x08y");
    carried.written();
    assert_eq!(carried.to_device, b"\x40\x02\0\x07\x40\x02\0\x08");
}

#[test]
fn a_qos_2_message_is_forwarded_once_until_it_is_released() {
    let first = b"\x34\x06\0\x01t\0\x07x";
    let again = b"\x3c\x06\0\x01t\0\x07x";
    let release = b"\x62\x02\0\x07";
    let mut carried = Carried::new(V311);
    for part in [first, again, again] {
        carried.up(part);
    }
    carried.written();
    assert_eq!(carried.to_broker, b"\x30\x04\0\x01tx");
    assert_eq!(carried.to_device, b"\x50\x02\0\x07\x50\x02\0\x07\x50\x02\0\x07");
    assert_eq!((carried.received, carried.requests), (3, 1));
    carried.up(release);
    carried.up(release);
    carried.up(first);
    carried.written();
    assert_eq!(carried.to_broker, b"\x30\x04\0\x01tx\x30\x04\0\x01tx");
    assert_eq!(
        carried.to_device[12..],
        *b"\x70\x02\0\x07\x70\x02\0\x07\x50\x02\0\x07"
    );
}

#[test]
fn a_duplicate_cut_anywhere_leaves_no_trace_at_the_broker() {
    let stream = b"\x34\x06\0\x01t\0\x07x\x3c\x06\0\x01t\0\x07x\xc0\0";
    for size in 1..stream.len() {
        let mut carried = Carried::new(V311);
        for part in stream.chunks(size) {
            carried.up(part);
        }
        assert_eq!(carried.to_broker, b"\x30\x04\0\x01tx\xc0\0", "parts of {size}");
    }
}

#[test]
fn requests_are_those_of_the_page_and_pings() {
    let mut carried = Carried::new(V311);
    for packet in [
        &b"\x32\x06\0\x01t\0\x07x"[..],
        b"\x82\x06\0\x09\0\x01a\x01",
        b"\xa2\x05\0\x09\0\x01a",
        b"\xc0\0",
    ] {
        carried.up(packet);
    }
    assert_eq!((carried.received, carried.requests), (4, 4));
    carried.up(b"\x62\x02\0\x07\x40\x02\0\x01\xe0\0");
    assert_eq!((carried.received, carried.requests), (4, 4));
}

#[test]
fn answers_enter_at_the_end_of_the_packet_that_is_passing() {
    let publish = b"\x30\x08\0\x01t-long";
    for cut in 1..publish.len() {
        let mut carried = Carried::new(V311);
        carried.down(&publish[..cut]);
        carried.up(b"\x32\x06\0\x01t\0\x07x");
        carried.written();
        assert_eq!(
            carried.to_device,
            publish[..cut],
            "inside a packet nothing is said"
        );
        carried.down(&[&publish[cut..], b"\xd0\0"].concat());
        let expected = [&publish[..], b"\x40\x02\0\x07", b"\xd0\0"].concat();
        assert_eq!(carried.to_device, expected, "cut at {cut}");
    }
}

#[test]
fn a_device_that_takes_no_answers_is_not_read_on() {
    let mut carried = Carried::new(V311);
    let mut messages = 0_usize;
    while carried.streams.has_room() {
        carried.up(b"\x32\x06\0\x01t\0\x07x");
        carried.streams.broker_has_all();
        messages += 1;
    }
    assert_eq!(messages, ENOUGH / 4);
    assert_eq!(carried.streams.answers().len(), ENOUGH);
    assert!(carried.streams.has_room());
    assert_eq!(carried.streams.held(), 0);
}

#[test]
fn what_breaks_the_protocol_ends_the_stream_behind_what_came_before() {
    for (bytes, expected) in [
        (&b"\x62\x02\0\0"[..], Violation::PacketId(PacketType::Pubrel)),
        (b"\x82\x06\0\x09\0\x01a\x03", Violation::SubscribeOptions(3)),
        (b"\x32\x06\0\x01t\0\0x", Violation::PacketId(PacketType::Publish)),
        (b"\x32\x06\0\x01#\0\x01x", Violation::WildcardInTopic("#".into())),
        (b"\x36\x06\0\x01t\0\x01x", Violation::Qos),
    ] {
        let mut carried = Carried::new(V311);
        let input = [&b"\x32\x06\0\x01t\0\x07x"[..], bytes, b"\xe0\0"].concat();
        let passed = carried.streams.up(&input, &mut carried.scratch);
        assert_eq!(passed.bytes, b"\x30\x04\0\x01tx", "{bytes:02x?}");
        assert_eq!(passed.violation, Some(expected));
        assert!(!passed.disconnect);
        carried.written();
        assert_eq!(carried.to_device, b"\x40\x02\0\x07");
    }
}

#[test]
fn the_largest_publish_passes_in_the_memory_of_one_read() {
    let mut carried = Carried::new(V311);
    let part = vec![7; 64 * 1024];
    let total = crate::mqtt::MAX_REMAINING;
    let mut left = total - 5;
    let mut sent = 0;
    let mut head = vec![0x32];
    crate::mqtt::frame::push_varint(&mut head, total);
    head.extend_from_slice(b"\0\x01t\0\x07");
    sent += carried.streams.up(&head, &mut carried.scratch).bytes.len();
    while left > 0 {
        assert_eq!(carried.streams.answers.len(), 0);
        let n = left.min(part.len());
        sent += carried.streams.up(&part[..n], &mut carried.scratch).bytes.len();
        left -= n;
        assert_eq!(carried.streams.uplink.held(), 0);
    }
    assert_eq!(sent, total - 2 + 5);
    assert!(carried.scratch.flat.capacity() <= 2 * part.len());
    carried.written();
    assert_eq!(carried.to_device, b"\x40\x02\0\x07");
}

fn topic() -> impl Strategy<Value = String> {
    "[a-z/{}<]{1,20}"
}

fn publish(id: impl Strategy<Value = u16>) -> impl Strategy<Value = v4::Publish> {
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    (topic(), 0..3_u8, id, any::<bool>(), payload).prop_map(|(topic, level, id, retain, payload)| {
        let mut publish = v4::Publish::new(topic, qos(level).unwrap(), payload);
        publish.pkid = if level == 0 { 0 } else { id };
        publish.retain = retain;
        publish
    })
}

/// What a device sends. Few identifiers, so that QoS 2 messages come twice.
fn packet() -> impl Strategy<Value = Packet> {
    let id = 1..4_u16;
    prop_oneof![
        6 => publish(id.clone()).prop_map(Packet::Publish),
        2 => id.clone().prop_map(|id| Packet::PubRel(v4::PubRel::new(id))),
        1 => (id.clone(), topic(), 0..3_u8).prop_map(|(id, topic, level)| {
            let mut subscribe = v4::Subscribe::new(topic, qos(level).unwrap());
            subscribe.pkid = id;
            Packet::Subscribe(subscribe)
        }),
        1 => id.clone().prop_map(|id| Packet::PubAck(v4::PubAck::new(id))),
        1 => Just(Packet::PingReq),
    ]
}

fn written(packet: &Packet) -> Vec<u8> {
    let mut out = Default::default();
    match packet {
        Packet::Publish(packet) => packet.write(&mut out).map(drop),
        Packet::PubAck(packet) => packet.write(&mut out).map(drop),
        Packet::PubRel(packet) => packet.write(&mut out).map(drop),
        Packet::Subscribe(packet) => packet.write(&mut out).map(drop),
        _ => {
            out.extend_from_slice(&[0xc0, 0]);
            Ok(())
        }
    }
    .unwrap();
    out.to_vec()
}

fn read(stream: &[u8]) -> Vec<Packet> {
    let mut stream = stream.into();
    let packets: Vec<_> = std::iter::from_fn(|| v4::read(&mut stream, usize::MAX).ok()).collect();
    assert!(stream.is_empty(), "{stream:02x?} behind {packets:?}");
    packets
}

/// What the broker and the device have to see, said plainly.
fn expected(packets: &[Packet]) -> (Vec<Packet>, Vec<Packet>) {
    let mut unreleased = Vec::new();
    let (mut up, mut answers) = (Vec::new(), Vec::new());
    for packet in packets.iter().cloned() {
        match packet {
            Packet::Publish(mut publish) => {
                let (level, id) = (publish.qos, publish.pkid);
                publish.qos = QoS::AtMostOnce;
                publish.pkid = 0;
                let known = level == QoS::ExactlyOnce && unreleased.contains(&id);
                if !known {
                    up.push(Packet::Publish(publish));
                }
                match level {
                    QoS::AtMostOnce => {}
                    QoS::AtLeastOnce => answers.push(Packet::PubAck(v4::PubAck::new(id))),
                    QoS::ExactlyOnce => {
                        unreleased.push(id);
                        answers.push(Packet::PubRec(v4::PubRec::new(id)));
                    }
                }
            }
            Packet::PubRel(release) => {
                unreleased.retain(|id| *id != release.pkid);
                answers.push(Packet::PubComp(v4::PubComp::new(release.pkid)));
            }
            Packet::Subscribe(mut subscribe) => {
                subscribe
                    .filters
                    .iter_mut()
                    .for_each(|filter| filter.qos = QoS::AtMostOnce);
                up.push(Packet::Subscribe(subscribe));
            }
            other => up.push(other),
        }
    }
    (up, answers)
}

fn is_answer(packet: &Packet) -> bool {
    matches!(packet, Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_))
}

proptest! {
    #[test]
    fn another_decoder_sees_the_expected_packets_however_both_streams_are_cut(
        sent in prop::collection::vec(packet(), 0..20),
        messages in prop::collection::vec(publish(1..9_u16), 0..20),
        cuts in prop::collection::vec((0..40_usize, 0..40_usize, any::<bool>()), 0..60),
    ) {
        let up: Vec<u8> = sent.iter().flat_map(written).collect();
        let down: Vec<u8> = messages.iter().cloned().map(Packet::Publish).flat_map(|p| written(&p)).collect();
        let (mut up, mut down) = (&up[..], &down[..]);
        let mut carried = Carried::new(V311);
        for (n, m, is_written) in cuts {
            let (part, rest) = up.split_at(n.min(up.len()));
            prop_assert_eq!(carried.up(part), None);
            up = rest;
            if is_written {
                carried.written();
            }
            let (part, rest) = down.split_at(m.min(down.len()));
            carried.down(part);
            down = rest;
        }
        prop_assert_eq!(carried.up(up), None);
        carried.written();
        carried.down(down);
        carried.written();
        let (expected_up, expected_answers) = expected(&sent);
        prop_assert_eq!(read(&carried.to_broker), expected_up);
        let (answers, passed): (Vec<_>, Vec<_>) = read(&carried.to_device).into_iter().partition(is_answer);
        prop_assert_eq!(answers, expected_answers);
        let messages: Vec<_> = messages.into_iter().map(Packet::Publish).collect();
        prop_assert_eq!(passed, messages);
    }
}

#[test]
fn a_boundary_of_the_device_is_known_and_what_waits_is_counted() {
    let mut streams = AtMostOnce::new(Version::V311, crate::mqtt::Unchanged);
    let mut scratch = Scratch::default();
    assert!(streams.up_at_boundary());
    streams.up(&[0x32, 6, 0, 1, b't', 0, 1], &mut scratch);
    assert!(!streams.up_at_boundary());
    streams.up(b"x", &mut scratch);
    assert!(streams.up_at_boundary());
    assert_eq!(streams.held(), 4, "a PUBACK");
}
