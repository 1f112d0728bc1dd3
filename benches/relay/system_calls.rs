//! System calls a message: the one figure that does not depend on the machine's mood.

use super::device::{Device, puback};
use super::figure::Figure;
use super::packet::Publishes;
use super::process::Process;
use super::rig::Rig;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const DEVICES: u64 = 200;

/// Of QoS 1 messages one at a time; nothing where strace is not there or may not look.
pub async fn per_message(rig: &Rig, messages: u64) -> Vec<Figure> {
    let mut fleet = rig.connect(DEVICES).await;
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
    one_at_a_time(rig, &mut fleet, messages).await;
    rig.sink.arrived(messages).await;
    // It writes its summary when it is interrupted.
    let id = strace.id().to_string();
    let _ = Command::new("kill").args(["-INT", &id]).status();
    let _ = strace.child.wait();
    match total(&std::fs::read_to_string(summary).unwrap_or_default()) {
        Some(calls) => vec![Figure::new("system calls/message", calls / messages as f64)],
        None => Vec::new(),
    }
}

/// A message goes when the one before it has been acknowledged, or two would come in one wake-up where the machine is busy.
async fn one_at_a_time(rig: &Rig, fleet: &mut [Device], messages: u64) {
    let mut senders: Vec<_> = fleet
        .iter_mut()
        .map(|device| {
            let topic = rig.proxy.uplink_topic(device.number);
            let publishes = Publishes::new(&topic, device.number, 1, 1);
            (device, publishes)
        })
        .collect();
    for message in 0..messages {
        let (device, publishes) = &mut senders[(message % DEVICES) as usize];
        let number = publishes.number();
        device.stream.write_all(publishes.next(1)).await.unwrap();
        puback(&mut device.stream, number).await;
    }
}

/// The sum in strace's table: `% time, seconds, usecs/call, calls, errors, syscall`.
fn total(summary: &str) -> Option<f64> {
    let line = summary.lines().find(|line| line.ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}
