//! Timers, and work that blocks, of threads whose own runtime knows neither.
//!
//! A runtime that keeps timers has the kernel arm one at every wait for sockets, and disarm it when something comes. The data plane
//! waits twice a message and its timers hardly ever fire, so a thread of its own keeps them, and wakes who waits for one.

use std::convert::Infallible;
use std::io;
use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::mpsc;

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
        let keep = move || {
            runtime.block_on(all_gone.recv());
            // A name that is being looked up is not waited for: the system's resolver cannot be interrupted.
            runtime.shutdown_background();
        };
        std::thread::Builder::new()
            .name("timers".to_owned())
            .spawn(keep)?;
        Ok(keeper)
    }

    /// Keeps the timers of `tokio::time` that this thread makes from now on, and does there what it spawns with tokio.
    pub(crate) fn serve_this_thread(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use std::future::pending;
    use std::time::{Duration, Instant};
    use tokio::task::spawn_blocking;
    use tokio::time::{interval, sleep, timeout};

    const SHORT: Duration = Duration::from_millis(20);

    /// What `work` gives on a thread whose timers another keeps.
    fn kept_elsewhere<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> T {
        let keeper = Timekeeper::start().unwrap();
        let thread = std::thread::spawn(move || {
            let _kept = keeper.serve_this_thread();
            let here = EventLoop::new(|| ()).unwrap();
            here.run(async move { work().await }).unwrap()
        });
        thread.join().unwrap()
    }

    #[test]
    fn a_loop_without_timers_is_woken_by_those_that_another_thread_keeps() {
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

    #[test]
    fn work_that_blocks_holds_up_nobody() {
        let threads = kept_elsewhere(async || {
            let elsewhere = spawn_blocking(|| std::thread::current().id()).await.unwrap();
            (std::thread::current().id(), elsewhere)
        });
        assert_ne!(threads.0, threads.1);
    }
}
