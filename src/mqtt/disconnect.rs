//! The relay's own DISCONNECT, which only MQTT 5 devices can take (§3.14).

use super::Reason;
use super::frame::push_varint;
use super::property_table::REASON_STRING;
use super::reader::push_binary;
use super::reason::error_in_words;

/// A DISCONNECT for an MQTT 5 device, with `text` as Reason String if the packet then keeps within the
/// device's Maximum Packet Size ([MQTT-3.14.2-3]).
#[must_use]
pub fn packet(reason: Reason, text: &str, limit: Option<u32>) -> Vec<u8> {
    let properties = reason_string(text, limit, 3);
    let mut body = vec![reason.code()];
    push_varint(&mut body, properties.len());
    body.extend_from_slice(&properties);
    let mut packet = vec![0xe0];
    push_varint(&mut packet, body.len());
    packet.extend_from_slice(&body);
    packet
}

/// What the reason code of a broker's DISCONNECT means, in words (§3.14.2.1).
#[must_use]
pub fn code_in_words(code: u8) -> &'static str {
    match code {
        0x00 => "normal disconnection",
        code => error_in_words(code),
    }
}

/// The Reason String property; nothing where the packet, with `others` bytes beside it, would exceed `limit`.
pub(super) fn reason_string(text: &str, limit: Option<u32>, others: usize) -> Vec<u8> {
    const MAX_TEXT: usize = 512;
    // No string of MQTT holds U+0000 ([MQTT-1.5.4-2]): what is quoted may.
    let end = text
        .char_indices()
        .take_while(|(_, c)| *c != '\0')
        .map(|(i, c)| i + c.len_utf8())
        .take_while(|&end| end <= MAX_TEXT)
        .last();
    let text = &text[..end.unwrap_or(0)];
    // Two varints of up to two bytes each, identifier and length prefix.
    let size = others + 4 + 3 + text.len();
    if text.is_empty() || limit.is_some_and(|limit| size > limit as usize) {
        return Vec::new();
    }
    let mut property = vec![REASON_STRING as u8];
    push_binary(&mut property, text.as_bytes());
    property
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_said_in_words_where_there_is_room() {
        let text = "nothing came from the device for 90 s";
        let full = packet(Reason::KeepAliveTimeout, text, None);
        assert_eq!(&full[..3], &[0xe0, full.len() as u8 - 2, 0x8d]);
        assert!(full.ends_with(text.as_bytes()));
        assert_eq!(
            packet(Reason::KeepAliveTimeout, text, Some(20)),
            [0xe0, 2, 0x8d, 0]
        );
    }

    #[test]
    fn a_text_ends_before_a_character_that_mqtt_forbids() {
        assert!(packet(Reason::ProtocolError, "odd\0name", None).ends_with(b"\x1f\0\x03odd"));
        assert_eq!(packet(Reason::ProtocolError, "\0", None), [0xe0, 2, 0x82, 0]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let packet = packet(Reason::AdministrativeAction, &"設".repeat(400), None);
        assert_eq!(&packet[..7], &[0xe0, 0x84, 0x04, 0x98, 0x81, 0x04, 0x1f]);
        assert!(std::str::from_utf8(&packet[9..]).is_ok());
    }

    #[test]
    fn no_packet_is_larger_than_the_device_takes_and_a_text_is_left_out_only_near_the_limit() {
        let text = "nothing came from the device for 90 s";
        let full = packet(Reason::KeepAliveTimeout, text, None);
        for limit in 4..100 {
            let len = packet(Reason::KeepAliveTimeout, text, Some(limit)).len();
            assert!(len <= limit as usize, "{len} of {limit}");
        }
        // Room is kept for two varints of two bytes each.
        let near = full.len() as u32 + 3;
        assert_eq!(packet(Reason::KeepAliveTimeout, text, Some(near)), full);
    }
}
