//! Silence is an alarm: a topic that has spoken once and then keeps silent for too long is told of, once, until it
//! speaks again.

use super::configuration::{Destination, Notifications, SilenceAlarm};
use super::counters::Counters;
use super::expiry::expires;
use super::queue::{self, Job, NewJob, Queue};
use super::template::{TemplateError, Values};
use crate::clock::whole_millis;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
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
    counters: &Counters,
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
        let silence = Silence {
            since: since.as_millisecond(),
            broker: broker.to_owned(),
        };
        let dead = enqueue(&mut transaction, notifications, alarm, &silence, now).await?;
        sqlx::query("UPDATE notification_silence SET told = 1 WHERE alarm = ?")
            .bind(&alarm.name)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        for destination in dead {
            counters.of(destination, |numbers| numbers.dead += 1);
        }
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

/// What a silence was, kept with a notification whose template could not tell it.
#[derive(Debug, Serialize, Deserialize)]
struct Silence {
    /// When the topic last spoke, in milliseconds since 1970.
    since: i64,
    /// How the broker was, in a word.
    broker: String,
}

impl Silence {
    /// What the alarm's template is given that tells of it at `now`.
    fn values(&self, notifications: &Notifications, alarm: &SilenceAlarm, now: Timestamp) -> Values {
        let since = Timestamp::from_millisecond(self.since).unwrap_or_default();
        let local = since.to_zoned_datetime(notifications.zone.clone());
        Values::at(now, &notifications.zone)
            .with("topic", alarm.filter.as_str())
            .with("alarm", alarm.name.as_str())
            .with("minutes", alarm.after.as_secs() / 60)
            .with("since", local.strftime("%Y-%m-%d %H:%M:%S").to_string())
            .with("broker", self.broker.as_str())
    }
}

/// The text of an alarm whose template could not make one before.
pub(super) fn again(
    notifications: &Notifications,
    alarm: &SilenceAlarm,
    job: &Job,
    destination: &Destination,
) -> Result<String, TemplateError> {
    let kept = job
        .payload
        .as_deref()
        .and_then(|kept| serde_json::from_slice(kept).ok());
    // Earlier programs kept nothing.
    let silence = kept.unwrap_or_else(|| Silence {
        since: job.created.saturating_sub(whole_millis(alarm.after)),
        broker: "unknown".to_owned(),
    });
    let told = Timestamp::from_millisecond(job.created).unwrap_or_default();
    let values = silence.values(notifications, alarm, told);
    alarm.template.render(&values, destination.service.markup())
}

/// One notification for each destination of the alarm; returns those for which it is a dead letter at once.
async fn enqueue<'a>(
    connection: &mut SqliteConnection,
    notifications: &Notifications,
    alarm: &'a SilenceAlarm,
    silence: &Silence,
    now: Timestamp,
) -> Result<Vec<&'a str>, sqlx::Error> {
    let values = silence.values(notifications, alarm, now);
    let mut dead = Vec::new();
    for name in &alarm.to {
        let Some(destination) = notifications.destinations.get(name) else {
            continue;
        };
        let text = alarm.template.render(&values, destination.service.markup());
        let kept = match &text {
            Ok(_) => None,
            Err(_) => serde_json::to_vec(silence).ok(),
        };
        dead.extend(text.is_err().then_some(name.as_str()));
        let job = NewJob {
            destination: name,
            route: &alarm.name,
            topic: alarm.filter.as_str(),
            payload: kept.as_deref(),
            text: text.map_err(|error| error.to_string()),
            urgent: alarm.urgent,
            created: now.as_millisecond(),
            expires: expires(destination, alarm.urgent, now),
        };
        queue::insert(connection, &job).await?;
    }
    Ok(dead)
}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;
