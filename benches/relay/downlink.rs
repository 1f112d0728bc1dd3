//! Messages from the broker to devices that subscribed.

use super::device::{Device, packets};
use super::figure::{Figure, per};
use super::names;
use super::packet::{Publish, Publishes};
use super::payload::Expected;
use super::rig::Rig;
use super::seen::Downlink;
use super::times::{Pace, Times};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

const AT_ONCE: usize = 500;

/// A device that subscribed, and the broker's way to it.
struct Pair {
    device: Device,
    downlink: Downlink,
    publishes: Publishes,
}

async fn subscribed(rig: &Rig, devices: u64) -> Vec<Pair> {
    let mut fleet = rig.connect(devices).await;
    for device in &mut fleet {
        let filter = rig.proxy.downlink_filter(device.number);
        device.subscribe(&filter).await;
    }
    let downlinks = rig.sink.subscribers(fleet.len()).await;
    let pair = |(device, (number, downlink)): (Device, (u64, Downlink))| {
        assert_eq!(device.number, number);
        Pair {
            publishes: Publishes::new(&names::downlink_topic(number), number, 0, AT_ONCE),
            device,
            downlink,
        }
    };
    fleet.into_iter().zip(downlinks).map(pair).collect()
}

/// Reads `count` messages, checks each, and says when it came.
async fn receive(device: &mut Device, count: u64, mut came: impl FnMut(u64, Instant)) {
    let mut expected = Expected::new(names::downlink_topic(device.number), device.number);
    let mut buffer = Vec::with_capacity(65_536);
    while expected.count() < count {
        let read = device.stream.read_buf(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "the proxy closed");
        let now = Instant::now();
        let mut used = 0;
        for (header, packet) in packets(&buffer) {
            let publish = Publish::read(&header, packet).expect("a PUBLISH");
            came(expected.count(), now);
            expected.arrived(publish.topic, publish.payload).unwrap();
            used += packet.len();
        }
        buffer.drain(..used);
        buffer.reserve(4096);
    }
    assert_eq!(expected.count(), count, "messages that nobody sent");
}

/// Case d: `rate` messages a second to all devices together, each at its own moment.
pub async fn paced(rig: &Rig, devices: u64, rate: u64, seconds: f64) -> Vec<Figure> {
    let pairs = subscribed(rig, devices).await;
    let each = (rate as f64 * seconds / devices as f64).ceil() as u64;
    let pace = Pace::per_second(rate);
    let mut receiving = JoinSet::new();
    let mut sending = Vec::new();
    for (place, mut pair) in pairs.into_iter().enumerate() {
        sending.push((pair.downlink, pair.publishes));
        receiving.spawn(async move {
            let mut times = Times::default();
            let due = |message| pace.due(message * devices + place as u64);
            receive(&mut pair.device, each, |message, now| {
                times.add(now.saturating_duration_since(due(message)));
            })
            .await;
            times
        });
    }
    let cpu = rig.proxy.cpu();
    for message in 0..each * devices {
        pace.wait(message).await;
        let (downlink, publishes) = &mut sending[(message % devices) as usize];
        downlink.write_all(publishes.next(1)).await.unwrap();
    }
    let mut times = Times::default();
    for of_one in receiving.join_all().await {
        times.join(of_one);
    }
    let spent = rig.proxy.cpu() - cpu;
    // What the rig itself saw wrong, if anything.
    assert_eq!(rig.sink.messages(), 0);
    vec![
        per("CPU ns/message", spent, each * devices),
        Figure::new("one way p50, us", times.micros(0.5)),
        Figure::new("one way p99, us", times.micros(0.99)),
    ]
}

/// Case d2: to every device as fast as it goes.
pub async fn flood(rig: &Rig, devices: u64, messages: u64) -> Vec<Figure> {
    let pairs = subscribed(rig, devices).await;
    let each = messages / devices;
    let mut under_way = JoinSet::new();
    let cpu = rig.proxy.cpu();
    for mut pair in pairs {
        under_way.spawn(async move { receive(&mut pair.device, each, |_, _| {}).await });
        let (mut downlink, mut publishes) = (pair.downlink, pair.publishes);
        under_way.spawn(async move {
            let mut left = each as usize;
            while left > 0 {
                let count = left.min(AT_ONCE);
                downlink.write_all(publishes.next(count)).await.unwrap();
                left -= count;
            }
            // The way stays open until the proxy has taken everything.
            std::mem::forget(downlink);
        });
    }
    under_way.join_all().await;
    vec![per("CPU ns/message", rig.proxy.cpu() - cpu, each * devices)]
}
