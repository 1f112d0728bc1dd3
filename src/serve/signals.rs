//! What makes a service end, or read its configuration again.

use super::error::StartError;
use crate::store::FileStore;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a service heeds.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Takes them over from now on.
    pub(super) fn catch() -> Result<Self, StartError> {
        let of = |kind| signal(kind).map_err(StartError::Signals);
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
            hang_up: of(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT. There is nothing to read again on SIGHUP, which ends nothing either.
    pub(super) async fn until_end(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {}
            }
        }
    }

    /// SIGHUP reads the configuration again; SIGTERM and SIGINT end the wait.
    pub(super) async fn until_shutdown(&mut self, store: &FileStore) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    // Its log says what came of it.
                    let _ = store.reload().await;
                }
            }
        }
    }
}
