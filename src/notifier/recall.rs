//! What is remembered of messages, so that none is told twice: redeliveries of the broker, and repeats of a route.

use super::configuration::{Collapse, Route, Sameness};
use super::message::Message;
use crate::clock::whole_millis;
use crate::database::Database;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Whether this message was put into the queue before and only its acknowledgement was lost (MQTT 5, 4.4).
/// Remembers it otherwise.
pub(super) async fn came_before(
    connection: &mut SqliteConnection,
    message: &Message,
) -> Result<bool, sqlx::Error> {
    if message.packet_id == 0 {
        return Ok(false);
    }
    let content = content(&message.topic, &message.payload);
    if message.duplicate {
        let seen = sqlx::query("SELECT 1 FROM notification_seen WHERE packet_id = ? AND content = ?")
            .bind(message.packet_id)
            .bind(content)
            .fetch_optional(&mut *connection)
            .await?;
        if seen.is_some() {
            return Ok(true);
        }
    }
    sqlx::query("INSERT OR REPLACE INTO notification_seen (packet_id, content, time) VALUES (?, ?, ?)")
        .bind(message.packet_id)
        .bind(content)
        .bind(message.time.as_millisecond())
        .execute(connection)
        .await?;
    Ok(false)
}

/// Forgets packet ids that the broker may use for other messages from now on.
pub(super) async fn settle(connection: &mut SqliteConnection, packet_ids: &[u16]) -> Result<(), sqlx::Error> {
    for packet_id in packet_ids {
        sqlx::query("DELETE FROM notification_seen WHERE packet_id = ?")
            .bind(packet_id)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Forgets messages that came before that time. A broker sends again what it holds as soon as it is connected, which
/// may be long after the messages came.
pub(super) async fn forget(connection: &mut SqliteConnection, before: i64) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM notification_seen WHERE time < ?")
        .bind(before)
        .execute(connection)
        .await?;
    Ok(())
}

/// How many repeats the route has left out before this message; `None` if it is itself one to leave out.
pub(super) async fn repeats(
    connection: &mut SqliteConnection,
    route: &Route,
    message: &Message,
) -> Result<Option<u32>, sqlx::Error> {
    let Some(Collapse { window, by }) = route.collapse else {
        return Ok(Some(0));
    };
    let content = match by {
        Sameness::Topic => hash(&message.topic),
        Sameness::Message => content(&message.topic, &message.payload),
    };
    let now = message.time.as_millisecond();
    let before = sqlx::query("SELECT until, count FROM notification_repeat WHERE route = ? AND content = ?")
        .bind(&route.name)
        .bind(content)
        .fetch_optional(&mut *connection)
        .await?;
    let (until, count) = match before {
        Some(row) => (row.try_get::<i64, _>("until")?, row.try_get::<u32, _>("count")?),
        None => (i64::MIN, 0),
    };
    let is_repeat = now < until;
    let (until, left_out) = match is_repeat {
        true => (until, count.saturating_add(1)),
        false => (now.saturating_add(whole_millis(window)), 0),
    };
    sqlx::query(
        "INSERT OR REPLACE INTO notification_repeat (route, content, until, count) VALUES (?, ?, ?, ?)",
    )
    .bind(&route.name)
    .bind(content)
    .bind(until)
    .bind(left_out)
    .execute(connection)
    .await?;
    Ok((!is_repeat).then_some(count))
}

/// Whether a message with this content was put into the queue at `since` or later. It is known until the broker has
/// seen the acknowledgement, which can be seconds.
///
/// # Errors
/// What SQLite says.
pub async fn has_arrived(
    database: &Database,
    topic: &str,
    payload: &[u8],
    since: i64,
) -> Result<bool, sqlx::Error> {
    let seen = sqlx::query("SELECT 1 FROM notification_seen WHERE content = ? AND time >= ?")
        .bind(content(topic, payload))
        .bind(since)
        .fetch_optional(database.readers())
        .await?;
    Ok(seen.is_some())
}

fn content(topic: &str, payload: &[u8]) -> i64 {
    hash(&(topic, payload))
}

/// The same in every run of this program, which is enough for an hour or a day.
fn hash(content: &impl Hash) -> i64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish().cast_signed()
}
