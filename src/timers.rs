//! Timers of threads whose own runtime keeps none.
//!
//! A runtime that keeps timers has the kernel arm one at every wait for sockets, and disarm it when something comes. The data plane
//! waits twice a message and its timers hardly ever fire, so a thread of its own keeps them, and wakes who waits for one.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;
use tokio::time::{Interval, Sleep, Timeout};

thread_local! {
    static KEEPER: RefCell<Option<Timekeeper>> = const { RefCell::new(None) };
}

/// A thread that keeps the timers of others, until all of these are gone.
#[derive(Debug, Clone)]
pub(crate) struct Timekeeper {
    runtime: Handle,
    /// Held, never used.
    _stays: mpsc::Sender<Infallible>,
}

impl Timekeeper {
    /// Starts that thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let (stays, mut all_gone) = mpsc::channel(1);
        let keeper = Self {
            runtime: runtime.handle().clone(),
            _stays: stays,
        };
        let keep = move || runtime.block_on(all_gone.recv());
        std::thread::Builder::new()
            .name("timers".to_owned())
            .spawn(keep)?;
        Ok(keeper)
    }

    /// Has it keep the timers that this thread makes from now on.
    pub(crate) fn serve_this_thread(self) {
        KEEPER.set(Some(self));
    }
}

/// Makes a timer where those of this thread are kept.
fn kept<T>(make: impl FnOnce() -> T) -> T {
    KEEPER.with_borrow(|keeper| {
        let _there = keeper.as_ref().map(|keeper| keeper.runtime.enter());
        make()
    })
}

/// As [`tokio::time::sleep`].
pub(crate) fn sleep(time: Duration) -> Sleep {
    kept(|| tokio::time::sleep(time))
}

/// As [`tokio::time::timeout`].
pub(crate) fn timeout<F: IntoFuture>(time: Duration, work: F) -> Timeout<F::IntoFuture> {
    kept(|| tokio::time::timeout(time, work))
}

/// As [`tokio::time::interval`].
pub(crate) fn interval(period: Duration) -> Interval {
    kept(|| tokio::time::interval(period))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::time::Instant;
    use tokio::runtime::Runtime;

    const SHORT: Duration = Duration::from_millis(20);

    fn without_timers() -> Runtime {
        Builder::new_current_thread().enable_io().build().unwrap()
    }

    /// What `work` gives on a thread whose timers another keeps.
    fn kept_elsewhere<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> T {
        let keeper = Timekeeper::start().unwrap();
        let thread = std::thread::spawn(|| {
            keeper.serve_this_thread();
            without_timers().block_on(work())
        });
        thread.join().unwrap()
    }

    #[test]
    fn a_runtime_without_timers_is_woken_by_those_that_another_thread_keeps() {
        let began = Instant::now();
        let late = kept_elsewhere(async || {
            sleep(SHORT).await;
            let mut ticks = interval(SHORT);
            ticks.tick().await;
            ticks.tick().await;
            let spawned = tokio::spawn(async { timeout(SHORT, pending::<()>()).await.is_err() });
            spawned.await.unwrap()
        });
        assert!(late && began.elapsed() >= 3 * SHORT, "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_in_time_is_given() {
        assert_eq!(
            kept_elsewhere(async || timeout(Duration::from_secs(60), async { 7 }).await),
            Ok(7)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_else_keeps_them_the_runtime_does() {
        sleep(Duration::from_secs(3600)).await;
    }
}
