//! Handing notifications over to services.

mod database;
mod http;
mod line;
mod log;
mod mail;
mod slack;
mod smtp;
#[cfg(test)]
pub(in crate::notifier) mod web_service;
mod webhook;

pub use http::NoHttpsClient;

use super::configuration::{Destination, Service};
use super::http_secret::UnusableSecret;
use super::queue::Job;
use super::template::Values;
use crate::database::Database;
use crate::secret::MissingSecret;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// How long a service may take for one answer.
const LIMIT: Duration = Duration::from_secs(20);
/// How long an attempt may take, of however many answers.
const LIMIT_OF_ALL: Duration = Duration::from_secs(40);

/// A notification that is ready to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// What it is.
    pub job: Job,
    /// What is to be sent.
    pub text: String,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The service took it; what it answered.
    Delivered(String),
    /// There is no way to it: a secret is missing, or is none. Nothing was tried.
    NotConfigured(String),
    /// It may go well later, not before `after` if the service said so.
    Later {
        /// What went wrong.
        reason: String,
        /// What the service asked for.
        after: Option<Duration>,
    },
    /// The service will never take it.
    Never(String),
}

impl Outcome {
    /// A failure that may heal.
    pub(super) fn later(reason: impl Into<String>) -> Self {
        Self::Later {
            reason: reason.into(),
            after: None,
        }
    }
}

/// The `words` for an error and its causes: the first alone says little more than that there was one.
fn with_causes(mut words: String, error: &dyn Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_words = inner.to_string();
        if !words.contains(&inner_words) {
            words = format!("{words}: {inner_words}");
        }
        cause = inner.source();
    }
    words
}

impl From<MissingSecret> for Outcome {
    fn from(missing: MissingSecret) -> Self {
        Self::NotConfigured(missing.to_string())
    }
}

impl From<UnusableSecret> for Outcome {
    fn from(unusable: UnusableSecret) -> Self {
        Self::NotConfigured(unusable.to_string())
    }
}

/// What is needed to hand notifications over.
#[derive(Debug, Clone)]
pub struct Sender {
    http: reqwest::Client,
    database: Database,
    data: PathBuf,
    logs: log::LogFiles,
}

impl Sender {
    /// Log files and rows go to the folder `data` and its database.
    ///
    /// # Errors
    /// There is no client for HTTPS.
    pub fn new(database: Database, data: PathBuf) -> Result<Self, NoHttpsClient> {
        Ok(Self {
            http: http::client()?,
            database,
            data,
            logs: log::LogFiles::default(),
        })
    }

    /// Hands over notifications, all or none: more than one only to services that take batches. Times in mails,
    /// bodies and lines are those of `zone`.
    pub async fn send(&self, destination: &Destination, zone: &TimeZone, notifications: &[Ready]) -> Outcome {
        let attempt = async {
            match (&destination.service, notifications) {
                (_, []) => Outcome::Delivered(String::new()),
                (
                    Service::Log {
                        file,
                        most_bytes,
                        keep,
                    },
                    all,
                ) => {
                    self.logs
                        .send(self.data.join(file), *most_bytes, *keep, lines(all, zone))
                        .await
                }
                (Service::Database { .. }, all) => database::send(&self.database, all).await,
                (Service::Slack { webhook_url }, [one, ..]) => {
                    slack::send(&self.http, webhook_url, one).await
                }
                (Service::Line { token, to, api }, [one, ..]) => {
                    line::send(&self.http, api, token, to, one).await
                }
                (Service::Mail(mail), [one, ..]) => mail::send(mail, values(one, zone), one).await,
                (Service::Webhook(webhook), [one, ..]) => {
                    webhook::send(&self.http, webhook, values(one, zone), one).await
                }
            }
        };
        // A mail takes many answers.
        match tokio::time::timeout(LIMIT_OF_ALL, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::later(format!("no end within {} s", LIMIT_OF_ALL.as_secs())),
        }
    }
}

/// What a subject or a body may speak of.
fn values(notification: &Ready, zone: &TimeZone) -> Values {
    let Ready { job, text } = notification;
    let moment = Timestamp::from_millisecond(job.created).unwrap_or_default();
    Values::at(moment, zone)
        .with("text", text.as_str())
        .with("line", text.lines().next().unwrap_or_default())
        .with("topic", job.topic.as_str())
        .with("route", job.route.as_str())
        .with("id", job.id)
}

fn lines(notifications: &[Ready], zone: &TimeZone) -> Vec<log::Line> {
    let line = |Ready { job, text }: &Ready| {
        let moment = Timestamp::from_millisecond(job.created).unwrap_or_default();
        let local = moment.to_zoned_datetime(zone.clone());
        let line = serde_json::json!({
            "time": local.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
            "id": job.id,
            "topic": job.topic,
            "route": job.route,
            "text": text,
            (log::KEY): job.retry_key,
        });
        (job.retry_key.clone(), line.to_string())
    };
    notifications.iter().map(line).collect()
}

/// `text` with at most `most` UTF-16 units, which is what services count.
fn shorten(text: &str, most: usize) -> String {
    if text.encode_utf16().count() <= most {
        return text.to_owned();
    }
    let mut units = 0;
    let fits = |c: &char| {
        units += c.len_utf16();
        units < most
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
