//! A stretch of the way between a device and the relay, or between the relay and its broker, that a test can make
//! slow and cut.

use crate::site::free_address;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// What becomes of the bytes, each way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quality {
    pub(crate) delay: Duration,
    /// Up to so much more.
    pub(crate) jitter: Duration,
    pub(crate) bytes_per_second: Option<u32>,
}

/// Carries connections from its address to another one. The far end sees the caller's own address.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    cut: watch::Sender<()>,
    runtime: Option<Runtime>,
}

impl Link {
    pub(crate) fn to(target: SocketAddr, quality: Quality) -> Self {
        let address = free_address();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let (cut, cuts) = watch::channel(());
        runtime.spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let cuts = cuts.clone();
                // A far end that refuses, or breaks, is seen by both ends.
                tokio::spawn(async move { drop(carry(near, target, quality, cuts).await) });
            }
        });
        Self {
            address,
            cut,
            runtime: Some(runtime),
        }
    }

    /// Breaks all connections with a reset, both ways.
    pub(crate) fn cut(&self) {
        self.cut.send(()).unwrap();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn carry(
    mut near: TcpStream,
    target: SocketAddr,
    quality: Quality,
    mut cuts: watch::Receiver<()>,
) -> io::Result<()> {
    cuts.borrow_and_update();
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(near.peer_addr()?.ip(), 0))?;
    let mut far = socket.connect(target).await?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
    }
    let was_cut = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let both = async {
            tokio::join!(
                one_way(near_read, far_write, quality),
                one_way(far_read, near_write, quality)
            )
        };
        tokio::select! {
            _ = both => false,
            cut = cuts.changed() => cut.is_ok(),
        }
    };
    if was_cut {
        for stream in [&near, &far] {
            SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
        }
    }
    Ok(())
}

async fn one_way(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    quality: Quality,
) -> io::Result<()> {
    let (sender, mut queue) = mpsc::channel::<(Instant, Vec<u8>)>(256);
    let reading = async {
        let mut buffer = [0; 1400];
        let mut dice: u64 = 0x9e37_79b9_7f4a_7c15;
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let due =
                Instant::now() + quality.delay + quality.jitter.mul_f64((dice >> 40) as f64 / 16_777_216.0);
            if sender.send((due, buffer[..length].to_vec())).await.is_err() {
                break;
            }
        }
        drop(sender);
    };
    let writing = async {
        while let Some((due, bytes)) = queue.recv().await {
            sleep_until(due).await;
            to.write_all(&bytes).await?;
            if let Some(rate) = quality.bytes_per_second {
                sleep(Duration::from_secs(1).mul_f64(bytes.len() as f64 / f64::from(rate))).await;
            }
        }
        to.shutdown().await
    };
    tokio::join!(reading, writing).1
}
