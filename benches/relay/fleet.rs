//! The devices.

use super::Size;
use super::proxy::{FIRST_DEVICE, Proxy};
use super::sink::Sink;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

const PAYLOAD: [u8; 64] = [b'x'; 64];
const FLEET: u64 = 200;
const DISCONNECT: [u8; 2] = [0xe0, 0];

/// CPU nanoseconds a message, one device, QoS 0.
pub fn pipelined_one(proxy: &Proxy, sink: &Sink, size: Size) -> f64 {
    pipelined(proxy, sink, 1, size.messages)
}

/// CPU nanoseconds a message, many devices, QoS 0.
pub fn pipelined_many(proxy: &Proxy, sink: &Sink, size: Size) -> f64 {
    pipelined(proxy, sink, FLEET, size.messages / FLEET)
}

fn pipelined(proxy: &Proxy, sink: &Sink, devices: u64, each: u64) -> f64 {
    on_runtime(async {
        let mut fleet = connect_all(proxy, devices).await;
        let (before, cpu) = (sink.messages(), proxy.cpu());
        let mut sending = JoinSet::new();
        for (n, mut device) in fleet.drain(..).enumerate() {
            let batch = publish(&proxy.topic(n as u64), 0).repeat(500);
            sending.spawn(async move {
                for _ in 0..each / 500 {
                    device.write_all(&batch).await.unwrap();
                }
                device
            });
        }
        let _open = sending.join_all().await;
        let sent = devices * (each / 500) * 500;
        arrived(sink, before + sent).await;
        (proxy.cpu() - cpu).as_nanos() as f64 / sent as f64
    })
}

/// CPU nanoseconds a message, 200 devices that send 100 QoS 1 messages a second each and read the PUBACKs.
pub fn paced(proxy: &Proxy, sink: &Sink, size: Size) -> f64 {
    on_runtime(async {
        let fleet = connect_all(proxy, FLEET).await;
        let (before, cpu) = (sink.messages(), proxy.cpu());
        let each = size.seconds * 100;
        let began = tokio::time::Instant::now();
        let mut sending = JoinSet::new();
        for (n, mut device) in fleet.into_iter().enumerate() {
            let packet = publish(&proxy.topic(n as u64), 1);
            sending.spawn(async move {
                let mut puback = [0; 4];
                for message in 0..each {
                    let due = Duration::from_millis(message * 10) + Duration::from_micros(n as u64 * 50);
                    tokio::time::sleep_until(began + due).await;
                    device.write_all(&packet).await.unwrap();
                    device.read_exact(&mut puback).await.unwrap();
                    assert_eq!(puback, [0x40, 2, 0, 1]);
                }
                device
            });
        }
        let _open = sending.join_all().await;
        let sent = FLEET * each;
        arrived(sink, before + sent).await;
        (proxy.cpu() - cpu).as_nanos() as f64 / sent as f64
    })
}

/// CPU microseconds a connection.
pub fn storm(proxy: &Proxy, _: &Sink, size: Size) -> f64 {
    on_runtime(async {
        let cpu = proxy.cpu();
        let mut under_way = JoinSet::new();
        let address = proxy.address;
        for n in 0..size.connects {
            if under_way.len() == 64 {
                under_way.join_next().await.unwrap().unwrap();
            }
            under_way.spawn(async move {
                let mut device = connect(address, n % 256).await;
                device.write_all(&DISCONNECT).await.unwrap();
                let mut end = [0];
                // Either way of closing will do.
                let _ = device.read(&mut end).await;
            });
        }
        under_way.join_all().await;
        (proxy.cpu() - cpu).as_nanos() as f64 / 1000.0 / size.connects as f64
    })
}

/// Bytes of resident memory an idle connection.
pub fn idle(proxy: &Proxy, _: &Sink, size: Size) -> f64 {
    on_runtime(async {
        // What a first connection brings with it is not of an idle one.
        drop(connect_all(proxy, 64).await);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = proxy.memory();
        let fleet = connect_all(proxy, size.idle).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let grown = proxy.memory() - before;
        grown as f64 / fleet.len() as f64
    })
}

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

async fn connect_all(proxy: &Proxy, devices: u64) -> Vec<TcpStream> {
    let mut fleet = Vec::new();
    for n in 0..devices {
        fleet.push(connect(proxy.address, n).await);
    }
    fleet
}

/// A device with its own source address, let in.
async fn connect(proxy: SocketAddr, n: u64) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind((Ipv4Addr::from_bits(FIRST_DEVICE + n as u32), 0).into())
        .unwrap();
    let mut device = socket.connect(proxy).await.unwrap();
    device.set_nodelay(true).unwrap();
    let client_id = format!("device-{n}");
    let mut connect = vec![0x10, 12 + client_id.len() as u8, 0, 4];
    connect.extend_from_slice(b"MQTT\x04\x02\x01\x2c\0");
    connect.push(client_id.len() as u8);
    connect.extend_from_slice(client_id.as_bytes());
    device.write_all(&connect).await.unwrap();
    let mut connack = [0; 4];
    device.read_exact(&mut connack).await.unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    device
}

fn publish(topic: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, topic.len() as u8];
    body.extend_from_slice(topic.as_bytes());
    if qos > 0 {
        body.extend_from_slice(&[0, 1]);
    }
    body.extend_from_slice(&PAYLOAD);
    let mut packet = vec![0x30 | qos << 1, body.len() as u8];
    packet.extend_from_slice(&body);
    packet
}

/// Waits until the sink has seen `total` messages.
async fn arrived(sink: &Sink, total: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while sink.messages() < total {
        assert!(
            Instant::now() < deadline,
            "{} of {total} messages arrived",
            sink.messages()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(sink.messages(), total, "messages that nobody sent");
}
