//! Tasks, and who wakes them.

use super::with_here;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The place of a task among those of its thread. The next one may have it afterwards.
pub(super) type TaskId = usize;

/// A task of an event loop.
pub(super) struct Task {
    /// Elsewhere while it is polled.
    body: Option<Body>,
    wakes: Arc<Wakes>,
}

/// What is polled, and what wakes it.
pub(super) struct Body {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
}

impl Task {
    /// A task that is in the queue.
    pub(super) fn new(id: TaskId, future: Pin<Box<dyn Future<Output = ()>>>, remote: &Arc<Remote>) -> Self {
        let wakes = Arc::new(Wakes {
            id,
            is_queued: AtomicBool::new(true),
            remote: Arc::clone(remote),
        });
        let waker = Waker::from(Arc::clone(&wakes));
        Self {
            body: Some(Body { future, waker }),
            wakes,
        }
    }

    /// Gives what is to be polled. From now on it may be woken again.
    pub(super) fn begin_poll(&mut self) -> Option<Body> {
        // A plain store could come behind what the task reads now, and who saw it queued until then would have woken nobody.
        let _ = self.wakes.is_queued.swap(false, Ordering::AcqRel);
        self.body.take()
    }

    pub(super) fn end_poll(&mut self, body: Body) {
        self.body = Some(body);
    }

    /// Drops it, whatever it panics with.
    pub(super) fn bury(self) {
        self.body.into_iter().for_each(Body::bury);
    }
}

impl Body {
    /// Polls it. A task that panics is over, and others go on: the hook has said what happened.
    pub(super) fn poll_is_pending(&mut self) -> bool {
        let Self { future, waker } = self;
        let poll = || future.as_mut().poll(&mut Context::from_waker(waker));
        matches!(catch_unwind(AssertUnwindSafe(poll)), Ok(Poll::Pending))
    }

    /// Drops it, whatever it panics with.
    pub(super) fn bury(self) {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self)));
    }
}

/// The waker of a task.
struct Wakes {
    id: TaskId,
    is_queued: AtomicBool,
    remote: Arc<Remote>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        Self::wake_by_ref(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let is_here = with_here(|here| {
            let is_here = Arc::ptr_eq(&here.remote, &self.remote);
            if is_here {
                here.enqueue(self.id);
            }
            is_here
        });
        if is_here != Some(true) {
            self.remote.wake(self.id);
        }
    }
}

/// The way from other threads into a loop.
pub(super) struct Remote {
    woken: Mutex<Vec<TaskId>>,
    alarm: mio::Waker,
}

impl Remote {
    pub(super) fn new(alarm: mio::Waker) -> Self {
        Self {
            woken: Mutex::default(),
            alarm,
        }
    }

    fn wake(&self, id: TaskId) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.push(id);
        let is_first = woken.len() == 1;
        drop(woken);
        if is_first {
            // It fails only where the loop is gone.
            let _ = self.alarm.wake();
        }
    }

    /// Gives those that were woken, each once.
    pub(super) fn take(&self) -> Vec<TaskId> {
        std::mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
