//! `simrelay notifications`: what waits, what is dead, and whether a destination can be reached.

use super::numbered::{NotThere, Numbered};
use super::shown::{age, fields, local};
use crate::database::{Database, DatabaseError};
use crate::json::JsonFileError;
use crate::notifier::NoHttpsClient;
use crate::notifier::configuration::{Notifications, NotificationsFile};
use crate::notifier::queue::{Job, Listed, Queue, Selection};
use crate::notifier::send::{Outcome, Ready, Sender};
use crate::printable::Printable;
use crate::settings::Settings;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// How long what is sent again may take: a day, in milliseconds.
const AGAIN_FOR: i64 = 24 * 60 * 60 * 1000;
/// How much of a text a line of the list shows, in characters.
const SHOWN: usize = 40;

/// What can be done with notifications.
#[derive(Debug, Clone, Subcommand)]
pub enum NotificationsCommand {
    /// List what waits and what is a dead letter, oldest first
    List {
        /// Which
        #[command(flatten)]
        which: Which,
        /// At most so many
        #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
        limit: u32,
    },
    /// Show all of one notification
    Show {
        /// Its number
        id: i64,
    },
    /// Send again: the dead letters that are named, or all with --dead
    Requeue {
        /// Their numbers
        ids: Vec<i64>,
        /// Which
        #[command(flatten)]
        which: Which,
    },
    /// Throw away: those that are named, or all with --dead or --destination
    Drop {
        /// Their numbers
        ids: Vec<i64>,
        /// Which
        #[command(flatten)]
        which: Which,
    },
    /// Send a test to a destination at once, and say what the service answered; exit code 0 if it took it
    Test {
        /// The destination's name in the file
        destination: String,
    },
    /// Check the file of notifications; exit code 0 if it can be used, 1 if not
    Check,
}

/// Which notifications are meant.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// Dead letters only
    #[arg(long)]
    dead: bool,
    /// Of this destination only
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
}

impl Which {
    fn selection(&self, ids: &[i64]) -> Selection {
        Selection {
            ids: ids.to_vec(),
            dead: self.dead,
            destination: self.destination.clone(),
        }
    }

    /// That there are none such.
    fn nothing(&self) -> String {
        match (&self.destination, self.dead) {
            (None, false) => "nothing waits, and there are no dead letters".to_owned(),
            (None, true) => "there are no dead letters".to_owned(),
            (Some(name), false) => format!("nothing waits for {name}, and it has no dead letters"),
            (Some(name), true) => format!("{name} has no dead letters"),
        }
    }
}

/// Why nothing was done with notifications.
#[derive(Debug, thiserror::Error)]
pub enum NotificationsError {
    /// The file of notifications cannot be used.
    #[error(transparent)]
    File(#[from] JsonFileError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// It cannot be read or written.
    #[error("the notifications in the database cannot be used: {0}")]
    Sqlite(#[from] sqlx::Error),
    /// No service can be spoken to.
    #[error(transparent)]
    Https(#[from] NoHttpsClient),
    /// There is no such notification.
    #[error(transparent)]
    Missing(#[from] NotThere),
    /// Nothing was named, and all is too much.
    #[error("name notifications by their numbers, or give --dead or --destination NAME")]
    Nothing,
    /// There is no such destination.
    #[error("{file} has no destination {name:?}; there are {known}")]
    NoDestination {
        /// The file.
        file: String,
        /// What was asked for.
        name: String,
        /// What is there.
        known: String,
    },
    /// Neither the file nor the queue has such a destination.
    #[error(
        "{name:?} is no destination of {file}, and nothing waits for one of this name; there are {known}"
    )]
    UnknownDestination {
        /// The file.
        file: String,
        /// What was asked for.
        name: String,
        /// What is in the file, and what something waits for.
        known: String,
    },
    /// The test was not taken.
    #[error("{destination} did not take the test: {reason}")]
    Refused {
        /// The destination.
        destination: String,
        /// What it answered.
        reason: String,
    },
}

/// Does what the command says, and returns what to print.
///
/// # Errors
/// [`NotificationsError`] names what is missing or wrong.
pub async fn notifications(
    command: &NotificationsCommand,
    settings: &Settings,
) -> Result<String, NotificationsError> {
    let now = Timestamp::now().as_millisecond();
    match command {
        NotificationsCommand::Check => check(settings),
        NotificationsCommand::Test { destination } => test(settings, destination).await,
        NotificationsCommand::List { which, limit } => {
            let queue = queue_for(settings, which).await?;
            let mut listed = queue.list(&which.selection(&[]), *limit).await?;
            if listed.is_empty() {
                return Ok(which.nothing());
            }
            tell_orphans(&mut listed, settings);
            Ok(list(&listed, now, *limit))
        }
        NotificationsCommand::Show { id } => {
            let selection = Selection {
                ids: vec![*id],
                ..Selection::default()
            };
            let mut found = queue(settings).await?.list(&selection, 1).await?;
            tell_orphans(&mut found, settings);
            let missing = || Numbered::Notification.missing(*id).into();
            found.first().map(show).ok_or_else(missing)
        }
        NotificationsCommand::Requeue { ids, which } => {
            let mut selection = which.selection(ids);
            if ids.is_empty() && !which.dead && which.destination.is_none() {
                return Err(NotificationsError::Nothing);
            }
            selection.dead |= ids.is_empty();
            let queue = queue_for(settings, which).await?;
            let done = queue.requeue(&selection, now, AGAIN_FOR).await?;
            Ok(Numbered::Notification.became(ids, &done, "will be sent again")?)
        }
        NotificationsCommand::Drop { ids, which } => {
            if ids.is_empty() && !which.dead && which.destination.is_none() {
                return Err(NotificationsError::Nothing);
            }
            let queue = queue_for(settings, which).await?;
            let done = queue.discard(&which.selection(ids)).await?;
            Ok(Numbered::Notification.became(ids, &done, "thrown away")?)
        }
    }
}

/// Gives those their reason that wait for a destination which is not in the file any more; of a file that cannot be
/// read nobody knows what is in it.
fn tell_orphans(listed: &mut [Listed], settings: &Settings) {
    let file = settings.notifier.notifications();
    let path = file.path();
    let Ok((read, _)) = NotificationsFile::check(path) else {
        return;
    };
    for one in listed {
        if one.died.is_none() && !read.destinations.contains_key(&one.destination) {
            one.reason = Some(format!(
                "{} has no destination {} any more",
                path.display(),
                one.destination
            ));
        }
    }
}

async fn queue(settings: &Settings) -> Result<Queue, DatabaseError> {
    Database::open_existing(&settings.data).await.map(Queue::new)
}

/// The queue, where it or the file has the destination that is meant.
async fn queue_for(settings: &Settings, which: &Which) -> Result<Queue, NotificationsError> {
    let queue = queue(settings).await?;
    let Some(name) = &which.destination else {
        return Ok(queue);
    };
    let file = settings.notifier.notifications();
    let mut known = queue.destinations().await?;
    // What waits can be seen and thrown away without the file, too.
    if let Ok((read, _)) = NotificationsFile::check(file.path()) {
        known.extend(read.destinations.into_keys());
    }
    if known.contains(name) {
        return Ok(queue);
    }
    known.sort_unstable();
    known.dedup();
    Err(NotificationsError::UnknownDestination {
        file: file.path().display().to_string(),
        name: name.clone(),
        known: if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        },
    })
}

fn list(listed: &[Listed], now: i64, limit: u32) -> String {
    let mut text = String::from("ID  STATE  AGE  DESTINATION  TOPIC  ATTEMPTS  TEXT  REASON\n");
    for one in listed {
        let state = if one.died.is_some() { "dead" } else { "waiting" };
        let text_shown = one.text.as_deref().unwrap_or("-");
        let text_shown: String = text_shown.chars().take(SHOWN).collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}  {state}  {}  {}  {}  {}  {}  {}",
            one.id,
            age(now - one.created),
            one.destination,
            Printable(&one.topic),
            one.attempts,
            Printable(text_shown),
            Printable(one.reason.as_deref().unwrap_or("-"))
        );
    }
    if listed.len() >= limit as usize {
        text.push_str("there may be more: --limit N\n");
    }
    text
}

fn show(one: &Listed) -> String {
    let state = match one.died {
        Some(died) => format!("dead letter since {}", local(died)),
        None if one.due == 0 => "waiting, to be tried at once".to_owned(),
        None => format!("waiting, next attempt not before {}", local(one.due)),
    };
    let payload = one.payload.as_deref().map(String::from_utf8_lossy);
    fields([
        ("id", one.id.to_string()),
        ("state", state),
        ("destination", one.destination.clone()),
        ("route", one.route.clone()),
        ("topic", one.topic.clone()),
        ("came", local(one.created)),
        ("expires", local(one.expires)),
        ("attempts", one.attempts.to_string()),
        ("reason", one.reason.clone().unwrap_or_else(|| "-".to_owned())),
        (
            "payload",
            payload.map_or_else(|| "-".to_owned(), std::borrow::Cow::into_owned),
        ),
        ("text", one.text.clone().unwrap_or_else(|| "-".to_owned())),
    ])
}

fn check(settings: &Settings) -> Result<String, NotificationsError> {
    let file = settings.notifier.notifications();
    let path = file.path();
    let (read, notes) = NotificationsFile::check(path)?;
    let mut text = format!(
        "{}: {} destination(s), {} route(s), {} silence(s)\n",
        path.display(),
        read.destinations.len(),
        read.routes.len(),
        read.silences.len()
    );
    for note in notes {
        let _ = writeln!(text, "note: {note}");
    }
    for name in unused(&read) {
        let _ = writeln!(text, "note: no route leads to destination {name:?}");
    }
    Ok(text)
}

fn unused(read: &Notifications) -> impl Iterator<Item = &String> {
    let leads = |name: &String| {
        let routes = read.routes.iter().map(|route| &route.to);
        let mut all = routes.chain(read.silences.iter().map(|alarm| &alarm.to));
        all.any(|to| to.contains(name))
    };
    read.destinations.keys().filter(move |name| !leads(name))
}

async fn test(settings: &Settings, name: &str) -> Result<String, NotificationsError> {
    let file = settings.notifier.notifications();
    let path = file.path();
    let (read, _) = NotificationsFile::check(path)?;
    let Some(destination) = read.destinations.get(name) else {
        return Err(NotificationsError::NoDestination {
            file: path.display().to_string(),
            name: name.to_owned(),
            known: read.destinations.keys().cloned().collect::<Vec<_>>().join(", "),
        });
    };
    let database = Database::open(&settings.data).await?;
    let sender = Sender::new(database, settings.data.clone())?;
    let outcome = sender
        .send(destination, &read.zone, &[trial(name, &read.zone)])
        .await;
    let refused = |reason| NotificationsError::Refused {
        destination: name.to_owned(),
        reason,
    };
    match outcome {
        Outcome::Delivered(words) => Ok(format!(
            "{name} ({}) took the test: {words}",
            destination.service.kind()
        )),
        Outcome::NotConfigured(missing) => Err(refused(format!("not configured: {missing}"))),
        Outcome::Later { reason, .. } => {
            Err(refused(format!("{reason} (a notification would be tried again)")))
        }
        Outcome::Never(reason) => Err(refused(format!(
            "{reason} (a notification would become a dead letter)"
        ))),
    }
}

fn trial(destination: &str, zone: &TimeZone) -> Ready {
    let now = Timestamp::now();
    let local = now.to_zoned_datetime(zone.clone());
    let time = local.strftime("%H:%M:%S");
    Ready {
        text: format!("🔔 simrelay: test / テスト通知 ({time})"),
        job: Job {
            id: now.as_millisecond(),
            destination: destination.to_owned(),
            route: "test".to_owned(),
            topic: "simrelay/test".to_owned(),
            payload: None,
            text: None,
            retry_key: uuid::Uuid::new_v4().to_string(),
            created: now.as_millisecond(),
            attempts: 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_published_speaks_to_no_terminal_and_begins_no_line() {
        let hostile = "\u{1b}]0;pwn\u{7}\u{1b}[2J\nid           7";
        let one = Listed {
            id: 1,
            destination: "slack".to_owned(),
            route: "r".to_owned(),
            topic: "t\u{9b}2J".to_owned(),
            payload: Some(hostile.as_bytes().to_vec()),
            text: Some(hostile.to_owned()),
            created: 0,
            expires: 0,
            due: 0,
            attempts: 1,
            reason: Some(hostile.to_owned()),
            died: None,
        };
        let listed = list(std::slice::from_ref(&one), 0, 100);
        assert_eq!(listed.lines().count(), 2, "{listed:?}");
        let shown = show(&one);
        assert_eq!(shown.matches("\nid").count(), 0, "{shown:?}");
        for text in [listed, shown] {
            let spoken = |c: char| c.is_control() && c != '\n';
            assert!(!text.contains(spoken), "{text:?}");
            assert!(text.contains("\\u{1b}]0;pwn"), "{text:?}");
        }
    }
}
