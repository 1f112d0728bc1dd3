//! What waits for destinations, in SQLite: in it before the broker hears of it, out of it when it is delivered.

mod clock;
mod excess;
mod operator;
mod sweep;

pub(super) use clock::ClockSet;
pub use operator::{Listed, Selection};
pub use sweep::Swept;

use crate::database::Database;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row, Sqlite, Transaction};
use uuid::Uuid;

const INSERT: &str = "
    INSERT INTO notification
        (destination, route, topic, payload, text, urgent, retry_key, created, expires, due, attempts, reason, died)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)";

/// The bytes that a notification has in the queue, but for a few.
macro_rules! octets {
    () => {
        "(octet_length(topic) + coalesce(octet_length(payload), 0) + coalesce(octet_length(text), 0))"
    };
}
use octets;

/// Notifications of a destination whose turn it is, in this order: some of the first, as many as have so many bytes.
macro_rules! jobs {
    ($order:literal) => {
        concat!(
            "WITH first AS MATERIALIZED (
                SELECT id, urgent, attempts, ",
            octets!(),
            " AS bytes FROM notification
                WHERE destination = ?1 AND died IS NULL AND due <= ?2 AND expires > ?2 AND urgent >= ?3
                ORDER BY ",
            $order,
            " LIMIT ?4),
            fitting AS (
                SELECT id, sum(bytes) OVER (ORDER BY ",
            $order,
            " ROWS UNBOUNDED PRECEDING) - bytes AS before
                FROM first)
            SELECT id, destination, route, topic, payload, text, retry_key, created, notification.attempts
            FROM fitting JOIN notification USING (id) WHERE before < ?5 ORDER BY ",
            $order
        )
    };
}

const NEXT: &str = jobs!("urgent DESC, id");
const LEAST_TRIED: &str = jobs!("urgent DESC, attempts, id");
/// Bytes that are handed over at once, or one notification.
const MOST_AT_ONCE: i64 = 4 * 1024 * 1024;

/// A notification on its way into the queue.
#[derive(Debug)]
pub struct NewJob<'a> {
    /// The destination's name.
    pub destination: &'a str,
    /// The route's or the alarm's name.
    pub route: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// What was published.
    pub payload: Option<&'a [u8]>,
    /// What is to be sent, or why there is nothing: that is a dead letter at once.
    pub text: Result<String, String>,
    /// Whether it passes in quiet hours, and before others.
    pub urgent: bool,
    /// When it came, in milliseconds since 1970.
    pub created: i64,
    /// When it will be of no use, in milliseconds since 1970.
    pub expires: i64,
}

impl NewJob<'_> {
    /// The bytes that it takes in the queue, but for a few.
    #[must_use]
    pub fn size(&self) -> usize {
        let text = self.text.as_ref().map_or(0, String::len);
        self.topic.len() + self.payload.map_or(0, <[u8]>::len) + text
    }
}

/// A notification whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number, never given twice.
    pub id: i64,
    /// The destination's name.
    pub destination: String,
    /// The route's or the alarm's name.
    pub route: String,
    /// The topic.
    pub topic: String,
    /// What was published; `None` if nothing was.
    pub payload: Option<Vec<u8>>,
    /// What is to be sent; `None` if the template failed before and may do better now.
    pub text: Option<String>,
    /// The same for every attempt.
    pub retry_key: String,
    /// When it came, in milliseconds since 1970.
    pub created: i64,
    /// Attempts so far.
    pub attempts: u32,
}

/// The queue of all destinations.
#[derive(Debug, Clone)]
pub struct Queue {
    database: Database,
}

impl Queue {
    /// The queue in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.database.begin().await
    }

    /// The notifications whose turn it is at `now`, in their order, at most `limit`, and fewer of large ones.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn next(
        &self,
        destination: &str,
        now: i64,
        urgent_only: bool,
        limit: u32,
    ) -> Result<Vec<Job>, sqlx::Error> {
        self.jobs(NEXT, destination, now, urgent_only, limit).await
    }

    /// The same, but those first that were tried least often: what fails by its own fault does not hide from view that
    /// others would be taken.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn least_tried(
        &self,
        destination: &str,
        now: i64,
        urgent_only: bool,
        limit: u32,
    ) -> Result<Vec<Job>, sqlx::Error> {
        self.jobs(LEAST_TRIED, destination, now, urgent_only, limit).await
    }

    async fn jobs(
        &self,
        query: &'static str,
        destination: &str,
        now: i64,
        urgent_only: bool,
        limit: u32,
    ) -> Result<Vec<Job>, sqlx::Error> {
        let rows = sqlx::query(query)
            .bind(destination)
            .bind(now)
            .bind(i64::from(urgent_only))
            .bind(limit)
            .bind(MOST_AT_ONCE)
            .fetch_all(self.database.readers())
            .await?;
        rows.iter().map(job).collect()
    }

    /// Takes out what was delivered, by ids.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn delivered(&self, ids: &[i64]) -> Result<(), sqlx::Error> {
        let mut transaction = self.begin().await?;
        for id in ids {
            sqlx::query("DELETE FROM notification WHERE id = ?")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// Notes a failed attempt, and that the next one is not to be before `due`.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn postpone(&self, job: &Job, due: i64, reason: &str) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE notification SET attempts = attempts + 1, due = ?, reason = ? WHERE id = ?")
            .bind(due)
            .bind(reason)
            .bind(job.id)
            .execute(self.database.writer())
            .await?;
        Ok(())
    }

    /// Lets everything of a destination be tried again from `now` on.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn release(&self, destination: &str, now: i64) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE notification SET due = ?2 WHERE destination = ?1 AND died IS NULL AND due > ?2")
            .bind(destination)
            .bind(now)
            .execute(self.database.writer())
            .await?;
        Ok(())
    }

    /// Makes it a dead letter.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn bury(&self, job: &Job, now: i64, reason: &str) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE notification SET attempts = attempts + 1, died = ?, reason = ? WHERE id = ?")
            .bind(now)
            .bind(reason)
            .bind(job.id)
            .execute(self.database.writer())
            .await?;
        Ok(())
    }
}

/// Puts a notification into the queue; it is there when the transaction is committed.
///
/// # Errors
/// What SQLite says.
pub async fn insert(connection: &mut SqliteConnection, job: &NewJob<'_>) -> Result<(), sqlx::Error> {
    let reason = job.text.as_ref().err();
    sqlx::query(INSERT)
        .bind(job.destination)
        .bind(job.route)
        .bind(job.topic)
        .bind(job.payload)
        .bind(job.text.as_ref().ok())
        .bind(job.urgent)
        .bind(Uuid::new_v4().to_string())
        .bind(job.created)
        .bind(job.expires)
        .bind(job.created)
        .bind(reason)
        .bind(reason.map(|_| job.created))
        .execute(connection)
        .await?;
    Ok(())
}

fn job(row: &SqliteRow) -> Result<Job, sqlx::Error> {
    Ok(Job {
        id: row.try_get("id")?,
        destination: row.try_get("destination")?,
        route: row.try_get("route")?,
        topic: row.try_get("topic")?,
        payload: row.try_get("payload")?,
        text: row.try_get("text")?,
        retry_key: row.try_get("retry_key")?,
        created: row.try_get("created")?,
        attempts: row.try_get("attempts")?,
    })
}

#[cfg(test)]
mod tests;
