//! The way of some bytes of a device through the relay: what passes, what is put in its place, and what is known of the
//! PUBLISH before.

use super::PacketType;
use super::frame::{FixedHeader, MAX_REMAINING, push_varint};
use std::ops::Range;

/// Buffers that every connection of a worker shares; nothing stays in them between two calls.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) out: Vec<u8>,
    pub(super) field: Vec<u8>,
    /// What a second stage makes of `out`.
    pub(super) flat: Vec<u8>,
}

/// One call's way through its input. What stays as it is, is copied in runs, or not at all if
/// nothing changes.
pub(super) struct Run<'a> {
    input: &'a [u8],
    /// Start of the bytes that pass as they are and are not in `out` yet.
    run: usize,
    /// Input dealt with; the run reaches up to here.
    pub(super) at: usize,
    pub(super) requests: u32,
    pub(super) pieces: u32,
    previous: Option<Previous>,
    /// Where the last new fixed header begins in `out`.
    new_header: usize,
    pub(super) scratch: &'a mut Scratch,
}

/// The PUBLISH before and what became of its head. Most devices publish to one topic over and over, and what was
/// checked and rewritten once in a run need not be again.
struct Previous {
    /// Where it stands in the input.
    topic: Range<usize>,
    /// Where its replacement stands in `out`, if it has one.
    replacement: Option<Range<usize>>,
    /// Not of one with properties: their new length is in its new fixed header.
    begins: Option<Beginning>,
}

/// A PUBLISH up to the end of its topic. One that begins with the same bytes is of the same kind and length, too.
struct Beginning {
    /// Where it stands in the input.
    old: Range<usize>,
    /// Where the new one stands in `out`, if it is another.
    new: Option<Range<usize>>,
    /// Length of the packet.
    total: usize,
    /// Bytes of the packet identifier behind the topic: 2, or 0 with QoS 0.
    identifier: usize,
    /// Whether properties come behind that, which may have to be rewritten.
    properties: bool,
}

impl Beginning {
    /// Whether what follows the topic may: a packet identifier that is not 0, no properties.
    #[inline(always)]
    fn goes_on_with(&self, tail: &[u8]) -> bool {
        let Self {
            identifier,
            properties,
            ..
        } = *self;
        let Some(tail) = tail.get(..identifier + usize::from(properties)) else {
            return false;
        };
        !(identifier > 0 && tail.starts_with(&[0, 0]) || properties && tail.last() != Some(&0))
    }
}

/// Whether two slices of one length hold the same. By machine words, as a call of memcmp takes longer than this.
#[inline(always)]
fn same(one: &[u8], other: &[u8]) -> bool {
    const WORD: usize = size_of::<u128>();
    let (Some(end), Some(other_end)) = (one.last_chunk::<WORD>(), other.last_chunk()) else {
        return one == other;
    };
    let word = |bytes: &[u8; WORD]| u128::from_ne_bytes(*bytes);
    let (words, other_words) = (one.as_chunks().0, other.as_chunks().0);
    words
        .iter()
        .zip(other_words)
        .all(|(one, other)| word(one) == word(other))
        && word(end) == word(other_end)
}

impl<'a> Run<'a> {
    /// Begins with an empty `out`.
    pub(super) fn new(input: &'a [u8], scratch: &'a mut Scratch) -> Self {
        scratch.out.clear();
        Self {
            input,
            run: 0,
            at: 0,
            requests: 0,
            pieces: 0,
            previous: None,
            new_header: 0,
            scratch,
        }
    }

    /// Input not dealt with yet.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    /// Passes the next `n` bytes as they are.
    #[inline]
    pub(super) fn pass_on(&mut self, n: usize) {
        self.at += n;
    }

    /// Takes up to `n` bytes out of the stream. Only before anything was passed on.
    pub(super) fn swallow(&mut self, n: usize) -> &'a [u8] {
        let taken = &self.rest()[..n.min(self.input.len() - self.at)];
        self.at += taken.len();
        self.run = self.at;
        taken
    }

    /// Sends the head in `scratch.field` in place of the next `old` bytes.
    #[inline]
    pub(super) fn replace_head(&mut self, old: usize, first: u8, remaining: usize) {
        self.push_fixed_header(first, remaining, self.scratch.field.len());
        self.scratch.out.extend_from_slice(&self.scratch.field);
        self.at += old;
        self.run = self.at;
    }

    /// Keeps the PUBLISH in mind that began at `start` with a head of `len` bytes.
    #[inline]
    pub(super) fn remember(&mut self, header: &FixedHeader, start: usize, len: usize) {
        if header.packet != PacketType::Publish {
            return;
        }
        let topic_at = start + header.len;
        let end =
            |bytes: &[u8], at: usize| at + 2 + usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        let topic_end = end(self.input, topic_at);
        let identifier = if header.qos() > 0 { 2 } else { 0 };
        // The head was replaced if the run now begins behind it.
        let replaced = self.run == self.at;
        let replacement = replaced.then(|| {
            let at = self.scratch.out.len() - self.scratch.field.len();
            at..end(&self.scratch.out, at)
        });
        let properties = start + len - (topic_end + identifier);
        let begins = (properties <= 1).then(|| Beginning {
            old: start..topic_end,
            new: replacement.clone().map(|topic| self.new_header..topic.end),
            total: header.total(),
            identifier,
            properties: properties > 0,
        });
        self.previous = Some(Previous {
            topic: topic_at..topic_end,
            replacement,
            begins,
        });
    }

    /// Passes PUBLISH packets that begin, up to the end of the topic, with the same bytes as the one before, as long
    /// as there are such without properties; gives how much is to come of the last one if that is cut.
    #[inline]
    pub(super) fn repeat_packets(&mut self) -> Option<usize> {
        let begins = self.previous.as_ref()?.begins.as_ref()?;
        let (input, out) = (self.input, &mut self.scratch.out);
        let old = &input[begins.old.clone()];
        let total = begins.total;
        let (mut at, mut run, mut whole) = (self.at, self.run, 0);
        let mut left = None;
        while let Some((head, tail)) = input[at..].split_at_checked(old.len())
            && same(head, old)
            && begins.goes_on_with(tail)
        {
            if let Some(new_head) = begins.new.clone() {
                out.extend_from_slice(&input[run..at]);
                out.extend_from_within(new_head);
                run = at + old.len();
            }
            let there = old.len() + tail.len();
            if there < total {
                at += there;
                left = Some(total - there);
                break;
            }
            at += total;
            whole += 1;
        }
        (self.at, self.run) = (at, run);
        self.requests += whole;
        self.pieces += whole;
        left
    }

    /// Passes a PUBLISH head of `len` bytes whose topic is that of the PUBLISH before; `false` if it is
    /// another, or if the head holds properties.
    #[inline]
    pub(super) fn repeat_head(&mut self, header: &FixedHeader, len: usize) -> bool {
        let Some(Previous {
            topic, replacement, ..
        }) = &self.previous
        else {
            return false;
        };
        if header.packet != PacketType::Publish {
            return false;
        }
        let input = self.input;
        let head = &input[self.at..self.at + len];
        let Some((same, tail)) = head[header.len..].split_at_checked(topic.len()) else {
            return false;
        };
        let identifier = if header.qos() > 0 { 2 } else { 0 };
        if *same != input[topic.clone()] || tail.len() > identifier + 1 || tail.starts_with(&[0, 0]) {
            return false;
        }
        let old = self.at..self.at + len - tail.len();
        let mut new = None;
        if let Some(replacement) = replacement.clone() {
            let remaining = header.remaining + replacement.len() - topic.len();
            if remaining > MAX_REMAINING {
                return false;
            }
            let start = self.push_fixed_header(header.first, remaining, replacement.len() + tail.len());
            debug_assert!(start >= replacement.end);
            self.scratch.out.extend_from_within(replacement);
            new = Some(self.new_header..self.scratch.out.len());
            self.scratch.out.extend_from_slice(tail);
            self.run = self.at + len;
        }
        self.at += len;
        if let Some(previous) = &mut self.previous {
            previous.begins = Some(Beginning {
                old,
                new,
                total: header.total(),
                identifier,
                properties: tail.len() > identifier,
            });
        }
        true
    }

    /// Sends the run and a new fixed header behind it; gives the length of `out` then.
    #[inline]
    fn push_fixed_header(&mut self, first: u8, remaining: usize, following: usize) -> usize {
        let out = &mut self.scratch.out;
        let before = &self.input[self.run..self.at];
        out.reserve(before.len() + 5 + following);
        out.extend_from_slice(before);
        self.new_header = out.len();
        if remaining < 0x80 {
            out.extend_from_slice(&[first, remaining as u8]);
        } else {
            out.push(first);
            push_varint(out, remaining);
        }
        out.len()
    }

    /// A packet's last byte has passed; `true` if the stream ends with it.
    #[inline]
    pub(super) fn complete(&mut self, packet: PacketType) -> bool {
        self.pieces += 1;
        self.requests += u32::from(packet.is_request());
        packet == PacketType::Disconnect
    }

    /// What is sent: of the input, nothing behind what was dealt with.
    pub(super) fn finish(self) -> &'a [u8] {
        let run = &self.input[self.run..self.at];
        if self.scratch.out.is_empty() {
            return run;
        }
        self.scratch.out.extend_from_slice(run);
        &self.scratch.out
    }
}
