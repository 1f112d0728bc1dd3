//! One large PUBLISH.

use super::device::puback;
use super::figure::Figure;
use super::packet::{Publishes, publish_head};
use super::payload::LargePayload;
use super::rig::Rig;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// CPU, and how far memory grows meanwhile.
pub async fn publish(rig: &Rig, bytes: usize) -> Vec<Figure> {
    let mut device = rig.connect(1).await.remove(0);
    let topic = rig.proxy.uplink_topic(device.number);
    // What a first message brings with it, the ledger's row among it, is not of a large one.
    let mut first = Publishes::new(&topic, device.number, 1, 1);
    device.stream.write_all(first.next(1)).await.unwrap();
    puback(&mut device.stream, 0).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let head = publish_head(&topic, 1, bytes);
    let (before, cpu) = (rig.proxy.memory(), rig.proxy.cpu());
    rig.proxy.forget_peak();
    send(&mut device.stream, &head, rig.sink.large(), bytes).await;
    puback(&mut device.stream, 0).await;
    let spent = rig.proxy.cpu() - cpu;
    rig.sink.arrived(2).await;
    let grown = rig.proxy.peak().saturating_sub(before);
    vec![
        Figure::new("CPU ms", spent.as_nanos() as f64 / 1e6),
        Figure::new("growth of memory at the peak, kB", grown as f64 / 1000.0),
    ]
}

/// Sends a message of so many bytes, of which the head is given.
pub async fn send(stream: &mut TcpStream, head: &[u8], payload: &LargePayload, bytes: usize) {
    stream.write_all(head).await.unwrap();
    let mut sent = 0;
    while sent < bytes {
        let block = payload.at(sent);
        let piece = &block[..block.len().min(bytes - sent)];
        stream.write_all(piece).await.unwrap();
        sent += piece.len();
    }
}
