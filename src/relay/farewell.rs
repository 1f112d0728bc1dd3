//! The last words to a device.

use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How long a device may take to read the last packet, and again to close.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much of what it still sends is read away.
const DRAIN: usize = 256 * 1024;

/// Sends `last` and closes so that the device can read it: a socket closed with bytes unread would be
/// reset, and the reset can overtake the packet.
pub(super) async fn farewell<D: AsyncRead + AsyncWrite + Unpin>(mut device: D, last: &[u8]) {
    let said = timeout(PATIENCE, async {
        device.write_all(last).await?;
        device.shutdown().await
    });
    if !matches!(said.await, Ok(Ok(()))) {
        return;
    }
    let mut away = [0; 1024];
    let mut drained = 0;
    let drain = async {
        while drained < DRAIN {
            match device.read(&mut away).await {
                Ok(1..) => drained += away.len(),
                _ => break,
            }
        }
    };
    // Past this the device's kernel has had its time to take the packet.
    let _ = timeout(PATIENCE, drain).await;
}
