//! System calls a message: the one figure that does not depend on the machine's mood.

use super::figure::Figure;
use super::process::Process;
use super::rig::Rig;
use super::uplink;
use std::process::{Command, Stdio};
use std::time::Duration;

const DEVICES: u64 = 200;
/// Slow enough that two messages do not come in one wake-up, although strace makes every call ten times as long.
const RATE: u64 = 1_500;

/// Of QoS 1 messages one at a time; nothing where strace is not there or may not look.
pub async fn per_message(rig: &Rig, seconds: f64) -> Vec<Figure> {
    let fleet = rig.connect(DEVICES).await;
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary");
    let spawned = Command::new("strace")
        .args(["-f", "-c", "-p", &rig.proxy.id().to_string(), "-o"])
        .arg(&summary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(strace) = spawned else {
        return Vec::new();
    };
    let mut strace = Process::new(strace);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let messages = uplink::paced(rig, fleet, RATE, seconds).await.count();
    // It writes its summary when it is interrupted.
    let id = strace.id().to_string();
    let _ = Command::new("kill").args(["-INT", &id]).status();
    let _ = strace.child.wait();
    match total(&std::fs::read_to_string(summary).unwrap_or_default()) {
        Some(calls) => vec![Figure::new("system calls/message", calls / messages as f64)],
        None => Vec::new(),
    }
}

/// The sum in strace's table: `% time, seconds, usecs/call, calls, errors, syscall`.
fn total(summary: &str) -> Option<f64> {
    let line = summary.lines().find(|line| line.ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}
