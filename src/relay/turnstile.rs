//! Lets connections open and end a few steps at a time, so that a fleet that comes or goes, or a broker that restarts, does
//! not hold up all others.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::ready;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio_util::sync::PollSemaphore;

/// Steps that a worker takes before it looks at its sockets again. The longest, one of a TLS handshake, takes some 0.2 ms.
const AT_ONCE: usize = 8;

thread_local! {
    static TURNSTILE: Arc<Turnstile> = Arc::new(Turnstile::new());
}

/// What a worker's connections go through when they open and when they end, one step after the other, first come first served.
struct Turnstile {
    passes: Arc<Semaphore>,
    /// Passes used since the sockets were looked at.
    used: AtomicUsize,
}

impl Turnstile {
    fn new() -> Self {
        Self {
            passes: Arc::new(Semaphore::new(AT_ONCE)),
            used: AtomicUsize::new(0),
        }
    }

    /// The passes that are used from now on come back once the sockets were looked at.
    fn go_through(self: &Arc<Self>, pass: OwnedSemaphorePermit) {
        pass.forget();
        if self.used.fetch_add(1, Ordering::Relaxed) == 0 {
            let turnstile = Arc::clone(self);
            tokio::spawn(async move {
                yield_now().await;
                let used = turnstile.used.swap(0, Ordering::Relaxed);
                turnstile.passes.add_permits(used);
            });
        }
    }
}

/// Does `work`, each of its steps when it is its turn among those of this worker.
pub(super) async fn in_turn<F: Future>(work: F) -> F::Output {
    let turnstile = TURNSTILE.with(Arc::clone);
    let mut passes = PollSemaphore::new(Arc::clone(&turnstile.passes));
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        if let Some(pass) = ready!(passes.poll_acquire(cx)) {
            turnstile.go_through(pass);
        }
        work.as_mut().poll(cx)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::task::JoinSet;

    /// Has `count` connections of three steps each open at once. Gives the steps between any two looks at the sockets, and who
    /// opened first.
    async fn open(count: usize) -> (Vec<usize>, Vec<usize>) {
        let steps = Arc::new(Mutex::new(vec![0]));
        let mut opening = JoinSet::new();
        for number in 0..count {
            let steps = Arc::clone(&steps);
            opening.spawn(in_turn(async move {
                for _ in 0..3 {
                    *steps.lock().unwrap().last_mut().unwrap() += 1;
                    yield_now().await;
                }
                number
            }));
        }
        let looks = Arc::clone(&steps);
        let looking = tokio::spawn(async move {
            loop {
                yield_now().await;
                looks.lock().unwrap().push(0);
            }
        });
        let opened = opening.join_all().await;
        looking.abort();
        let steps = steps.lock().unwrap().clone();
        (steps, opened)
    }

    #[tokio::test]
    async fn of_many_that_open_at_once_few_take_a_step_before_the_sockets_are_looked_at() {
        let (steps, opened) = open(1000).await;
        assert!(steps.iter().all(|steps| *steps <= 2 * AT_ONCE), "{steps:?}");
        assert_eq!(steps.iter().sum::<usize>(), 3000);
        // First come, first served, but for those who go through together.
        let groups: Vec<_> = opened.iter().map(|number| number / AT_ONCE).collect();
        assert!(groups.is_sorted(), "{opened:?}");
    }
}
