//! `notifications.json`: checked whole, so that what runs is possible.

mod destination;
mod document;
mod field;
mod file;
mod quiet;
mod route;

pub use document::parse;
pub use file::NotificationsFile;

use super::pace::Pace;
use super::quiet_hours::QuietHours;
use super::template::{Markup, Template};
use super::topic_filter::TopicFilter;
use crate::secret::Secret;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything that `notifications.json` says.
#[derive(Debug)]
pub struct Notifications {
    /// The clock of times in messages and, unless a destination says otherwise, of quiet hours.
    pub zone: TimeZone,
    /// Where notifications go, by name.
    pub destinations: BTreeMap<String, Arc<Destination>>,
    /// Which messages go where.
    pub routes: Vec<Route>,
    /// Topics whose silence is told.
    pub silences: Vec<SilenceAlarm>,
}

/// A place where notifications go.
#[derive(Debug)]
pub struct Destination {
    /// Its name in the file.
    pub name: String,
    /// What it is.
    pub service: Service,
    /// How fast it is spoken to; `None` for what is on this machine.
    pub pace: Option<Pace>,
    /// When it is left in peace.
    pub quiet: QuietHours,
    /// How old a notification may get before it is of no use.
    pub time_to_live: Duration,
    /// How many may wait; beyond that the oldest goes.
    pub most_waiting: u32,
}

/// What a destination is.
#[derive(Debug)]
pub enum Service {
    /// A Slack Incoming Webhook.
    Slack {
        /// Its URL, which is a secret: who knows it can post.
        webhook_url: Secret,
    },
    /// Push messages of LINE's Messaging API.
    Line {
        /// The channel access token.
        token: Secret,
        /// User, group or room id; a secret, as it names a person.
        to: Secret,
        /// Where the API is.
        api: String,
    },
    /// Mail, handed to a submission server.
    Mail(Mail),
    /// A POST to any URL.
    Webhook(Webhook),
    /// A file of JSON lines.
    Log {
        /// The file; relative paths begin in the data folder.
        file: PathBuf,
        /// Bytes after which a new one is begun.
        most_bytes: u64,
        /// How many old ones are kept.
        keep: u32,
    },
    /// Rows in the database of the data folder.
    Database {
        /// How long rows are kept.
        keep: Duration,
    },
}

/// How mail is sent.
#[derive(Debug)]
pub struct Mail {
    /// The server's name, which its certificate has to have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is protected.
    pub security: MailSecurity,
    /// User name and password, where the server wants them.
    pub login: Option<(Secret, Secret)>,
    /// CAs to trust besides those of the machine, as PEM.
    pub ca: Option<PathBuf>,
    /// The sender.
    pub from: lettre::message::Mailbox,
    /// Who gets it.
    pub to: Vec<lettre::message::Mailbox>,
    /// The subject, made of the notification.
    pub subject: Template,
}

/// How the way to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the first byte (RFC 8314), port 465.
    Tls,
    /// TLS after STARTTLS, which must succeed, port 587.
    StartTls,
    /// Nothing; without login only.
    None,
}

/// A POST to any URL.
#[derive(Debug)]
pub struct Webhook {
    /// The URL, which may hold a token.
    pub url: Secret,
    /// Headers, which may hold one too.
    pub headers: Vec<(String, Secret)>,
    /// The body; JSON with the notification's fields if not given.
    pub body: Option<Template>,
}

/// Which messages go where, and as what.
#[derive(Debug)]
pub struct Route {
    /// Its name, for people and for the queue.
    pub name: String,
    /// The topics.
    pub filters: Vec<TopicFilter>,
    /// Names of destinations.
    pub to: Vec<String>,
    /// What the message becomes.
    pub template: Template,
    /// Whether it passes in quiet hours, and before others.
    pub urgent: bool,
    /// Whether messages that the broker has kept are wanted when the subscription is made.
    pub retained: bool,
    /// Whether repeats are left out.
    pub collapse: Option<Collapse>,
}

/// Which messages are repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collapse {
    /// How long after the first.
    pub window: Duration,
    /// What makes two messages the same.
    pub by: Sameness,
}

/// What makes two messages the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// Topic and payload.
    Message,
    /// The topic.
    Topic,
}

/// What falls silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// All topics of the filter as one: any of them breaks the silence.
    Filter,
    /// Each topic of the filter by itself.
    Topic,
}

/// Topics whose silence is told.
#[derive(Debug)]
pub struct SilenceAlarm {
    /// Its name.
    pub name: String,
    /// The topics that ought to speak.
    pub filter: TopicFilter,
    /// Whether each of them ought to.
    pub by: Watched,
    /// How long they may be silent.
    pub after: Duration,
    /// Names of destinations.
    pub to: Vec<String>,
    /// What is told.
    pub template: Template,
    /// Whether it passes in quiet hours.
    pub urgent: bool,
}

impl Notifications {
    /// The filters of all routes and alarms, each once, and whether kept messages are wanted.
    #[must_use]
    pub fn subscriptions(&self) -> BTreeMap<TopicFilter, bool> {
        let mut all = BTreeMap::new();
        for route in &self.routes {
            for filter in &route.filters {
                *all.entry(filter.clone()).or_default() |= route.retained;
            }
        }
        for alarm in &self.silences {
            all.entry(alarm.filter.clone()).or_default();
        }
        all
    }
}

impl Service {
    /// What the text for it may hold.
    #[must_use]
    pub fn markup(&self) -> Markup {
        match self {
            Self::Slack { .. } => Markup::Slack,
            _ => Markup::Plain,
        }
    }

    /// Its name in the file.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Line { .. } => "line",
            Self::Mail(_) => "mail",
            Self::Webhook(_) => "webhook",
            Self::Log { .. } => "log",
            Self::Database { .. } => "database",
        }
    }

    /// How many notifications are handed over at once: what writes to the disk does it for many at a time.
    #[must_use]
    pub fn batch(&self) -> u32 {
        match self {
            Self::Log { .. } | Self::Database { .. } => 200,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests;
