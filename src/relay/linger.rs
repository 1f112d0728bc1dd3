//! A connection that is about to end: how long the other side may take for what is on its way.

use super::Ending;
use super::turnstile::Turn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep, sleep};

/// How long the other side may take once one has ended.
pub(super) const LINGER: Duration = Duration::from_secs(10);
/// How long a broker may take to close after a DISCONNECT, as it has to ([MQTT-3.14.4-3]), before it is told by a FIN
/// as well. Who closes first keeps the port for a minute, and this end has few of them towards one broker.
pub(super) const DUE: Duration = Duration::from_millis(250);

/// What a connection will have ended with, once what is on its way has arrived.
pub(super) struct Lingering {
    pub(super) ending: Ending,
    until: Pin<Box<Sleep>>,
    /// Whether the broker is told by a FIN that no more comes.
    tells_broker: bool,
    /// To do so.
    turn: Turn,
}

impl Lingering {
    /// From now on.
    pub(super) fn new(ending: Ending) -> Self {
        let patience = match ending {
            Ending::DeviceDisconnected => DUE,
            _ => LINGER,
        };
        Self {
            until: Box::pin(sleep(patience)),
            tells_broker: matches!(ending, Ending::DeviceClosed),
            turn: Turn::default(),
            ending,
        }
    }

    /// Passes the device's end of stream on, where it is to be, as half a close: the broker may still have answers.
    pub(super) fn poll_tell_broker(
        &mut self,
        broker: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.tells_broker {
            return Poll::Pending;
        }
        let step = |cx: &mut Context<'_>| Pin::new(broker).poll_shutdown(cx);
        ready!(self.turn.poll_step(cx, step))
    }

    /// The end of the time that the other side has.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.until.as_mut().poll(cx));
        if matches!(self.ending, Ending::DeviceDisconnected) && !self.tells_broker {
            // Behind whatever of it the broker has not taken yet.
            self.tells_broker = true;
            self.until.as_mut().reset(Instant::now() + LINGER);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}
