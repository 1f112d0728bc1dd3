//! Packets that are read whole, and the splice against an independent decoder.

use super::{Rules, named, replaced, version};
use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};
use simrelay::mqtt::{Connack, Connect, FixedHeader, Login, Scratch, Unchanged, Uplink, Version};

/// CONNECT and CONNACK: read, patched, read again.
pub fn connect(data: &[u8]) {
    let _ = FixedHeader::parse(data);
    let _ = Connect::version_of(data);
    for version in [Version::V31, Version::V311, Version::V5] {
        let _ = Connack::parse(data, version);
    }
    let Ok(connect) = Connect::parse(data) else { return };
    if let Ok(same) = connect.patched(Login::PassThrough, &Unchanged) {
        assert!(
            Connect::parse(&same).as_ref() == Ok(&connect),
            "not the same CONNECT"
        );
    }
    let login = Login::Fixed {
        username: Some("u"),
        password: Some(b"p"),
    };
    if let Ok(patched) = connect.patched(login, &Rules) {
        let again = Connect::parse(&patched).expect("what was patched can be read");
        assert_eq!((again.username, again.password), (Some("u"), Some(&b"p"[..])));
        assert_eq!(
            (again.client_id, again.keep_alive, again.clean, again.has_will()),
            (
                connect.client_id,
                connect.keep_alive,
                connect.clean,
                connect.has_will()
            )
        );
    }
}

/// A PUBLISH: but for its topics, another decoder sees the same before and after.
pub fn splice(data: &[u8]) {
    let [first, flags, body @ ..] = data else { return };
    let version = version(*first);
    let flags = flags & 0x0f;
    let mut packet = vec![0x30 | flags];
    let mut len = body.len();
    while len >= 0x80 {
        packet.push(len as u8 | 0x80);
        len /= 0x80;
    }
    packet.push(len as u8);
    let head = packet.len();
    packet.extend_from_slice(body);
    let (mut uplink, mut scratch) = (Uplink::new(version, Rules), Scratch::default());
    let passed = uplink.pass(&packet, &mut scratch);
    if passed.violation.is_some() {
        return;
    }
    assert_eq!(passed.requests, 1);
    let header = FixedHeader::parse(passed.bytes).ok().flatten().expect("a packet");
    assert_eq!(header.total(), passed.bytes.len());
    let (before, after) = (&packet[head..], &passed.bytes[header.len..]);
    match version {
        Version::V5 => compare_5(flags, before, after),
        Version::V311 | Version::V31 => compare_3(flags, before, after),
    }
}

fn compare_3(flags: u8, before: &[u8], after: &[u8]) {
    let Ok((before, _)) = v3_1_1::Publish::parse(flags, before.into()) else {
        return;
    };
    let (after, _) = v3_1_1::Publish::parse(flags, after.into()).expect("a PUBLISH");
    assert_eq!(after.topic_name(), named(before.topic_name()));
    assert_eq!(after.packet_id(), before.packet_id());
    assert_eq!(after.payload().as_slice(), before.payload().as_slice());
}

fn compare_5(flags: u8, before: &[u8], after: &[u8]) {
    let Ok((before, _)) = v5_0::Publish::parse(flags, before.into()) else {
        return;
    };
    let (after, _) = v5_0::Publish::parse(flags, after.into()).expect("a PUBLISH");
    let expected = match before.topic_name() {
        // The broker has the rewritten topic under its alias.
        "" => String::new(),
        topic => named(topic),
    };
    assert_eq!(after.topic_name(), expected);
    assert_eq!(after.packet_id(), before.packet_id());
    assert_eq!(after.payload().as_slice(), before.payload().as_slice());
    let rewritten = before.props().iter().map(|property| match property {
        Property::ResponseTopic(topic) => format!("response topic {}", replaced(topic.val())),
        other => format!("{other:?}"),
    });
    let found = after.props().iter().map(|property| match property {
        Property::ResponseTopic(topic) => format!("response topic {}", topic.val()),
        other => format!("{other:?}"),
    });
    assert_eq!(found.collect::<Vec<_>>(), rewritten.collect::<Vec<_>>());
}
