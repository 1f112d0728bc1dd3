//! What a loop knows about a socket: whether it can be read and written, and whom to wake when that changes.

use super::{Here, with_here};
use mio::event::Event;
use mio::{Interest, Token};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Something to be read, or the end.
pub(super) const READ: u8 = 1 << 0;
/// Room for something to be written, or nobody who takes it any more.
pub(super) const WRITE: u8 = 1 << 1;
/// A read that brings little does not tell that there is no more: the end, an error or urgent data (at which a read stops)
/// lie behind it.
const MORE_TO_READ: u8 = 1 << 2;
/// The other end takes no more: a write always fails.
const WRITE_CLOSED: u8 = 1 << 3;

/// A socket that a loop looks at. The kernel tells once what is new ([edge-triggered][epoll]), so it is remembered here until
/// a call finds out that it is no longer so.
///
/// [epoll]: https://man7.org/linux/man-pages/man7/epoll.7.html
pub(super) struct Source {
    here: Rc<Here>,
    token: Token,
    ready: Cell<u8>,
    /// What `waker` waits for: [`READ`], [`WRITE`] or both.
    awaited: Cell<u8>,
    /// A socket belongs to one task, whose futures wait for it with one waker: what polls parts of a task with wakers of
    /// their own (`FuturesUnordered`) has to have all that wait for a socket in one part.
    waker: RefCell<Option<Waker>>,
}

impl Source {
    /// Has the loop of this thread look at `socket`, which is taken to be `ready` for this.
    ///
    /// # Errors
    /// Those of the system, and that this thread runs no loop.
    pub(super) fn register(
        socket: &mut impl mio::event::Source,
        ready: u8,
        interest: Interest,
    ) -> io::Result<Rc<Self>> {
        let registered = with_here(|here| {
            let mut sources = here.sources.borrow_mut();
            let vacant = sources.vacant_entry();
            let token = Token(vacant.key());
            here.registry.register(socket, token, interest)?;
            let source = Rc::new(Self {
                here: Rc::clone(here),
                token,
                ready: Cell::new(ready),
                awaited: Cell::new(0),
                waker: RefCell::default(),
            });
            vacant.insert(Rc::clone(&source));
            Ok(source)
        });
        registered.unwrap_or_else(|| Err(io::Error::other("this thread runs no event loop")))
    }

    /// The socket is about to be closed, which ends what the kernel tells of it.
    pub(super) fn forget(&self) {
        self.here.sources.borrow_mut().try_remove(self.token.0);
    }

    /// The same of a socket that somebody else has as well: for him the kernel would go on telling.
    pub(super) fn forget_shared(&self, socket: &mut impl mio::event::Source) {
        // What is not looked at any more needs no more than that.
        let _ = self.here.registry.deregister(socket);
        self.forget();
    }

    /// Notes what the kernel says, and wakes who waits for it.
    pub(super) fn happened(&self, event: &Event) {
        let mut now = 0;
        for (is_so, bits) in [
            (event.is_readable(), READ),
            (event.is_writable(), WRITE),
            (event.is_read_closed() || event.is_priority(), READ | MORE_TO_READ),
            (event.is_write_closed(), WRITE | WRITE_CLOSED),
            // A call finds out which.
            (event.is_error(), READ | WRITE | MORE_TO_READ | WRITE_CLOSED),
        ] {
            if is_so {
                now |= bits;
            }
        }
        self.ready.set(self.ready.get() | now);
        let awaited = self.awaited.get();
        if awaited & now != 0 {
            self.awaited.set(awaited & !now);
            if let Some(waker) = &*self.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }

    /// Whether it is ready for `what`, [`READ`] or [`WRITE`]. If it is not, the task is woken when it is; if it has had its
    /// share, when others had theirs.
    #[inline]
    pub(super) fn poll_ready(&self, what: u8, cx: &Context<'_>) -> Poll<()> {
        if self.ready.get() & what != 0 {
            return if self.here.spend(cx) {
                Poll::Ready(())
            } else {
                Poll::Pending
            };
        }
        self.awaited.set(self.awaited.get() | what);
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Whether the kernel said that a write fails.
    pub(super) fn is_write_closed(&self) -> bool {
        self.ready.get() & WRITE_CLOSED != 0
    }

    /// A call took less than it might have: the next one would find nothing, unless the kernel said otherwise.
    #[inline]
    pub(super) fn had_less(&self, what: u8) {
        if self.ready.get() & (what << 2) == 0 {
            self.ready.set(self.ready.get() & !what);
        }
    }

    /// A call found nothing.
    pub(super) fn had_nothing(&self, what: u8) {
        self.ready.set(self.ready.get() & !what & !(what << 2));
    }

    /// Calls `call` as soon as the socket is ready for `what`, and until it finds something.
    #[inline]
    pub(super) fn poll_by<T>(
        &self,
        what: u8,
        cx: &Context<'_>,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        while self.poll_ready(what, cx).is_ready() {
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.had_nothing(what),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                called => return Poll::Ready(called),
            }
        }
        Poll::Pending
    }
}
