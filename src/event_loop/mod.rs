//! Sockets and tasks of one thread: the runtime of the data plane.
//!
//! A message that passes is two waits for sockets, and what a runtime for all purposes does at each wait costs as much as all
//! that the relay does with the message. This one knows sockets ([`TcpStream`], [`TcpListener`]) and tasks, and nothing else:
//! `crate::timers` keeps timers, and work that blocks or goes on elsewhere is tokio's, on a thread of its own. Wakers may go
//! to other threads, tasks and sockets stay.

mod listener;
mod source;
mod stream;
mod task;

pub(crate) use listener::TcpListener;
pub(crate) use stream::TcpStream;

use mio::{Events, Poll, Registry, Token};
use slab::Slab;
use source::Source;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use task::{Remote, Task, TaskId};

/// Events that are taken from the kernel at a time.
const EVENTS: usize = 1024;
/// Tasks that are polled before the sockets are looked at again.
const BEFORE_A_LOOK: usize = 61;
/// Reads and writes of a task before others get their turn, however much its sockets have.
const BUDGET: u8 = 128;
/// The token of what other threads woke.
const WOKEN: Token = Token(usize::MAX);

thread_local! {
    static HERE: RefCell<Option<Rc<Here>>> = const { RefCell::new(None) };
}

/// The sockets and tasks of a thread.
pub(crate) struct EventLoop {
    poll: Poll,
    events: Events,
    here: Rc<Here>,
    before_waiting: fn(),
}

/// What sockets and wakers of the thread reach.
struct Here {
    registry: Registry,
    sources: RefCell<Slab<Rc<Source>>>,
    tasks: RefCell<Slab<Task>>,
    /// Woken, in this order.
    queue: RefCell<VecDeque<TaskId>>,
    /// Whether who is woken now goes to the head of the queue.
    is_first: Cell<bool>,
    /// To be woken when the sockets were looked at.
    deferred: RefCell<VecDeque<(Waker, Order)>>,
    /// What the task that is polled may still read and write.
    budget: Cell<u8>,
    remote: Arc<Remote>,
}

impl EventLoop {
    /// A loop that calls `before_waiting` whenever it has nothing to do and waits for the kernel.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub(crate) fn new(before_waiting: fn()) -> io::Result<Self> {
        let poll = Poll::new()?;
        let remote = Remote::new(mio::Waker::new(poll.registry(), WOKEN)?);
        let here = Here {
            registry: poll.registry().try_clone()?,
            sources: RefCell::default(),
            tasks: RefCell::default(),
            queue: RefCell::default(),
            is_first: Cell::default(),
            deferred: RefCell::default(),
            budget: Cell::new(BUDGET),
            remote: Arc::new(remote),
        };
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            here: Rc::new(here),
            before_waiting,
        })
    }

    /// Runs `main` and what it spawns on this thread. What is still there when `main` is done is dropped.
    ///
    /// # Errors
    /// Those of the kernel, and that `main` panicked.
    pub(crate) fn run<T: 'static>(mut self, main: impl Future<Output = T> + 'static) -> io::Result<T> {
        let _left = Left(HERE.replace(Some(Rc::clone(&self.here))));
        let outcome = Rc::new(Cell::new(None));
        let given = Rc::clone(&outcome);
        spawn(async move { given.set(Some(main.await)) });
        loop {
            self.here.run_tasks();
            // Its own share of it goes with the task.
            if Rc::strong_count(&outcome) == 1 {
                break;
            }
            self.look_at_sockets()?;
        }
        outcome
            .take()
            .ok_or_else(|| io::Error::other("the main task of an event loop panicked"))
    }

    /// Wakes whom sockets, other threads, or a delay until now wake; waits for that if there is nothing else to do.
    fn look_at_sockets(&mut self) -> io::Result<()> {
        let here = &self.here;
        let is_idle = here.queue.borrow().is_empty() && here.deferred.borrow().is_empty();
        if is_idle {
            (self.before_waiting)();
        }
        match self
            .poll
            .poll(&mut self.events, (!is_idle).then_some(Duration::ZERO))
        {
            // As when somebody traces the process.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            polled => polled?,
        }
        for event in &self.events {
            if event.token() == WOKEN {
                here.queue.borrow_mut().extend(here.remote.take());
            } else if let Some(source) = here.source(event.token()) {
                source.happened(event);
            }
        }
        let deferred = here.deferred.borrow().len();
        for _ in 0..deferred {
            let next = here.deferred.borrow_mut().pop_front();
            next.into_iter()
                .for_each(|(waker, order)| here.wake(&waker, order));
        }
        Ok(())
    }
}

impl Here {
    fn source(&self, token: Token) -> Option<Rc<Source>> {
        self.sources.borrow().get(token.0).cloned()
    }

    /// Polls tasks until none is left to be polled or it is time to look at the sockets.
    fn run_tasks(&self) {
        for _ in 0..BEFORE_A_LOOK {
            let Some(id) = self.queue.borrow_mut().pop_front() else {
                return;
            };
            self.poll_task(id);
        }
    }

    fn poll_task(&self, id: TaskId) {
        // Who woke a task that is over may have woken the next one in its place: once too often hurts nobody.
        let Some(mut body) = self.tasks.borrow_mut().get_mut(id).and_then(Task::begin_poll) else {
            return;
        };
        self.budget.set(BUDGET);
        if body.poll_is_pending() {
            if let Some(task) = self.tasks.borrow_mut().get_mut(id) {
                task.end_poll(body);
            }
        } else {
            self.tasks.borrow_mut().remove(id);
            body.bury();
        }
    }

    fn enqueue(&self, id: TaskId) {
        let mut queue = self.queue.borrow_mut();
        if self.is_first.get() {
            queue.push_front(id);
        } else {
            queue.push_back(id);
        }
    }

    fn wake(&self, waker: &Waker, order: Order) {
        self.is_first.set(order == Order::First);
        waker.wake_by_ref();
        self.is_first.set(false);
    }

    /// Has a task woken when the sockets were looked at.
    fn defer(&self, waker: &Waker, order: Order) {
        self.deferred.borrow_mut().push_back((waker.clone(), order));
    }

    /// Takes from the budget of the task that is polled; `false` if it has none left and is polled again later.
    #[inline]
    fn spend(&self, cx: &Context<'_>) -> bool {
        let left = self.budget.get();
        if left == 0 {
            self.defer(cx.waker(), Order::Last);
            return false;
        }
        self.budget.set(left - 1);
        true
    }
}

/// Where a task stands among those that were woken before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// It is polled next.
    First,
    /// They go before it.
    Last,
}

/// Leaves the loop of a thread, whatever it ended with.
struct Left(Option<Rc<Here>>);

impl Drop for Left {
    fn drop(&mut self) {
        // Tasks, while their sockets and wakers still find the loop.
        let left = || with_here(|here| here.tasks.take()).filter(|tasks| !tasks.is_empty());
        for tasks in std::iter::from_fn(left) {
            tasks.into_iter().for_each(|(_, task)| task.bury());
        }
        HERE.set(self.0.take());
    }
}

/// Calls `work` with the loop of this thread, if it runs one.
#[inline]
fn with_here<T>(work: impl FnOnce(&Rc<Here>) -> T) -> Option<T> {
    // The thread may be ending.
    HERE.try_with(|here| here.borrow().as_ref().map(work))
        .ok()
        .flatten()
}

/// Runs `task` on the loop of this thread.
///
/// # Panics
/// This thread runs none.
pub(crate) fn spawn(task: impl Future<Output = ()> + 'static) {
    let spawned = with_here(|here| {
        let mut tasks = here.tasks.borrow_mut();
        let vacant = tasks.vacant_entry();
        let id = vacant.key();
        vacant.insert(Task::new(id, Box::pin(task), &here.remote));
        here.queue.borrow_mut().push_back(id);
    });
    assert!(spawned.is_some(), "this thread runs no event loop");
}

/// Wakes a task when the sockets of this thread were looked at. Woken at once it would be polled some sixty times before
/// that, and one busy connection would hold up all others.
pub(crate) fn wake_behind_the_sockets(waker: &Waker, order: Order) {
    if with_here(|here| here.defer(waker, order)).is_none() {
        waker.wake_by_ref();
    }
}

/// Wakes a task that is polled before all others.
pub(crate) fn wake_first(waker: &Waker) {
    if with_here(|here| here.wake(waker, Order::First)).is_none() {
        waker.wake_by_ref();
    }
}

/// Lets others have their turn, and the sockets be looked at.
pub(crate) async fn yield_now() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return std::task::Poll::Ready(());
        }
        wake_behind_the_sockets(cx.waker(), Order::Last);
        std::task::Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::pair;
