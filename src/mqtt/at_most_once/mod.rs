//! Both streams of a connection whose broker leg is MQTT 3.1.1 at QoS 0, whatever the device sends: the relay
//! is the receiver that the device's QoS 1 and 2 messages need.
//!
//! | part | what it does |
//! |---|---|
//! | [`AtMostOnce`] | both streams, and the answers that go from one into the other |
//! | `flatten` | the device's checked packets, made 3.1.1 at QoS 0 |
//! | `unreleased` | QoS 2 messages between PUBLISH and PUBREL |
//! | `answers` | PUBACK, PUBREC and PUBCOMP on their way to the device |

mod answers;
mod flatten;
mod unreleased;

use super::{Downlink, Passed, Scanned, Scratch, TopicRewrite, Uplink, Version};
use answers::Answers;
use flatten::Flatten;

/// From how many bytes of answers on, that the device has not taken, no more is read from it: some 4,000
/// messages. What one more read can add is bounded by the size of a read.
const ENOUGH: usize = 16 * 1024;

/// Both streams of a connection after its CONNACK.
///
/// A message is acknowledged when its last byte has been written to the broker, which at QoS 0 is all that
/// can be known. Nothing is remembered beyond the connection.
#[derive(Debug)]
pub struct AtMostOnce<R> {
    uplink: Uplink<Gathered<R>>,
    flatten: Flatten,
    downlink: Downlink,
    answers: Answers,
}

impl<R: TopicRewrite> AtMostOnce<R> {
    /// The streams of a device that speaks `version`, 3.1 or 3.1.1, and whose topics `rewrite` rules.
    pub fn new(version: Version, rewrite: R) -> Self {
        Self {
            uplink: Uplink::new(version, Gathered(rewrite)),
            flatten: Flatten::default(),
            downlink: Downlink::new(Version::V311),
            answers: Answers::default(),
        }
    }

    /// Takes what the device sent and gives what the broker shall see. The answers to it wait for
    /// [`Self::broker_has_all`].
    pub fn up<'a>(&mut self, input: &[u8], scratch: &'a mut Scratch) -> Passed<'a> {
        let mut flat = std::mem::take(&mut scratch.flat);
        flat.clear();
        let passed = self.uplink.pass(input, scratch);
        let (pieces, disconnect, violation) = (passed.pieces, passed.disconnect, passed.violation);
        let flattened = self.flatten.pass(passed.bytes, &mut flat, &mut self.answers);
        scratch.flat = flat;
        Passed {
            bytes: &scratch.flat,
            pieces,
            received: flattened.received,
            requests: flattened.requests,
            disconnect: disconnect && flattened.violation.is_none(),
            violation: flattened.violation.or(violation),
        }
    }

    /// Everything that [`Self::up`] gave is in the broker's socket, so its answers may go.
    pub fn broker_has_all(&mut self) {
        self.answers.release();
    }

    /// Whether the device has taken enough of its answers to be read on.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.answers.len() < ENOUGH
    }

    /// Takes what the broker sent and gives what the device shall see: the same bytes, with answers that may
    /// go at the first end of a packet among them.
    pub fn down<'a>(&mut self, input: &'a [u8], scratch: &'a mut Scratch) -> (&'a [u8], Scanned) {
        if self.answers.may_go().is_empty() {
            let scanned = self.downlink.scan(input);
            return (&input[..scanned.len], scanned);
        }
        let mut scanned = if self.downlink.at_boundary() {
            Scanned::default()
        } else {
            self.downlink.scan_packet(input)
        };
        scratch.flat.clear();
        scratch.flat.extend_from_slice(&input[..scanned.len]);
        scratch.flat.append(&mut self.answers());
        if scanned.violation.is_none() {
            let rest = &input[scanned.len..];
            let behind = self.downlink.scan(rest);
            scratch.flat.extend_from_slice(&rest[..behind.len]);
            scanned.append(behind);
        }
        (&scratch.flat, scanned)
    }

    /// Takes out the answers that the device may be sent behind all that [`Self::down`] gave. None inside a
    /// packet.
    pub fn answers(&mut self) -> Vec<u8> {
        if self.at_boundary() {
            self.answers.take()
        } else {
            Vec::new()
        }
    }

    /// Whether what [`Self::down`] gave ends with a packet.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.downlink.at_boundary()
    }

    /// Whether what [`Self::up`] took ends with a packet.
    #[must_use]
    pub fn up_at_boundary(&self) -> bool {
        self.uplink.at_boundary()
    }

    /// Bytes of memory that the answers and unfinished packets occupy between two calls.
    #[must_use]
    pub fn held(&self) -> usize {
        self.uplink.held() + self.answers.len()
    }
}

/// The rules of `R`, with every SUBSCRIBE and UNSUBSCRIBE gathered and checked whole, as its QoS may change.
#[derive(Debug)]
struct Gathered<R>(R);

impl<R: TopicRewrite> TopicRewrite for Gathered<R> {
    fn topic_name(&self, topic: &str, out: &mut Vec<u8>) -> bool {
        self.0.topic_name(topic, out)
    }

    fn topic_filter(&self, filter: &str, out: &mut Vec<u8>) -> bool {
        self.0.topic_filter(filter, out)
    }

    fn response_topic(&self, topic: &str, out: &mut Vec<u8>) -> bool {
        self.0.response_topic(topic, out)
    }

    fn rewrites_filters(&self) -> bool {
        true
    }

    fn rewrites_response_topics(&self) -> bool {
        self.0.rewrites_response_topics()
    }
}

#[cfg(test)]
mod tests;
