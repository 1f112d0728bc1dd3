//! Logs: for people on a terminal, JSON lines elsewhere, always to standard error.
//!
//! A line is put into a buffer that a thread of its own writes out, so that a connection never waits for
//! the disk or for whoever reads the log.

mod filter;
mod human;
mod json;
#[cfg(test)]
mod written;

pub use self::filter::InvalidFilter;

use self::human::Human;
use self::json::Json;
use crate::settings::LogFormat;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tracing::field::Field;
use tracing_subscriber::fmt::MakeWriter;

/// How long lines gather before they are written together.
const GATHER: Duration = Duration::from_millis(20);
/// The most that waits if nobody reads the log; lines past it are dropped and counted.
const MAX_WAITING: usize = 16 * 1024 * 1024;

/// The most memory that is kept between two writings, in bytes.
const KEPT: usize = 64 * 1024;

/// Writes out what is left when it is dropped.
#[derive(Debug)]
pub struct LogGuard {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Mutex<Waiting>,
    some: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    dropped: u64,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.len() + line.len() > MAX_WAITING {
            waiting.dropped += 1;
            return;
        }
        let wake = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        drop(waiting);
        if wake {
            self.some.notify_one();
        }
    }

    /// Writes until closed and empty.
    fn write_out(&self, to: &mut impl Write) {
        let mut bytes = Vec::new();
        loop {
            let mut waiting = self.lock();
            while waiting.bytes.is_empty() && !waiting.closed {
                waiting = self.some.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            if !waiting.closed {
                drop(waiting);
                std::thread::sleep(GATHER);
                waiting = self.lock();
            }
            // What was written out last gives its memory to what comes next.
            std::mem::swap(&mut waiting.bytes, &mut bytes);
            let dropped = std::mem::take(&mut waiting.dropped);
            let closed = waiting.closed;
            drop(waiting);
            // There is nobody to tell that the log cannot be written.
            let _ = to.write_all(&bytes);
            if dropped > 0 {
                let _ = writeln!(
                    to,
                    "{{\"level\":\"WARN\",\"message\":\"log lines dropped\",\"lines\":{dropped}}}"
                );
            }
            if closed && bytes.is_empty() {
                return;
            }
            bytes.clear();
            bytes.shrink_to(KEPT);
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.some.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One line on its way to the queue.
#[derive(Debug)]
pub(crate) struct Line<'a>(&'a Queue);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Writer(Arc<Queue>);

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(&self.0)
    }
}

/// The form that fits where standard error goes.
#[must_use]
pub fn default_format() -> LogFormat {
    if io::stderr().is_terminal() {
        LogFormat::Human
    } else {
        LogFormat::Json
    }
}

/// Whether a field was put there by the bridge from the `log` crate: it says where in a library's source the line is from,
/// which no operator needs.
fn is_of_log_crate(field: &Field) -> bool {
    field.name().starts_with("log.")
}

/// Starts logging for the whole process. `filter` is a level or a filter by module.
///
/// # Errors
/// [`InvalidFilter`] quotes a filter that cannot be read.
pub fn init(format: LogFormat, filter: &str) -> Result<LogGuard, InvalidFilter> {
    let env_filter = filter::parse(filter)?;
    let queue = Arc::new(Queue::default());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(env_filter)
        .with_target(false)
        .with_writer(Writer(Arc::clone(&queue)));
    match format {
        LogFormat::Human => {
            builder
                .with_ansi(io::stderr().is_terminal())
                .fmt_fields(Human)
                .init();
        }
        LogFormat::Json => {
            builder.event_format(Json).init();
        }
    }
    let writing = Arc::clone(&queue);
    let thread = std::thread::Builder::new()
        .name("log".to_owned())
        // Not locked for good: others write to standard error too, the banner and panics among them.
        .spawn(move || {
            crate::priority::stand_behind();
            writing.write_out(&mut io::stderr());
        })
        .ok();
    Ok(LogGuard { queue, thread })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_and_in_order() {
        let queue = Arc::new(Queue::default());
        let mut written = Vec::new();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| queue.write_out(&mut written));
            for n in 0..1000 {
                queue.push(format!("line {n}\n").as_bytes());
            }
            queue.lock().closed = true;
            queue.some.notify_one();
            writer.join().unwrap();
        });
        let expected: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    #[test]
    fn what_nobody_reads_is_bounded_and_counted() {
        let queue = Queue::default();
        let line = vec![b'x'; 1024 * 1024];
        (0..20).for_each(|_| queue.push(&line));
        assert_eq!(queue.lock().dropped, 4);
        queue.lock().closed = true;
        let mut written = Vec::new();
        queue.write_out(&mut written);
        assert!(written.ends_with(b"\"lines\":4}\n"));
    }
}
