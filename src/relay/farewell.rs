//! The last words to a device, and the last a broker hears.

use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::time::timeout;

/// How long a device may take to read the last packet, and again to close.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a broker may take to read what is on its way to it.
const READING: Duration = Duration::from_secs(10);
/// How much of what a device still sends is read away: far more than kernels hold of what one behind a modem sent before it
/// was told, so that the end is not a reset that overtakes what it is to get.
const DRAIN: u64 = 16 * 1024 * 1024;

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
    // Past this the device's kernel has had its time to take the packet.
    let _ = timeout(PATIENCE, copy(&mut device.take(DRAIN), &mut sink())).await;
}

/// Closes so that the broker gets everything that was written to it: it closes in its turn when it has read
/// the end. A socket closed with bytes unread would be reset, and what is on its way would be lost.
pub(super) async fn wait_until_read<B: AsyncRead + AsyncWrite + Unpin>(mut broker: B) {
    let read = async {
        broker.shutdown().await?;
        copy(&mut broker, &mut sink()).await
    };
    // A broker that is gone, or takes longer, gets no more.
    let _ = timeout(READING, read).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    #[tokio::test]
    async fn what_a_device_had_sent_is_read_away_before_it_is_closed() {
        let (near, mut far) = duplex(64 * 1024);
        let sent = vec![0; 6 * 1024 * 1024];
        let device = async {
            far.write_all(&sent).await?;
            let mut last = [0; 3];
            far.read_exact(&mut last).await?;
            drop(far);
            std::io::Result::Ok(last)
        };
        let (last, ()) = tokio::join!(device, farewell(near, b"bye"));
        assert_eq!(&last.unwrap(), b"bye");
    }
}
