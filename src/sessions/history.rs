//! Who was online: session events in the database.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};
use tokio::time::{Instant, sleep};

use super::{Event, Events, Sessions};
use crate::clock::now_millis;
use crate::database::Database;
use crate::sim::{Imei, Imsi};

/// Events that are kept for one SIM.
pub const KEPT_A_SIM: u32 = 100;
/// Days that an event is kept, as SORACOM does.
pub const KEPT_DAYS: i64 = 32;
/// How long events are gathered, so that many share one transaction.
const GATHER: Duration = Duration::from_millis(500);
/// Events of one transaction at most.
const BATCH: usize = 4000;
/// Events, or SIMs, of one statement at most, so that what runs it gives its core away in between. SQLite takes 32,766
/// values.
const ROWS: usize = 32;
/// How often events past [`KEPT_A_SIM`] are looked for, among the SIMs that had new ones.
const TRIM: Duration = Duration::from_secs(10);
/// How often what is too old is looked for.
const SWEEP: Duration = Duration::from_secs(3600);
/// How long to wait after an error of the database.
const PATIENCE: Duration = Duration::from_secs(1);

/// An event as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// When, in milliseconds since 1970; no two events of a SIM have the same.
    pub time: i64,
    /// `Created`, `Modified` or `Deleted`.
    pub event: String,
    /// The SIM.
    pub sim_id: String,
    /// The session.
    pub session_id: String,
    /// When the session began.
    pub created_time: i64,
    /// The modem, where known.
    pub imei: Option<String>,
    /// Where the SIM called from.
    pub address: String,
    /// What its connection called itself.
    pub client_id: String,
}

/// The session events of the past.
#[derive(Debug, Clone)]
pub struct History(Database);

impl History {
    /// Keeps events in `database`.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Events of a subscriber, the newest first: from `from` to `to` inclusive and before `before`, in
    /// milliseconds since 1970.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn page(
        &self,
        imsi: &Imsi,
        (from, to): (i64, i64),
        before: Option<i64>,
        limit: usize,
    ) -> sqlx::Result<Vec<Past>> {
        let rows = sqlx::query(
            "SELECT time, event, sim_id, session_id, created_time, imei, address, client_id
             FROM session_events WHERE imsi = ? AND time >= ? AND time <= ? AND time < ?
             ORDER BY time DESC LIMIT ?",
        )
        .bind(imsi.as_str())
        .bind(from)
        .bind(to)
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.0.readers())
        .await?;
        rows.iter().map(read).collect()
    }

    /// The event that ended the last session that is over, by IMSI, of those of `imsis` that have one.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn last_ended(&self, imsis: &[&str]) -> sqlx::Result<HashMap<String, Past>> {
        let rows = sqlx::query(
            "SELECT time, event, sim_id, session_id, created_time, imei, address, client_id, imsi
             FROM json_each(?) AS wanted CROSS JOIN session_events ON imsi = wanted.value AND time =
             (SELECT MAX(time) FROM session_events WHERE imsi = wanted.value AND event = 'Deleted')",
        )
        .bind(serde_json::json!(imsis).to_string())
        .fetch_all(self.0.readers())
        .await?;
        rows.iter().map(|row| Ok((row.try_get(8)?, read(row)?))).collect()
    }

    /// Ends the sessions that a crash left open.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn close_left_open(&self) -> sqlx::Result<u64> {
        let ended = sqlx::query(
            "INSERT INTO session_events
             SELECT imsi, MAX(?, time + 1), 'Deleted', sim_id, session_id, created_time, imei, address, client_id
             FROM session_events AS last WHERE event <> 'Deleted'
             AND time = (SELECT MAX(time) FROM session_events WHERE imsi = last.imsi)",
        )
        .bind(now_millis())
        .execute(self.0.writer())
        .await?;
        Ok(ended.rows_affected())
    }

    /// Keeps what happens, until the last [`Sessions`] is gone.
    pub async fn follow(self, mut events: Events, sessions: std::sync::Weak<Sessions>) {
        let mut swept: Option<Instant> = None;
        let mut trimmed = Instant::now();
        let mut touched = HashSet::new();
        let mut batch = Vec::new();
        while events.recv_many(&mut batch, BATCH).await > 0 {
            sleep(GATHER).await;
            while batch.len() < BATCH
                && let Ok(event) = events.try_recv()
            {
                batch.push(event);
            }
            leave_out_what_is_crowded_out(&mut batch);
            while let Err(error) = self.keep(&batch).await {
                tracing::error!(%error, events = batch.len(), "session events cannot be kept, trying again");
                sleep(PATIENCE).await;
            }
            touched.extend(batch.drain(..).map(|event| event.session.sim.imsi.clone()));
            let forgotten = sessions.upgrade().map_or(0, |sessions| sessions.take_forgotten());
            if forgotten > 0 {
                tracing::warn!(forgotten, "session events came faster than they could be kept");
            }
            if trimmed.elapsed() >= TRIM {
                trimmed = Instant::now();
                self.trim_or_tell(&mut touched).await;
            }
            if swept.is_none_or(|last| last.elapsed() >= SWEEP) {
                swept = Some(Instant::now());
                if let Err(error) = self.sweep(now_millis() - KEPT_DAYS * 24 * 3600 * 1000).await {
                    tracing::warn!(%error, "old session events cannot be deleted");
                }
            }
        }
        self.trim_or_tell(&mut touched).await;
    }

    /// What cannot be deleted now is tried again with what is touched next.
    async fn trim_or_tell(&self, touched: &mut HashSet<Imsi>) {
        match self.trim(touched).await {
            Ok(()) => *touched = HashSet::new(),
            Err(error) => tracing::warn!(%error, "old session events cannot be deleted"),
        }
    }

    /// All in one transaction.
    async fn keep(&self, events: &[Event]) -> sqlx::Result<()> {
        let mut transaction = self.0.begin().await?;
        for chunk in events.chunks(ROWS) {
            insert(chunk)
                .build()
                .persistent(false)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// Deletes the events of these SIMs that are too many.
    async fn trim(&self, touched: &HashSet<Imsi>) -> sqlx::Result<()> {
        let touched: Vec<&str> = touched.iter().map(Imsi::as_str).collect();
        for some in touched.chunks(ROWS) {
            self.trim_some(some).await?;
        }
        Ok(())
    }

    async fn trim_some(&self, touched: &[&str]) -> sqlx::Result<()> {
        let trim = sqlx::query(
            "WITH last AS MATERIALIZED (
                 SELECT value AS imsi, (
                     SELECT time FROM session_events WHERE imsi = value ORDER BY time DESC LIMIT 1 OFFSET ?2
                 ) AS time FROM json_each(?1))
             DELETE FROM session_events WHERE (imsi, time) IN (
                 SELECT old.imsi, old.time FROM last JOIN session_events AS old
                 ON old.imsi = last.imsi AND old.time <= last.time)",
        );
        let trim = trim.bind(serde_json::json!(touched).to_string()).bind(KEPT_A_SIM);
        trim.execute(self.0.writer()).await.map(drop)
    }

    async fn sweep(&self, before: i64) -> sqlx::Result<()> {
        let delete = sqlx::query("DELETE FROM session_events WHERE time < ?").bind(before);
        delete.execute(self.0.writer()).await.map(drop)
    }
}

/// A SIM that comes and goes without end costs no more than what is kept of it.
fn leave_out_what_is_crowded_out(events: &mut Vec<Event>) {
    let mut so_many: HashMap<&Imsi, u32> = HashMap::new();
    let from_newest = events.iter().rev().map(|event| {
        let so_many = so_many.entry(&event.session.sim.imsi).or_default();
        *so_many += 1;
        *so_many <= KEPT_A_SIM
    });
    let mut stay: Vec<bool> = from_newest.collect();
    events.retain(|_| stay.pop() == Some(true));
}

/// One statement for many events. The time is the key of a page, so it must not be that of an event before:
/// each is later than those of its SIM in the table by its place among those of its SIM here.
fn insert(events: &[Event]) -> QueryBuilder<Sqlite> {
    let mut before: HashMap<&str, (i64, i64)> = HashMap::new();
    let mut statement = QueryBuilder::new(
        "WITH fresh(imsi, place, time, event, sim_id, session_id, created_time, imei, address, client_id) AS (",
    );
    statement.push_values(events, |mut row, Event { kind, time, session }| {
        let imsi = session.sim.imsi.as_str();
        let (place, latest) = before.entry(imsi).or_insert((0, i64::MIN));
        (*place, *latest) = (*place + 1, (*latest).saturating_add(1).max(*time));
        row.push_bind(imsi.to_owned())
            .push_bind(*place)
            .push_bind(*latest)
            .push_bind(kind.as_str())
            .push_bind(session.sim.sim_id.as_str().to_owned())
            .push_bind(session.id.to_string())
            .push_bind(session.created)
            .push_bind(session.sim.imei.as_ref().map(Imei::to_string))
            .push_bind(session.address.to_string())
            .push_bind(session.client_id.to_string());
    });
    statement.push(
        ") INSERT INTO session_events
         SELECT imsi, MAX(time, place + COALESCE((SELECT MAX(time) FROM session_events WHERE imsi = fresh.imsi), 0)),
                event, sim_id, session_id, created_time, imei, address, client_id FROM fresh",
    );
    statement
}

fn read(row: &SqliteRow) -> sqlx::Result<Past> {
    Ok(Past {
        time: row.try_get(0)?,
        event: row.try_get(1)?,
        sim_id: row.try_get(2)?,
        session_id: row.try_get(3)?,
        created_time: row.try_get(4)?,
        imei: row.try_get(5)?,
        address: row.try_get(6)?,
        client_id: row.try_get(7)?,
    })
}

#[cfg(test)]
mod tests;
