//! The process, under the names that Prometheus' own libraries give such numbers. They carry no prefix.

use std::fs;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// As far as the system tells them; `started` is known in any case.
pub(super) fn registry(started: SystemTime) -> Registry {
    let mut registry = Registry::default();
    let mut gauge = |name: &str, help: &str, value: f64| {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let seconds = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    gauge(
        "process_start_time_seconds",
        "When the program started, since 1970",
        seconds.as_secs_f64(),
    );
    let known = [
        (
            "process_resident_memory_bytes",
            "Memory that is in use",
            resident(),
        ),
        (
            "process_open_fds",
            "Files and sockets that are open",
            open_files(),
        ),
        ("process_max_fds", "Those that may be open", most_files()),
    ];
    for (name, help, value) in known {
        if let Some(value) = value {
            gauge(name, help, value as f64);
        }
    }
    registry
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let of_memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = of_memory.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn open_files() -> Option<u64> {
    let folder = fs::metadata("/proc/self/fd").ok()?;
    // Linux tells their number as the size of the folder since 6.2; before they have to be counted.
    match folder.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64),
        number => Some(number),
    }
}

fn most_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let of_files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    of_files.split_whitespace().next()?.parse().ok()
}
