//! Sockets of connections whose device said DISCONNECT, until the broker has closed.
//!
//! A broker closes after a DISCONNECT, as it has to ([MQTT-3.14.4-3]). Who closes first keeps the port for a minute, and
//! this end has few of them towards one broker, so the broker is given the time. Nobody waits for such sockets: they are
//! looked at together, every now and then.

use crate::upstream::BrokerStream;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::Instant;

/// How often they are looked at: how long a broker has at least before it is told by a FIN as well is between one and two
/// of it.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a broker may take in all.
const LINGER: Duration = Duration::from_secs(10);
/// How many are looked at before the worker's other sockets are.
const AT_ONCE: usize = 8;
/// Bytes of a broker that are read away at once.
const AWAY: usize = 64 * 1024;
/// How often, before it is another's turn.
const READS: usize = 16;

thread_local! {
    static PARTED: RefCell<Parted<TcpStream, BrokerStream>> = const { RefCell::new(Parted::new()) };
}

/// Lets so many pairs of sockets of this thread wait for their brokers. Past that the longest waiting are closed.
pub(super) fn make_room(most: usize) {
    PARTED.with_borrow_mut(|parted| {
        parted.most = most;
        parted.away.resize(AWAY, 0);
    });
}

/// Leaves both sockets of a connection behind whose DISCONNECT has gone to the broker.
pub(super) fn part(device: TcpStream, broker: BrokerStream) {
    PARTED.with_borrow_mut(|parted| parted.push(device, broker));
}

/// Closes what can be closed, for as long as the worker runs.
pub(super) async fn keep_looking() {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let mut left = PARTED.with_borrow(|parted| parted.waiting.len());
        while left > 0 {
            let some = left.min(AT_ONCE);
            PARTED.with_borrow_mut(|parted| parted.look(some));
            left -= some;
            yield_now().await;
        }
    }
}

/// Closes all, those that wait for their brokers too.
pub(super) fn close_all() {
    PARTED.with_borrow_mut(|parted| {
        parted.look(parted.waiting.len());
        parted.waiting.clear();
    });
}

/// Pairs of sockets, the longest waiting first.
struct Parted<D, B> {
    waiting: VecDeque<Pair<D, B>>,
    most: usize,
    /// Where what is read away goes.
    away: Vec<u8>,
}

/// What is left of a connection.
struct Pair<D, B> {
    /// Closed together with the broker's. By then the device has mostly closed.
    _device: D,
    broker: B,
    since: Instant,
    /// Whether the broker was told that no more comes.
    told: bool,
}

impl<D, B: AsyncRead + AsyncWrite + Unpin> Parted<D, B> {
    const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            most: 1,
            away: Vec::new(),
        }
    }

    fn push(&mut self, device: D, broker: B) {
        if self.waiting.len() >= self.most
            && let Some(mut first) = self.waiting.pop_front()
        {
            // What the broker sent is read away first: with bytes unread a close would be a reset.
            let _ = first.is_over(&mut self.away);
        }
        self.waiting.push_back(Pair {
            _device: device,
            broker,
            since: Instant::now(),
            told: false,
        });
    }

    /// Looks at the first `count`, and puts those behind the others that go on waiting.
    fn look(&mut self, count: usize) {
        for _ in 0..count {
            let Some(mut pair) = self.waiting.pop_front() else {
                return;
            };
            if !pair.is_over(&mut self.away) {
                self.waiting.push_back(pair);
            }
        }
    }
}

impl<D, B: AsyncRead + AsyncWrite + Unpin> Pair<D, B> {
    /// Whether both may be closed. Reads away what the broker still sends, and tells it when its time has come.
    fn is_over(&mut self, away: &mut [u8]) -> bool {
        let waited = self.since.elapsed();
        if self.has_closed(away) || waited >= LINGER {
            return true;
        }
        if !self.told && waited >= LOOK_EVERY {
            match Pin::new(&mut self.broker).poll_shutdown(&mut nobody()) {
                Poll::Ready(Ok(())) => self.told = true,
                Poll::Ready(Err(_)) => return true,
                Poll::Pending => {}
            }
        }
        false
    }

    /// Whether the broker has closed.
    fn has_closed(&mut self, away: &mut [u8]) -> bool {
        for _ in 0..READS {
            let mut away = ReadBuf::new(away);
            match Pin::new(&mut self.broker).poll_read(&mut nobody(), &mut away) {
                Poll::Ready(Ok(())) if !away.filled().is_empty() => {}
                Poll::Ready(_) => return true,
                Poll::Pending => return false,
            }
        }
        false
    }
}

/// Who is looked at again anyway need not be woken.
fn nobody() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::advance;

    /// A pair that is waiting, and the other ends of it.
    fn parted(parted: &mut Parted<DuplexStream, DuplexStream>) -> (DuplexStream, DuplexStream) {
        let ((device, device_leg), (broker, broker_leg)) = (duplex(64), duplex(64));
        parted.push(device_leg, broker_leg);
        (device, broker)
    }

    fn room() -> Parted<DuplexStream, DuplexStream> {
        Parted {
            most: 3,
            away: vec![0; 16],
            ..Parted::new()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_closes_in_time_is_not_told_and_the_device_is_closed_with_it() {
        let mut pairs = room();
        let (mut device, broker) = parted(&mut pairs);
        pairs.look(1);
        assert_eq!(pairs.waiting.len(), 1);
        drop(broker);
        pairs.look(1);
        assert!(pairs.waiting.is_empty());
        assert_eq!(device.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_close_is_told_by_a_fin_and_then_left_alone() {
        let mut pairs = room();
        let (mut device, mut broker) = parted(&mut pairs);
        // What it still has to say is read away, however much it is.
        let talking = tokio::spawn(async move {
            assert_eq!(broker.read(&mut [0]).await.unwrap(), 0);
            while broker.write_all(&[0xd0, 0]).await.is_ok() {}
        });
        let began = Instant::now();
        while !pairs.waiting.is_empty() {
            assert!(began.elapsed() < LINGER + LOOK_EVERY, "{:?}", began.elapsed());
            assert_eq!(pairs.waiting[0].told, began.elapsed() >= LOOK_EVERY);
            advance(LOOK_EVERY).await;
            yield_now().await;
            pairs.look(1);
        }
        assert!(began.elapsed() >= LINGER, "{:?}", began.elapsed());
        assert_eq!(device.read(&mut [0]).await.unwrap(), 0);
        talking.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_there_is_room_for_close_the_longest_waiting() {
        let mut pairs = room();
        let mut ends: Vec<_> = (0..4).map(|_| parted(&mut pairs)).collect();
        assert_eq!(pairs.waiting.len(), 3);
        assert_eq!(ends[0].0.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(ends[0].1.read(&mut [0]).await.unwrap(), 0);
        let mut read = [0];
        let second = tokio::time::timeout(LOOK_EVERY, ends[1].1.read(&mut read));
        assert!(second.await.is_err(), "it waits");
    }
}
