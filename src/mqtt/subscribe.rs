//! SUBSCRIBE and UNSUBSCRIBE, whole, with their topic filters rewritten (§3.8, §3.10).

use super::frame::{FixedHeader, push_varint};
use super::properties::{MAX_PIECES, Properties};
use super::property_table::Place;
use super::reader::{Reader, push_binary, push_rewritten};
use super::{MAX_REMAINING, PacketType, TopicRewrite, Version, Violation};

/// Checks a whole packet. If a filter in it changes, `body` becomes what follows the new fixed header,
/// and the packet's new remaining length is returned. Properties and filters are added to `pieces`.
pub(super) fn splice(
    header: &FixedHeader,
    packet: &[u8],
    version: Version,
    rewrite: &impl TopicRewrite,
    body: &mut Vec<u8>,
    pieces: &mut u32,
) -> Result<Option<usize>, Violation> {
    let mut reader = Reader::new(&packet[header.len..]);
    body.clear();
    *pieces += push_preamble(header.packet, version, &mut reader, body)?;
    if reader.is_empty() {
        return Err(Violation::NoFilter(header.packet));
    }
    let mut changed = false;
    let mut left = MAX_PIECES;
    while !reader.is_empty() {
        left = left.checked_sub(1).ok_or(Violation::TooMany {
            what: "topic filters",
            place: place(header.packet).name(),
            limit: MAX_PIECES,
        })?;
        *pieces += 1;
        let filter = reader.text("a topic filter")?;
        if filter.is_empty() {
            return Err(Violation::EmptyFilter);
        }
        if push_rewritten(body, |out| rewrite.topic_filter(filter, out))? {
            changed = true;
        } else {
            push_binary(body, filter.as_bytes());
        }
        if header.packet == PacketType::Subscribe {
            body.push(options(reader.u8("the subscription options")?, version)?);
        }
    }
    if !changed {
        return Ok(None);
    }
    if body.len() > MAX_REMAINING {
        return Err(Violation::TooLarge {
            packet: header.packet,
            size: body.len(),
            limit: MAX_REMAINING,
        });
    }
    Ok(Some(body.len()))
}

/// Copies packet identifier and properties; gives how many of these there are.
fn push_preamble(
    packet: PacketType,
    version: Version,
    reader: &mut Reader<'_>,
    body: &mut Vec<u8>,
) -> Result<u32, Violation> {
    let mut properties = 0;
    let identifier = reader.u16("the packet identifier")?;
    if identifier == 0 {
        return Err(Violation::PacketId(packet));
    }
    body.extend_from_slice(&identifier.to_be_bytes());
    if version == Version::V5 {
        let len = reader.varint("the property length")?;
        let block = reader.take(len, "the properties")?;
        for property in Properties::new(block, place(packet)) {
            property?;
            properties += 1;
        }
        push_varint(body, len);
        body.extend_from_slice(block);
    }
    Ok(properties)
}

fn place(packet: PacketType) -> Place {
    if packet == PacketType::Subscribe {
        Place::Subscribe
    } else {
        Place::Unsubscribe
    }
}

/// Requested QoS, and in MQTT 5 No Local, Retain As Published and Retain Handling (§3.8.3.1).
fn options(byte: u8, version: Version) -> Result<u8, Violation> {
    let reserved = if version == Version::V5 { 0xc0 } else { 0xfc };
    let legal = byte & reserved == 0 && byte & 3 != 3 && byte & 0x30 != 0x30;
    if legal {
        Ok(byte)
    } else {
        Err(Violation::SubscribeOptions(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts a slash in front of filters that have none.
    struct Rooted;

    impl TopicRewrite for Rooted {
        fn topic_name(&self, _: &str, _: &mut Vec<u8>) -> bool {
            false
        }
        fn topic_filter(&self, filter: &str, out: &mut Vec<u8>) -> bool {
            let changed = !filter.starts_with('/');
            if changed {
                out.push(b'/');
                out.extend_from_slice(filter.as_bytes());
            }
            changed
        }
        fn response_topic(&self, _: &str, _: &mut Vec<u8>) -> bool {
            false
        }
        fn rewrites_filters(&self) -> bool {
            true
        }
        fn rewrites_response_topics(&self) -> bool {
            false
        }
    }

    fn spliced(version: Version, packet: &[u8]) -> Result<Option<Vec<u8>>, Violation> {
        let header = FixedHeader::parse(packet)?.unwrap();
        let mut body = Vec::new();
        let remaining = splice(&header, packet, version, &Rooted, &mut body, &mut 0)?;
        Ok(remaining.map(|remaining| {
            assert_eq!(remaining, body.len());
            body
        }))
    }

    #[test]
    fn only_the_filters_that_change_are_new() {
        let packet = b"\x82\x10\0\x09\x02\x0b\x05\0\x01a\x2d\0\x02/b\x01";
        let body = spliced(Version::V5, packet).unwrap().unwrap();
        assert_eq!(body, b"\0\x09\x02\x0b\x05\0\x02/a\x2d\0\x02/b\x01");
    }

    #[test]
    fn a_packet_has_so_many_filters_and_no_more() {
        let subscribe = |filters: usize| {
            let mut packet = vec![0x82];
            push_varint(&mut packet, 2 + filters * 4);
            packet.extend_from_slice(&[0, 9]);
            packet.extend_from_slice(&b"\0\x01a\0".repeat(filters));
            spliced(Version::V311, &packet).map(|body| body.is_some())
        };
        assert_eq!(subscribe(MAX_PIECES), Ok(true));
        assert_eq!(
            subscribe(MAX_PIECES + 1).unwrap_err().to_string(),
            "more than 2048 topic filters in SUBSCRIBE, which the relay reads one by one"
        );
    }

    #[test]
    fn an_unsubscribe_has_no_options() {
        let body = spliced(Version::V311, b"\xa2\x09\0\x09\0\x01a\0\x02/b")
            .unwrap()
            .unwrap();
        assert_eq!(body, b"\0\x09\0\x02/a\0\x02/b");
    }

    #[test]
    fn a_packet_whose_filters_stay_is_left_alone() {
        assert_eq!(spliced(Version::V311, b"\x82\x07\0\x09\0\x02/b\x01"), Ok(None));
    }
}
