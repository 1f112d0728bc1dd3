//! A broker stub: says yes to everybody, acknowledges, counts, and checks each topic.

use simrelay::mqtt::{FixedHeader, PacketType};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Default)]
struct Seen {
    messages: AtomicU64,
    wrong_topics: AtomicU64,
}

pub struct Sink {
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

impl Sink {
    /// Starts it in a thread of its own.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let counting = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&counting)));
                }
            });
        });
        Self { address, seen }
    }

    /// PUBLISH packets seen so far.
    pub fn messages(&self) -> u64 {
        assert_eq!(
            self.seen.wrong_topics.load(Relaxed),
            0,
            "topics arrived that were not rewritten"
        );
        self.seen.messages.load(Relaxed)
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Seen>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    // Grows with traffic only, so that thousands of idle devices fit.
    let mut buffer = Vec::new();
    let mut answers = Vec::new();
    loop {
        buffer.reserve(4096);
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let mut at = 0;
        while let Ok(Some(header)) = FixedHeader::parse(&buffer[at..]) {
            let Some(packet) = buffer.get(at..at + header.total()) else {
                break;
            };
            if !answer(&header, packet, &mut answers, &seen) {
                return Ok(());
            }
            at += header.total();
        }
        buffer.drain(..at);
        if buffer.is_empty() {
            buffer = Vec::with_capacity(if at > 4096 { 65536 } else { 0 });
        }
        stream.write_all(&answers).await?;
        answers.clear();
    }
}

/// Appends what a broker answers; `false` after DISCONNECT.
fn answer(header: &FixedHeader, packet: &[u8], answers: &mut Vec<u8>, seen: &Seen) -> bool {
    match header.packet {
        PacketType::Connect => answers.extend_from_slice(&[0x20, 2, 0, 0]),
        PacketType::Pingreq => answers.extend_from_slice(&[0xd0, 0]),
        PacketType::Disconnect => return false,
        PacketType::Publish => {
            let topic = &packet[header.len + 2..header.len + 2 + usize::from(packet[header.len + 1])];
            let right = topic.starts_with(b"sensors/440101") && topic.ends_with(b"/temp");
            seen.messages.fetch_add(1, Relaxed);
            seen.wrong_topics.fetch_add(u64::from(!right), Relaxed);
            if header.first & 6 == 2 {
                let id = header.len + 2 + topic.len();
                answers.extend_from_slice(&[0x40, 2, packet[id], packet[id + 1]]);
            }
        }
        _ => {}
    }
    true
}
