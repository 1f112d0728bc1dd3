//! For machines that watch the service.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Refusal;
use super::{ApiError, ApiState};
use crate::database::Database;

/// How long an answer of the database counts: who asks every second must not wear out the card of a small machine.
const FRESH: Duration = Duration::from_secs(10);

/// How long the database may take to show that it can be written.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Where the program is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Stopping,
}

/// Whether devices can be served. Clones are the same.
#[derive(Debug, Clone)]
pub struct Readiness {
    phase: watch::Sender<Phase>,
    started: SystemTime,
    database: Database,
    /// When the database was last asked, and whether it could be written.
    asked: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Readiness {
    /// Not ready yet.
    #[must_use]
    pub fn starting(database: Database) -> Self {
        Self {
            phase: watch::Sender::new(Phase::Starting),
            started: SystemTime::now(),
            database,
            asked: Arc::default(),
        }
    }

    /// Devices can connect from now on.
    pub fn serving(&self) {
        self.phase.send_replace(Phase::Serving);
    }

    /// Devices cannot connect any more.
    pub fn stopping(&self) {
        self.phase.send_replace(Phase::Stopping);
    }

    /// Since when the program has been running.
    pub(super) fn started(&self) -> SystemTime {
        self.started
    }

    async fn check(&self) -> Result<(), ApiError> {
        let phase = *self.phase.borrow();
        match phase {
            Phase::Starting => Err(ApiError::NotReady("the relay does not listen yet")),
            Phase::Stopping => Err(ApiError::NotReady("the program is shutting down")),
            Phase::Serving if self.database_is_writable().await => Ok(()),
            Phase::Serving => Err(ApiError::NotReady(
                "the database cannot be written: check the disk of the data directory, and the log",
            )),
        }
    }

    async fn database_is_writable(&self) -> bool {
        let mut asked = self.asked.lock().await;
        match *asked {
            Some((when, writable)) if when.elapsed() < FRESH => writable,
            _ => {
                let written = timeout(ANSWER_WITHIN, self.database.write_nothing()).await;
                match &written {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!(%error, "not ready: the database cannot be written"),
                    Err(_) => tracing::error!("not ready: the database does not answer"),
                }
                let writable = matches!(written, Ok(Ok(())));
                *asked = Some((Instant::now(), writable));
                writable
            }
        }
    }
}

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(alive)).routes(routes!(ready))
}

/// Whether the program answers.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    security(()),
    responses((status = 200, body = String, content_type = "text/plain"))
)]
async fn alive() -> &'static str {
    "ok\n"
}

/// Whether devices can be served: the relay listens, the database can be written, and nothing shuts down.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    security(()),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 503, body = Refusal))
)]
async fn ready(State(state): State<ApiState>) -> Result<&'static str, ApiError> {
    state.readiness.check().await.map(|()| "ok\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_is_what_listens_and_can_write_and_does_not_stop() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path()).await.unwrap();
        let readiness = Readiness::starting(database.clone());
        let why = async || readiness.check().await.map_err(|error| error.to_string());
        assert!(why().await.unwrap_err().contains("not listen"));
        readiness.serving();
        assert_eq!(why().await, Ok(()));
        readiness.stopping();
        assert!(why().await.unwrap_err().contains("shutting down"));
        // Somebody writes and does not come to an end.
        let endless = database.begin().await.unwrap();
        let readiness = Readiness::starting(database.clone());
        readiness.serving();
        tokio::time::pause();
        let asked = Instant::now();
        let message = readiness.check().await.unwrap_err().to_string();
        assert!(message.contains("cannot be written"), "{message}");
        // Who waits for the database itself gives up later.
        assert!(asked.elapsed() < ANSWER_WITHIN * 2, "{:?}", asked.elapsed());
        tokio::time::resume();
        drop(endless);
        // What a disk that was mounted anew without write access does.
        let read_only = sqlx::query("PRAGMA query_only = ON").execute(database.writer());
        read_only.await.unwrap();
        let readiness = Readiness::starting(database);
        readiness.serving();
        let message = readiness.check().await.unwrap_err().to_string();
        assert!(message.contains("cannot be written"), "{message}");
    }
}
