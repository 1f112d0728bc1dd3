//! Devices that publish.

use super::device::{Device, packets, puback};
use super::figure::{Figure, per};
use super::packet::{Publishes, packet_id};
use super::rig::Rig;
use super::times::{Pace, Times};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

const AT_ONCE: usize = 500;
/// Unacknowledged messages of a device in case c1.
const WINDOW: u32 = 100;

/// How devices send that do not pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    Qos0,
    /// With a window of unacknowledged messages.
    Qos1,
}

/// What a flood took.
pub struct Flooded {
    pub messages: u64,
    pub seconds: f64,
}

/// A fleet that is connected and has sent a first batch, so that what comes once is not measured.
pub async fn warm(rig: &Rig, devices: u64, flood: Flood) -> Vec<(Device, Publishes)> {
    let fleet = rig.connect(devices).await;
    let qos = u8::from(flood == Flood::Qos1);
    let with_topic = |device: Device| {
        let topic = rig.proxy.uplink_topic(device.number);
        let publishes = Publishes::new(&topic, device.number, qos, AT_ONCE);
        (device, publishes)
    };
    let fleet: Vec<_> = fleet.into_iter().map(with_topic).collect();
    let before = rig.sink.messages();
    let first = AT_ONCE as u64;
    let sent = sending(fleet, first, flood).join_all().await;
    rig.sink.arrived(before + devices * first).await;
    sent
}

/// Every device sends as fast as it can.
pub async fn flood(rig: &Rig, fleet: Vec<(Device, Publishes)>, each: u64, flood: Flood) -> Flooded {
    let messages = fleet.len() as u64 * each;
    let before = rig.sink.messages();
    let began = Instant::now();
    let open = sending(fleet, each, flood).join_all().await;
    rig.sink.arrived(before + messages).await;
    drop(open);
    Flooded {
        messages,
        seconds: began.elapsed().as_secs_f64(),
    }
}

fn sending(fleet: Vec<(Device, Publishes)>, each: u64, flood: Flood) -> JoinSet<(Device, Publishes)> {
    let mut sending = JoinSet::new();
    for (mut device, mut publishes) in fleet {
        sending.spawn(async move {
            match flood {
                Flood::Qos0 => unacknowledged(&mut device, &mut publishes, each).await,
                Flood::Qos1 => windowed(&mut device, &mut publishes, each as u32).await,
            }
            (device, publishes)
        });
    }
    sending
}

async fn unacknowledged(device: &mut Device, publishes: &mut Publishes, each: u64) {
    let mut left = each as usize;
    while left > 0 {
        let count = left.min(AT_ONCE);
        device.stream.write_all(publishes.next(count)).await.unwrap();
        left -= count;
    }
}

async fn windowed(device: &mut Device, publishes: &mut Publishes, each: u32) {
    let first = publishes.number();
    let (mut sent, mut acknowledged) = (0, 0);
    let mut buffer = Vec::new();
    while acknowledged < each {
        // Topped up in batches, as a client with a window does.
        if sent < each && sent - acknowledged <= WINDOW / 2 {
            let count = (WINDOW - (sent - acknowledged)).min(each - sent);
            device
                .stream
                .write_all(publishes.next(count as usize))
                .await
                .unwrap();
            sent += count;
        }
        let read = device.stream.read_buf(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "the proxy closed");
        let mut used = 0;
        for (_, packet) in packets(&buffer) {
            let [high, low] = packet_id(first + acknowledged);
            assert_eq!(packet, [0x40, 2, high, low], "PUBACK");
            acknowledged += 1;
            used += packet.len();
        }
        buffer.drain(..used);
    }
}

/// All devices together send `rate` QoS 1 messages a second, each at its own moment; the round trips count from when
/// a message was due, so that nobody's delay is hidden.
pub async fn paced(rig: &Rig, fleet: Vec<Device>, rate: u64, seconds: f64) -> Times {
    let devices = fleet.len() as u64;
    let each = (rate as f64 * seconds / devices as f64).ceil() as u64;
    let before = rig.sink.messages();
    let pace = Pace::per_second(rate);
    let mut writers = Vec::new();
    let mut reading = JoinSet::new();
    for (place, device) in fleet.into_iter().enumerate() {
        let topic = rig.proxy.uplink_topic(device.number);
        let publishes = Publishes::new(&topic, device.number, 1, 1);
        let (mut reader, writer) = device.stream.into_split();
        writers.push((writer, publishes));
        reading.spawn(async move {
            let mut times = Times::default();
            for message in 0..each {
                puback(&mut reader, message as u32).await;
                times.add(pace.due(message * devices + place as u64).elapsed());
            }
            times
        });
    }
    for message in 0..each * devices {
        pace.wait(message).await;
        let (writer, publishes) = &mut writers[(message % devices) as usize];
        writer.write_all(publishes.next(1)).await.unwrap();
    }
    let mut times = Times::default();
    for of_one in reading.join_all().await {
        times.join(of_one);
    }
    rig.sink.arrived(before + each * devices).await;
    times
}

/// CPU a message of a flood.
pub async fn flood_cost(rig: &Rig, devices: u64, messages: u64, how: Flood) -> Vec<Figure> {
    let fleet = warm(rig, devices, how).await;
    let cpu = rig.proxy.cpu();
    let flooded = flood(rig, fleet, messages / devices, how).await;
    vec![per("CPU ns/message", rig.proxy.cpu() - cpu, flooded.messages)]
}

/// CPU a message and round trips of a paced fleet.
pub async fn paced_cost(rig: &Rig, devices: u64, rate: u64, seconds: f64) -> Vec<Figure> {
    let fleet = rig.connect(devices).await;
    let cpu = rig.proxy.cpu();
    let mut times = paced(rig, fleet, rate, seconds).await;
    let spent = rig.proxy.cpu() - cpu;
    vec![
        per("CPU ns/message", spent, times.count() as u64),
        Figure::new("round trip p50, us", times.micros(0.5)),
        Figure::new("round trip p99, us", times.micros(0.99)),
    ]
}
