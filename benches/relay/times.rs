//! How long something took, many times; and when the next message is due.

use std::time::{Duration, Instant};

/// Durations of one kind.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many were longer than so many microseconds.
    pub fn over(&self, micros: f64) -> usize {
        let long = |duration: &&Duration| duration.as_nanos() as f64 / 1000.0 > micros;
        self.0.iter().filter(long).count()
    }

    /// The duration that this share of all did not exceed, in microseconds.
    pub fn micros(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len().checked_sub(1).expect("something was timed");
        self.0[(last as f64 * share) as usize].as_nanos() as f64 / 1000.0
    }
}

/// Moments that are evenly apart.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    began: Instant,
    gap: Duration,
}

impl Pace {
    /// The first of them is a little off, so that everybody is ready.
    pub fn per_second(rate: u64) -> Self {
        Self {
            began: Instant::now() + Duration::from_millis(20),
            gap: Duration::from_secs(1) / rate as u32,
        }
    }

    pub fn due(&self, number: u64) -> Instant {
        self.began + Duration::from_nanos(self.gap.as_nanos() as u64 * number)
    }

    /// Waits by looking at the clock: the runtime's timers go by milliseconds and would make bursts. All other tasks
    /// run meanwhile.
    pub async fn wait(&self, number: u64) {
        while Instant::now() < self.due(number) {
            tokio::task::yield_now().await;
        }
    }
}
