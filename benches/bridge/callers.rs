//! Callers: requests at a fixed rate over connections that stay open, each timed from when it was due.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

const CONNECTIONS: u64 = 100;
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of a run.
#[derive(Debug, Default)]
pub struct Measured {
    latencies: Vec<Duration>,
    pub failed: u64,
    pub seconds: f64,
}

impl Measured {
    pub fn answered(&self) -> usize {
        self.latencies.len()
    }

    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds
    }

    /// In milliseconds.
    pub fn percentile(&self, percent: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * percent / 100.0).round() as usize;
        self.latencies
            .get(at)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// `rate` requests a second for `length`. A request that is late because the one before it on its connection
/// was slow is late: it counts from when it was due.
pub async fn call(to: SocketAddr, rate: u64, length: Duration) -> Measured {
    let total = rate * length.as_secs();
    let next = Arc::new(AtomicU64::new(0));
    let begin = Instant::now() + Duration::from_millis(100);
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let next = Arc::clone(&next);
        callers.spawn(async move {
            let mut found = Measured::default();
            let mut stream = None;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return found;
                }
                let due = begin + Duration::from_secs_f64(number as f64 / rate as f64);
                sleep_until(due).await;
                match timeout(PATIENCE, request(&mut stream, to)).await {
                    Ok(Ok(200)) => found.latencies.push(due.elapsed()),
                    _ => {
                        found.failed += 1;
                        stream = None;
                    }
                }
            }
        });
    }
    let mut all = Measured::default();
    for found in callers.join_all().await {
        all.latencies.extend(found.latencies);
        all.failed += found.failed;
    }
    all.seconds = begin.elapsed().as_secs_f64();
    all.latencies.sort_unstable();
    all
}

/// One request; its status.
async fn request(stream: &mut Option<TcpStream>, to: SocketAddr) -> std::io::Result<u16> {
    const BODY: &str = r#"{"topic": "notify/slack", "message": "倉庫Aの在庫が10個を切りました"}"#;
    if stream.is_none() {
        let fresh = TcpStream::connect(to).await?;
        fresh.set_nodelay(true)?;
        *stream = Some(fresh);
    }
    let stream = stream.as_mut().ok_or(std::io::ErrorKind::NotConnected)?;
    let request = format!(
        "POST /notify HTTP/1.1\r\nHost: pi\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = vec![0; 4096];
    let mut length = 0;
    loop {
        let read = stream.read(&mut buffer[length..]).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        length += read;
        let text = String::from_utf8_lossy(&buffer[..length]);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let wanted = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= wanted.unwrap_or(0) {
            return Ok(head
                .get(9..12)
                .and_then(|status| status.parse().ok())
                .unwrap_or(0));
        }
    }
}
