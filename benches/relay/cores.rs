//! Who runs where: the proxy on one core, generator and broker stub on another, where there are two.

use std::process::{Command, Stdio};

/// Where a proxy may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// A core of its own.
    Apart,
    /// Wherever the kernel likes.
    Anywhere,
}

/// Puts this process, and the threads that it starts later, on the first core.
pub fn stay_on_first() {
    if several() {
        let me = std::process::id().to_string();
        quietly("taskset", &["-acp", "0", &me]);
    }
}

/// The command that starts `program` there.
pub fn start(program: &str, placement: Placement) -> Command {
    if placement == Placement::Anywhere {
        // This process is held to one core, and its children would be too.
        let mut command = Command::new("taskset");
        command.args(["-c", &format!("0-{}", count() - 1), program]);
        return command;
    }
    if !several() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "1", program]);
    command
}

/// Lets the calling thread run before all others of its core, where the user may; whether that was so.
pub fn run_first() -> bool {
    thread_id().is_some_and(|id| quietly("chrt", &["-f", "-p", "10", &id]))
}

/// Lets the calling thread run when no other wants the core.
pub fn run_last() {
    if let Some(id) = thread_id() {
        quietly("renice", &["-n", "19", "-p", &id]);
    }
}

pub fn count() -> usize {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .filter(|line| line.starts_with("processor"))
        .count()
        .max(1)
}

fn several() -> bool {
    count() > 1
}

fn thread_id() -> Option<String> {
    let link = std::fs::read_link("/proc/thread-self").ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

fn quietly(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
