//! How often an address may show wrong keys, or wrong admin tokens.
//!
//! An address has [`BURST`] wrong keys, and gets one back every [`REFILL`]; without one left it is refused
//! without a look at the key. It is still 401: SORACOM's command would go on for two minutes at a 429. So that
//! a guesser does not lock out an admin behind the same address, a key that was right from there within a day
//! has wrong tries of its own.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;

/// Wrong keys in a row that cost nothing but time.
const BURST: u32 = 10;

/// How long it takes until one more may be tried.
const REFILL: Duration = Duration::from_secs(5);

/// How long a right key is remembered.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// The most addresses, and pairs of address and key, that are remembered.
const MOST: u64 = 10_000;

type Source = (IpAddr, Option<String>);

/// Wrong keys of late, by where they came from.
#[derive(Debug)]
pub(super) struct Attempts {
    wrong: Cache<Source, Arc<Mutex<Bucket>>>,
    right: Cache<(IpAddr, String), ()>,
}

/// Wrong tries that are left, at a moment.
#[derive(Debug)]
struct Bucket {
    left: u32,
    since: Instant,
}

/// What is left after a wrong key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    Some,
    /// This was the last one: worth a line in the log.
    NoMore,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self {
            // A bucket that nobody touched for this long is full again.
            wrong: Cache::builder()
                .max_capacity(MOST)
                .time_to_idle(REFILL * (BURST + 1))
                .build(),
            right: Cache::builder()
                .max_capacity(MOST)
                .time_to_live(REMEMBERED)
                .build(),
        }
    }

    /// How long to wait until a key is looked at; `None` if it is now.
    pub(super) fn wait(&self, from: Option<IpAddr>, key_id: &str) -> Option<Duration> {
        let bucket = self.wrong.get(&self.source(from, key_id))?;
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.refill(Instant::now());
        (bucket.left == 0).then(|| REFILL.saturating_sub(bucket.since.elapsed()))
    }

    pub(super) fn note_wrong(&self, from: Option<IpAddr>, key_id: &str) -> Left {
        let full = || {
            Arc::new(Mutex::new(Bucket {
                left: BURST,
                since: Instant::now(),
            }))
        };
        let bucket = self.wrong.get_with(self.source(from, key_id), full);
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.refill(Instant::now());
        bucket.left = bucket.left.saturating_sub(1);
        if bucket.left == 0 {
            Left::NoMore
        } else {
            Left::Some
        }
    }

    pub(super) fn note_right(&self, from: Option<IpAddr>, key_id: &str) {
        self.right.insert((network(from), key_id.to_owned()), ());
    }

    fn source(&self, from: Option<IpAddr>, key_id: &str) -> Source {
        let proven = (network(from), key_id.to_owned());
        let is_proven = self.right.contains_key(&proven);
        (proven.0, is_proven.then_some(proven.1))
    }
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let gained = now.duration_since(self.since).as_secs() / REFILL.as_secs();
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(gained).min(BURST);
        // What is left of the interval counts, unless there is nothing to gain.
        self.since = if self.left == BURST {
            now
        } else {
            self.since + REFILL * gained
        };
    }
}

/// One site has 2^64 addresses in IPv6, so the network counts.
fn network(from: Option<IpAddr>) -> IpAddr {
    match from.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        Some(address) => address,
        None => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_runs_out_and_others_do_not() {
        let attempts = Attempts::new();
        for n in 1..=BURST {
            assert_eq!(attempts.wait(ip("192.0.2.1"), "k"), None);
            let expected = if n == BURST { Left::NoMore } else { Left::Some };
            assert_eq!(attempts.note_wrong(ip("192.0.2.1"), &format!("k{n}")), expected);
        }
        let wait = attempts.wait(ip("::ffff:192.0.2.1"), "k").unwrap();
        assert!(wait <= REFILL && wait > REFILL / 2, "{wait:?}");
        assert_eq!(attempts.wait(ip("192.0.2.2"), "k"), None);
    }

    #[test]
    fn a_key_that_was_right_from_there_is_not_locked_out_by_others() {
        let attempts = Attempts::new();
        attempts.note_right(ip("2001:db8::1"), "mine");
        for _ in 0..BURST {
            attempts.note_wrong(ip("2001:db8::2"), "guess");
        }
        assert!(attempts.wait(ip("2001:db8::3"), "guess").is_some());
        assert_eq!(attempts.wait(ip("2001:db8::1"), "mine"), None);
        for _ in 0..BURST {
            attempts.note_wrong(ip("2001:db8::2"), "mine");
        }
        assert!(attempts.wait(ip("2001:db8::1"), "mine").is_some());
    }

    #[test]
    fn tries_come_back_one_by_one() {
        let start = Instant::now();
        let mut bucket = Bucket {
            left: 0,
            since: start,
        };
        bucket.refill(start + REFILL - Duration::from_secs(1));
        assert_eq!(bucket.left, 0);
        bucket.refill(start + REFILL * 2);
        assert_eq!(bucket.left, 2);
        bucket.refill(start + REFILL * 1000);
        assert_eq!(bucket.left, BURST);
    }
}
