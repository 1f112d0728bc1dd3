//! The counters of one connection.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Requests and bytes of one connection, by leg and direction.
///
/// Only the connection's own task writes, so an increment is a load and a store, no locked instruction;
/// any thread may read.
#[derive(Debug, Default)]
pub struct Counters {
    device_up: AtomicU64,
    broker_up: AtomicU64,
    broker_down: AtomicU64,
    device_down: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

/// What [`Counters`] held at one moment, or a sum or difference of such.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Requests from device to relay: PUBLISH, SUBSCRIBE, UNSUBSCRIBE.
    pub device_up: u64,
    /// The same from relay to broker.
    pub broker_up: u64,
    /// PUBLISH from broker to relay.
    pub broker_down: u64,
    /// PUBLISH from relay to device.
    pub device_down: u64,
    /// Bytes of MQTT that came from the device after its CONNECT.
    pub bytes_up: u64,
    /// Bytes of MQTT that came from the broker after its CONNACK.
    pub bytes_down: u64,
}

#[inline]
fn add(counter: &AtomicU64, n: u64) {
    if n > 0 {
        counter.store(counter.load(Relaxed) + n, Relaxed);
    }
}

impl Counters {
    /// Some bytes came from the device, in which these requests ended.
    #[inline]
    pub fn from_device(&self, bytes: usize, requests: u32) {
        add(&self.bytes_up, bytes as u64);
        add(&self.device_up, requests.into());
    }

    /// The last byte of these requests went to the broker.
    #[inline]
    pub fn to_broker(&self, requests: u32) {
        add(&self.broker_up, requests.into());
    }

    /// Some bytes came from the broker, in which these requests ended.
    #[inline]
    pub fn from_broker(&self, bytes: usize, requests: u32) {
        add(&self.bytes_down, bytes as u64);
        add(&self.broker_down, requests.into());
    }

    /// The last byte of these requests went to the device.
    #[inline]
    pub fn to_device(&self, requests: u32) {
        add(&self.device_down, requests.into());
    }

    /// The counts now.
    #[must_use]
    pub fn read(&self) -> Counts {
        Counts {
            device_up: self.device_up.load(Relaxed),
            broker_up: self.broker_up.load(Relaxed),
            broker_down: self.broker_down.load(Relaxed),
            device_down: self.device_down.load(Relaxed),
            bytes_up: self.bytes_up.load(Relaxed),
            bytes_down: self.bytes_down.load(Relaxed),
        }
    }
}

impl Counts {
    /// Requests on the device leg, both ways: Beam's `inMqtt`.
    #[must_use]
    pub fn device_leg(&self) -> u64 {
        self.device_up + self.device_down
    }

    /// Requests on the broker leg, both ways: Beam's `outMqtt` or `outMqtts`.
    #[must_use]
    pub fn broker_leg(&self) -> u64 {
        self.broker_up + self.broker_down
    }

    /// Requests on both legs.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.device_leg() + self.broker_leg()
    }

    /// Whether nothing was counted at all.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.device_up += other.device_up;
        self.broker_up += other.broker_up;
        self.broker_down += other.broker_down;
        self.device_down += other.device_down;
        self.bytes_up += other.bytes_up;
        self.bytes_down += other.bytes_down;
    }
}

/// How far the counts of one connection have been reported.
#[derive(Debug, Default)]
pub struct Reported {
    /// The lower halves are enough to tell how many came since: a connection does not count 2^32 requests between two
    /// reports, which are a second apart.
    requests: [AtomicU32; 4],
    bytes: [AtomicU64; 2],
}

impl Reported {
    /// What was counted since the last call. One thread at a time.
    #[must_use]
    pub fn catch_up(&self, now: &Counts) -> Counts {
        // An idle connection is only read.
        let requests = |i: usize, count: u64| {
            let earlier = self.requests[i].load(Relaxed);
            if earlier != count as u32 {
                self.requests[i].store(count as u32, Relaxed);
            }
            u64::from((count as u32).wrapping_sub(earlier))
        };
        let bytes = |i: usize, count: u64| {
            let earlier = self.bytes[i].load(Relaxed);
            if earlier != count {
                self.bytes[i].store(count, Relaxed);
            }
            count - earlier
        };
        Counts {
            device_up: requests(0, now.device_up),
            broker_up: requests(1, now.broker_up),
            broker_down: requests(2, now.broker_down),
            device_down: requests(3, now.device_down),
            bytes_up: bytes(0, now.bytes_up),
            bytes_down: bytes(1, now.bytes_down),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_publish_that_passes_is_two_requests() {
        let counters = Counters::default();
        counters.from_device(20, 1);
        counters.to_broker(1);
        let counts = counters.read();
        assert_eq!((counts.device_leg(), counts.broker_leg()), (1, 1));
        assert_eq!((counts.bytes_up, counts.bytes_down), (20, 0));
    }

    #[test]
    fn both_directions_of_a_leg_are_one_sum() {
        let counters = Counters::default();
        counters.from_device(0, 3);
        counters.to_broker(2);
        counters.from_broker(9, 5);
        counters.to_device(4);
        let counts = counters.read();
        assert_eq!((counts.device_leg(), counts.broker_leg()), (7, 7));
    }

    #[test]
    fn bytes_between_two_reports_may_be_any_number() {
        let reported = Reported::default();
        let counts = Counts {
            bytes_up: 3 << 32,
            ..Counts::default()
        };
        assert_eq!(reported.catch_up(&counts), counts);
    }

    #[test]
    fn what_was_reported_is_not_reported_again() {
        let reported = Reported::default();
        let at = |n| Counts {
            device_up: n,
            broker_down: 2 * n,
            bytes_up: 9,
            ..Counts::default()
        };
        let first = reported.catch_up(&at(5));
        assert_eq!((first.device_up, first.broker_down, first.bytes_up), (5, 10, 9));
        assert!(reported.catch_up(&at(5)).is_zero());
        let far = u64::from(u32::MAX) - 3;
        let _ = reported.catch_up(&at(far));
        assert_eq!(reported.catch_up(&at(far + 10)).device_up, 10);
    }
}
