//! Devices that come and go, and devices that only stay.

use super::device::{connect, puback};
use super::figure::{Figure, micros_per};
use super::packet::Publishes;
use super::rig::Rig;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

/// Connects under way at a time.
const AT_ONCE: usize = 64;
/// SIMs that a storm comes from.
pub const STORM_SIMS: u64 = 256;

/// Connect, CONNACK, DISCONNECT: CPU a connection.
pub async fn storm(rig: &Rig, connects: u64) -> Vec<Figure> {
    // The names, the TLS configuration and the first tickets are there.
    come_and_go(rig, STORM_SIMS).await;
    let cpu = rig.proxy.cpu();
    let (all, resumed) = rig.sink.handshakes();
    come_and_go(rig, connects).await;
    let spent = rig.proxy.cpu() - cpu;
    let mut figures = vec![micros_per("CPU us/connection", spent, connects)];
    let (all, resumed) = (rig.sink.handshakes().0 - all, rig.sink.handshakes().1 - resumed);
    if all > 0 {
        let share = 100.0 * resumed as f64 / all as f64;
        figures.push(Figure::new("handshakes resumed, %", share));
    }
    figures
}

async fn come_and_go(rig: &Rig, connects: u64) {
    let mut under_way = JoinSet::new();
    let address = rig.proxy.address(0);
    for n in 0..connects {
        if under_way.len() == AT_ONCE {
            under_way.join_next().await.unwrap().unwrap();
        }
        under_way.spawn(async move {
            connect(address, n % STORM_SIMS).await.disconnect().await;
        });
    }
    under_way.join_all().await;
}

/// Bytes of resident memory an idle connection: fresh, and when each device has sent one message.
pub async fn idle(rig: &Rig, count: u64) -> Vec<Figure> {
    // What a first connection brings with it is not of an idle one.
    drop(rig.connect(64.min(count)).await);
    settle().await;
    let before = rig.proxy.memory() as f64;
    let mut fleet = rig.connect(count).await;
    settle().await;
    let fresh = rig.proxy.memory() as f64 - before;
    for device in &mut fleet {
        let topic = rig.proxy.uplink_topic(device.number);
        let mut publishes = Publishes::new(&topic, device.number, 1, 1);
        device.stream.write_all(publishes.next(1)).await.unwrap();
        puback(&mut device.stream, 0).await;
    }
    rig.sink.arrived(count).await;
    // The ledger takes what was counted every second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let warm = rig.proxy.memory() as f64 - before;
    vec![
        Figure::new("RSS bytes/connection", fresh / count as f64),
        Figure::new("the same after one message each", warm / count as f64),
    ]
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}
