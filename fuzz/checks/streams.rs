//! Streams come out the same wherever they are cut.

use super::{Rules, parts, taken_apart};
use simrelay::mqtt::{
    AtMostOnce, Downlink, MAX_HEAD, Scanned, Scratch, TopicRewrite, Unchanged, Uplink, Version, Violation,
};

/// What came of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    bytes: Vec<u8>,
    received: u32,
    requests: u32,
    disconnect: bool,
    violation: Option<Violation>,
    answers: Vec<u8>,
}

/// How much of `part` goes past the stream, of whose bytes so many need not be seen: of some parts all that may.
fn past(part: &[u8], unseen: usize) -> usize {
    match part.len() % 2 {
        0 => 0,
        _ => part.len().min(unseen),
    }
}

fn sent(rewrite: impl TopicRewrite, version: Version, parts: &[&[u8]]) -> Sent {
    let (mut uplink, mut scratch) = (Uplink::new(version, rewrite), Scratch::default());
    let mut sent = Sent::default();
    for part in parts {
        let (past, part) = part.split_at(past(part, uplink.unseen()));
        uplink.skip(past.len());
        sent.bytes.extend_from_slice(past);
        let passed = uplink.pass(part, &mut scratch);
        sent.bytes.extend_from_slice(passed.bytes);
        sent.received += passed.received;
        sent.requests += passed.requests;
        sent.disconnect |= passed.disconnect;
        sent.violation = passed.violation;
        if sent.disconnect || sent.violation.is_some() {
            break;
        }
        assert!(uplink.held() <= 2 * MAX_HEAD);
    }
    sent
}

/// The device's stream.
pub fn uplink(data: &[u8]) {
    let Some((version, seed, stream)) = taken_apart(data) else {
        return;
    };
    let cut = parts(stream, seed);
    assert_eq!(sent(Rules, version, &[stream]), sent(Rules, version, &cut));
    let unchanged = sent(Unchanged, version, &cut);
    assert!(stream.starts_with(&unchanged.bytes), "bytes that nobody sent");
    assert_eq!(sent(Unchanged, version, &[stream]), unchanged);
}

/// The broker's stream.
pub fn downlink(data: &[u8]) {
    let Some((version, seed, stream)) = taken_apart(data) else {
        return;
    };
    let scanned = |parts: &[&[u8]]| {
        let mut downlink = Downlink::new(version);
        let mut all = Scanned::default();
        for part in parts {
            let past = past(part, downlink.unseen());
            downlink.skip(past);
            let part = &part[past..];
            let scanned = downlink.scan(part);
            assert!(scanned.len <= part.len());
            all.len += past + scanned.len;
            all.requests += scanned.requests;
            all.disconnect = scanned.disconnect.or(all.disconnect);
            all.violation = scanned.violation;
            if all.violation.is_some() {
                break;
            }
        }
        all
    };
    let (whole, mut cut) = (scanned(&[stream]), scanned(&parts(stream, seed)));
    if whole.violation.is_some() {
        // The first bytes of a header may be on their way before its last one shows that it is wrong.
        assert!((whole.len..whole.len + 5).contains(&cut.len), "{whole:?} {cut:?}");
        cut.len = whole.len;
    }
    assert_eq!(whole, cut);
}

/// The device's stream where the broker leg is MQTT 3.1.1 at QoS 0.
pub fn at_most_once(data: &[u8]) {
    let Some((version, seed, stream)) = taken_apart(data) else {
        return;
    };
    if version == Version::V5 {
        return;
    }
    let sent = |parts: &[&[u8]]| {
        let (mut streams, mut scratch) = (AtMostOnce::new(version, Rules), Scratch::default());
        let mut sent = Sent::default();
        for part in parts {
            let passed = streams.up(part, &mut scratch);
            sent.bytes.extend_from_slice(passed.bytes);
            sent.received += passed.received;
            sent.requests += passed.requests;
            sent.disconnect |= passed.disconnect;
            sent.violation = passed.violation;
            streams.broker_has_all();
            sent.answers.extend(streams.answers());
            if sent.disconnect || sent.violation.is_some() {
                break;
            }
            assert!(streams.held() <= 4 * MAX_HEAD);
        }
        sent
    };
    let whole = sent(&[stream]);
    assert_eq!(whole, sent(&parts(stream, seed)));
    // The broker gets packets of MQTT 3.1.1 that our own check of such a stream takes.
    let checked = {
        let (mut uplink, mut scratch) = (Uplink::new(Version::V311, Unchanged), Scratch::default());
        uplink.pass(&whole.bytes, &mut scratch).violation
    };
    assert_eq!(checked, None, "{:02x?}", whole.bytes);
}
