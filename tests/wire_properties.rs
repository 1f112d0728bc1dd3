//! Generated streams through the wire code, compared with a naive model and with independent codecs.
//!
//! mqttbytes reads MQTT 3.1.1 (and 3.1 behind the CONNECT, where the packets look alike) and PUBLISH of
//! MQTT 5; it swallows some DISCONNECTs of MQTT 5 and knows no AUTH. mqtt-protocol-core reads PUBLISH,
//! SUBSCRIBE, UNSUBSCRIBE and CONNECT of MQTT 5, the latter only with a user name before a password.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};
use proptest::collection::vec;
use proptest::prelude::*;
use simrelay::mqtt::Version::{V5, V31, V311};
use simrelay::mqtt::{
    Connack, Connect, Downlink, Login, MAX_HEAD, Scratch, TopicRewrite, Unchanged, Uplink, Version, Violation,
};

const IMSI: &str = "440103000000001";
const SUFFIX: &str = "/440103000000001";

/// Replaces `{{imsi}}` everywhere, and appends a suffix to topic names.
#[derive(Debug, Clone, Copy)]
struct Rules;

fn replaced(topic: &str) -> String {
    topic.replace("{{imsi}}", IMSI)
}

/// What becomes of a topic name; an empty one stands for a topic alias.
fn named(topic: &str) -> String {
    if topic.is_empty() {
        String::new()
    } else {
        replaced(topic) + SUFFIX
    }
}

fn append_if_changed(topic: &str, out: &mut Vec<u8>) -> bool {
    let changed = topic.contains("{{imsi}}");
    if changed {
        out.extend_from_slice(replaced(topic).as_bytes());
    }
    changed
}

impl TopicRewrite for Rules {
    fn topic_name(&self, topic: &str, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(named(topic).as_bytes());
        true
    }
    fn topic_filter(&self, filter: &str, out: &mut Vec<u8>) -> bool {
        append_if_changed(filter, out)
    }
    fn response_topic(&self, topic: &str, out: &mut Vec<u8>) -> bool {
        append_if_changed(topic, out)
    }
    fn rewrites_filters(&self) -> bool {
        true
    }
    fn rewrites_response_topics(&self) -> bool {
        true
    }
}

/// A part of a packet's body, by what the relay may do to it.
#[derive(Debug, Clone)]
enum Field {
    Raw(Vec<u8>),
    Name(String),
    Filter(String),
    Response(String),
    Block(Vec<Field>),
}

#[derive(Debug, Clone)]
struct Packet {
    first: u8,
    fields: Vec<Field>,
}

fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value /= 0x80;
    }
    out.push(value as u8);
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text);
}

fn push_fields(out: &mut Vec<u8>, fields: &[Field], rewritten: bool) {
    let plain = |topic: &str| topic.to_owned();
    for field in fields {
        match field {
            Field::Raw(bytes) => out.extend_from_slice(bytes),
            Field::Name(topic) => {
                let value = if rewritten { named } else { plain }(topic);
                push_text(out, value.as_bytes());
            }
            Field::Filter(topic) => {
                let value = if rewritten { replaced } else { plain }(topic);
                push_text(out, value.as_bytes());
            }
            Field::Response(topic) => {
                out.push(0x08);
                push_text(out, if rewritten { replaced } else { plain }(topic).as_bytes());
            }
            Field::Block(fields) => {
                let mut block = Vec::new();
                push_fields(&mut block, fields, rewritten);
                push_varint(out, block.len());
                out.extend_from_slice(&block);
            }
        }
    }
}

impl Packet {
    fn encoded(&self, rewritten: bool) -> Vec<u8> {
        let mut body = Vec::new();
        push_fields(&mut body, &self.fields, rewritten);
        let mut packet = vec![self.first];
        push_varint(&mut packet, body.len());
        packet.extend_from_slice(&body);
        packet
    }

    fn is_request(&self) -> bool {
        matches!(self.first >> 4, 3 | 8 | 10)
    }
}

fn stream(packets: &[Packet], rewritten: bool) -> Vec<u8> {
    packets
        .iter()
        .flat_map(|packet| packet.encoded(rewritten))
        .collect()
}

fn requests(packets: &[Packet]) -> u32 {
    packets.iter().filter(|packet| packet.is_request()).count() as u32
}

fn topic() -> impl Strategy<Value = String> {
    let long = "x".repeat(90);
    let part = prop::sample::select(vec![
        "a".to_owned(),
        "/".to_owned(),
        "sensors/".to_owned(),
        "{{imsi}}".to_owned(),
        "{{imsi".to_owned(),
        "}}".to_owned(),
        "温度".to_owned(),
        "😀".to_owned(),
        "$SYS".to_owned(),
        long,
    ]);
    vec(part, 1..6).prop_map(|parts| parts.concat())
}

fn short_text() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec!["", "k", "値", "{{imsi}}", "a longer text"]).prop_map(|text| {
        let mut out = Vec::new();
        push_text(&mut out, text.as_bytes());
        out
    })
}

fn user_property() -> impl Strategy<Value = Field> {
    (short_text(), short_text()).prop_map(|(key, value)| Field::Raw([vec![0x26], key, value].concat()))
}

fn tagged(id: u8, value: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Field> {
    value.prop_map(move |value| Field::Raw([vec![id], value].concat()))
}

/// Properties that a PUBLISH of MQTT 5 may have, in any order.
fn publish_properties(alias: bool) -> impl Strategy<Value = Vec<Field>> {
    use prop::option::of as some;
    let alias = (1..=u16::MAX, Just(alias))
        .prop_map(|(alias, there)| there.then(|| Field::Raw([&[0x23][..], &alias.to_be_bytes()].concat())));
    let binary = vec(any::<u8>(), 0..20).prop_map(|bytes| {
        let mut out = Vec::new();
        push_text(&mut out, &bytes);
        out
    });
    let once = (
        some(tagged(0x01, any::<bool>().prop_map(|on| vec![on.into()]))),
        some(tagged(
            0x02,
            any::<u32>().prop_map(|seconds| seconds.to_be_bytes().to_vec()),
        )),
        some(tagged(0x03, short_text())),
        some(topic().prop_map(Field::Response)),
        some(tagged(0x09, binary)),
        alias,
    );
    (once, vec(user_property(), 0..4))
        .prop_map(|((a, b, c, d, e, f), users)| {
            [a, b, c, d, e, f].into_iter().flatten().chain(users).collect()
        })
        .prop_shuffle()
}

fn publish(version: Version) -> impl Strategy<Value = Packet> {
    let payload = prop_oneof![9 => vec(any::<u8>(), 0..200), 1 => vec(any::<u8>(), 16_000..17_000)];
    let head = (
        0..3u8,
        any::<bool>(),
        any::<bool>(),
        1..=u16::MAX,
        topic(),
        any::<bool>(),
    );
    (head, payload, publish_properties(true), publish_properties(false)).prop_map(
        move |((qos, dup, retain, identifier, topic, alias), payload, with, without)| {
            let dup = dup && (qos > 0 || version == V31);
            let alias = alias && version == V5;
            let topic = if alias { String::new() } else { topic };
            let mut fields = vec![Field::Name(topic)];
            if qos > 0 {
                fields.push(Field::Raw(identifier.to_be_bytes().to_vec()));
            }
            if version == V5 {
                fields.push(Field::Block(if alias { with } else { without }));
            }
            fields.push(Field::Raw(payload));
            Packet {
                first: 0x30 | u8::from(dup) << 3 | qos << 1 | u8::from(retain),
                fields,
            }
        },
    )
}

fn subscriptions(version: Version) -> impl Strategy<Value = Packet> {
    let filter = (topic(), any::<bool>()).prop_map(|(topic, all)| if all { topic + "/#" } else { topic });
    let options = if version == V5 { 0..48u8 } else { 0..3u8 };
    let options = options.prop_map(|options| if options & 3 == 3 { options - 1 } else { options });
    let head = (
        1..=u16::MAX,
        any::<bool>(),
        any::<bool>(),
        prop::option::of(1..=268_435_455_usize),
    );
    (head, vec((filter, options), 1..4), vec(user_property(), 0..3)).prop_map(
        move |((identifier, subscribe, dup, id), filters, mut properties)| {
            let mut fields = vec![Field::Raw(identifier.to_be_bytes().to_vec())];
            if version == V5 {
                if let (Some(id), true) = (id, subscribe) {
                    let mut property = vec![0x0b];
                    push_varint(&mut property, id);
                    properties.push(Field::Raw(property));
                }
                fields.push(Field::Block(properties));
            }
            for (filter, options) in filters {
                fields.push(Field::Filter(filter));
                if subscribe {
                    fields.push(Field::Raw(vec![options]));
                }
            }
            let dup = u8::from(dup && version == V31) << 3;
            Packet {
                first: if subscribe { 0x82 } else { 0xa2 } | dup,
                fields,
            }
        },
    )
}

/// Packets that pass as they are.
fn other(version: Version) -> impl Strategy<Value = Packet> {
    let mut packets = vec![
        (0xc0, vec![]),
        (0x40, vec![0, 1]),
        (0x50, vec![0, 2]),
        (0x62, vec![0, 3]),
        (0x70, vec![0, 4]),
    ];
    if version == V5 {
        packets.extend([
            (0x40, vec![0, 1, 0x10]),
            (0x62, vec![0, 3, 0, 0]),
            (0x50, vec![0, 2, 0x80, 5, 0x1f, 0, 2, b'n', b'o']),
        ]);
    }
    prop::sample::select(packets).prop_map(|(first, body)| Packet {
        first,
        fields: vec![Field::Raw(body)],
    })
}

fn packet(version: Version) -> impl Strategy<Value = Packet> {
    prop_oneof![4 => publish(version), 2 => subscriptions(version), 1 => other(version)]
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(vec![V31, V311, V5])
}

fn packets() -> impl Strategy<Value = (Version, Vec<Packet>)> {
    version().prop_flat_map(|version| (Just(version), vec(packet(version), 1..8)))
}

/// PUBLISH packets that mostly begin with the same bytes, as those of one device do: few topics, few lengths.
fn alike() -> impl Strategy<Value = (Version, Vec<Packet>)> {
    let response = prop::sample::select(vec!["{{imsi}}", "r", "{{imsi}}/r"]);
    let response = response.prop_map(|topic| Field::Response(topic.to_owned()));
    let properties = prop_oneof![
        2 => Just(vec![]),
        1 => vec(user_property(), 1),
        1 => vec(response, 1),
    ];
    let topic = prop::sample::select(vec!["a", "{{imsi}}", "t/{{imsi}}"]);
    let length = prop::sample::select(vec![60_usize, 110, 125, 140]);
    let one = (topic, 0..2_u8, 1..3_u16, properties, length);
    (version(), vec(one, 2..10)).prop_map(|(version, all)| {
        let packet = |(topic, qos, identifier, properties, length): (&str, u8, u16, _, usize)| {
            let mut packet = Packet {
                first: 0x30 | qos << 1,
                fields: vec![Field::Name(topic.to_owned())],
            };
            if qos > 0 {
                packet.fields.push(Field::Raw(identifier.to_be_bytes().to_vec()));
            }
            if version == V5 {
                packet.fields.push(Field::Block(properties));
            }
            let payload = length - packet.encoded(false).len();
            packet.fields.push(Field::Raw(vec![b'p'; payload]));
            packet
        };
        (version, all.into_iter().map(packet).collect())
    })
}

/// Sizes of parts, repeated over a stream: dribbled, small, large.
fn parts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        vec(1..4_usize, 1..4),
        vec(1..60_usize, 1..8),
        vec(1..5000_usize, 1..4)
    ]
}

fn cut<'a>(mut stream: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    for size in sizes.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (part, rest) = stream.split_at((*size).min(stream.len()));
        parts.push(part);
        stream = rest;
    }
    parts
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    bytes: Vec<u8>,
    requests: u32,
    disconnect: Option<u8>,
    violation: Option<Violation>,
}

fn up(version: Version, rewrite: impl TopicRewrite, parts: &[&[u8]]) -> Sent {
    let mut uplink = Uplink::new(version, rewrite);
    let mut scratch = Scratch::default();
    let mut sent = Sent::default();
    for part in parts {
        let passed = uplink.pass(part, &mut scratch);
        let ended = sent.violation.is_some() || sent.disconnect.is_some();
        assert!(!ended || passed.bytes.is_empty(), "nothing passes behind the end");
        sent.bytes.extend_from_slice(passed.bytes);
        sent.requests += passed.requests;
        if passed.disconnect {
            sent.disconnect = Some(0);
        }
        sent.violation = sent.violation.or(passed.violation);
    }
    sent
}

fn down(version: Version, parts: &[&[u8]]) -> Sent {
    let mut downlink = Downlink::new(version);
    let mut sent = Sent::default();
    for part in parts {
        let scanned = downlink.scan(part);
        assert!(
            sent.violation.is_none() || scanned.len == 0,
            "nothing passes behind the end"
        );
        sent.bytes.extend_from_slice(&part[..scanned.len]);
        sent.requests += scanned.requests;
        sent.disconnect = scanned.disconnect.or(sent.disconnect);
        sent.violation = sent.violation.or(scanned.violation);
    }
    sent
}

/// Splits a legal stream into packets: first byte and body. Independent of the code under test.
fn frames(mut stream: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let [first, rest @ ..] = stream {
        let end = rest
            .iter()
            .position(|byte| byte & 0x80 == 0)
            .expect("an end of the length")
            + 1;
        let len = rest[..end]
            .iter()
            .rev()
            .fold(0, |len, byte| len * 0x80 + usize::from(byte & 0x7f));
        frames.push((*first, &rest[end..end + len]));
        stream = &rest[end + len..];
    }
    frames
}

fn read_v4(stream: &[u8]) -> Vec<mqttbytes::v4::Packet> {
    let mut stream = stream.into();
    std::iter::from_fn(|| mqttbytes::v4::read(&mut stream, usize::MAX).ok()).collect()
}

/// The same packet with the topics that the broker shall see.
fn expected_v4(packet: mqttbytes::v4::Packet) -> mqttbytes::v4::Packet {
    use mqttbytes::v4::Packet as P;
    match packet {
        P::Publish(mut p) => {
            p.topic = named(&p.topic);
            P::Publish(p)
        }
        P::Subscribe(mut p) => {
            for filter in &mut p.filters {
                filter.path = replaced(&filter.path);
            }
            P::Subscribe(p)
        }
        P::Unsubscribe(mut p) => {
            p.topics = p.topics.iter().map(|topic| replaced(topic)).collect();
            P::Unsubscribe(p)
        }
        other => other,
    }
}

fn expected_properties(properties: &[Property]) -> Vec<(u8, Vec<u8>)> {
    raw_properties(properties, replaced)
}

fn raw_properties(properties: &[Property], response: fn(&str) -> String) -> Vec<(u8, Vec<u8>)> {
    let raw = |property: &Property| match property {
        Property::ResponseTopic(topic) => (8, response(topic.val()).into_bytes()),
        other => (other.id() as u8, other.to_continuous_buffer()),
    };
    properties.iter().map(raw).collect()
}

/// Compares what mqtt-protocol-core reads in a packet before and after.
fn assert_same_v5(before: (u8, &[u8]), after: (u8, &[u8])) {
    assert_eq!(before.0, after.0);
    let (flags, unchanged) = (before.0 & 0xf, str::to_owned);
    match before.0 >> 4 {
        3 => {
            let read = |body: &[u8]| {
                v5_0::Publish::parse(flags, body.into())
                    .expect("a legal PUBLISH")
                    .0
            };
            let (a, b) = (read(before.1), read(after.1));
            assert_eq!(named(a.topic_name()), b.topic_name());
            assert_eq!(expected_properties(&a.props), raw_properties(&b.props, unchanged));
            assert_eq!((a.packet_id(), a.payload()), (b.packet_id(), b.payload()));
        }
        8 => {
            let read = |body| v5_0::Subscribe::parse(body).expect("a legal SUBSCRIBE").0;
            let (a, b) = (read(before.1), read(after.1));
            assert_eq!(a.packet_id(), b.packet_id());
            assert_eq!(
                expected_properties(a.props()),
                raw_properties(b.props(), unchanged)
            );
            let entries = |packet: &v5_0::Subscribe, model: fn(&str) -> String| -> Vec<_> {
                let entries = packet.entries().iter();
                entries
                    .map(|e| (model(e.topic_filter()), *e.sub_opts().to_buffer()))
                    .collect()
            };
            assert_eq!(entries(&a, replaced), entries(&b, unchanged));
        }
        10 => {
            let read = |body| v5_0::Unsubscribe::parse(body).expect("a legal UNSUBSCRIBE").0;
            let (a, b) = (read(before.1), read(after.1));
            assert_eq!(a.packet_id(), b.packet_id());
            assert_eq!(
                expected_properties(a.props()),
                raw_properties(b.props(), unchanged)
            );
            let filters = |p: &v5_0::Unsubscribe| {
                p.entries()
                    .iter()
                    .map(|f| f.as_str().to_owned())
                    .collect::<Vec<_>>()
            };
            let expected: Vec<_> = filters(&a).iter().map(|filter| replaced(filter)).collect();
            assert_eq!(expected, filters(&b));
        }
        _ => assert_eq!(before.1, after.1),
    }
}

/// Streams that are legal, nearly legal, or nothing at all.
fn rough() -> impl Strategy<Value = (Version, Vec<u8>)> {
    let flips = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let nearly = (packets(), flips).prop_map(|((version, packets), flips)| {
        let mut bytes = stream(&packets, false);
        for (at, value) in flips {
            let at = at.index(bytes.len().min(300));
            bytes[at] = value;
        }
        (version, bytes)
    });
    let ends = (packets(), any::<bool>()).prop_map(|((version, packets), body)| {
        let mut bytes = stream(&packets, false);
        bytes.extend_from_slice(if version == V5 && body {
            &[0xe0, 2, 0x04, 0]
        } else {
            &[0xe0, 0]
        });
        bytes.extend_from_slice(&[0xc0, 0, 0x30]);
        (version, bytes)
    });
    prop_oneof![
        1 => (version(), vec(any::<u8>(), 0..200)),
        1 => (version(), vec(prop::sample::select(vec![0, 1, 2, 4, 0x30, 0x32, 0x80, 0x82, 0xa2, 0xe0, 0xff]), 0..40)),
        4 => nearly,
        1 => ends,
    ]
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn topics_change_as_the_model_says_and_nothing_else_does((version, packets) in packets(), sizes in parts()) {
        let input = stream(&packets, false);
        let sent = up(version, Rules, &cut(&input, &sizes));
        prop_assert_eq!(sent.violation, None);
        prop_assert!(sent.bytes == stream(&packets, true), "{:02x?}", sent.bytes);
        prop_assert_eq!(sent.requests, requests(&packets));
        if version == V5 {
            let (before, after) = (frames(&input), frames(&sent.bytes));
            prop_assert_eq!(before.len(), after.len());
            for (before, after) in before.into_iter().zip(after) {
                assert_same_v5(before, after);
            }
        } else {
            let expected: Vec<_> = read_v4(&input).into_iter().map(expected_v4).collect();
            prop_assert_eq!(expected.len(), packets.len());
            prop_assert_eq!(read_v4(&sent.bytes), expected);
        }
    }

    #[test]
    fn a_message_that_begins_as_the_one_before_gets_its_own_length((version, packets) in alike(), sizes in parts()) {
        let input = stream(&packets, false);
        for parts in [vec![&input[..]], cut(&input, &sizes)] {
            let sent = up(version, Rules, &parts);
            prop_assert_eq!(sent.violation, None);
            prop_assert!(sent.bytes == stream(&packets, true), "{:02x?}", sent.bytes);
            prop_assert_eq!(sent.requests, requests(&packets));
        }
    }

    #[test]
    fn without_rules_every_byte_passes_as_it_came((version, packets) in packets(), sizes in parts()) {
        let input = stream(&packets, false);
        let sent = up(version, Unchanged, &cut(&input, &sizes));
        prop_assert_eq!(sent.violation, None);
        prop_assert!(sent.bytes == input);
        prop_assert_eq!(sent.requests, requests(&packets));
    }

    #[test]
    fn where_a_devices_stream_is_cut_makes_no_difference((version, input) in rough(), sizes in parts()) {
        let whole = up(version, Rules, &[&input]);
        prop_assert_eq!(&up(version, Rules, &cut(&input, &sizes)), &whole);
        let whole = up(version, Unchanged, &[&input]);
        prop_assert_eq!(&up(version, Unchanged, &cut(&input, &sizes)), &whole);
        prop_assert!(input.starts_with(&whole.bytes));
    }

    #[test]
    fn where_a_brokers_stream_is_cut_makes_no_difference((version, input) in rough(), sizes in parts()) {
        let whole = down(version, &[&input]);
        let mut parts = down(version, &cut(&input, &sizes));
        prop_assert!(input.starts_with(&parts.bytes));
        // Before a violation up to four bytes of its fixed header may have passed.
        let more = parts.bytes.len() - whole.bytes.len();
        prop_assert!(more <= if whole.violation.is_some() { 4 } else { 0 }, "{}", more);
        parts.bytes.truncate(whole.bytes.len());
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn a_violation_lets_everything_before_it_pass((version, packets) in packets(), sizes in parts()) {
        let mut input = stream(&packets, false);
        input.extend_from_slice(&[0x36, 7, 0, 1, b't', 0, 1, 0, b'x', 0xc0, 0]);
        let sent = up(version, Rules, &cut(&input, &sizes));
        prop_assert_eq!(sent.violation, Some(Violation::Qos));
        prop_assert!(sent.bytes == stream(&packets, true));
        prop_assert_eq!(sent.requests, requests(&packets));
    }

    #[test]
    fn a_downlink_passes_and_counts_publishes((version, packets) in packets(), sizes in parts()) {
        let packets: Vec<_> = packets.into_iter().filter(|p| !matches!(p.first >> 4, 8 | 10 | 12)).collect();
        let input = stream(&packets, false);
        let sent = down(version, &cut(&input, &sizes));
        prop_assert_eq!(sent.violation, None);
        prop_assert!(sent.bytes == input);
        prop_assert_eq!(sent.requests, requests(&packets));
    }

    #[test]
    fn a_handshake_of_any_bytes_is_judged_without_a_panic(bytes in vec(any::<u8>(), 0..80), version in version()) {
        let _ = Connect::parse(&bytes);
        let _ = Connack::parse(&bytes, version);
        let mut connack = vec![0x20, bytes.len() as u8];
        connack.extend_from_slice(&bytes);
        let _ = Connack::parse(&connack, version);
    }
}

/// Fields of a CONNECT: client, will (topic, payload, QoS, retain), login, keep alive, clean.
type Will = (String, Vec<u8>, u8, bool);

fn connect_packet(
    version: Version,
    client: &str,
    will: Option<&Will>,
    login: Option<&str>,
    properties: &[Field],
) -> Packet {
    let (name, level) = match version {
        V31 => ("MQIsdp", 3),
        V311 => ("MQTT", 4),
        V5 => ("MQTT", 5),
    };
    let mut start = Vec::new();
    push_text(&mut start, name.as_bytes());
    let mut flags = 0x02;
    if let Some((_, _, qos, retain)) = will {
        flags |= 0x04 | qos << 3 | u8::from(*retain) << 5;
    }
    if login.is_some() {
        flags |= 0xc0;
    }
    start.extend_from_slice(&[level, flags, 1, 44]);
    let raw = |bytes: &[u8]| {
        let mut out = Vec::new();
        push_text(&mut out, bytes);
        Field::Raw(out)
    };
    let mut fields = vec![Field::Raw(start)];
    if version == V5 {
        fields.push(Field::Block(vec![Field::Raw(vec![
            0x21, 0, 9, 0x26, 0, 0, 0, 1, b'v', 0x22, 0, 0,
        ])]));
    }
    fields.push(raw(client.as_bytes()));
    if let Some((topic, payload, ..)) = will {
        if version == V5 {
            fields.push(Field::Block(properties.to_vec()));
        }
        fields.push(Field::Name(topic.clone()));
        fields.push(raw(payload));
    }
    if let Some(login) = login {
        fields.extend([raw(login.as_bytes()), raw(login.as_bytes())]);
    }
    Packet { first: 0x10, fields }
}

fn will_properties() -> impl Strategy<Value = Vec<Field>> {
    // Those of a PUBLISH but for the alias, and a delay.
    (publish_properties(false), any::<u32>()).prop_map(|(mut properties, delay)| {
        properties.insert(
            properties.len() / 2,
            Field::Raw([&[0x18][..], &delay.to_be_bytes()].concat()),
        );
        properties
    })
}

proptest! {
    #![proptest_config(config(800))]

    #[test]
    fn a_patched_connect_reads_as_the_model_says(
        version in version(),
        client in prop::sample::select(vec!["", "device-1", "機器"]),
        will in prop::option::of((topic(), vec(any::<u8>(), 0..300), 0..3u8, any::<bool>())),
        own in prop::option::of(prop::sample::select(vec!["u", "使用者"])),
        new in prop::option::of(Just(("relay", "a-new-password"))),
        properties in will_properties(),
    ) {
        let packet = connect_packet(version, client, will.as_ref(), own, &properties);
        let bytes = packet.encoded(false);
        let connect = Connect::parse(&bytes).unwrap();
        prop_assert_eq!((connect.client_id, connect.keep_alive, connect.has_will()), (client, 300, will.is_some()));
        prop_assert_eq!(connect.patched(Login::PassThrough, &Unchanged).unwrap(), bytes.clone());
        prop_assert_eq!(connect.patched(Login::PassThrough, &Rules).unwrap(), packet.encoded(true));

        let login = Login::Fixed { username: new.map(|n| n.0), password: new.map(|n| n.1.as_bytes()) };
        let patched = connect.patched(login, &Rules).unwrap();
        let topic = will.as_ref().map(|w| named(&w.0));
        let payload = will.as_ref().map(|w| &w.1[..]);
        let body = frames(&patched)[0].1;
        match version {
            V31 => {
                let again = Connect::parse(&patched).unwrap();
                prop_assert_eq!(again.username, new.map(|n| n.0));
            }
            V311 => {
                let (read, len) = v3_1_1::Connect::parse(body).unwrap();
                prop_assert_eq!(len, body.len());
                prop_assert_eq!((read.client_id(), read.keep_alive(), read.clean_session()), (client, 300, true));
                prop_assert_eq!((read.will_topic(), read.will_payload()), (topic.as_deref(), payload));
                prop_assert_eq!(read.will_qos() as u8, will.as_ref().map_or(0, |w| w.2));
                prop_assert_eq!((read.user_name(), read.password()), (new.map(|n| n.0), new.map(|n| n.1.as_bytes())));
                let Some(mqttbytes::v4::Packet::Connect(read)) = read_v4(&patched).pop() else { panic!("no CONNECT") };
                prop_assert_eq!(read.last_will.map(|w| w.topic), topic);
                prop_assert_eq!(read.login.map(|l| l.password), new.map(|n| n.1.to_owned()));
            }
            V5 => {
                let (read, len) = v5_0::Connect::parse(body).unwrap();
                let before = v5_0::Connect::parse(frames(&bytes)[0].1).unwrap().0;
                prop_assert_eq!(len, body.len());
                prop_assert_eq!((read.client_id(), read.keep_alive(), read.clean_start()), (client, 300, true));
                prop_assert_eq!((read.will_topic(), read.will_payload()), (topic.as_deref(), payload));
                prop_assert_eq!((read.user_name(), read.password()), (new.map(|n| n.0), new.map(|n| n.1.as_bytes())));
                prop_assert_eq!(read.props(), before.props());
                prop_assert_eq!(
                    raw_properties(read.will_props(), str::to_owned),
                    expected_properties(before.will_props())
                );
            }
        }
    }

    #[test]
    fn packets_of_other_encoders_pass_as_the_model_says(
        topic in topic(),
        payload in vec(any::<u8>(), 0..100),
        qos in 0..3u8,
        identifier in 1..=u16::MAX,
        sizes in parts(),
    ) {
        use mqtt_protocol_core::mqtt::packet::{Qos, ResponseTopic, UserProperty};
        let level = mqttbytes::qos(qos).unwrap();
        let mut publish = mqttbytes::v4::Publish::new(&topic, level, payload.clone());
        publish.pkid = identifier;
        let mut subscribe = mqttbytes::v4::Subscribe::new(&topic, level);
        subscribe.pkid = identifier;
        let mut unsubscribe = mqttbytes::v4::Unsubscribe::new(&topic);
        unsubscribe.pkid = identifier;
        let mut input = Default::default();
        publish.write(&mut input).unwrap();
        subscribe.write(&mut input).unwrap();
        unsubscribe.write(&mut input).unwrap();
        let sent = up(V311, Rules, &cut(&input, &sizes));
        let expected: Vec<_> = read_v4(&input).into_iter().map(expected_v4).collect();
        prop_assert_eq!((sent.violation, sent.requests), (None, 3));
        prop_assert_eq!(read_v4(&sent.bytes), expected);

        let mut builder = v5_0::Publish::builder().topic_name(&topic[..]).unwrap().payload(payload.clone());
        if qos > 0 {
            let qos = if qos == 1 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
            builder = builder.qos(qos).packet_id(identifier);
        }
        let properties = vec![
            Property::UserProperty(UserProperty::new("k", "{{imsi}}").unwrap()),
            Property::ResponseTopic(ResponseTopic::new(&topic[..]).unwrap()),
            Property::UserProperty(UserProperty::new("k", "v").unwrap()),
        ];
        let input = builder.props(properties).build().unwrap().to_continuous_buffer();
        let sent = up(V5, Rules, &cut(&input, &sizes));
        prop_assert_eq!((sent.violation, sent.requests), (None, 1));
        assert_same_v5(frames(&input)[0], frames(&sent.bytes)[0]);
        let mut stream = sent.bytes[..].into();
        let Ok(mqttbytes::v5::Packet::Publish(read)) = mqttbytes::v5::read(&mut stream, usize::MAX) else {
            panic!("no PUBLISH")
        };
        prop_assert_eq!((read.topic, &read.payload[..]), (named(&topic), &payload[..]));
        prop_assert_eq!(read.properties.unwrap().response_topic, Some(replaced(&topic)));
    }

    #[test]
    fn what_is_held_is_in_proportion_to_what_came((version, packets) in packets(), end in any::<prop::sample::Index>()) {
        let input = stream(&packets, false);
        let end = end.index(input.len());
        let mut uplink = Uplink::new(version, Rules);
        let mut scratch = Scratch::default();
        for byte in &input[..end] {
            uplink.pass(&[*byte], &mut scratch);
            prop_assert!(uplink.held() <= 2 * end + 8);
        }
        let mut boundary = 0;
        for packet in &packets {
            boundary += packet.encoded(false).len();
            if boundary == end {
                prop_assert_eq!((uplink.held(), uplink.at_boundary()), (0, true));
            }
        }
    }
}

#[test]
fn a_length_that_is_only_announced_costs_no_memory() {
    let most = [0xff, 0xff, 0xff, 0x7f];
    for version in [V31, V311, V5] {
        // The largest packets, of which nothing follows but the beginning of a topic.
        for (start, bytes) in [(0x30, &[0xff, 0xff, b't'][..]), (0x32, &[0xff]), (0x30, &[])] {
            let mut uplink = Uplink::new(version, Rules);
            let input = [&[start][..], &most, bytes].concat();
            let passed = uplink.pass(&input, &mut Scratch::default()).violation;
            assert_eq!(passed, None);
            assert!(
                uplink.held() <= 2 * input.len() + 8,
                "{} bytes held",
                uplink.held()
            );
        }
        // The largest that is gathered.
        let mut uplink = Uplink::new(version, Rules);
        let input = [0x82, 0xfc, 0xff, 0x0f, 0, 1];
        assert_eq!(4 + (0x0f << 14) + (0x7f << 7) + 0x7c, MAX_HEAD);
        assert_eq!(uplink.pass(&input, &mut Scratch::default()).violation, None);
        assert!(
            uplink.held() <= 2 * input.len() + 8,
            "{} bytes held",
            uplink.held()
        );
        // One byte more is refused by its header alone, and passes where nothing has to be rewritten.
        let input = [0x82, 0xfd, 0xff, 0x0f];
        let mut scratch = Scratch::default();
        let refused = Uplink::new(version, Rules).pass(&input, &mut scratch).violation;
        assert!(
            matches!(refused, Some(Violation::TooLarge { size, .. }) if size == MAX_HEAD + 1),
            "{refused:?}"
        );
        let mut plain = Uplink::new(version, Unchanged);
        assert_eq!(plain.pass(&input, &mut scratch).bytes, input);
        assert_eq!(plain.held(), 0);
    }
}

#[test]
fn a_payload_passes_without_being_held() {
    let mut uplink = Uplink::new(V311, Rules);
    let mut scratch = Scratch::default();
    uplink.pass(&[0x30, 0x80, 0x80, 0x80, 0x7f, 0, 1, b't'], &mut scratch);
    let part = vec![7; 65_536];
    for _ in 0..100 {
        let passed = uplink.pass(&part, &mut scratch);
        assert!(std::ptr::eq(passed.bytes, &part[..]), "the input itself goes on");
        assert_eq!(uplink.held(), 0);
    }
}

#[test]
fn a_publish_that_its_new_topic_makes_too_large_for_mqtt_is_refused() {
    let head = [0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b't'];
    let mut scratch = Scratch::default();
    let passed = Uplink::new(V311, Rules).pass(&head, &mut scratch);
    assert!(
        matches!(passed.violation, Some(Violation::TooLarge { .. })),
        "{passed:?}"
    );
    assert!(passed.bytes.is_empty());
}

#[test]
fn a_topic_that_its_new_name_makes_too_long_is_refused() {
    let mut input = vec![0xc0, 0, 0x30, 0x80, 0x80, 0x04, 0xff, 0xf0];
    input.resize(input.len() + 65_534, b't');
    let sent = up(V311, Rules, &[&input]);
    assert_eq!(
        sent.violation,
        Some(Violation::RewrittenTopic(0xfff0 + SUFFIX.len()))
    );
    assert_eq!(sent.bytes, [0xc0, 0]);
}
