//! A thread of the data plane: its listeners and its connections. Nothing of it is shared with another.

use super::farewell::farewell;
use super::service::Context;
use super::{handshake, journal};
use crate::mqtt::{Version, disconnect};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
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
    grace: Duration,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Every connection holds a sender; when the last one is gone there is none left.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
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
                tokio::spawn(serve(stream, peer, Arc::clone(&context), worker, alive.clone()));
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

/// One device from accept to end. Handshake and farewell are boxed: for most of its life a connection's
/// task is only as large as the steady state.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    context: Arc<Context>,
    worker: usize,
    alive: mpsc::Sender<()>,
) {
    let _ = stream.set_nodelay(true);
    let Some(opened) = Box::pin(handshake::open(stream, peer, &context, worker)).await else {
        return;
    };
    drop(context);
    let seat = opened.seat;
    let remains = opened.carry.run().await;
    journal::closed(&remains.connection, &remains.ending);
    drop(seat);
    let last = match remains.ending.reason() {
        Some(reason) if remains.connection.version == Version::V5 && remains.at_boundary => {
            disconnect::packet(
                reason,
                &remains.ending.to_string(),
                remains.connection.maximum_packet_size,
            )
        }
        _ => Vec::new(),
    };
    if remains.ending.device_listens() {
        Box::pin(farewell(remains.device, &last)).await;
    }
    drop(alive);
}
