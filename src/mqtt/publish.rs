//! The head of a PUBLISH: topic name, packet identifier, properties (§3.3.1, §3.3.2).

use super::frame::{FixedHeader, push_varint};
use super::properties::{Properties, Value};
use super::property_table::{Place, RESPONSE_TOPIC};
use super::reader::{Reader, push_binary, push_rewritten, text};
use super::{MAX_REMAINING, PacketType, TopicRewrite, Version, Violation};

/// How many bytes of the packet have to be there before its head can be judged and spliced: at least
/// up to the packet identifier, and up to the end of the properties if one of them may be rewritten.
#[inline]
pub(super) fn head_len(header: &FixedHeader, bytes: &[u8], properties: bool) -> Result<usize, Violation> {
    let topic_at = header.len + 2;
    let Some(prefix) = bytes.get(header.len..topic_at) else {
        return Ok(topic_at);
    };
    let topic_len = usize::from(u16::from_be_bytes([prefix[0], prefix[1]]));
    let end = topic_at + topic_len + if header.qos() > 0 { 2 } else { 0 };
    if end > header.total() {
        Err(Violation::Truncated("the topic name"))
    } else if properties {
        properties_end(header, bytes, end)
    } else {
        Ok(end)
    }
}

/// Where the property block that starts at `start` ends, or how far it takes to know.
fn properties_end(header: &FixedHeader, bytes: &[u8], start: usize) -> Result<usize, Violation> {
    const FIELD: &str = "the property length";
    // What follows the packet is not its property length, however much of the stream is here.
    let there = &bytes[..bytes.len().min(header.total())];
    let there = there.get(start..).unwrap_or_default();
    let mut length = Reader::new(there);
    match length.varint(FIELD) {
        Ok(block) => {
            let end = start + length.position() + block;
            if end > header.total() {
                Err(Violation::Truncated(FIELD))
            } else {
                Ok(end)
            }
        }
        Err(_) if there.len() < 4 && there.iter().all(|b| b & 0x80 != 0) => {
            let more = start + there.len() + 1;
            if more > header.total() {
                Err(Violation::Truncated(FIELD))
            } else {
                Ok(more)
            }
        }
        Err(violation) => Err(violation),
    }
}

/// Checks a complete head. If a topic in it changes, `new` becomes what follows the fixed header of the
/// new head, and the packet's new remaining length is returned. Properties that are read are added to `pieces`.
#[inline]
pub(super) fn splice(
    header: &FixedHeader,
    head: &[u8],
    version: Version,
    rewrite: &impl TopicRewrite,
    new: &mut Vec<u8>,
    pieces: &mut u32,
) -> Result<Option<usize>, Violation> {
    let mut reader = Reader::new(&head[header.len..]);
    let topic = topic_name(reader.binary("the topic name")?, version)?;
    let identifier = reader.take(if header.qos() > 0 { 2 } else { 0 }, "the packet identifier")?;
    if identifier == [0, 0] {
        return Err(Violation::PacketId(PacketType::Publish));
    }
    new.clear();
    // With a topic alias there is no topic to change: the broker has the rewritten one under the alias.
    let mut changed = push_rewritten(new, |out| !topic.is_empty() && rewrite.topic_name(topic, out))?;
    if !reader.is_empty() {
        if !changed {
            push_binary(new, topic.as_bytes());
        }
        new.extend_from_slice(identifier);
        reader.varint("the property length")?;
        let properties = push_properties(new, reader.rest(), Place::Publish, rewrite)?;
        changed |= properties.changed;
        *pieces += properties.count;
    } else if changed {
        new.extend_from_slice(identifier);
    }
    if !changed {
        return Ok(None);
    }
    let remaining = header.remaining + header.len + new.len() - head.len();
    if remaining > MAX_REMAINING {
        return Err(Violation::TooLarge {
            packet: PacketType::Publish,
            size: remaining,
            limit: MAX_REMAINING,
        });
    }
    Ok(Some(remaining))
}

/// A topic name as a client may send it (§4.7). Only MQTT 5 allows an empty one, for a topic alias.
#[inline]
pub(super) fn topic_name(bytes: &[u8], version: Version) -> Result<&str, Violation> {
    const FIELD: &str = "the topic name";
    let topic = std::str::from_utf8(bytes).map_err(|_| Violation::Text(FIELD))?;
    if topic.is_empty() && version != Version::V5 {
        return Err(Violation::EmptyTopic);
    }
    // One pass over the bytes for U+0000 and both wildcards, as this is done for every message.
    if memchr::memchr3(0, b'+', b'#', bytes).is_some() {
        text(bytes, FIELD)?;
        return Err(Violation::wildcard_in(topic));
    }
    Ok(topic)
}

/// A property block that was appended.
pub(super) struct Pushed {
    /// Whether its Response Topic is a new one.
    pub(super) changed: bool,
    /// How many properties it has.
    count: u32,
}

/// Appends a property block with its length, its Response Topic rewritten.
pub(super) fn push_properties(
    out: &mut Vec<u8>,
    block: &[u8],
    place: Place,
    rewrite: &impl TopicRewrite,
) -> Result<Pushed, Violation> {
    let (response, count) = Properties::find(block, place, RESPONSE_TOPIC)?;
    let Some((span, Value::Text(topic))) = response.map(|p| (p.span.clone(), p.value)) else {
        push_varint(out, block.len());
        out.extend_from_slice(block);
        let changed = false;
        return Ok(Pushed { changed, count });
    };
    let start = out.len();
    out.extend_from_slice(&block[..span.start]);
    out.push(RESPONSE_TOPIC as u8);
    let changed = push_rewritten(out, |out| rewrite.response_topic(topic, out))?;
    if !changed {
        push_binary(out, topic.as_bytes());
    }
    out.extend_from_slice(&block[span.end..]);
    // The length goes in front once it is known: behind, then turned around.
    let len = out.len() - start;
    push_varint(out, len);
    out[start..].rotate_left(len);
    Ok(Pushed { changed, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::Unchanged;
    use crate::mqtt::rewrite::tests::Behind;

    fn head(bytes: &[u8], properties: bool) -> Result<usize, Violation> {
        head_len(&FixedHeader::parse(bytes)?.unwrap(), bytes, properties)
    }

    #[test]
    fn a_head_says_how_much_more_it_needs() {
        let packet = [0x32, 12, 0, 2, b'a', b'b', 0, 7, 3, 0x23, 0, 1, b'x', b'y'];
        for (there, plain, v5) in [
            (2, 4, 4),
            (3, 4, 4),
            (4, 8, 9),
            (8, 8, 9),
            (9, 8, 12),
            (14, 8, 12),
        ] {
            assert_eq!(head(&packet[..there], false), Ok(plain), "{there} bytes");
            assert_eq!(head(&packet[..there], true), Ok(v5), "{there} bytes");
        }
    }

    #[test]
    fn the_packet_behind_is_no_part_of_the_head() {
        let missing = Err(Violation::Truncated("the property length"));
        for behind in [&[][..], &[0x00], &[0xc0, 0x00], &[0xff; 8]] {
            let stream = [&[0x30, 3, 0, 1, b't'], behind].concat();
            assert_eq!(head(&stream, true), missing, "{behind:02x?}");
        }
    }

    #[test]
    fn what_does_not_change_is_not_copied() {
        let packet = [0x30, 4, 0, 1, b't', b'x'];
        let header = FixedHeader::parse(&packet).unwrap().unwrap();
        let mut new = Vec::new();
        let spliced = splice(&header, &packet[..5], Version::V311, &Unchanged, &mut new, &mut 0);
        assert_eq!((spliced, &new[..]), (Ok(None), &[][..]));
    }

    #[test]
    fn a_packet_that_a_longer_topic_makes_too_long_for_mqtt_is_refused() {
        const LONGER: Behind = Behind("x");
        let spliced = |head: &[u8]| {
            let header = FixedHeader::parse(head)?.unwrap();
            splice(&header, head, Version::V311, &LONGER, &mut Vec::new(), &mut 0)
        };
        let last = [0x30, 0xfe, 0xff, 0xff, 0x7f, 0, 1, b't'];
        assert_eq!(spliced(&last), Ok(Some(MAX_REMAINING)));
        let too_long = [0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b't'];
        assert!(matches!(
            spliced(&too_long),
            Err(Violation::TooLarge { size, .. }) if size == MAX_REMAINING + 1
        ));
        // Behind a message to the same topic, whose rewritten one is used again.
        for (head, refused) in [(last, false), (too_long, true)] {
            let input = [&[0x30, 3, 0, 1, b't'][..], &head].concat();
            let mut scratch = crate::mqtt::Scratch::default();
            let passed = crate::mqtt::Uplink::new(Version::V311, LONGER)
                .pass(&input, &mut scratch)
                .violation;
            assert_eq!(passed.is_some(), refused);
        }
    }
}
