//! Silence is an alarm: a topic that has spoken once and then keeps silent for too long is told of, once, until it
//! speaks again.

use super::configuration::{Notifications, SilenceAlarm};
use super::expiry::expires;
use super::queue::{self, NewJob, Queue};
use super::template::Values;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

/// Notes that the topics of an alarm have spoken: it is armed.
pub(super) async fn heard(
    connection: &mut SqliteConnection,
    alarm: &str,
    now: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO notification_silence (alarm, heard, told) VALUES (?1, ?2, 0)
         ON CONFLICT (alarm) DO UPDATE SET heard = ?2, told = 0",
    )
    .bind(alarm)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Tells of topics that are silent too long at `now`; returns the alarms. `listening_since` is when the notifier
/// began to listen: what it could not hear was no silence. `broker` says in a word how the broker is.
pub(super) async fn check(
    queue: &Queue,
    notifications: &Notifications,
    listening_since: Timestamp,
    now: Timestamp,
    broker: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let mut told = Vec::new();
    for alarm in &notifications.silences {
        let mut transaction = queue.begin().await?;
        let Some(since) = silent_since(&mut transaction, alarm, listening_since, now).await? else {
            continue;
        };
        enqueue(&mut transaction, notifications, alarm, since, now, broker).await?;
        sqlx::query("UPDATE notification_silence SET told = 1 WHERE alarm = ?")
            .bind(&alarm.name)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        tracing::warn!(event = "silence", alarm = alarm.name, topic = %alarm.filter, "silent since {since}");
        told.push(alarm.name.clone());
    }
    Ok(told)
}

/// Since when an alarm that is due has heard nothing.
async fn silent_since(
    connection: &mut SqliteConnection,
    alarm: &SilenceAlarm,
    listening_since: Timestamp,
    now: Timestamp,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let row = sqlx::query("SELECT heard FROM notification_silence WHERE alarm = ? AND told = 0")
        .bind(&alarm.name)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let heard = Timestamp::from_millisecond(row.try_get("heard")?).unwrap_or(listening_since);
    let silent = now.as_millisecond() - heard.max(listening_since).as_millisecond();
    Ok((i128::from(silent) >= alarm.after.as_millis().cast_signed()).then_some(heard))
}

async fn enqueue(
    connection: &mut SqliteConnection,
    notifications: &Notifications,
    alarm: &SilenceAlarm,
    since: Timestamp,
    now: Timestamp,
    broker: &str,
) -> Result<(), sqlx::Error> {
    let local = since.to_zoned_datetime(notifications.zone.clone());
    let values = Values::at(now, &notifications.zone)
        .with("topic", alarm.filter.as_str())
        .with("alarm", alarm.name.as_str())
        .with("minutes", alarm.after.as_secs() / 60)
        .with("since", local.strftime("%Y-%m-%d %H:%M:%S").to_string())
        .with("broker", broker);
    for name in &alarm.to {
        let Some(destination) = notifications.destinations.get(name) else {
            continue;
        };
        let text = alarm.template.render(&values, destination.service.markup());
        let job = NewJob {
            destination: name,
            route: &alarm.name,
            topic: alarm.filter.as_str(),
            payload: None,
            text: text.map_err(|error| error.to_string()),
            urgent: alarm.urgent,
            created: now.as_millisecond(),
            expires: expires(destination, alarm.urgent, now),
        };
        queue::insert(connection, &job).await?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;
