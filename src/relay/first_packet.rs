//! What calls on the MQTT port and is no MQTT client that begins a connection.

/// What the first bytes of a connection are that is none of MQTT, or does not begin as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FirstPacket {
    /// A TLS handshake.
    #[error("TLS")]
    Tls,
    /// A request of HTTP.
    #[error("HTTP")]
    Http,
    /// A CONNECT whose Remaining Length is none.
    #[error("CONNECT with an impossible length")]
    EndlessConnect,
    /// A CONNECT with flags in its first byte.
    #[error("CONNECT with reserved flags")]
    FlaggedConnect,
    /// A packet of another type.
    #[error("another MQTT packet")]
    OtherPacket,
    /// Anything else.
    #[error("not MQTT")]
    NotMqtt,
}

impl FirstPacket {
    const HTTP_METHODS: [&[u8]; 6] = [b"GET ", b"POST", b"PUT ", b"HEAD", b"OPTI", b"DELE"];

    /// What begins like this and is no CONNECT that can be read.
    pub(super) fn guess(bytes: &[u8]) -> Self {
        match bytes {
            [0x16, 0x03, ..] => Self::Tls,
            _ if Self::HTTP_METHODS.iter().any(|method| bytes.starts_with(method)) => Self::Http,
            [0x10, ..] => Self::EndlessConnect,
            [first, ..] if first >> 4 == 1 => Self::FlaggedConnect,
            [first, ..] if (2..=15).contains(&(first >> 4)) => Self::OtherPacket,
            _ => Self::NotMqtt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_first_packet_is_told_from_its_first_bytes() {
        for (bytes, expected) in [
            (&[0x16, 0x03, 0x01, 0x02][..], FirstPacket::Tls),
            (b"GET / HTTP/1.1", FirstPacket::Http),
            (b"POST /v1", FirstPacket::Http),
            (&[0xc0, 0x00], FirstPacket::OtherPacket),
            (&[0x1f, 0x10], FirstPacket::FlaggedConnect),
            (&[0x10, 0xff, 0xff, 0xff, 0xff], FirstPacket::EndlessConnect),
            (&[0x00, 0x01], FirstPacket::NotMqtt),
        ] {
            assert_eq!(FirstPacket::guess(bytes), expected, "{bytes:02x?}");
        }
    }
}
