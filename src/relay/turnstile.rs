//! Lets connections open and end a few steps at a time, so that a fleet that comes or goes, or a broker that restarts, does
//! not hold up all others.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use crate::event_loop::{Order, wake_behind_the_sockets, wake_first};
use atomic_waker::AtomicWaker;

/// How long the steps of a worker may take together before it looks at its sockets again: some four of a plain connection,
/// or one of a TLS handshake.
const SHARE: Duration = Duration::from_micros(50);

thread_local! {
    static TURNSTILE: Turnstile = Turnstile::default();
}

/// Has the event loop of a worker call this before it waits for its sockets: whoever comes then has held up nobody.
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
        let Some(waker) = next.waker.take() else { return };
        // Before all others: behind hundreds of busy connections each step would cost a round of them.
        if self.spent.get() < SHARE {
            wake_first(&waker);
        } else {
            self.spent.set(Duration::ZERO);
            wake_behind_the_sockets(&waker, Order::First);
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
    work: Pin<Box<dyn Future<Output = T>>>,
}

impl<T> InTurn<T> {
    pub(super) fn new(work: impl Future<Output = T> + 'static) -> Self {
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
    use crate::event_loop::{EventLoop, spawn, yield_now};
    use std::future::poll_fn;
    use std::rc::Rc;
    use tokio::sync::{mpsc, oneshot};

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

    fn run<T: 'static>(work: impl Future<Output = T> + 'static) -> T {
        EventLoop::new(sockets_are_waited_for).unwrap().run(work).unwrap()
    }

    #[test]
    fn of_many_that_open_at_once_few_take_a_step_before_the_sockets_are_looked_at() {
        let steps = Rc::new(RefCell::new(vec![0]));
        let seen = Rc::clone(&steps);
        let opened = run(async move {
            let (tell, mut told) = mpsc::unbounded_channel();
            let looked = Rc::clone(&seen);
            spawn(poll_fn(move |cx| {
                // Polled whenever the sockets were looked at.
                wake_behind_the_sockets(cx.waker(), Order::First);
                looked.borrow_mut().push(0);
                Poll::Pending
            }));
            for number in 0..300_usize {
                let (steps, tell) = (Rc::clone(&seen), tell.clone());
                spawn(InTurn::new(async move {
                    for _ in 0..3 {
                        *steps.borrow_mut().last_mut().unwrap() += 1;
                        compute();
                        yield_now().await;
                    }
                    tell.send(number).unwrap();
                }));
            }
            drop(tell);
            let mut opened = Vec::new();
            while let Some(number) = told.recv().await {
                opened.push(number);
            }
            opened
        });
        let steps = steps.borrow();
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

    #[test]
    fn a_step_does_not_wait_for_a_round_of_all_busy_connections() {
        const BUSY: usize = 300;
        const STEPS: usize = 3 * 100;
        let polls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&polls);
        run(async move {
            for _ in 0..BUSY {
                let counted = Rc::clone(&counted);
                spawn(async move {
                    loop {
                        counted.set(counted.get() + 1);
                        yield_now().await;
                    }
                });
            }
            let (tell, mut told) = mpsc::unbounded_channel();
            for _ in 0..STEPS / 3 {
                let (tell, opening) = (tell.clone(), InTurn::new(opening()));
                spawn(async move {
                    opening.await;
                    tell.send(()).unwrap();
                });
            }
            for _ in 0..STEPS / 3 {
                told.recv().await.unwrap();
            }
        });
        // One round each would be 90,000; one step between two looks at the sockets is 20,000.
        assert!(polls.get() < STEPS * BUSY / 3, "{}", polls.get());
    }

    #[test]
    fn who_gives_up_in_the_queue_holds_nobody_up() {
        for given_up in [0, 1, 7, 8, 50, 99] {
            run(async move {
                let mut connections = Vec::new();
                for _ in 0..100 {
                    let (tell, told) = oneshot::channel();
                    let (leave, left) = oneshot::channel::<()>();
                    let opening = InTurn::new(opening());
                    spawn(async move {
                        tokio::select! {
                            () = opening => { let _ = tell.send(()); }
                            _ = left => {}
                        }
                    });
                    connections.push((leave, told));
                }
                // Now the first ones are through, and the others wait.
                yield_now().await;
                connections.remove(given_up);
                for (_leave, told) in connections {
                    told.await.unwrap();
                }
            });
        }
    }

    /// Polls until it is done, but no more than a hundred times.
    async fn within_reason(turn: &mut Turn) {
        for _ in 0..100 {
            let poll = poll_fn(|cx| Poll::Ready(turn.poll_step(cx, |_| ()))).await;
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

    #[test]
    fn who_is_called_and_gives_up_passes_the_call_on() {
        run(async {
            exhaust();
            let (mut called, mut next) = (Turn::default(), Turn::default());
            assert!(poll(&mut called).is_pending() && poll(&mut next).is_pending());
            assert!(called.0.as_ref().unwrap().is_called());
            drop(called);
            within_reason(&mut next).await;
        });
    }

    #[test]
    fn a_step_that_panics_holds_nobody_up() {
        run(async {
            exhaust();
            let (hold, held) = oneshot::channel::<()>();
            spawn(InTurn::new(async move {
                let _hold = hold;
                panic!("a step of a test");
            }));
            let (tell, mut told) = mpsc::unbounded_channel();
            for _ in 0..20 {
                let tell = tell.clone();
                let opening = InTurn::new(opening());
                spawn(async move {
                    opening.await;
                    tell.send(()).unwrap();
                });
            }
            for _ in 0..20 {
                told.recv().await.unwrap();
            }
            assert!(held.await.is_err());
        });
    }

    #[test]
    fn a_single_one_does_not_wait() {
        assert!(poll(&mut Turn::default()).is_ready());
    }

    #[test]
    fn once_the_worker_has_waited_for_its_sockets_nobody_else_has_to() {
        thread_local! {
            static CALL: RefCell<Option<oneshot::Sender<()>>> = const { RefCell::new(None) };
        }
        let worker = EventLoop::new(|| {
            sockets_are_waited_for();
            // Not before the worker waits, however late that is.
            if let Some(call) = CALL.take() {
                std::thread::spawn(|| call.send(()).unwrap());
            }
        });
        let work = async {
            exhaust();
            assert!(poll(&mut Turn::default()).is_pending());
            exhaust();
            let (call, called) = oneshot::channel();
            CALL.set(Some(call));
            called.await.unwrap();
            assert!(poll(&mut Turn::default()).is_ready());
        };
        worker.unwrap().run(work).unwrap();
    }

    #[test]
    fn who_comes_when_the_share_is_used_up_waits_for_the_sockets_only() {
        run(async {
            exhaust();
            let mut turn = Turn::default();
            assert!(poll(&mut turn).is_pending());
            within_reason(&mut turn).await;
            assert!(TURNSTILE.with(|turnstile| turnstile.queue.borrow().is_empty()));
        });
    }
}
