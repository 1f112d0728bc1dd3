//! The stream from broker to device: framed and counted, nothing else.

use super::frame::FixedHeader;
use super::{PacketType, Version, Violation};

/// What was found in some bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// How many of the bytes may pass: all, but for a violation.
    pub len: usize,
    /// Packets of any type whose last byte is among them: what the work goes by.
    pub pieces: u32,
    /// PUBLISH packets whose last byte is among them.
    pub requests: u32,
    /// The broker said DISCONNECT, as only MQTT 5 brokers do: the reason code, 0 where it gave none. It is
    /// told with the bytes that hold the code.
    pub disconnect: Option<u8>,
    /// What is wrong with the stream behind `len`.
    pub violation: Option<Violation>,
}

impl Scanned {
    /// Adds what was found right behind.
    pub(super) fn append(&mut self, behind: Self) {
        self.len += behind.len;
        self.pieces += behind.pieces;
        self.requests += behind.requests;
        self.disconnect = self.disconnect.or(behind.disconnect);
        self.violation = behind.violation;
    }
}

/// Follows the broker's bytes after its CONNACK, cut anywhere.
#[derive(Debug)]
pub struct Downlink {
    version: Version,
    state: State,
}

#[derive(Debug)]
enum State {
    /// At a packet boundary, or with the first bytes of a fixed header.
    Header {
        bytes: [u8; 5],
        len: u8,
    },
    Body {
        left: usize,
        packet: PacketType,
    },
    /// Before the reason code of a DISCONNECT, with this many bytes to come.
    Reason {
        left: usize,
    },
    /// After a violation; `boundary` if it was found before any byte of its packet had passed.
    Ended {
        boundary: bool,
    },
}

const BOUNDARY: State = State::Header {
    bytes: [0; 5],
    len: 0,
};

impl Downlink {
    /// A stream of `version`.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self {
            version,
            state: BOUNDARY,
        }
    }

    /// Whether the last byte scanned was the last of a packet, so that a packet of the relay's own may follow.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        matches!(
            self.state,
            State::Header { len: 0, .. } | State::Ended { boundary: true }
        )
    }

    /// Bytes ahead, short of the last one of their packet, that pass as they are: nobody has to look at them.
    #[must_use]
    #[inline]
    pub fn unseen(&self) -> usize {
        match self.state {
            State::Body { left, .. } => left.saturating_sub(1),
            State::Header { .. } | State::Reason { .. } | State::Ended { .. } => 0,
        }
    }

    /// So many of the bytes [`Self::unseen`] have passed another way.
    ///
    /// # Panics
    /// If there were not so many.
    pub fn skip(&mut self, len: usize) {
        assert!(len <= self.unseen(), "{len} bytes of {}", self.unseen());
        if let State::Body { left, .. } = &mut self.state {
            *left -= len;
        }
    }

    /// Follows `input`.
    pub fn scan(&mut self, input: &[u8]) -> Scanned {
        self.follow::<false>(input)
    }

    /// Follows `input` up to the first end of a packet in it, or to its own end where there is none.
    pub fn scan_packet(&mut self, input: &[u8]) -> Scanned {
        self.follow::<true>(input)
    }

    #[inline(always)]
    fn follow<const ONE: bool>(&mut self, input: &[u8]) -> Scanned {
        let mut scanned = Scanned::default();
        if let Err(violation) = self.advance::<ONE>(input, &mut scanned) {
            scanned.violation = Some(violation);
            self.state = State::Ended {
                boundary: self.at_boundary(),
            };
        }
        scanned
    }

    #[inline(always)]
    fn advance<const ONE: bool>(&mut self, input: &[u8], scanned: &mut Scanned) -> Result<(), Violation> {
        while scanned.len < input.len() {
            if ONE && scanned.len > 0 && self.at_boundary() {
                return Ok(());
            }
            let rest = &input[scanned.len..];
            match &mut self.state {
                State::Header { len: 0, .. } => match FixedHeader::parse(rest)? {
                    Some(header) => {
                        self.enter(&header, header.len, rest.len(), scanned)?;
                        if !ONE && self.at_boundary() {
                            repeat(&header, &input[scanned.len..], scanned);
                        }
                    }
                    None => {
                        let mut bytes = [0; 5];
                        bytes[..rest.len()].copy_from_slice(rest);
                        self.state = State::Header {
                            bytes,
                            len: rest.len() as u8,
                        };
                        scanned.len = input.len();
                    }
                },
                State::Header { bytes, len } => {
                    let held = usize::from(*len);
                    bytes[held] = rest[0];
                    *len += 1;
                    let header = FixedHeader::parse(&bytes[..=held])?;
                    match header {
                        Some(header) => self.enter(&header, 1, rest.len(), scanned)?,
                        None => scanned.len += 1,
                    }
                }
                State::Ended { .. } => return Ok(()),
                State::Reason { left } => {
                    scanned.disconnect = Some(rest[0]);
                    self.state = State::Body {
                        left: *left,
                        packet: PacketType::Disconnect,
                    };
                }
                State::Body { left, packet } => {
                    let packet = *packet;
                    let n = rest.len().min(*left);
                    *left -= n;
                    scanned.len += n;
                    if *left == 0 {
                        self.complete(packet, scanned);
                    }
                }
            }
        }
        Ok(())
    }

    /// Goes on after a fixed header, whose last `taken` bytes are the first of the `there` that are here.
    #[inline]
    fn enter(
        &mut self,
        header: &FixedHeader,
        taken: usize,
        there: usize,
        scanned: &mut Scanned,
    ) -> Result<(), Violation> {
        self.check(header)?;
        scanned.len += taken;
        let left = header.remaining;
        if header.packet == PacketType::Disconnect {
            if left > 0 {
                self.state = State::Reason { left };
                return Ok(());
            }
            scanned.disconnect = Some(0);
        }
        if left <= there - taken {
            scanned.len += left;
            self.complete(header.packet, scanned);
        } else {
            self.state = State::Body {
                left,
                packet: header.packet,
            };
        }
        Ok(())
    }

    #[inline]
    fn complete(&mut self, packet: PacketType, scanned: &mut Scanned) {
        scanned.pieces += 1;
        scanned.requests += u32::from(packet.is_request());
        self.state = BOUNDARY;
    }

    /// Whether a server may send this packet here at all (§2.1.2).
    fn check(&self, header: &FixedHeader) -> Result<(), Violation> {
        use PacketType as P;
        let allowed = match header.packet {
            P::Connect | P::Connack | P::Subscribe | P::Unsubscribe | P::Pingreq => false,
            P::Disconnect | P::Auth => self.version == Version::V5,
            _ => true,
        };
        if !allowed {
            return Err(Violation::Unexpected(header.packet));
        }
        header.check(self.version)
    }
}

/// Goes on over packets with the fixed header of the one that has just ended: nothing else of them is looked at.
#[inline(always)]
fn repeat(header: &FixedHeader, rest: &[u8], scanned: &mut Scanned) {
    if header.len > 2 {
        return;
    }
    let like = [header.first, header.remaining as u8];
    let (mut at, mut packets) = (0, 0);
    while let Some(packet) = rest.get(at..at + header.total())
        && packet.starts_with(&like)
    {
        at += header.total();
        packets += 1;
    }
    scanned.len += at;
    scanned.pieces += packets;
    scanned.requests += packets * u32::from(header.packet.is_request());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut bytes = vec![0x90, 0x03, 0, 1, 0]; // SUBACK
        bytes.extend_from_slice(&[0x30, 0x04, 0, 1, b't', b'x']); // PUBLISH
        bytes.extend_from_slice(&[0x30, 0x84, 0x01]); // PUBLISH of 132 bytes
        bytes.extend_from_slice(&[0, 1, b't']);
        bytes.extend(std::iter::repeat_n(7, 129));
        bytes.extend_from_slice(&[0xd0, 0x00]); // PINGRESP
        bytes
    }

    #[test]
    fn publishes_are_counted_however_the_stream_is_cut() {
        let stream = stream();
        for size in 1..=stream.len() {
            let mut downlink = Downlink::new(Version::V311);
            let (mut requests, mut len) = (0, 0);
            for part in stream.chunks(size) {
                let scanned = downlink.scan(part);
                assert_eq!(scanned.violation, None, "parts of {size}");
                requests += scanned.requests;
                len += scanned.len;
            }
            assert_eq!((requests, len), (2, stream.len()), "parts of {size}");
            assert!(downlink.at_boundary());
        }
    }

    #[test]
    fn a_packet_counts_with_its_last_byte() {
        let mut downlink = Downlink::new(Version::V311);
        assert_eq!(downlink.scan(&[0x30, 0x04, 0, 1, b't']).requests, 0);
        assert!(!downlink.at_boundary());
        assert_eq!(downlink.scan(b"x").requests, 1);
    }

    #[test]
    fn a_run_of_like_packets_is_counted_however_it_is_cut() {
        let publish = |topic| [0x30, 4, 0, 1, topic, b'x'];
        let mut stream = [[0x40, 2, 0, 1], [0x40, 2, 0, 2], [0x40, 2, 0, 3]].concat();
        stream.extend([publish(b's'), publish(b't'), publish(b'u')].concat());
        stream.extend([0x30, 3, 0, 1, b't', 0x32, 5, 0, 1, b't', 0, 1]);
        stream.extend([0xd0, 0, 0xd0, 0]);
        for size in 1..=stream.len() {
            let mut downlink = Downlink::new(Version::V311);
            let mut all = Scanned::default();
            stream
                .chunks(size)
                .for_each(|part| all.append(downlink.scan(part)));
            let expected = Scanned {
                len: stream.len(),
                pieces: 10,
                requests: 5,
                ..Scanned::default()
            };
            assert_eq!(all, expected, "parts of {size}");
        }
        // What is wrong ends a run, too.
        stream.extend([0xd0, 0, 0xd0, 1, 0]);
        let scanned = Downlink::new(Version::V311).scan(&stream);
        assert_eq!((scanned.len, scanned.pieces), (stream.len() - 3, 11));
        assert!(scanned.violation.is_some());
    }

    #[test]
    fn what_a_broker_may_not_send_stops_before_it() {
        for (version, bytes) in [
            (Version::V311, &[0xe0, 0x00][..]),
            (Version::V5, &[0x20, 0x02, 0, 0]),
            (Version::V5, &[0x82, 0x06, 0, 1, 0, 1, b't', 0]),
            (Version::V5, b"HTTP/1.1 400 Bad Request\r\n"),
            (Version::V311, &[0x00, 0x00]),
        ] {
            let mut input = vec![0xd0, 0x00];
            input.extend_from_slice(bytes);
            let scanned = Downlink::new(version).scan(&input);
            assert_eq!(scanned.len, 2, "{bytes:02x?}");
            assert!(scanned.violation.is_some(), "{bytes:02x?}");
        }
    }

    #[test]
    fn the_reason_of_a_brokers_disconnect_is_seen() {
        for (bytes, reason) in [
            (&[0xe0, 0x00][..], 0),
            (&[0xe0, 0x01, 0x8b], 0x8b),
            (&[0xe0, 0x02, 0x8e, 0], 0x8e),
        ] {
            assert_eq!(Downlink::new(Version::V5).scan(bytes).disconnect, Some(reason));
        }
    }

    #[test]
    fn the_reason_is_told_with_the_byte_that_holds_it() {
        let mut downlink = Downlink::new(Version::V5);
        let told: Vec<_> = [0xe0, 2, 0x8e, 0]
            .iter()
            .map(|&byte| downlink.scan(&[byte]).disconnect)
            .collect();
        assert_eq!(told, [None, None, Some(0x8e), None]);
    }

    #[test]
    fn nothing_passes_behind_a_violation_and_only_a_whole_packet_before_it_is_a_boundary() {
        for (parts, boundary) in [(&[&[0xd0, 0, 0x20, 0][..]][..], true), (&[&[0x20], &[0]], false)] {
            let mut downlink = Downlink::new(Version::V311);
            let last = parts.iter().map(|part| downlink.scan(part)).last().unwrap();
            assert_eq!(last.violation, Some(Violation::Unexpected(PacketType::Connack)));
            assert_eq!(downlink.at_boundary(), boundary);
            for _ in 0..9 {
                assert_eq!(downlink.scan(&[0xd0, 0]), Scanned::default());
            }
        }
    }

    #[test]
    fn a_longer_packet_whose_length_begins_with_the_same_byte_is_not_taken_for_the_one_before() {
        let publish = |len: usize| {
            let mut packet = vec![0x30, len as u8 & 0x7f | 0x80, (len >> 7) as u8, 0, 1, b't'];
            packet.resize(3 + len, b'x');
            packet
        };
        // 128 bytes, then 256: both lengths begin with 0x80.
        let input = [publish(128), publish(256), vec![0xd0, 0]].concat();
        let scanned = Downlink::new(Version::V311).scan(&input);
        assert_eq!(
            (scanned.len, scanned.requests, scanned.pieces, scanned.violation),
            (input.len(), 2, 3, None)
        );
    }

    #[test]
    fn one_packet_is_followed_and_not_the_same_one_behind_it() {
        let mut downlink = Downlink::new(Version::V311);
        assert_eq!(downlink.scan_packet(&[0xd0, 0, 0xd0, 0]).len, 2);
        assert!(downlink.at_boundary());
    }

    #[test]
    fn all_of_a_body_but_its_last_byte_may_pass_unseen() {
        let mut downlink = Downlink::new(Version::V311);
        downlink.scan(&[0x30, 9, 0, 1, b't']);
        assert_eq!(downlink.unseen(), 5);
        downlink.skip(3);
        assert_eq!(downlink.unseen(), 2);
        downlink.skip(2);
        assert_eq!(downlink.scan(b"x").requests, 1);
    }
}
