//! A thread of the data plane: its listeners and its connections. Nothing of it is shared with another.

use super::carry::Carry;
use super::context::Context;
use super::farewell::farewell;
use super::handshake::{self, Opened};
use super::registry::Seat;
use super::{Ending, Pulse, journal};
use crate::entrypoint::TopicPlan;
use crate::mqtt::{Version, disconnect};
use crate::upstream::BrokerStream;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long accepting rests when the system has no more descriptors.
const REST: Duration = Duration::from_millis(100);

/// Runs until the relay shuts down and its connections are closed, or the grace period is over.
pub(super) fn run(
    listeners: Vec<std::net::TcpListener>,
    context: &Arc<Context>,
    worker: usize,
    pulse: Pulse,
    grace: Duration,
) -> io::Result<()> {
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
        let _ = context.shutdown.clone().wait_for(|down| *down).await;
        for task in accepting {
            task.abort();
            let _ = task.await;
        }
        drop(alive);
        let _ = timeout(grace, all_gone.recv()).await;
        Ok(())
    })
}

async fn accept(listener: TcpListener, context: Arc<Context>, worker: usize, alive: mpsc::Sender<()>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(admit(stream, peer, Arc::clone(&context), worker, alive.clone()));
            }
            // The device gave up while it waited.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection; raise the limit of open files if it is reached");
                sleep(REST).await;
            }
        }
    }
}

/// Lets one device in. What it takes to do so is gone when the connection's own task begins.
async fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    context: Arc<Context>,
    worker: usize,
    alive: mpsc::Sender<()>,
) {
    let _ = stream.set_nodelay(true);
    if let Some(Opened { carry, seat }) = handshake::open(stream, peer, &context, worker).await {
        tokio::spawn(Life {
            open: Some((carry, seat)),
            alive,
        });
    }
}

/// A connection's task. Written by hand, because it is what an idle connection costs.
struct Life {
    open: Option<(Carry<TcpStream, BrokerStream, TopicPlan>, Seat)>,
    alive: mpsc::Sender<()>,
}

impl Future for Life {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let Some((carry, _)) = &mut self.open else {
            return Poll::Ready(());
        };
        let ending = ready!(Pin::new(carry).poll(cx));
        if let Some((carry, seat)) = self.open.take() {
            journal::closed(seat.books(), carry.connection(), &ending);
            drop(seat);
            part(carry, &ending, self.alive.clone());
        }
        Poll::Ready(())
    }
}

/// Closes both sockets, the device's with a last word where it may be heard.
fn part(carry: Carry<TcpStream, BrokerStream, TopicPlan>, ending: &Ending, alive: mpsc::Sender<()>) {
    let connection = carry.connection();
    let last = match ending.reason() {
        Some(reason) if connection.version == Version::V5 && carry.at_boundary() => {
            disconnect::packet(reason, &ending.to_string(), connection.maximum_packet_size)
        }
        _ => Vec::new(),
    };
    let device = carry.let_go();
    if ending.device_listens() {
        tokio::spawn(async move {
            farewell(device, &last).await;
            drop(alive);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Connection;

    #[test]
    fn an_idle_connection_stays_small() {
        assert!(size_of::<Life>() <= 320, "{} bytes", size_of::<Life>());
        assert!(
            size_of::<Connection>() <= 224,
            "{} bytes",
            size_of::<Connection>()
        );
    }
}
