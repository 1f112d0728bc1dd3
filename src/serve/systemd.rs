//! What systemd is told: ready, stopping, still alive; and the sockets that it opened. Without systemd nothing is said.

use crate::database::Database;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long the database may take to show that it is alive.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Something that can tell whether a service does its work.
pub(super) type Sign = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Signs of life, by which the watchdog is fed.
pub(super) struct Vitals {
    pub(super) database: Database,
    pub(super) signs: Vec<Sign>,
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vitals")
            .field("signs", &self.signs.len())
            .finish()
    }
}

impl Vitals {
    /// Says that the start is over, and from then on that the service lives, as long as it does.
    pub(super) fn tell(self) -> JoinHandle<()> {
        notify(NotifyState::Ready);
        tokio::spawn(async move {
            let Some(limit) = sd_notify::watchdog_enabled() else {
                return;
            };
            loop {
                match self.check().await {
                    Ok(()) => notify(NotifyState::Watchdog),
                    Err(reason) => {
                        tracing::error!(
                            event = "unwell",
                            reason,
                            "no sign of life for systemd; it restarts the service if this lasts"
                        );
                    }
                }
                sleep(limit / 3).await;
            }
        })
    }

    /// That this runs at all shows that the runtime does.
    async fn check(&self) -> Result<(), String> {
        for sign in &self.signs {
            sign()?;
        }
        // A write lock, taken and given back: whoever cannot have it can keep nothing.
        let lock = async { self.database.begin().await?.commit().await };
        match timeout(ANSWER_WITHIN, lock).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the database: {error}")),
            Err(_) => Err("the database does not answer".to_owned()),
        }
    }
}

/// The sockets of a socket unit. systemd keeps them open while this program restarts, so nobody is refused meanwhile.
///
/// # Errors
/// One of them is no listening TCP socket.
pub(super) fn listeners() -> io::Result<Vec<TcpListener>> {
    let mut handed = ListenFd::from_env();
    (0..handed.len())
        .filter_map(|at| handed.take_tcp_listener(at).transpose())
        .collect()
}

/// Says that the end has begun.
pub(super) fn stopping() {
    notify(NotifyState::Stopping);
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}
