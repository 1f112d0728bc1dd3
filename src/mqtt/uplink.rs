//! The stream from device to broker: framed, checked, counted, topics spliced.

use super::frame::FixedHeader;
use super::run::{Run, Scratch};
use super::{PacketType, TopicRewrite, Version, Violation, publish, subscribe};

/// The most bytes of one packet that are held before any of it moves on: a SUBSCRIBE or UNSUBSCRIBE
/// whose filters may change, or topic and properties of a PUBLISH. The specification sets no limit; three fields of
/// a PUBLISH at their largest take 192 KiB.
pub const MAX_HEAD: usize = 256 * 1024;

/// What became of some bytes.
#[derive(Debug)]
pub struct Passed<'a> {
    /// To be sent on: the input itself where nothing had to change.
    pub bytes: &'a [u8],
    /// Packets of any type that ended in the input, and properties and filters that were read one by one: what the
    /// work goes by.
    pub pieces: u32,
    /// Requests whose last byte was in the input and legal.
    pub received: u32,
    /// Requests whose last byte is in `bytes`.
    pub requests: u32,
    /// The device said DISCONNECT; nothing after it is sent on.
    pub disconnect: bool,
    /// What ended the stream; `bytes` holds what came before it.
    pub violation: Option<Violation>,
}

/// Takes the device's bytes after its CONNECT, cut anywhere, and gives what the broker shall see.
#[derive(Debug)]
pub struct Uplink<R> {
    state: State,
    version: Version,
    rewrite: R,
}

#[derive(Debug)]
enum State {
    /// At a packet boundary, or with the first bytes of a packet whose head is not there whole.
    Head(Vec<u8>),
    /// Inside a packet whose head has been sent on.
    Body { left: usize, packet: PacketType },
    /// After DISCONNECT or a violation.
    Ended,
}

/// What happened to the packet at the start of some bytes.
enum Head {
    /// It takes this many bytes to go on.
    Needs(usize),
    /// The head, of this many bytes, may pass.
    Complete(FixedHeader, usize),
}

impl<R: TopicRewrite> Uplink<R> {
    /// A stream of `version` whose topics `rewrite` rules.
    pub fn new(version: Version, rewrite: R) -> Self {
        Self {
            state: State::Head(Vec::new()),
            version,
            rewrite,
        }
    }

    /// Whether the last byte passed was the last of a packet.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        matches!(&self.state, State::Head(held) if held.is_empty())
    }

    /// Bytes ahead, short of the last one of their packet, that pass as they are: nobody has to look at them.
    #[must_use]
    #[inline]
    pub fn unseen(&self) -> usize {
        match self.state {
            State::Body { left, .. } => left.saturating_sub(1),
            State::Head(_) | State::Ended => 0,
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

    /// Bytes of memory that the stream occupies between two calls: none at a packet boundary, and
    /// never more than twice what has come of the packet that is waited for.
    #[must_use]
    pub fn held(&self) -> usize {
        match &self.state {
            State::Head(held) => held.capacity(),
            State::Body { .. } | State::Ended => 0,
        }
    }

    /// Passes `input` on.
    pub fn pass<'a>(&mut self, input: &'a [u8], scratch: &'a mut Scratch) -> Passed<'a> {
        let mut run = Run::new(input, scratch);
        let ended = self.advance(&mut run);
        let (disconnect, violation) = match ended {
            Ok(disconnect) => (disconnect, None),
            Err(violation) => (false, Some(violation)),
        };
        if disconnect || violation.is_some() {
            self.state = State::Ended;
        }
        let requests = run.requests;
        Passed {
            pieces: run.pieces,
            bytes: run.finish(),
            received: requests,
            requests,
            disconnect,
            violation,
        }
    }

    /// Works through the input; `true` after a DISCONNECT.
    fn advance(&mut self, run: &mut Run<'_>) -> Result<bool, Violation> {
        loop {
            // The state is that of a boundary, and stays so unless a packet is cut.
            if let Some(left) = run.repeat_packets() {
                let packet = PacketType::Publish;
                self.state = State::Body { left, packet };
                return Ok(false);
            }
            match &mut self.state {
                State::Ended => return Ok(false),
                State::Body { left, packet } => {
                    let packet = *packet;
                    let n = run.rest().len().min(*left);
                    run.pass_on(n);
                    *left -= n;
                    if *left > 0 {
                        return Ok(false);
                    }
                    self.state = State::Head(Vec::new());
                    if run.complete(packet) {
                        return Ok(true);
                    }
                }
                State::Head(held) if held.is_empty() => match self.head(run.rest())? {
                    Head::Complete(header, len) => {
                        if !run.repeat_head(&header, len) {
                            let head = &run.rest()[..len];
                            let at = run.at;
                            match self.splice(&header, head, &mut run.scratch.field, &mut run.pieces)? {
                                Some(remaining) => run.replace_head(len, header.first, remaining),
                                None => run.pass_on(len),
                            }
                            run.remember(&header, at, len);
                        }
                        if self.enter_body(run, &header, len) {
                            return Ok(true);
                        }
                    }
                    Head::Needs(_) => {
                        self.state = State::Head(run.rest().to_vec());
                        return Ok(false);
                    }
                },
                State::Head(held) => {
                    let mut held = std::mem::take(held);
                    let Some((header, len)) = self.gather(&mut held, run)? else {
                        self.state = State::Head(held);
                        return Ok(false);
                    };
                    match self.splice(&header, &held, &mut run.scratch.field, &mut run.pieces)? {
                        Some(remaining) => run.replace_head(0, header.first, remaining),
                        None => run.scratch.out.extend_from_slice(&held),
                    }
                    if self.enter_body(run, &header, len) {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Adds input to a head that has begun, until it is whole.
    #[cold]
    fn gather(
        &self,
        held: &mut Vec<u8>,
        run: &mut Run<'_>,
    ) -> Result<Option<(FixedHeader, usize)>, Violation> {
        loop {
            match self.head(held)? {
                Head::Complete(header, len) => return Ok(Some((header, len))),
                Head::Needs(len) => {
                    let more = run.swallow(len - held.len());
                    if more.is_empty() {
                        return Ok(None);
                    }
                    held.extend_from_slice(more);
                }
            }
        }
    }

    /// Looks at the packet at the start of `bytes`. Inlined, as its large result would otherwise be
    /// built in memory for every packet.
    #[inline(always)]
    fn head(&self, bytes: &[u8]) -> Result<Head, Violation> {
        let Some(header) = FixedHeader::parse(bytes)? else {
            return Ok(Head::Needs(bytes.len() + 1));
        };
        let len = match header.packet {
            PacketType::Publish => {
                header.check(self.version)?;
                let properties = self.version == Version::V5 && self.rewrite.rewrites_response_topics();
                publish::head_len(&header, bytes, properties)?
            }
            packet => {
                self.check_other(&header)?;
                let rewritten = matches!(packet, PacketType::Subscribe | PacketType::Unsubscribe)
                    && self.rewrite.rewrites_filters();
                if rewritten { header.total() } else { header.len }
            }
        };
        if len > MAX_HEAD {
            return Err(Violation::TooLarge {
                packet: header.packet,
                size: len,
                limit: MAX_HEAD,
            });
        }
        Ok(if len > bytes.len() {
            Head::Needs(len)
        } else {
            Head::Complete(header, len)
        })
    }

    /// Whether a client may send this packet here at all (§2.1.2).
    #[inline(never)]
    fn check_other(&self, header: &FixedHeader) -> Result<(), Violation> {
        use PacketType as P;
        let allowed = match header.packet {
            P::Connect | P::Connack | P::Suback | P::Unsuback | P::Pingresp => false,
            P::Auth => self.version == Version::V5,
            _ => true,
        };
        if !allowed {
            return Err(Violation::Unexpected(header.packet));
        }
        header.check(self.version)
    }

    /// Puts what follows the fixed header of the new head into `new` and gives the new remaining length,
    /// or gives `None` if the head stays as it is. Adds what it reads one by one to `pieces`.
    #[inline(always)]
    fn splice(
        &self,
        header: &FixedHeader,
        head: &[u8],
        new: &mut Vec<u8>,
        pieces: &mut u32,
    ) -> Result<Option<usize>, Violation> {
        match header.packet {
            PacketType::Publish => publish::splice(header, head, self.version, &self.rewrite, new, pieces),
            PacketType::Subscribe | PacketType::Unsubscribe if self.rewrite.rewrites_filters() => {
                subscribe::splice(header, head, self.version, &self.rewrite, new, pieces)
            }
            _ => Ok(None),
        }
    }

    /// Goes on after a head; `true` if that was all of a DISCONNECT.
    #[inline]
    fn enter_body(&mut self, run: &mut Run<'_>, header: &FixedHeader, head: usize) -> bool {
        let left = header.total() - head;
        let there = run.rest().len();
        if left <= there {
            // The state is that of a boundary already.
            run.pass_on(left);
            return run.complete(header.packet);
        }
        run.pass_on(there);
        self.state = State::Body {
            left: left - there,
            packet: header.packet,
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::Unchanged;
    use crate::mqtt::rewrite::tests::Behind;

    fn pass(uplink: &mut Uplink<Unchanged>, input: &[u8]) -> (Vec<u8>, u32, bool) {
        let mut scratch = Scratch::default();
        let passed = uplink.pass(input, &mut scratch);
        assert_eq!(passed.violation, None);
        (passed.bytes.to_vec(), passed.requests, passed.disconnect)
    }

    #[test]
    fn a_request_counts_with_its_last_byte() {
        let mut uplink = Uplink::new(Version::V311, Unchanged);
        assert_eq!(
            pass(&mut uplink, &[0x30, 4, 0, 1, b't']),
            (vec![0x30, 4, 0, 1, b't'], 0, false)
        );
        assert!(!uplink.at_boundary());
        assert_eq!(pass(&mut uplink, b"x"), (b"x".to_vec(), 1, false));
        assert!(uplink.at_boundary());
    }

    #[test]
    fn the_input_itself_passes_where_nothing_changes() {
        let input = [0xc0, 0, 0x30, 4, 0, 1, b't', b'x', 0x30, 9, 0, 1];
        let mut scratch = Scratch::default();
        let passed = Uplink::new(Version::V311, Unchanged)
            .pass(&input, &mut scratch)
            .bytes
            .as_ptr();
        assert_eq!(passed, input.as_ptr());
    }

    #[test]
    fn nothing_passes_behind_a_disconnect() {
        let mut uplink = Uplink::new(Version::V5, Unchanged);
        let input = [0xe0, 1, 4, 0x30, 4, 0, 1, b't', b'x'];
        assert_eq!(pass(&mut uplink, &input), (vec![0xe0, 1, 4], 0, true));
        assert_eq!(pass(&mut uplink, &[0xc0, 0]), (vec![], 0, false));
        assert_eq!(uplink.held(), 0);
    }

    #[test]
    fn a_dribbled_disconnect_ends_with_its_last_byte() {
        let mut uplink = Uplink::new(Version::V5, Unchanged);
        let ends: Vec<bool> = [0xe0, 2, 4, 0]
            .iter()
            .map(|&byte| pass(&mut uplink, &[byte]).2)
            .collect();
        assert_eq!(ends, [false, false, false, true]);
    }

    #[test]
    fn packets_of_every_type_are_pieces_of_work() {
        let packets: [&[u8]; 5] = [
            &[0x30, 4, 0, 1, b't', b'x'],
            &[0x30, 4, 0, 1, b't', b'x'],
            &[0x40, 2, 0, 1],
            &[0xc0, 0],
            &[0x62, 2, 0, 1],
        ];
        let input = packets.concat();
        for cut in 0..input.len() {
            let mut uplink = Uplink::new(Version::V311, Unchanged);
            let mut count = [0; 2];
            for part in [&input[..cut], &input[cut..]] {
                let mut scratch = Scratch::default();
                let passed = uplink.pass(part, &mut scratch);
                count[0] += passed.pieces;
                count[1] += passed.requests;
            }
            assert_eq!(count, [5, 2], "cut at {cut}");
        }
    }

    #[test]
    fn what_repeats_is_still_checked() {
        let packet = |id| [0x32, 6, 0, 1, b't', 0, id, b'x'];
        let input = [packet(1), packet(2), packet(0), packet(3)].concat();
        let mut scratch = Scratch::default();
        let mut uplink = Uplink::new(Version::V311, Unchanged);
        let passed = uplink.pass(&input, &mut scratch);
        assert_eq!((passed.bytes, passed.requests), (&input[..16], 2));
        assert!(passed.violation.is_some());
    }

    #[test]
    fn nothing_passes_behind_a_violation() {
        let mut uplink = Uplink::new(Version::V311, Unchanged);
        let mut scratch = Scratch::default();
        let passed = uplink.pass(&[0xc0, 0, 0x10, 0, 0xc0, 0], &mut scratch);
        assert_eq!(passed.bytes, [0xc0, 0]);
        assert_eq!(passed.violation, Some(Violation::Unexpected(PacketType::Connect)));
        assert_eq!(pass(&mut uplink, &[0xc0, 0]), (vec![], 0, false));
    }

    #[test]
    fn a_subscription_without_a_filter_is_refused_though_filters_stay_as_they_are() {
        for (version, packet) in [
            (Version::V311, &[0x82, 2, 0, 1][..]),
            (Version::V5, &[0xa2, 3, 0, 1, 0]),
        ] {
            let mut scratch = Scratch::default();
            let passed = Uplink::new(version, Unchanged).pass(packet, &mut scratch);
            assert!(
                matches!(passed.violation, Some(Violation::NoFilter(_))),
                "{passed:?}"
            );
        }
    }

    #[test]
    fn all_of_a_body_but_its_last_byte_may_pass_unseen() {
        let mut uplink = Uplink::new(Version::V311, Unchanged);
        pass(&mut uplink, &[0x30, 9, 0, 1, b't']);
        assert_eq!(uplink.unseen(), 5);
        uplink.skip(3);
        assert_eq!(uplink.unseen(), 2);
        uplink.skip(2);
        assert_eq!(pass(&mut uplink, b"x"), (b"x".to_vec(), 1, false));
    }

    #[test]
    fn nothing_is_held_of_what_does_not_change() {
        let mut uplink = Uplink::new(Version::V311, Unchanged);
        let beginning = [0x82, 6, 0, 1, 0, 1];
        assert_eq!(pass(&mut uplink, &beginning), (beginning.to_vec(), 0, false));
        assert_eq!(uplink.held(), 0);
    }

    const SUFFIXED: Behind = Behind("/1");

    fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
        let remaining = (2 + topic.len() + payload.len()) as u8;
        let head = [0x30, remaining, 0, topic.len() as u8];
        [&head, topic.as_bytes(), payload].concat()
    }

    #[test]
    fn topics_that_are_alike_up_to_their_last_letter_are_not_the_same() {
        let topics = ["0123456789abcdef0", "0123456789abcdef1"];
        for payloads in [[&b"x"[..], b"x"], [b"x", b"longer"]] {
            for [one, other] in [[0, 1], [0, 0], [1, 0]] {
                let with = |suffix: &str| -> Vec<u8> {
                    [(one, payloads[0]), (other, payloads[1]), (one, payloads[0])]
                        .map(|(topic, payload)| publish(&format!("{}{suffix}", topics[topic]), payload))
                        .concat()
                };
                let (input, expected) = (with(""), with("/1"));
                for cut in 0..=input.len() {
                    let mut uplink = Uplink::new(Version::V311, SUFFIXED);
                    let mut scratch = Scratch::default();
                    let mut out = Vec::new();
                    for part in [&input[..cut], &input[cut..]] {
                        let passed = uplink.pass(part, &mut scratch);
                        assert_eq!(passed.violation, None);
                        out.extend_from_slice(passed.bytes);
                    }
                    assert_eq!(out, expected, "cut at {cut}");
                    assert!(uplink.at_boundary());
                }
            }
        }
    }

    #[test]
    fn what_repeats_passes_whole_wherever_it_is_cut() {
        let input = publish("t", b"0123456789").repeat(3);
        for cut in 0..input.len() {
            let mut uplink = Uplink::new(Version::V311, Unchanged);
            let (mut out, _, _) = pass(&mut uplink, &input[..cut]);
            out.extend_from_slice(&pass(&mut uplink, &input[cut..]).0);
            assert_eq!((out, uplink.at_boundary()), (input.clone(), true), "cut at {cut}");
        }
    }

    #[test]
    fn the_properties_of_a_repeated_topic_are_still_checked() {
        let mut scratch = Scratch::default();
        let input = b"\x30\x04\0\x01t\0\x30\x06\0\x01t\x02\x01\x02";
        let passed = Uplink::new(Version::V5, SUFFIXED).pass(input, &mut scratch);
        assert_eq!(passed.violation, Some(Violation::PropertyValue(1)));
        // Also where the one before had another length than the first.
        let input = b"\x30\x04\0\x01t\0\x30\x08\0\x01t\0abcd\x30\x08\0\x01t\x02\x01\x02ab";
        let passed = Uplink::new(Version::V5, SUFFIXED).pass(input, &mut scratch);
        assert_eq!(passed.violation, Some(Violation::PropertyValue(1)));
    }

    #[test]
    fn properties_and_filters_are_pieces_of_work_too() {
        let user = b"\x26\0\x01k\0\x01v".repeat(3);
        for (packet, pieces) in [
            ([b"\x30\x19\0\x01t\x15".as_slice(), &user].concat(), 1 + 3),
            (
                [b"\x82\x20\0\x01\x15".as_slice(), &user, b"\0\x01a\0\0\x01b\0"].concat(),
                1 + 3 + 2,
            ),
        ] {
            let mut scratch = Scratch::default();
            let passed = Uplink::new(Version::V5, SUFFIXED).pass(&packet, &mut scratch);
            assert_eq!((passed.pieces, passed.violation), (pieces, None));
        }
    }
}
