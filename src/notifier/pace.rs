//! How fast a destination is spoken to: a bucket of tokens that fills evenly.

use std::time::{Duration, Instant};

/// What a destination allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Messages a second in the long run.
    pub per_second: f64,
    /// Messages at once after a pause, at least 1.
    pub burst: u32,
}

/// How much of the pace is used up now.
#[derive(Debug)]
pub struct Bucket {
    tokens: f64,
    since: Instant,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(pace: Pace, now: Instant) -> Self {
        Self {
            tokens: f64::from(pace.burst),
            since: now,
        }
    }

    /// Takes a token; if there is none, says how long until there is.
    ///
    /// # Errors
    /// The wait.
    pub fn take(&mut self, pace: Pace, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.tokens = (self.tokens + passed * pace.per_second).min(f64::from(pace.burst));
        self.since = now;
        // Sums of fractions may end just below the whole.
        if self.tokens > 1.0 - 1e-6 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / pace.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: Pace = Pace {
        per_second: 1.0,
        burst: 3,
    };

    #[test]
    fn after_the_burst_one_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(SLACK, start);
        let mut now = start;
        let mut sent = Vec::new();
        while sent.len() < 6 {
            match bucket.take(SLACK, now) {
                Ok(()) => sent.push(now.duration_since(start).as_secs_f64().round() as u64),
                Err(wait) => now += wait,
            }
        }
        assert_eq!(sent, [0, 0, 0, 1, 2, 3]);
    }

    #[test]
    fn a_long_pause_gives_the_burst_and_no_more() {
        let start = Instant::now();
        let mut bucket = Bucket::new(SLACK, start);
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| bucket.take(SLACK, later).is_ok()).count(), 3);
    }
}
