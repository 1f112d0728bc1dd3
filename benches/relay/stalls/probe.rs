//! Devices that say how long they wait.

use crate::cores;
use crate::device::{Device, connect_all, puback};
use crate::names;
use crate::packet::Publishes;
use crate::proxy::Proxy;
use crate::rig::on_runtime;
use crate::sink::{Door, Sink};
use crate::stalls::PROBED;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

/// Devices on each way.
pub const PROBES: u64 = 100;
/// Between two messages of one of them: a message each half millisecond in all.
const GAP: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Proxy,
    Straight,
}

/// One round trip.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub way: Way,
    pub sent: Instant,
    pub wait: Duration,
}

/// They, at work.
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Probe {
    /// Comes back when all are connected and have had their first answers.
    pub fn start(proxy: &Proxy, sink: Sink) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (ready, wait) = std::sync::mpsc::channel();
        let through = proxy.address(PROBED);
        let topic = proxy.uplink_topic(0);
        let topics: Vec<_> = (0..PROBES).map(|number| proxy.uplink_topic(number)).collect();
        let rewrites = topic != names::uplink_topic(0);
        let thread = std::thread::spawn(move || {
            if !cores::run_first() {
                eprintln!(
                    "the probe's thread may not run before others: its waits are longer than the proxy's"
                );
            }
            on_runtime(async {
                sink.serve();
                let mut sampling = JoinSet::new();
                let straight = sink.broker(Door::Plain).address;
                for (device, topic) in connect_all(through, 0..PROBES).await.into_iter().zip(topics) {
                    sampling.spawn(sample(device, topic, Way::Proxy, Arc::clone(&stopped)));
                }
                for device in connect_all(straight, 0..PROBES).await {
                    let topic = names::uplink_topic(device.number);
                    sampling.spawn(sample(device, topic, Way::Straight, Arc::clone(&stopped)));
                }
                tokio::time::sleep(GAP * 4).await;
                let _ = ready.send(rewrites);
                let samples = sampling.join_all().await.concat();
                // Every message was checked, and every one is there.
                sink.arrived(samples.len() as u64).await;
                samples
            })
        });
        wait.recv().expect("the probe's devices are let in");
        Self { stop, thread }
    }

    pub fn stop(self) -> Vec<Sample> {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

async fn sample(mut device: Device, topic: String, way: Way, stop: Arc<AtomicBool>) -> Vec<Sample> {
    let mut publishes = Publishes::new(&topic, device.number, 1, 1);
    let mut samples = Vec::new();
    // Not all at the same moment.
    tokio::time::sleep(GAP * device.number as u32 / PROBES as u32).await;
    while !stop.load(Relaxed) {
        let number = publishes.number();
        let sent = Instant::now();
        device.stream.write_all(publishes.next(1)).await.unwrap();
        puback(&mut device.stream, number).await;
        let wait = sent.elapsed();
        samples.push(Sample { way, sent, wait });
        tokio::time::sleep(GAP).await;
    }
    samples
}
