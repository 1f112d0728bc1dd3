//! A thread of the data plane: its listeners and its connections. Nothing of it is shared with another.

use super::caller::Caller;
use super::context::Context;
use super::farewell::{farewell, wait_until_read};
use super::gate::Place;
use super::handshake::{self, ByVersion, Carried, Opened};
use super::registry::Seat;
use super::streams::Streams;
use super::turnstile::{Turn, in_turn};
use super::wheel::TICK;
use super::{Ending, Pulse, Refusal, journal};
use crate::complaint::Complaint;
use crate::mqtt::{Version, disconnect};
use crate::upstream::gather_entropy;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, interval, sleep, timeout};

/// Connections that are accepted before the open ones are looked at again.
const AT_ONCE: u32 = 16;
/// How long accepting rests when the system has no more descriptors.
const REST: Duration = Duration::from_millis(100);

/// Runs until the relay shuts down and its connections are closed, or the grace period is over. Says so through
/// `began` once it accepts.
pub(super) fn run(
    listeners: Vec<std::net::TcpListener>,
    context: &Arc<Context>,
    worker: usize,
    pulse: Pulse,
    grace: Duration,
    began: std::sync::mpsc::Sender<()>,
) -> io::Result<()> {
    gather_entropy();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Every connection holds a sender; when the last one is gone there is none left.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        tokio::spawn(pulse.beat(worker));
        let mut accepting = Vec::new();
        for listener in listeners {
            let listener = TcpListener::from_std(listener)?;
            accepting.push(tokio::spawn(accept(
                listener,
                Arc::clone(context),
                worker,
                alive.clone(),
            )));
        }
        let _ = began.send(());
        drop(began);
        let ticking = tokio::spawn(tick(Arc::clone(context), worker));
        let _ = context.shutdown.clone().wait_for(|down| *down).await;
        for task in accepting {
            task.abort();
            let _ = task.await;
        }
        drop(alive);
        let _ = timeout(grace, all_gone.recv()).await;
        ticking.abort();
        Ok(())
    })
}

/// Keeps the idle rule.
async fn tick(context: Arc<Context>, worker: usize) {
    let mut ticks = interval(TICK);
    loop {
        let now = ticks.tick().await;
        context.registry.tick(worker, now.into_std());
    }
}

async fn accept(listener: TcpListener, context: Arc<Context>, worker: usize, alive: mpsc::Sender<()>) {
    let mut complaint = Complaint::default();
    for turn in (1..=AT_ONCE).cycle() {
        hold_the_pace(&context).await;
        if turn == AT_ONCE {
            yield_now().await;
        }
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Some((caller, place)) = let_in(peer, &context) {
                    let admitted = admit(stream, caller, place, Arc::clone(&context), worker, alive.clone());
                    tokio::spawn(admitted);
                }
            }
            // The device gave up while it waited.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if complaint.is_due() {
                    tracing::error!(event = "cannot_accept", %error, "cannot accept connections; raise the limit of open files (LimitNOFILE=) if it is reached");
                }
                sleep(REST).await;
            }
        }
    }
}

/// Leaves devices in the kernel's queue while more come than may: none is refused, and open connections go on.
async fn hold_the_pace(context: &Context) {
    while let Some(wait) = context.pace.wait(Instant::now().into_std()) {
        context.registry.books().tally.paused();
        if let Some(pauses) = context.pace.complain() {
            let limit = context.registry.limits().accepts.map_or(0, NonZeroU32::get);
            tracing::warn!(
                event = "accept_paused",
                limit,
                pauses,
                advice = "a fleet that comes back is served like this; else look for who floods the port. If the machine has room, raise --relay-max-rate",
                "more connections a second than --relay-max-rate: some wait to be accepted"
            );
        }
        sleep(wait).await;
    }
}

/// Whether there is room for whoever calls from `peer`. If not, the connection is dropped unread, which costs
/// next to nothing.
fn let_in(peer: SocketAddr, context: &Context) -> Option<(Caller, Place)> {
    let caller = Caller::at(peer, &context.store.snapshot());
    let now = Instant::now().into_std();
    match context.registry.gate().knock(caller.sim.as_ref(), now) {
        Ok(place) => {
            context.pace.count(now);
            Some((caller, place))
        }
        Err(over) => {
            journal::refused(context.registry.books(), &caller, &Refusal::OverLimit(over));
            None
        }
    }
}

/// Lets one device in. What it takes to do so is gone when the connection's own task begins.
async fn admit(
    stream: TcpStream,
    caller: Caller,
    place: Place,
    context: Arc<Context>,
    worker: usize,
    alive: mpsc::Sender<()>,
) {
    let opened = in_turn(handshake::open(stream, caller, place, &context, worker)).await;
    if let Some(Opened { carry, seat }) = opened {
        match carry {
            ByVersion::V201509(carry) => Life::begin(carry, seat, alive),
            ByVersion::V201912(carry) => Life::begin(carry, seat, alive),
        }
    }
}

/// A connection's task. Written by hand, because it is what an idle connection costs.
struct Life<S> {
    open: Option<(Carried<S>, Seat)>,
    over: Option<Box<Over>>,
    alive: mpsc::Sender<()>,
}

/// What is left to do when a connection is over.
struct Over {
    ending: Ending,
    turn: Turn,
}

impl<S: Streams + Unpin + Send + 'static> Life<S> {
    fn begin(carry: Carried<S>, seat: Seat, alive: mpsc::Sender<()>) {
        tokio::spawn(Self {
            open: Some((carry, seat)),
            over: None,
            alive,
        });
    }
}

impl<S: Streams + Unpin + Send + 'static> Future for Life<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let Self { open, over, alive } = &mut *self;
        let over = match (over, open.as_mut()) {
            (Some(over), _) => over,
            (over @ None, Some((carry, _))) => {
                let ending = ready!(Pin::new(carry).poll(cx));
                let turn = Turn::default();
                over.insert(Box::new(Over { ending, turn }))
            }
            (None, None) => return Poll::Ready(()),
        };
        let Over { ending, turn } = &mut **over;
        turn.poll_step(cx, |_| {
            if let Some((carry, seat)) = open.take() {
                end(carry, seat, ending, alive);
            }
        })
    }
}

/// Writes the end of a connection down, and closes it.
fn end<S: Streams + Unpin>(carry: Carried<S>, seat: Seat, ending: &Ending, alive: &mpsc::Sender<()>) {
    journal::closed(seat.books(), carry.connection(), ending);
    drop(seat);
    part(carry, ending, alive);
}

/// Closes both sockets, the device's with a last word where it may be heard.
fn part<S: Streams + Unpin>(carry: Carried<S>, ending: &Ending, alive: &mpsc::Sender<()>) {
    let connection = carry.connection();
    let last = match ending.reason() {
        Some(reason) if connection.version == Version::V5 && carry.at_boundary() => {
            disconnect::packet(reason, &ending.to_string(), connection.maximum_packet_size)
        }
        _ => Vec::new(),
    };
    let (device, broker) = carry.let_go();
    if S::ACKNOWLEDGES {
        let alive = alive.clone();
        tokio::spawn(async move {
            wait_until_read(broker).await;
            drop(alive);
        });
    } else {
        drop(broker);
    }
    if ending.device_listens() {
        let alive = alive.clone();
        tokio::spawn(async move {
            farewell(device, &last).await;
            drop(alive);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entrypoint::TopicPlan;
    use crate::mqtt::AtMostOnce;
    use crate::relay::Connection;
    use crate::relay::streams::AsSent;

    #[test]
    fn an_idle_connection_stays_small() {
        let sizes = [
            size_of::<Life<AsSent<TopicPlan>>>(),
            size_of::<Life<Box<AtMostOnce<TopicPlan>>>>(),
        ];
        assert!(sizes.iter().all(|size| *size <= 320), "{sizes:?} bytes");
        assert!(
            size_of::<Connection>() <= 224,
            "{} bytes",
            size_of::<Connection>()
        );
    }
}
