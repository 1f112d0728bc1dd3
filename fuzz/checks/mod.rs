//! What has to hold for any bytes. The fuzzers call it with new ones, `tests/fuzz_seeds.rs` with the seeds.
//!
//! Input of `uplink`, `downlink` and `at_most_once`: a byte for the version, one for where the stream is cut, the
//! stream. Input of `connect`: a packet. Of `connack`: a byte for the version, a packet. Of `splice`: a byte for the
//! version, one for the flags, the body of a PUBLISH. Of `entry_point` and `template`: text.
#![allow(dead_code)]

mod handshake;
mod splice;
mod streams;
mod text;

pub use handshake::{connack, connect};
pub use splice::splice;
pub use streams::{at_most_once, downlink, uplink};
pub use text::{entry_point, template};

use simrelay::mqtt::{TopicRewrite, Version};

/// Names get a suffix, filters and response topics their placeholder replaced.
#[derive(Debug, Clone, Copy)]
pub struct Rules;

/// What [`Rules`] make of a topic name.
pub fn named(topic: &str) -> String {
    format!("{}/440103000000001", replaced(topic))
}

/// What [`Rules`] make of a topic filter or a response topic.
pub fn replaced(topic: &str) -> String {
    topic.replace("{{imsi}}", "440103000000001")
}

impl TopicRewrite for Rules {
    fn topic_name(&self, topic: &str, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(named(topic).as_bytes());
        true
    }

    fn topic_filter(&self, filter: &str, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(replaced(filter).as_bytes());
        true
    }

    fn response_topic(&self, topic: &str, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(replaced(topic).as_bytes());
        true
    }

    fn rewrites_filters(&self) -> bool {
        true
    }

    fn rewrites_response_topics(&self) -> bool {
        true
    }
}

/// The version that a byte chooses.
pub fn version(byte: u8) -> Version {
    [Version::V311, Version::V5, Version::V31][usize::from(byte % 3)]
}

/// The byte that chooses a version.
pub fn byte_of(version: Version) -> u8 {
    match version {
        Version::V311 => 0,
        Version::V5 => 1,
        Version::V31 => 2,
    }
}

/// Version, where to cut, stream.
fn taken_apart(data: &[u8]) -> Option<(Version, u8, &[u8])> {
    let [first, cut, stream @ ..] = data else {
        return None;
    };
    Some((version(*first), *cut, stream))
}

/// The stream in parts; which ones follows from `seed`.
fn parts(mut stream: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut state = u32::from(seed) | 1;
    let mut parts = Vec::new();
    while !stream.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Mostly single bytes; the low bits of such a generator are poor.
        let size = 1 + (state >> 16) as usize % (1 << (state >> 28).min(9));
        let (part, rest) = stream.split_at(size.min(stream.len()));
        parts.push(part);
        stream = rest;
    }
    parts
}
