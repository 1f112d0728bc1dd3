//! Lets connections open and end a few steps at a time, so that a fleet that comes or goes, or a broker that restarts, does
//! not hold up all others.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use atomic_waker::AtomicWaker;
use tokio::task::yield_now;

/// How long the steps of a worker may take together before it looks at its sockets again: some four of a plain connection,
/// or one of a TLS handshake.
const SHARE: Duration = Duration::from_micros(50);

thread_local! {
    static TURNSTILE: Turnstile = Turnstile::default();
}

/// Wakes a task after the worker has looked at its sockets. Woken at once it would be polled some sixty times before
/// that, and one busy connection would hold up all others.
pub(super) fn wake_behind_the_sockets(waker: &Waker) {
    // It is never ready at the first poll, and asks for the next one.
    let _ = pin!(yield_now()).poll(&mut Context::from_waker(waker));
}

/// Has the runtime of a worker call this before it waits for its sockets: whoever comes then has held up nobody.
pub(super) fn sockets_are_waited_for() {
    // The thread may be ending.
    let _ = TURNSTILE.try_with(|turnstile| turnstile.spent.set(Duration::ZERO));
}

/// What a worker's connections go through when they open and when they end, one step after the other, first come first served.
///
/// Whenever somebody is in the queue, somebody is called or takes a step, and calls the next when done.
#[derive(Default)]
struct Turnstile {
    /// How long the steps took since the sockets were looked at.
    spent: Cell<Duration>,
    /// Whether somebody was called who has not come yet.
    has_called: Cell<bool>,
    queue: RefCell<VecDeque<Arc<Waiting>>>,
}

/// One in the queue.
#[derive(Default)]
struct Waiting {
    is_called: AtomicBool,
    waker: AtomicWaker,
}

impl Waiting {
    fn is_called(&self) -> bool {
        self.is_called.load(Ordering::Relaxed)
    }
}

impl Turnstile {
    /// Whether one who comes now goes through without waiting.
    fn is_open(&self) -> bool {
        !self.has_called.get() && self.queue.borrow().is_empty() && self.spent.get() < SHARE
    }

    /// Takes a place in the queue.
    fn queue_up(&self, waker: &Waker) -> Arc<Waiting> {
        let place = Arc::new(Waiting::default());
        place.waker.register(waker);
        self.queue.borrow_mut().push_back(Arc::clone(&place));
        if !self.has_called.get() {
            self.call_next();
        }
        place
    }

    /// Calls the next one, now or when the sockets were looked at.
    fn call_next(&self) {
        let mut queue = self.queue.borrow_mut();
        // Those who gave up are nowhere but in the queue.
        let next = std::iter::from_fn(|| queue.pop_front()).find(|next| Arc::strong_count(next) > 1);
        self.has_called.set(next.is_some());
        let Some(next) = next else { return };
        next.is_called.store(true, Ordering::Relaxed);
        if self.spent.get() < SHARE {
            next.waker.wake();
        } else if let Some(waker) = next.waker.take() {
            self.spent.set(Duration::ZERO);
            wake_behind_the_sockets(&waker);
        }
    }
}

/// Somebody takes a step. The next is called when it is over, by a panic too.
struct Step<'a> {
    turnstile: &'a Turnstile,
    began: Instant,
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let spent = &self.turnstile.spent;
        spent.set(spent.get() + self.began.elapsed());
        self.turnstile.call_next();
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
            match &self.0 {
                None if turnstile.is_open() => {}
                None => {
                    self.0 = Some(turnstile.queue_up(cx.waker()));
                    return Poll::Pending;
                }
                Some(place) => {
                    place.waker.register(cx.waker());
                    if !place.is_called() {
                        return Poll::Pending;
                    }
                    self.0 = None;
                    turnstile.has_called.set(false);
                }
            }
            let _step = Step {
                turnstile,
                began: Instant::now(),
            };
            Poll::Ready(step(cx))
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.0.as_ref().is_some_and(|place| place.is_called()) {
            // The thread may be ending.
            let _ = TURNSTILE.try_with(Turnstile::call_next);
        }
    }
}

/// Work of which each step is done when it is its turn. Boxed, as what it takes is gone when it is done.
pub(super) struct InTurn<T> {
    turn: Turn,
    work: Pin<Box<dyn Future<Output = T> + Send>>,
}

impl<T> InTurn<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self {
            turn: Turn::default(),
            work: Box::pin(work),
        }
    }
}

impl<T> Future for InTurn<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self { turn, work } = &mut *self;
        ready!(turn.poll_step(cx, |cx| work.as_mut().poll(cx)))
    }
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
            connections.spawn(InTurn::new(async move {
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
            let mut connections: Vec<_> = (0..100).map(|_| tokio::spawn(InTurn::new(opening()))).collect();
            // Now the first ones are through, and the others wait.
            yield_now().await;
            connections.remove(given_up).abort();
            for connection in connections {
                connection.await.unwrap();
            }
        }
    }

    /// Polls until it is done, but no more than a hundred times.
    async fn within_reason(turn: &mut Turn) {
        for _ in 0..100 {
            let poll = std::future::poll_fn(|cx| Poll::Ready(turn.poll_step(cx, |_| ()))).await;
            if poll.is_ready() {
                return;
            }
            yield_now().await;
        }
        panic!("nobody called it");
    }

    fn poll(turn: &mut Turn) -> Poll<()> {
        turn.poll_step(&mut Context::from_waker(Waker::noop()), |_| ())
    }

    /// Has the next ones queue up.
    fn exhaust() {
        TURNSTILE.with(|turnstile| turnstile.spent.set(SHARE));
    }

    #[tokio::test]
    async fn who_is_called_and_gives_up_passes_the_call_on() {
        exhaust();
        let (mut called, mut next) = (Turn::default(), Turn::default());
        assert!(poll(&mut called).is_pending() && poll(&mut next).is_pending());
        assert!(called.0.as_ref().unwrap().is_called());
        drop(called);
        within_reason(&mut next).await;
    }

    #[tokio::test]
    async fn a_step_that_panics_holds_nobody_up() {
        exhaust();
        let panicking = tokio::spawn(InTurn::new(async { panic!("a step of a test") }));
        let others: Vec<_> = (0..20).map(|_| tokio::spawn(InTurn::new(opening()))).collect();
        assert!(panicking.await.unwrap_err().is_panic());
        for other in others {
            other.await.unwrap();
        }
    }

    #[test]
    fn a_single_one_does_not_wait() {
        assert!(poll(&mut Turn::default()).is_ready());
    }

    #[test]
    fn once_the_worker_has_waited_for_its_sockets_nobody_else_has_to() {
        let (waits, waiting) = std::sync::mpsc::channel();
        let worker = tokio::runtime::Builder::new_current_thread()
            .on_thread_park(move || {
                sockets_are_waited_for();
                let _ = waits.send(());
            })
            .build()
            .unwrap();
        let (call, called) = tokio::sync::oneshot::channel();
        worker.block_on(async {
            exhaust();
            assert!(poll(&mut Turn::default()).is_pending());
            exhaust();
            // Not before the worker waits, however late that is.
            std::thread::spawn(move || {
                waiting.recv().unwrap();
                call.send(()).unwrap();
            });
            called.await.unwrap();
            assert!(poll(&mut Turn::default()).is_ready());
        });
    }

    #[tokio::test]
    async fn who_comes_when_the_share_is_used_up_waits_for_the_sockets_only() {
        exhaust();
        let mut turn = Turn::default();
        assert!(poll(&mut turn).is_pending());
        within_reason(&mut turn).await;
        assert!(TURNSTILE.with(|turnstile| turnstile.queue.borrow().is_empty()));
    }
}
