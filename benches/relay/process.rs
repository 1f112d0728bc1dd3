//! What the kernel tells of a process.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::Mutex;
use std::time::Duration;

/// A program that ends with its owner.
pub struct Process {
    pub child: Child,
    cpu: CpuClock,
}

/// CPU time of a process in nanoseconds, user and system: the kernel's own sums of each thread.
#[derive(Debug)]
pub struct CpuClock {
    process: u32,
    /// Threads by their id, so that those that have ended since still count.
    seen: Mutex<BTreeMap<u32, Thread>>,
}

#[derive(Debug)]
struct Thread {
    name: String,
    spent: Duration,
}

impl CpuClock {
    pub fn of(process: u32) -> Self {
        Self {
            process,
            seen: Mutex::default(),
        }
    }

    /// That of all threads so far.
    pub fn read(&self) -> Duration {
        self.threads("").iter().sum()
    }

    /// That of each thread whose name starts so.
    pub fn threads(&self, name: &str) -> Vec<Duration> {
        let mut seen = self.seen.lock().unwrap();
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process)).unwrap();
        for task in tasks.flatten() {
            let read = |file| std::fs::read_to_string(task.path().join(file)).ok();
            let nanos = |text: String| text.split(' ').next()?.parse().ok();
            if let (Some(id), Some(name), Some(spent)) = (
                task.file_name().to_str().and_then(|id| id.parse().ok()),
                read("comm"),
                read("schedstat").and_then(nanos),
            ) {
                let spent = Duration::from_nanos(spent);
                seen.insert(id, Thread { name, spent });
            }
        }
        let named = seen.values().filter(|thread| thread.name.starts_with(name));
        named.map(|thread| thread.spent).collect()
    }
}

impl Process {
    pub fn new(child: Child) -> Self {
        let cpu = CpuClock::of(child.id());
        Self { child, cpu }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of all its threads so far.
    pub fn cpu(&self) -> Duration {
        self.cpu.read()
    }

    /// That of each thread whose name starts so.
    pub fn threads(&self, name: &str) -> Vec<Duration> {
        self.cpu.threads(name)
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that was resident since [`Self::forget_peak`].
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5").unwrap();
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
