//! What an operator sees of the queue, and does with it.

use super::Queue;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

/// In the place of the time when it is due: an operator wants it tried.
pub(super) const REQUESTED: i64 = 0;

/// Which notifications are meant. All conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// These numbers; all if empty.
    pub ids: Vec<i64>,
    /// Dead letters only.
    pub dead: bool,
    /// Of this destination only.
    pub destination: Option<String>,
}

/// A notification as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub id: i64,
    /// The destination's name.
    pub destination: String,
    /// The route's or the alarm's name.
    pub route: String,
    /// The topic.
    pub topic: String,
    /// What was published.
    pub payload: Option<Vec<u8>>,
    /// What is to be sent.
    pub text: Option<String>,
    /// When it came, in milliseconds since 1970; so are the other times.
    pub created: i64,
    /// When it will be of no use.
    pub expires: i64,
    /// When it is tried next; 0 if an operator wants it tried at once.
    pub due: i64,
    /// Attempts so far.
    pub attempts: u32,
    /// Why the last one failed.
    pub reason: Option<String>,
    /// Since when it is a dead letter.
    pub died: Option<i64>,
}

impl Queue {
    /// The notifications that are meant, oldest first, at most `limit`.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn list(&self, selection: &Selection, limit: u32) -> Result<Vec<Listed>, sqlx::Error> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id, destination, route, topic, payload, text, created, expires, due, attempts, reason, died \
             FROM notification",
        );
        narrow(&mut query, selection);
        query.push(" ORDER BY id LIMIT ").push_bind(limit);
        let rows = query.build().fetch_all(self.database.readers()).await?;
        rows.iter().map(listed).collect()
    }

    /// For which destinations notifications wait, and how many.
    ///
    /// # Errors
    /// What SQLite says.
    pub(crate) async fn waiting(&self) -> Result<Vec<(String, i64)>, sqlx::Error> {
        const WAITING: &str = "SELECT destination, count(*) FROM notification WHERE died IS NULL \
             GROUP BY destination ORDER BY destination";
        sqlx::query_as(WAITING).fetch_all(self.database.readers()).await
    }

    /// Lets dead letters, and what waits for its next attempt, be tried at once, also where their destination is left
    /// alone for now, with `time_to_live` milliseconds before them. Returns their numbers.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn requeue(
        &self,
        selection: &Selection,
        now: i64,
        time_to_live: i64,
    ) -> Result<Vec<i64>, sqlx::Error> {
        let mut query = QueryBuilder::<Sqlite>::new("UPDATE notification SET died = NULL, due = ");
        query
            .push_bind(REQUESTED)
            .push(", expires = max(expires, ")
            .push_bind(now + time_to_live)
            .push(")");
        narrow(&mut query, selection);
        query.push(" RETURNING id");
        query.build_query_scalar().fetch_all(self.database.writer()).await
    }

    /// The destinations that notifications wait for or died for.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn destinations(&self) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT DISTINCT destination FROM notification ORDER BY destination")
            .fetch_all(self.database.readers())
            .await
    }

    /// Whether an operator has asked for a notification of this destination since the last time. That is good for one
    /// attempt: if it fails, the destination is left alone as usual.
    ///
    /// # Errors
    /// What SQLite says.
    pub(crate) async fn take_request(&self, destination: &str, now: i64) -> Result<bool, sqlx::Error> {
        const ASKED: &str =
            "SELECT 1 FROM notification WHERE destination = ? AND died IS NULL AND due = ? LIMIT 1";
        const TAKE: &str =
            "UPDATE notification SET due = ? WHERE destination = ? AND died IS NULL AND due = ?";
        let asked = sqlx::query(ASKED)
            .bind(destination)
            .bind(REQUESTED)
            .fetch_optional(self.database.readers())
            .await?;
        if asked.is_none() {
            return Ok(false);
        }
        sqlx::query(TAKE)
            .bind(now)
            .bind(destination)
            .bind(REQUESTED)
            .execute(self.database.writer())
            .await?;
        Ok(true)
    }

    /// Throws notifications away. Returns their numbers.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn discard(&self, selection: &Selection) -> Result<Vec<i64>, sqlx::Error> {
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM notification");
        narrow(&mut query, selection);
        query.push(" RETURNING id");
        query.build_query_scalar().fetch_all(self.database.writer()).await
    }
}

fn narrow(query: &mut QueryBuilder<Sqlite>, selection: &Selection) {
    query.push(" WHERE true");
    if !selection.ids.is_empty() {
        query.push(" AND id IN (");
        let mut ids = query.separated(", ");
        for id in &selection.ids {
            ids.push_bind(*id);
        }
        query.push(")");
    }
    if selection.dead {
        query.push(" AND died IS NOT NULL");
    }
    if let Some(destination) = &selection.destination {
        query.push(" AND destination = ").push_bind(destination.clone());
    }
}

fn listed(row: &SqliteRow) -> Result<Listed, sqlx::Error> {
    Ok(Listed {
        id: row.try_get("id")?,
        destination: row.try_get("destination")?,
        route: row.try_get("route")?,
        topic: row.try_get("topic")?,
        payload: row.try_get("payload")?,
        text: row.try_get("text")?,
        created: row.try_get("created")?,
        expires: row.try_get("expires")?,
        due: row.try_get("due")?,
        attempts: row.try_get("attempts")?,
        reason: row.try_get("reason")?,
        died: row.try_get("died")?,
    })
}
