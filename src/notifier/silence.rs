//! Silence is an alarm: a topic that has spoken once and then keeps silent for too long is told of, once, until it
//! speaks again.

use super::configuration::{Destination, Notifications, SilenceAlarm, Watched};
use super::counters::Counters;
use super::expiry::expires;
use super::queue::{self, Job, NewJob, Queue};
use super::template::{TemplateError, Values};
use crate::clock::whole_millis;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

/// Topics that one alarm watches at most, each by itself: names of topics may be made up without end.
const MOST_TOPICS: i64 = 1_000;
/// How long a topic that fell silent and was told of is remembered, in milliseconds: 30 days.
const REMEMBERED: i64 = 30 * 24 * 60 * 60 * 1000;

/// What `alarm` watches when `topic` speaks: the topic, or nothing in particular.
pub(super) fn watched<'t>(alarm: &SilenceAlarm, topic: &'t str) -> &'t str {
    match alarm.by {
        Watched::Filter => "",
        Watched::Topic => topic,
    }
}

/// Notes that what an alarm watches has spoken: the alarm is armed.
pub(super) async fn heard(
    connection: &mut SqliteConnection,
    alarm: &str,
    topic: &str,
    now: i64,
) -> Result<(), sqlx::Error> {
    let known =
        sqlx::query("UPDATE notification_silence SET heard = ?3, told = 0 WHERE alarm = ?1 AND topic = ?2")
            .bind(alarm)
            .bind(topic)
            .bind(now)
            .execute(&mut *connection)
            .await?;
    if known.rows_affected() > 0 {
        return Ok(());
    }
    let others: i64 = sqlx::query_scalar("SELECT count(*) FROM notification_silence WHERE alarm = ?")
        .bind(alarm)
        .fetch_one(&mut *connection)
        .await?;
    if others >= MOST_TOPICS {
        return Ok(());
    }
    if others + 1 == MOST_TOPICS {
        tracing::warn!(
            event = "silence_full",
            alarm,
            topics = MOST_TOPICS,
            "a silence watches as many topics as it can; new ones are not watched: name fewer with its filter"
        );
    }
    sqlx::query("INSERT INTO notification_silence (alarm, topic, heard, told) VALUES (?, ?, ?, 0)")
        .bind(alarm)
        .bind(topic)
        .bind(now)
        .execute(connection)
        .await
        .map(drop)
}

/// Tells of topics that are silent too long at `now`; returns the alarms, each as often as it told. `listening_since` is
/// when the notifier began to listen: what it could not hear was no silence. `broker` says in a word how the broker is.
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
        forget(&mut transaction, alarm, now).await?;
        let silent = silent(&mut transaction, alarm, listening_since, now).await?;
        let mut dead = Vec::new();
        for one in &silent {
            let silence = Silence {
                since: one.since.as_millisecond(),
                broker: broker.to_owned(),
            };
            let topic = one.topic(alarm);
            dead.extend(enqueue(&mut transaction, notifications, alarm, topic, &silence, now).await?);
            mark_told(&mut transaction, alarm, one).await?;
        }
        transaction.commit().await?;
        for destination in dead {
            counters.of(destination, |numbers| numbers.dead += 1);
        }
        for one in silent {
            let (name, topic, since) = (&alarm.name, one.topic(alarm), one.since);
            tracing::warn!(event = "silence", alarm = name, topic, "silent since {since}");
            told.push(name.clone());
        }
    }
    Ok(told)
}

/// A silence that is due.
struct Silent {
    /// See [`watched`].
    watched: String,
    since: Timestamp,
}

impl Silent {
    /// What is silent, in the words of MQTT.
    fn topic<'a>(&'a self, alarm: &'a SilenceAlarm) -> &'a str {
        match alarm.by {
            Watched::Filter => alarm.filter.as_str(),
            Watched::Topic => &self.watched,
        }
    }
}

/// What an alarm has to tell of now.
async fn silent(
    connection: &mut SqliteConnection,
    alarm: &SilenceAlarm,
    listening_since: Timestamp,
    now: Timestamp,
) -> Result<Vec<Silent>, sqlx::Error> {
    // What was watched another way, by an earlier configuration, is none of its business.
    let sql = "SELECT topic, heard FROM notification_silence
               WHERE alarm = ? AND told = 0 AND (topic = '') = ? ORDER BY topic";
    let rows = sqlx::query(sql)
        .bind(&alarm.name)
        .bind(alarm.by == Watched::Filter)
        .fetch_all(connection)
        .await?;
    let mut silent = Vec::new();
    for row in rows {
        let since = Timestamp::from_millisecond(row.try_get("heard")?).unwrap_or(listening_since);
        let length = now.as_millisecond() - since.max(listening_since).as_millisecond();
        if i128::from(length) >= alarm.after.as_millis().cast_signed() {
            let watched = row.try_get("topic")?;
            silent.push(Silent { watched, since });
        }
    }
    Ok(silent)
}

async fn mark_told(
    connection: &mut SqliteConnection,
    alarm: &SilenceAlarm,
    silent: &Silent,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE notification_silence SET told = 1 WHERE alarm = ? AND topic = ?")
        .bind(&alarm.name)
        .bind(&silent.watched)
        .execute(connection)
        .await
        .map(drop)
}

/// Makes room for topics that speak: forgets those that have not for long.
async fn forget(
    connection: &mut SqliteConnection,
    alarm: &SilenceAlarm,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM notification_silence WHERE alarm = ? AND topic <> '' AND told = 1 AND heard < ?")
        .bind(&alarm.name)
        .bind(now.as_millisecond() - REMEMBERED)
        .execute(connection)
        .await
        .map(drop)
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
    fn values(
        &self,
        notifications: &Notifications,
        alarm: &SilenceAlarm,
        topic: &str,
        now: Timestamp,
    ) -> Values {
        let since = Timestamp::from_millisecond(self.since).unwrap_or_default();
        let local = since.to_zoned_datetime(notifications.zone.clone());
        Values::at(now, &notifications.zone)
            .with("topic", topic)
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
    // Without it, when it was told says nearly as much.
    let silence = kept.unwrap_or_else(|| Silence {
        since: job.created.saturating_sub(whole_millis(alarm.after)),
        broker: "unknown".to_owned(),
    });
    let told = Timestamp::from_millisecond(job.created).unwrap_or_default();
    let values = silence.values(notifications, alarm, &job.topic, told);
    alarm.template.render(&values, destination.service.markup())
}

/// One notification for each destination of the alarm; returns those for which it is a dead letter at once.
async fn enqueue<'a>(
    connection: &mut SqliteConnection,
    notifications: &Notifications,
    alarm: &'a SilenceAlarm,
    topic: &str,
    silence: &Silence,
    now: Timestamp,
) -> Result<Vec<&'a str>, sqlx::Error> {
    let values = silence.values(notifications, alarm, topic, now);
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
            topic,
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
