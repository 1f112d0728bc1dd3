//! The pulse of the workers: a thread that hangs has none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How often a worker shows that it lives.
const BEAT: Duration = Duration::from_secs(2);
/// How old the last beat may be.
const LIMIT: Duration = Duration::from_secs(20);

/// The last beat of each worker.
#[derive(Debug, Clone)]
pub struct Pulse {
    began: Instant,
    /// Milliseconds since `began`.
    beats: Arc<[AtomicU64]>,
}

impl Pulse {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            began: Instant::now(),
            beats: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Beats for as long as the worker polls its tasks.
    pub(super) async fn beat(self, worker: usize) {
        loop {
            self.note(worker);
            sleep(BEAT).await;
        }
    }

    fn note(&self, worker: usize) {
        if let Some(beat) = self.beats.get(worker) {
            beat.store(millis(self.began.elapsed()), Ordering::Relaxed);
        }
    }

    /// Whether all workers live.
    ///
    /// # Errors
    /// Names the one that does not.
    pub fn check(&self) -> Result<(), String> {
        self.check_at(self.began.elapsed())
    }

    fn check_at(&self, now: Duration) -> Result<(), String> {
        for (worker, beat) in self.beats.iter().enumerate() {
            let age = millis(now).saturating_sub(beat.load(Ordering::Relaxed));
            if age > millis(LIMIT) {
                return Err(format!("relay worker {worker} has not answered for {age} ms"));
            }
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_a_beat_is_named() {
        let pulse = Pulse::new(2);
        pulse.check().unwrap();
        pulse.beats[1].store(millis(LIMIT), Ordering::Relaxed);
        let error = pulse.check_at(LIMIT + Duration::from_millis(1)).unwrap_err();
        assert!(error.starts_with("relay worker 0 has not answered"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_polls_beats() {
        let pulse = Pulse::new(1);
        pulse.beats[0].store(u64::MAX, Ordering::Relaxed);
        tokio::spawn(pulse.clone().beat(0));
        sleep(BEAT).await;
        assert_ne!(pulse.beats[0].load(Ordering::Relaxed), u64::MAX);
    }
}
