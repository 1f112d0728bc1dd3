//! How long to wait before the next attempt.

use std::time::Duration;

/// Doubling waits between a first and a longest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// Before the second attempt.
    pub(crate) first: Duration,
    /// Never longer.
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The wait after `failures` failed attempts in a row. `chance`, from 0 to 1, takes up to half of it away, so
    /// that many who failed together do not come back together.
    pub(crate) fn wait(self, failures: u32, chance: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        whole.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
    }
}

/// A number from 0 to 1 by chance; the middle if the system has no random numbers.
pub(crate) fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_chance_takes_at_most_half() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(300),
        };
        let cases = [
            (0, 0.0, 1.0),
            (1, 0.0, 1.0),
            (2, 0.0, 2.0),
            (4, 0.0, 8.0),
            (4, 1.0, 4.0),
            (4, 0.5, 6.0),
            (9, 0.0, 256.0),
            (10, 0.0, 300.0),
            (u32::MAX, 0.0, 300.0),
            (u32::MAX, 7.0, 150.0),
        ];
        for (failures, chance, seconds) in cases {
            let wait = backoff.wait(failures, chance);
            assert_eq!(wait, Duration::from_secs_f64(seconds), "{failures} {chance}");
        }
    }

    #[test]
    fn chance_is_a_number_from_0_to_1_that_differs() {
        let draws: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(draws.iter().all(|draw| (0.0..=1.0).contains(draw)), "{draws:?}");
        assert!(
            draws.iter().any(|draw| *draw < 0.5) && draws.iter().any(|draw| *draw > 0.5),
            "{draws:?}"
        );
    }
}
