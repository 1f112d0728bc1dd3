//! Messages that callers were promised and that the broker would not have: set aside, for an operator to see, to have
//! sent again or to throw away.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::journal::Number;
use crate::database::Database;

/// A message that the broker would not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedMessage {
    /// Its number, by which an operator names it.
    pub number: i64,
    /// When it came, in milliseconds since 1970.
    pub time: i64,
    /// Where to.
    pub topic: String,
    /// What.
    pub text: String,
    /// Why the broker would not have it.
    pub reason: String,
}

/// The parked messages of a database. A bridge may run meanwhile: it works with none of them until it takes back those
/// that are to be sent again.
#[derive(Debug, Clone)]
pub struct Parked {
    database: Database,
}

impl Parked {
    /// Those in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// How many there are.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn count(&self) -> Result<u64, sqlx::Error> {
        sqlx::query_scalar("SELECT count(*) FROM bridge_queue WHERE refused IS NOT NULL")
            .fetch_one(self.database.readers())
            .await
    }

    /// Those with these numbers, all if there are none; oldest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn list(&self, numbers: &[Number]) -> Result<Vec<ParkedMessage>, sqlx::Error> {
        let mut query = select(
            "SELECT number, time, topic, message, refused FROM bridge_queue",
            numbers,
        );
        query.push(" ORDER BY number");
        let rows = query.build().fetch_all(self.database.readers()).await?;
        rows.iter().map(parked).collect()
    }

    /// Has the bridge send them again: the one that runs within seconds, else the next one that starts. They stay
    /// parked until it takes them back. Returns their numbers.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn requeue(&self, numbers: &[Number]) -> Result<Vec<Number>, sqlx::Error> {
        self.change("UPDATE bridge_queue SET again = 1", numbers).await
    }

    /// Throws them away. Returns their numbers.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn discard(&self, numbers: &[Number]) -> Result<Vec<Number>, sqlx::Error> {
        self.change("DELETE FROM bridge_queue", numbers).await
    }

    async fn change(&self, what: &'static str, numbers: &[Number]) -> Result<Vec<Number>, sqlx::Error> {
        let mut query = select(what, numbers);
        query.push(" RETURNING number");
        query.build_query_scalar().fetch_all(self.database.writer()).await
    }
}

fn select(what: &'static str, numbers: &[Number]) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(what);
    query.push(" WHERE refused IS NOT NULL");
    if !numbers.is_empty() {
        query.push(" AND number IN (");
        let mut list = query.separated(", ");
        for number in numbers {
            list.push_bind(*number);
        }
        query.push(")");
    }
    query
}

fn parked(row: &SqliteRow) -> Result<ParkedMessage, sqlx::Error> {
    Ok(ParkedMessage {
        number: row.try_get("number")?,
        time: row.try_get("time")?,
        topic: row.try_get("topic")?,
        text: row.try_get("message")?,
        reason: row.try_get("refused")?,
    })
}
