//! The fixed header (§2.1).

use super::packet_type::PacketType;
use super::{Version, Violation};

/// The largest remaining length: four bytes of seven bits (§1.5.5).
pub const MAX_REMAINING: usize = 268_435_455;

/// The fixed header of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedHeader {
    /// The packet type.
    pub packet: PacketType,
    /// The first byte: type and flags.
    pub first: u8,
    /// Bytes of the fixed header itself: 2 to 5.
    pub len: usize,
    /// Bytes that follow it: 0 to [`MAX_REMAINING`].
    pub remaining: usize,
}

impl FixedHeader {
    /// Reads the fixed header at the start of `bytes`; `None` if it is not there whole yet.
    ///
    /// # Errors
    /// [`Violation`] for a reserved type or an impossible remaining length.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let packet = match (first >> 4).checked_sub(1) {
            Some(n) => PacketType::ALL[usize::from(n)],
            None => return Err(Violation::ReservedType(0)),
        };
        // Most packets are shorter than 128 bytes.
        if let Some(&remaining @ ..0x80) = bytes.get(1) {
            return Ok(Some(Self {
                packet,
                first,
                len: 2,
                remaining: remaining.into(),
            }));
        }
        let mut remaining = 0;
        for (i, &byte) in bytes[1..].iter().take(4).enumerate() {
            remaining |= usize::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Ok(Some(Self {
                    packet,
                    first,
                    len: i + 2,
                    remaining,
                }));
            }
        }
        if bytes.len() > 4 {
            Err(Violation::RemainingLength)
        } else {
            Ok(None)
        }
    }

    /// Bytes of the whole packet.
    #[must_use]
    pub fn total(&self) -> usize {
        self.len + self.remaining
    }

    /// QoS of a PUBLISH: bits 1 and 2 of the first byte.
    #[must_use]
    pub fn qos(&self) -> u8 {
        (self.first >> 1) & 3
    }

    /// The rules of the fixed header that hold for both directions: flags, and lengths that are fixed.
    #[inline]
    pub(super) fn check(&self, version: Version) -> Result<(), Violation> {
        if self.len > 2 && version == Version::V5 && self.len != varint_len(self.remaining) + 1 {
            return Err(Violation::RemainingLength);
        }
        if self.packet == PacketType::Publish {
            self.check_publish(version)
        } else {
            self.check_other(version)
        }
    }

    fn check_other(&self, version: Version) -> Result<(), Violation> {
        let flags = self.first & 0x0f;
        match self.packet {
            // In MQTT 3.1 these carry QoS 1, and DUP when they are sent again (3.1: §2.1).
            PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe => {
                let dup = if version == Version::V31 { 0x8 } else { 0 };
                if flags & !dup != 0x2 {
                    return Err(self.flags());
                }
            }
            // MQTT 3.1 calls the flags of the others unused and asks nothing of them.
            _ if flags != 0 && version != Version::V31 => return Err(self.flags()),
            _ => {}
        }
        self.check_length(version)
    }

    #[inline]
    fn check_publish(&self, version: Version) -> Result<(), Violation> {
        match self.qos() {
            3 => Err(Violation::Qos),
            0 if self.first & 0x08 != 0 && version != Version::V31 => Err(Violation::DupAtQos0),
            qos if self.remaining < if qos == 0 { 2 } else { 4 } => Err(self.length()),
            _ => Ok(()),
        }
    }

    fn check_length(&self, version: Version) -> Result<(), Violation> {
        use PacketType as P;
        let v5 = version == Version::V5;
        let wrong = match self.packet {
            P::Pingreq | P::Pingresp => self.remaining != 0,
            P::Puback | P::Pubrec | P::Pubrel | P::Pubcomp | P::Unsuback if !v5 => self.remaining != 2,
            P::Puback | P::Pubrec | P::Pubrel | P::Pubcomp => self.remaining < 2,
            P::Disconnect if !v5 => self.remaining != 0,
            P::Suback => self.remaining < 3,
            P::Subscribe | P::Unsubscribe => match self.remaining {
                0 | 1 => true,
                // Nothing behind packet identifier and property length.
                2 => return Err(Violation::NoFilter(self.packet)),
                3 if v5 => return Err(Violation::NoFilter(self.packet)),
                _ => false,
            },
            _ => false,
        };
        if wrong { Err(self.length()) } else { Ok(()) }
    }

    fn flags(&self) -> Violation {
        Violation::Flags {
            packet: self.packet,
            flags: self.first & 0x0f,
        }
    }

    fn length(&self) -> Violation {
        Violation::Length {
            packet: self.packet,
            remaining: self.remaining,
        }
    }
}

/// Bytes of `value` as a variable byte integer (§1.5.5).
pub(super) fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

/// Appends `value` as a variable byte integer (§1.5.5).
#[inline]
pub(super) fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    debug_assert!(value <= MAX_REMAINING);
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_length_is_read_at_its_edges() {
        for (bytes, expected) in [
            (&[0xc0, 0x00][..], Some((2, 0))),
            (&[0x30, 0x7f], Some((2, 127))),
            (&[0x30, 0x80, 0x01], Some((3, 128))),
            (&[0x30, 0xff, 0x7f], Some((3, 16_383))),
            (&[0x30, 0x80, 0x80, 0x01], Some((4, 16_384))),
            (&[0x30, 0xff, 0xff, 0xff, 0x7f], Some((5, MAX_REMAINING))),
            (&[], None),
            (&[0x30], None),
            (&[0x30, 0xff, 0xff, 0xff], None),
        ] {
            let header = FixedHeader::parse(bytes).unwrap().map(|h| (h.len, h.remaining));
            assert_eq!(header, expected, "{bytes:02x?}");
        }
        assert_eq!(
            FixedHeader::parse(&[0x30, 0xff, 0xff, 0xff, 0xff]),
            Err(Violation::RemainingLength)
        );
        assert_eq!(FixedHeader::parse(&[0x0f]), Err(Violation::ReservedType(0)));
    }

    #[test]
    fn varints_are_written_in_their_shortest_form() {
        for value in [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, MAX_REMAINING] {
            let mut packet = vec![0xd0];
            push_varint(&mut packet, value);
            assert_eq!(packet.len(), 1 + varint_len(value));
            assert_eq!(FixedHeader::parse(&packet).unwrap().unwrap().remaining, value);
        }
    }

    #[test]
    fn mqtt5_wants_the_shortest_remaining_length_and_older_versions_do_not_care() {
        let header = FixedHeader::parse(&[0xc0, 0x80, 0x00]).unwrap().unwrap();
        assert_eq!(header.check(Version::V5), Err(Violation::RemainingLength));
        assert_eq!(header.check(Version::V311), Ok(()));
    }
}
