//! What is too much in the queue, and who goes first.

use super::octets;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

/// How many notifications may stay, and how many bytes of them. One may stay in any case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) number: u32,
    pub(super) bytes: i64,
}

/// The SQL for notifications that have a bound of their own.
struct Statements {
    /// Asked first, as it is had for little.
    is_over: &'static str,
    delete: &'static str,
}

/// For those `which` are meant, deleted from the end of an `order`. There a notification has a `place`: how many of its
/// topic are newer. By it a topic that is flooded loses its own.
macro_rules! statements {
    ($which:literal, $order:literal) => {
        Statements {
            is_over: concat!(
                "SELECT count(*) > ?1 OR total(", octets!(), ") > ?2
                FROM notification WHERE ", $which
            ),
            // Materialized, as SQLite's sorts would hold all payloads otherwise.
            delete: concat!(
                "WITH sized AS MATERIALIZED (
                    SELECT id, destination, topic, urgent, ", octets!(), " AS bytes
                    FROM notification WHERE ", $which, "),
                placed AS (
                    SELECT id, urgent, bytes,
                        row_number() OVER (PARTITION BY destination, topic, urgent ORDER BY id DESC) AS place
                    FROM sized),
                counted AS (
                    SELECT id, row_number() OVER kept AS number, sum(bytes) OVER kept AS bytes FROM placed
                    WINDOW kept AS (ORDER BY ", $order, " ROWS UNBOUNDED PRECEDING))
                DELETE FROM notification WHERE id IN (
                    SELECT id FROM counted WHERE number > ?1 OR (bytes > ?2 AND number > 1))"
            ),
        }
    };
}

const WAITING: Statements = statements!("destination = ?3 AND died IS NULL", "urgent DESC, place, id DESC");
const DEAD: Statements = statements!("died IS NOT NULL", "place, id DESC");

/// Deletes what waits for a destination and is more than that: what is not urgent goes first, and there the oldest of the
/// topic that has the most. Returns how many.
pub(super) async fn delete_waiting(
    connection: &mut SqliteConnection,
    destination: &str,
    most: Most,
) -> Result<u64, sqlx::Error> {
    delete(connection, &WAITING, most, Some(destination)).await
}

/// Deletes dead letters that are more than that, the oldest of the topic that has the most first.
pub(super) async fn delete_dead(connection: &mut SqliteConnection, most: Most) -> Result<u64, sqlx::Error> {
    delete(connection, &DEAD, most, None).await
}

async fn delete(
    connection: &mut SqliteConnection,
    statements: &Statements,
    most: Most,
    destination: Option<&str>,
) -> Result<u64, sqlx::Error> {
    let query = |sql| {
        let query = sqlx::query(sql).bind(most.number).bind(most.bytes);
        match destination {
            Some(name) => query.bind(name),
            None => query,
        }
    };
    let row = query(statements.is_over).fetch_one(&mut *connection).await?;
    if !row.try_get::<bool, _>(0)? {
        return Ok(0);
    }
    let deleted = query(statements.delete).execute(connection).await?;
    Ok(deleted.rows_affected())
}
