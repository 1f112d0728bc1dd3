//! How many requests one address may send.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;

/// Addresses that are remembered at most: strangers cannot fill the memory.
const MOST: u64 = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Requests that one address may send in a minute, or as many as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// No limit.
    Off,
    /// So many, at once or spread out.
    PerMinute(NonZeroU32),
}

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rate; give the number of requests a minute that one address may send, or off")]
pub struct InvalidRate(String);

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse()
            .map(Self::PerMinute)
            .map_err(|_| InvalidRate(text.to_owned()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::PerMinute(limit) => limit.fmt(f),
        }
    }
}

/// A request over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany {
    /// When the next one is taken.
    pub(super) wait: Duration,
    /// Whether the one before was still taken: only that is worth a line in the log.
    pub(super) is_first: bool,
}

/// A bucket for each address that called of late.
#[derive(Debug)]
pub(super) struct RateLimit {
    limit: Option<u32>,
    buckets: Cache<IpAddr, Arc<Mutex<Bucket>>>,
}

#[derive(Debug)]
struct Bucket {
    /// Requests left, with fractions.
    left: f64,
    at: Instant,
    refused: bool,
}

impl RateLimit {
    pub(super) fn new(rate: Rate) -> Self {
        let limit = match rate {
            Rate::Off => None,
            Rate::PerMinute(limit) => Some(limit.get()),
        };
        let buckets = Cache::builder()
            .max_capacity(MOST)
            // A bucket is full again after a minute and need not be remembered.
            .time_to_idle(MINUTE)
            .build();
        Self { limit, buckets }
    }

    /// Counts a request from `address` at `now`.
    pub(super) fn take(&self, address: IpAddr, now: Instant) -> Result<(), TooMany> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        let full = || {
            Arc::new(Mutex::new(Bucket {
                left: f64::from(limit),
                at: now,
                refused: false,
            }))
        };
        let bucket = self.buckets.get_with(site(address), full);
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(f64::from(limit), now)
    }
}

impl Bucket {
    fn take(&mut self, limit: f64, now: Instant) -> Result<(), TooMany> {
        let per_second = limit / MINUTE.as_secs_f64();
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * per_second;
        self.left = (self.left + gained).min(limit);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            self.refused = false;
            return Ok(());
        }
        let is_first = !std::mem::replace(&mut self.refused, true);
        Err(TooMany {
            wait: Duration::from_secs_f64((1.0 - self.left) / per_second),
            is_first,
        })
    }
}

/// One site has 2^64 addresses in IPv6, so its network counts.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_runs_out_and_gets_one_back_at_a_time() {
        let limit = RateLimit::new("60".parse().unwrap());
        let start = Instant::now();
        for _ in 0..60 {
            limit.take(ip("192.0.2.1"), start).unwrap();
        }
        let refused = limit.take(ip("::ffff:192.0.2.1"), start).unwrap_err();
        assert!(refused.is_first && refused.wait <= Duration::from_secs(1));
        assert!(!limit.take(ip("192.0.2.1"), start).unwrap_err().is_first);
        limit.take(ip("192.0.2.2"), start).unwrap();
        let later = start + Duration::from_secs(1);
        limit.take(ip("192.0.2.1"), later).unwrap();
        assert!(limit.take(ip("192.0.2.1"), later).unwrap_err().is_first);
    }

    #[test]
    fn a_network_of_version_6_counts_as_one() {
        let limit = RateLimit::new("1".parse().unwrap());
        let now = Instant::now();
        limit.take(ip("2001:db8::1"), now).unwrap();
        limit.take(ip("2001:db8::2"), now).unwrap_err();
        limit.take(ip("2001:db8:0:1::1"), now).unwrap();
    }

    #[test]
    fn a_rate_is_a_number_or_off() {
        assert_eq!("off".parse(), Ok(Rate::Off));
        assert_eq!("300".parse::<Rate>().unwrap().to_string(), "300");
        for bad in ["", "0", "-1", "fast", "1.5"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
        }
        let limit = RateLimit::new(Rate::Off);
        (0..1000).for_each(|_| limit.take(ip("192.0.2.1"), Instant::now()).unwrap());
    }

    #[test]
    fn what_is_gained_and_how_long_to_wait_go_by_the_limit() {
        let limit = RateLimit::new("120".parse().unwrap());
        let start = Instant::now();
        (0..120).for_each(|_| limit.take(ip("192.0.2.1"), start).unwrap());
        let wait = |at: Instant| limit.take(ip("192.0.2.1"), at).unwrap_err().wait.as_millis();
        assert_eq!(wait(start), 500);
        let later = start + Duration::from_millis(250);
        assert_eq!(wait(later), 250, "half a request is there");
        let later = start + Duration::from_secs(2);
        (0..4).for_each(|_| limit.take(ip("192.0.2.1"), later).unwrap());
        assert_eq!(wait(later), 500);
    }
}
