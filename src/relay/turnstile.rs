//! Lets connections open and end a few steps at a time, so that a fleet that comes or goes, or a broker that restarts, does
//! not hold up all others.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use atomic_waker::AtomicWaker;
use tokio::task::yield_now;

/// How long the steps of a worker may take together before it looks at its sockets again: some ten of a plain connection,
/// or one of a TLS handshake.
const SHARE: Duration = Duration::from_micros(150);

thread_local! {
    static TURNSTILE: Turnstile = Turnstile::default();
}

/// What a worker's connections go through when they open and when they end, one step after the other, first come first served.
#[derive(Default)]
struct Turnstile {
    /// How long the steps took since the sockets were looked at.
    spent: Cell<Duration>,
    /// Whether [`Self::open_again`] is on its way.
    is_closed: Cell<bool>,
    queue: RefCell<VecDeque<Arc<Waiting>>>,
}

/// One in the queue.
#[derive(Default)]
struct Waiting {
    is_called: AtomicBool,
    waker: AtomicWaker,
}

impl Turnstile {
    /// Takes a place in the queue, where somebody has to wait.
    fn queue_up(&self) -> Option<Arc<Waiting>> {
        let mut queue = self.queue.borrow_mut();
        if !self.is_closed.get() && queue.is_empty() {
            return None;
        }
        let place = Arc::new(Waiting::default());
        queue.push_back(Arc::clone(&place));
        Some(place)
    }

    /// Has the next one go through, now or when the sockets were looked at.
    fn go_on(&self) {
        if self.spent.get() < SHARE {
            self.call_next();
        } else if !self.is_closed.replace(true) {
            tokio::spawn(async {
                yield_now().await;
                TURNSTILE.with(Self::open_again);
            });
        }
    }

    fn open_again(&self) {
        self.is_closed.set(false);
        self.spent.set(Duration::ZERO);
        self.call_next();
    }

    fn call_next(&self) {
        let mut queue = self.queue.borrow_mut();
        while let Some(next) = queue.pop_front() {
            // Else it was given up.
            if Arc::strong_count(&next) > 1 {
                next.is_called.store(true, Ordering::Relaxed);
                next.waker.wake();
                return;
            }
        }
    }
}

/// A step that is to be taken when it is its turn among those of this worker.
#[derive(Default)]
pub(super) struct Turn(Option<Arc<Waiting>>);

impl Turn {
    /// Takes the step if it is its turn.
    pub(super) fn poll_step<T>(
        &mut self,
        cx: &mut Context<'_>,
        step: impl FnOnce(&mut Context<'_>) -> T,
    ) -> Poll<T> {
        TURNSTILE.with(|turnstile| {
            if self.0.is_none() {
                self.0 = turnstile.queue_up();
            }
            if let Some(place) = &self.0 {
                place.waker.register(cx.waker());
                if !place.is_called.load(Ordering::Relaxed) {
                    return Poll::Pending;
                }
            }
            self.0 = None;
            let began = Instant::now();
            let done = step(cx);
            turnstile.spent.set(turnstile.spent.get() + began.elapsed());
            turnstile.go_on();
            Poll::Ready(done)
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let is_called = |place: &Arc<Waiting>| place.is_called.load(Ordering::Relaxed);
        if self.0.as_ref().is_some_and(is_called) {
            // The thread may be ending.
            let _ = TURNSTILE.try_with(Turnstile::go_on);
        }
    }
}

/// Does `work`, each of its steps when it is its turn.
pub(super) async fn in_turn<F: Future>(work: F) -> F::Output {
    let mut turn = Turn::default();
    let mut work = pin!(work);
    std::future::poll_fn(|cx| ready!(turn.poll_step(cx, |cx| work.as_mut().poll(cx)))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::task::JoinSet;

    /// Of the steps of these tests.
    const STEP: Duration = Duration::from_micros(20);
    const STEPS_AT_ONCE: usize = SHARE.as_micros().div_ceil(STEP.as_micros()) as usize;

    fn compute() {
        let began = Instant::now();
        while began.elapsed() < STEP {}
    }

    /// A connection of three steps.
    async fn opening() {
        for _ in 0..3 {
            compute();
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn of_many_that_open_at_once_few_take_a_step_before_the_sockets_are_looked_at() {
        let steps = Arc::new(Mutex::new(vec![0]));
        let mut connections = JoinSet::new();
        for number in 0..300_usize {
            let steps = Arc::clone(&steps);
            connections.spawn(in_turn(async move {
                for _ in 0..3 {
                    *steps.lock().unwrap().last_mut().unwrap() += 1;
                    compute();
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
        let opened = connections.join_all().await;
        looking.abort();
        let steps = steps.lock().unwrap().clone();
        assert!(steps.iter().all(|steps| *steps <= 2 * STEPS_AT_ONCE), "{steps:?}");
        assert_eq!(steps.iter().sum::<usize>(), 900);
        // First come, first served, but for those who go through together.
        let out_of_turn = opened
            .iter()
            .enumerate()
            .map(|(at, number)| number.abs_diff(at))
            .max();
        assert!(out_of_turn <= Some(4 * STEPS_AT_ONCE), "{out_of_turn:?}");
    }

    #[tokio::test]
    async fn who_gives_up_in_the_queue_holds_nobody_up() {
        for given_up in [0, 1, 7, 8, 50, 99] {
            let mut connections: Vec<_> = (0..100).map(|_| tokio::spawn(in_turn(opening()))).collect();
            // Now the first ones are through, and the others wait.
            yield_now().await;
            connections.remove(given_up).abort();
            for connection in connections {
                connection.await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_single_one_does_not_wait() {
        let mut turn = Turn::default();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert_eq!(turn.poll_step(&mut cx, |_| 1), Poll::Ready(1));
        assert_eq!(turn.poll_step(&mut cx, |_| 2), Poll::Ready(2));
    }
}
