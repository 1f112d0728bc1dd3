//! CONNACK: the broker's, read; the relay's own refusal, written (§3.2).

use super::connect::block;
use super::disconnect::reason_string;
use super::frame::{FixedHeader, push_varint};
use super::properties::{Properties, Value};
use super::property_table::{Place, REASON_STRING, SERVER_KEEP_ALIVE};
use super::reader::Reader;
use super::reason::error_in_words;
use super::{PacketType, Reason, Version, Violation};

/// The broker's answer to a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connack {
    /// The broker has a session of this client.
    pub session_present: bool,
    /// Return code (3.1, 3.1.1) or reason code (5); 0 accepts.
    pub code: u8,
    /// The keep alive in seconds that the device must use instead of its own (§3.2.2.3.14).
    pub server_keep_alive: Option<u16>,
    /// What the broker says about it, MQTT 5 only.
    pub reason_string: Option<String>,
}

impl Connack {
    /// Reads a whole packet, fixed header included.
    ///
    /// # Errors
    /// [`Violation`] if it is no CONNACK of `version`.
    pub fn parse(packet: &[u8], version: Version) -> Result<Self, Violation> {
        let header = FixedHeader::parse(packet)?.ok_or(Violation::Truncated("the fixed header"))?;
        if header.packet != PacketType::Connack {
            return Err(Violation::Unexpected(header.packet));
        }
        header.check(version)?;
        let body = packet
            .get(header.len..header.total())
            .ok_or(Violation::Truncated("CONNACK"))?;
        let mut reader = Reader::new(body);
        let flags = reader.u8("the acknowledge flags")?;
        let code = reader.u8("the reason code")?;
        let mut connack = Self {
            session_present: flags & 1 != 0,
            code,
            server_keep_alive: None,
            reason_string: None,
        };
        // A broker that knows no MQTT 5 refuses it in its own words (3.1.1: [MQTT-3.1.2-2]).
        let properties = match (version, code) {
            (Version::V5, 1) if reader.is_empty() => &[],
            _ => block(&mut reader, version)?,
        };
        for property in Properties::new(properties, Place::Connack) {
            match property.map(|p| (p.id, p.value))? {
                (SERVER_KEEP_ALIVE, Value::Number(seconds)) => {
                    connack.server_keep_alive = Some(seconds as u16);
                }
                (REASON_STRING, Value::Text(text)) => connack.reason_string = Some(text.to_owned()),
                _ => {}
            }
        }
        if reader.is_empty() {
            Ok(connack)
        } else {
            Err(Violation::Trailing(reader.rest().len()))
        }
    }

    /// Whether the broker accepts the connection.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.code == 0
    }

    /// What a refusing code means, in words (MQTT 3.1.1 §3.2.2.3, MQTT 5 §3.2.2.2).
    #[must_use]
    pub fn code_in_words(&self) -> &'static str {
        match self.code {
            0 => "accepted",
            1 => "unacceptable protocol version",
            2 => error_in_words(0x85),
            3 => error_in_words(0x88),
            4 => error_in_words(0x86),
            5 => error_in_words(0x87),
            code => error_in_words(code),
        }
    }
}

/// Makes a broker's CONNACK one of MQTT 3.1, where the byte of Session Present is reserved (3.1: §3.2).
pub fn clear_session_present(packet: &mut [u8]) {
    if let Ok(Some(header)) = FixedHeader::parse(packet)
        && let Some(flags) = packet.get_mut(header.len)
    {
        *flags = 0;
    }
}

/// Has the device use a keep alive of so many seconds where the broker's CONNACK, one of MQTT 5, tells it another
/// (§3.2.2.3.14).
pub fn set_server_keep_alive(packet: &mut [u8], seconds: u16) {
    if let Some(told) = server_keep_alive_in(packet) {
        *told = seconds.to_be_bytes();
    }
}

/// The bytes of that property in a CONNACK that [`Connack::parse`] takes, whose properties are its end.
fn server_keep_alive_in(packet: &mut [u8]) -> Option<&mut [u8; 2]> {
    let header = FixedHeader::parse(packet).ok()??;
    let mut reader = Reader::new(packet.get(header.len + 2..)?);
    let block = block(&mut reader, Version::V5).ok()?;
    let (property, _) = Properties::find(block, Place::Connack, SERVER_KEEP_ALIVE).ok()?;
    let end = packet.len() - block.len() + property?.span.end;
    packet.get_mut(..end)?.last_chunk_mut()
}

/// A refusal of the relay's own, with `text` as Reason String where the device can take it; `None`
/// where the specification wants the connection closed without a word.
#[must_use]
pub fn refusal(version: Version, reason: Reason, text: &str, limit: Option<u32>) -> Option<Vec<u8>> {
    let code = reason.connack_code(version)?;
    if version != Version::V5 {
        return Some(vec![0x20, 2, 0, code]);
    }
    let properties = reason_string(text, limit, 4);
    let mut packet = vec![0x20];
    let mut body = vec![0, code];
    push_varint(&mut body, properties.len());
    body.extend_from_slice(&properties);
    push_varint(&mut packet, body.len());
    packet.extend_from_slice(&body);
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_can_be_read_again() {
        for version in [Version::V31, Version::V311, Version::V5] {
            let packet = refusal(
                version,
                Reason::NotAuthorized,
                "keep alive 3 is not 0 or 5..=1200",
                None,
            )
            .unwrap();
            let connack = Connack::parse(&packet, version).unwrap();
            assert!(!connack.accepted() && !connack.session_present);
            let v5 = version == Version::V5;
            assert_eq!(connack.code, if v5 { 0x87 } else { 5 });
            assert_eq!(connack.reason_string.is_some(), v5);
            assert_eq!(connack.code_in_words(), "not authorized");
        }
        assert_eq!(refusal(Version::V311, Reason::MalformedPacket, "", None), None);
    }

    #[test]
    fn a_reason_that_the_device_cannot_take_is_left_out() {
        let packet = refusal(Version::V5, Reason::NotAuthorized, "a long explanation", Some(10)).unwrap();
        assert_eq!(packet, [0x20, 3, 0, 0x87, 0]);
    }

    #[test]
    fn mqtt_31_knows_no_session_present() {
        let mut packet = [0x20, 2, 1, 0];
        clear_session_present(&mut packet);
        assert_eq!(packet, [0x20, 2, 0, 0]);
    }

    #[test]
    fn server_keep_alive_is_found_among_other_properties() {
        let packet = [0x20, 9, 1, 0, 6, 0x21, 0, 10, 0x13, 0, 30];
        let connack = Connack::parse(&packet, Version::V5).unwrap();
        assert_eq!(
            (connack.session_present, connack.server_keep_alive),
            (true, Some(30))
        );
    }

    #[test]
    fn a_server_keep_alive_is_set_in_place_and_never_added() {
        // A Receive Maximum before it, a user property behind it.
        let mut packet = [
            0x20, 16, 0, 0, 13, 0x21, 0, 10, 0x13, 0xff, 0xff, 0x26, 0, 1, b'k', 0, 1, b'v',
        ];
        set_server_keep_alive(&mut packet, 1200);
        let connack = Connack::parse(&packet, Version::V5).unwrap();
        assert_eq!(connack.server_keep_alive, Some(1200));
        assert_eq!(
            (packet[6..8].as_ref(), &packet[11..]),
            (&[0, 10][..], &b"\x26\0\x01k\0\x01v"[..])
        );
        let mut without = [0x20, 3, 0, 0, 0];
        set_server_keep_alive(&mut without, 1200);
        assert_eq!(without, [0x20, 3, 0, 0, 0]);
    }

    #[test]
    fn a_broker_without_mqtt_5_may_say_so_in_its_own_version() {
        let connack = Connack::parse(&[0x20, 2, 0, 1], Version::V5).unwrap();
        assert_eq!((connack.accepted(), connack.code), (false, 1));
        assert!(Connack::parse(&[0x20, 2, 0, 0], Version::V5).is_err());
    }

    #[test]
    fn what_is_no_connack_is_not_taken_for_one() {
        for bytes in [
            &[0x20, 2, 0][..],
            &[0x30, 2, 0, 0],
            &[0x20, 3, 0, 0, 0],
            &[0x20, 1, 0],
            b"HTTP/1.1 200 OK",
        ] {
            assert!(Connack::parse(bytes, Version::V311).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_server_keep_alive_is_set_in_a_connack_of_more_than_127_bytes_too() {
        let mut packet = vec![0x20, 139, 1, 0, 0, 0x87, 0x01, 0x13, 0xff, 0xff, 0x1f, 0, 129];
        packet.extend_from_slice(&[b'x'; 129]);
        assert_eq!(packet.len(), 3 + 139);
        set_server_keep_alive(&mut packet, 1200);
        let connack = Connack::parse(&packet, Version::V5).unwrap();
        assert_eq!(connack.server_keep_alive, Some(1200));
    }

    #[test]
    fn a_broker_without_mqtt_5_may_say_so_with_properties_too() {
        let connack = Connack::parse(&[0x20, 3, 0, 1, 0], Version::V5).unwrap();
        assert_eq!(connack.code, 1);
    }

    #[test]
    fn every_code_of_the_specification_has_its_words() {
        let words = |code| {
            Connack::parse(&[0x20, 2, 0, code], Version::V311)
                .unwrap()
                .code_in_words()
        };
        for (codes, expected) in [
            (&[0][..], "accepted"),
            (&[1], "unacceptable protocol version"),
            (&[2, 0x85], "client identifier not valid"),
            (&[3, 0x88], "server unavailable"),
            (&[4, 0x86], "bad user name or password"),
            (&[5, 0x87], "not authorized"),
            (&[0x80], "unspecified error"),
            (&[0x81], "malformed packet"),
            (&[0x82], "protocol error"),
            (&[0x83], "implementation specific error"),
            (&[0x84], "unsupported protocol version"),
            (&[0x89], "server busy"),
            (&[0x8a], "banned"),
            (&[0x8c], "bad authentication method"),
            (&[0x90], "topic name invalid"),
            (&[0x95], "packet too large"),
            (&[0x97], "quota exceeded"),
            (&[0x99], "payload format invalid"),
            (&[0x9a], "retain not supported"),
            (&[0x9b], "QoS not supported"),
            (&[0x9c], "use another server"),
            (&[0x9d], "server moved"),
            (&[0x9f], "connection rate exceeded"),
            (&[6, 0xff], "a code that the specification does not define"),
        ] {
            for &code in codes {
                assert_eq!(words(code), expected, "{code:#04x}");
            }
        }
    }
}
