//! What devices, logs and brokers see when brokers, networks and the machine itself fail. `docs/reliability.md` has
//! a row for each.
//!
//! `SIMRELAY_LONG=MINUTES` has the tests of many faults go on for that long, with more devices.
mod brokers;
mod delivery;
mod link;
mod memory;
mod networks;
mod operator;
mod restart;
mod soak;

use std::time::{Duration, Instant};

/// How long the tests of many faults go on; `None` for the short form.
fn long() -> Option<Duration> {
    let minutes = std::env::var("SIMRELAY_LONG").ok()?;
    let minutes: u64 = minutes.parse().expect("SIMRELAY_LONG is a number of minutes");
    Some(Duration::from_secs(60 * minutes))
}

/// Waits until `look` gives something, for what takes longer than is usual.
fn wait_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
