//! Messages on disk: written when the broker takes longer than a caller waits, removed when it has them.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::{Message, Parked, Topic};
use crate::clock::now_millis;
use crate::database::Database;

/// Changes that go into one transaction at most.
const BATCH: usize = 500;
/// Rest after the database refused.
const REST: Duration = Duration::from_secs(1);

/// A message's place in the order.
pub(super) type Number = i64;

/// The database refused; in its words.
pub(super) type Refusal = String;

enum Change {
    Keep(Number, Message, oneshot::Sender<Result<(), Refusal>>),
    Remove(Number),
    Park(Number, String),
}

/// A message on disk that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) number: Number,
    pub(super) size: usize,
}

/// The table of the messages, written by one task in the order of the calls.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    database: Database,
    changes: mpsc::UnboundedSender<Change>,
}

impl Journal {
    /// The journal in this database and the task that writes it, which ends when the journal is dropped.
    pub(super) fn new(database: Database) -> (Self, impl Future<Output = ()> + Send) {
        let (changes, queue) = mpsc::unbounded_channel();
        let journal = Self {
            database: database.clone(),
            changes,
        };
        (journal, write(database, queue))
    }

    /// The highest number that is taken.
    pub(super) async fn last(&self) -> Result<Number, sqlx::Error> {
        let last: Option<Number> = sqlx::query_scalar("SELECT max(number) FROM bridge_queue")
            .fetch_one(self.database.readers())
            .await?;
        Ok(last.unwrap_or(0))
    }

    /// What an earlier run left to be sent, in order.
    pub(super) async fn kept(&self) -> Result<Vec<Kept>, sqlx::Error> {
        let sql = "SELECT number, length(CAST(topic AS BLOB)) + length(CAST(message AS BLOB)) AS size
                   FROM bridge_queue WHERE refused IS NULL ORDER BY number";
        let rows = sqlx::query(sql).fetch_all(self.database.readers()).await?;
        rows.iter().map(kept).collect()
    }

    /// Takes back what was parked and an operator wants to be sent again.
    pub(super) async fn take_back(&self) -> Result<Vec<Kept>, sqlx::Error> {
        // Most often there is nothing, and then nobody who writes is in the way.
        let is_wanted: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM bridge_queue WHERE again = 1)")
                .fetch_one(self.database.readers())
                .await?;
        if !is_wanted {
            return Ok(Vec::new());
        }
        let sql = "UPDATE bridge_queue SET refused = NULL, again = 0 WHERE again = 1
                   RETURNING number, length(CAST(topic AS BLOB)) + length(CAST(message AS BLOB)) AS size";
        let rows = sqlx::query(sql).fetch_all(self.database.writer()).await?;
        rows.iter().map(kept).collect()
    }

    /// The message of this number; `None` if somebody removed it.
    pub(super) async fn load(&self, number: Number) -> Result<Option<Message>, sqlx::Error> {
        let sql = "SELECT topic, message FROM bridge_queue WHERE number = ?";
        let row = sqlx::query(sql)
            .bind(number)
            .fetch_optional(self.database.readers())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let topic: &str = row.try_get("topic")?;
        let Ok(topic) = topic.parse::<Topic>() else {
            return Ok(None);
        };
        let text = row.try_get("message")?;
        Ok(Some(Message { topic, text }))
    }

    /// Those that the broker would not have.
    pub(super) fn parked(&self) -> Parked {
        Parked::new(self.database.clone())
    }

    /// Asks for a message to be kept; the answer comes when it is on disk.
    pub(super) fn keep(&self, number: Number, message: Message) -> oneshot::Receiver<Result<(), Refusal>> {
        let (done, kept) = oneshot::channel();
        self.change(Change::Keep(number, message, done));
        kept
    }

    /// The broker has it.
    pub(super) fn remove(&self, number: Number) {
        self.change(Change::Remove(number));
    }

    /// The broker will not have it: it stays for the operator.
    pub(super) fn park(&self, number: Number, reason: &str) {
        self.change(Change::Park(number, reason.to_owned()));
    }

    fn change(&self, change: Change) {
        // The task ends after all journals; with the runtime at the latest.
        let _ = self.changes.send(change);
    }
}

fn kept(row: &SqliteRow) -> Result<Kept, sqlx::Error> {
    let size: i64 = row.try_get("size")?;
    Ok(Kept {
        number: row.try_get("number")?,
        size: usize::try_from(size).unwrap_or(0),
    })
}

async fn write(database: Database, mut queue: mpsc::UnboundedReceiver<Change>) {
    let mut batch = Vec::new();
    loop {
        if batch.is_empty() && queue.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        match commit(&database, &batch).await {
            Ok(()) => answer(batch.drain(..), &Ok(())),
            Err(error) => {
                tracing::error!(%error, "the bridge cannot write its queue; check the disk of the data folder");
                // Who asked to keep a message is told at once. What is to be removed stays until it is: it
                // would be published again at the next start.
                let (keeps, rest) = batch
                    .drain(..)
                    .partition::<Vec<_>, _>(|c| matches!(c, Change::Keep(..)));
                answer(keeps.into_iter(), &Err(error.to_string()));
                batch = rest;
                if queue.is_closed() && queue.is_empty() {
                    return;
                }
                sleep(REST).await;
            }
        }
    }
}

fn answer(changes: impl Iterator<Item = Change>, result: &Result<(), Refusal>) {
    for change in changes {
        if let Change::Keep(_, _, done) = change {
            // Who asked may be gone.
            let _ = done.send(result.clone());
        }
    }
}

async fn commit(database: &Database, changes: &[Change]) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    for change in changes {
        apply(&mut transaction, change).await?;
    }
    transaction.commit().await
}

async fn apply(connection: &mut SqliteConnection, change: &Change) -> Result<(), sqlx::Error> {
    let query = match change {
        Change::Keep(number, message, _) => {
            sqlx::query("INSERT INTO bridge_queue (number, time, topic, message) VALUES (?, ?, ?, ?)")
                .bind(number)
                .bind(now_millis())
                .bind(message.topic.as_str())
                .bind(&message.text)
        }
        Change::Remove(number) => sqlx::query("DELETE FROM bridge_queue WHERE number = ?").bind(number),
        Change::Park(number, reason) => sqlx::query("UPDATE bridge_queue SET refused = ? WHERE number = ?")
            .bind(reason)
            .bind(number),
    };
    query.execute(connection).await.map(drop)
}
