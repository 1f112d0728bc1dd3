//! What the broker stub saw of its devices.

use super::payload::LargePayload;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use tokio::io::AsyncWrite;

/// What the broker sends to a device with.
pub type Downlink = Box<dyn AsyncWrite + Unpin + Send>;

/// What the stub saw.
#[derive(Default)]
pub struct Seen {
    pub messages: AtomicU64,
    pub handshakes: AtomicU64,
    pub resumed: AtomicU64,
    pub fault: Mutex<Option<String>>,
    pub subscribers: Mutex<Vec<(u64, Downlink)>>,
    pub large: LargePayload,
}
