//! A thread of the data plane: its listeners and its connections. Nothing of it is shared with another.

use super::caller::Caller;
use super::context::Context;
use super::gate::Place;
use super::life::Life;
use super::wheel::TICK;
use super::{Pulse, Refusal, handshake, journal, turnstile};
use crate::complaint::Complaint;
use crate::event_loop::{EventLoop, TcpListener, spawn, yield_now};
use crate::timers::Timekeeper;
use crate::upstream::gather_entropy;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout};

/// Connections that are accepted before the open ones are looked at again.
const AT_ONCE: u32 = 4;
/// How long accepting rests when the system has no more descriptors.
const REST: Duration = Duration::from_millis(100);

/// A thread of the data plane before it runs.
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) listeners: Vec<std::net::TcpListener>,
    pub(super) context: Arc<Context>,
    pub(super) timers: Timekeeper,
    pub(super) pulse: Pulse,
    /// How long its connections may take to close at the end.
    pub(super) grace: Duration,
}

impl Worker {
    /// Runs until the relay shuts down and its connections are closed, or the grace period is over. Says so through
    /// `began` once it accepts.
    pub(super) fn run(self, began: std::sync::mpsc::Sender<()>) -> io::Result<()> {
        gather_entropy();
        let timers = self.timers.clone();
        let _kept = timers.serve_this_thread();
        EventLoop::new(turnstile::sockets_are_waited_for)?.run(self.serve(began))?
    }

    async fn serve(self, began: std::sync::mpsc::Sender<()>) -> io::Result<()> {
        let (context, worker) = (self.context, self.number);
        // Every connection holds a sender; when the last one is gone there is none left.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        spawn(self.pulse.beat(worker));
        for listener in self.listeners {
            let accepting = accept(
                TcpListener::from_std(listener)?,
                Arc::clone(&context),
                worker,
                alive.clone(),
            );
            let mut shutdown = context.shutdown.clone();
            spawn(async move {
                tokio::select! {
                    () = accepting => {}
                    _ = shutdown.wait_for(|down| *down) => {}
                }
            });
        }
        let _ = began.send(());
        drop(began);
        spawn(tick(Arc::clone(&context), worker));
        let _ = context.shutdown.clone().wait_for(|down| *down).await;
        drop(alive);
        let _ = timeout(self.grace, all_gone.recv()).await;
        Ok(())
    }
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
                    let opening = {
                        let context = Arc::clone(&context);
                        async move { handshake::open(stream, caller, place, &context, worker).await }
                    };
                    spawn(Life::new(opening, alive.clone()));
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
