//! `simrelay parked`: messages that the bridge has promised to publish and the broker would not have.

use std::fmt::Write as _;

use clap::{Args, Subcommand};

use super::numbered::{NotThere, Numbered};
use super::shown::{age, fields, local};
use crate::bridge::{Parked, ParkedMessage};
use crate::clock::now_millis;
use crate::database::{Database, DatabaseError};
use crate::printable::Printable;
use crate::settings::Settings;

/// How much of a text a line of the list shows, in characters.
const SHOWN: usize = 40;

/// What can be done with parked messages.
#[derive(Debug, Clone, Subcommand)]
pub enum ParkedCommand {
    /// List them, oldest first
    List,
    /// Show all of one
    Show {
        /// Its number
        number: i64,
    },
    /// Have the bridge send them again: those that are named, or --all
    Requeue(Chosen),
    /// Throw away: those that are named, or --all
    Drop(Chosen),
}

/// Which messages are meant.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct Chosen {
    /// Their numbers
    numbers: Vec<i64>,
    /// All of them
    #[arg(long)]
    all: bool,
}

/// Why nothing was done with parked messages.
#[derive(Debug, thiserror::Error)]
pub enum ParkedError {
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// It cannot be read or written.
    #[error("the bridge's queue in the database cannot be used: {0}")]
    Sqlite(#[from] sqlx::Error),
    /// There is no such message.
    #[error(transparent)]
    Missing(#[from] NotThere),
}

/// Does what the command says, and returns what to print.
///
/// # Errors
/// [`ParkedError`] names what is missing or wrong.
pub async fn parked(command: &ParkedCommand, settings: &Settings) -> Result<String, ParkedError> {
    let parked = Parked::new(Database::open_existing(&settings.data).await?);
    match command {
        ParkedCommand::List => Ok(list(&parked.list(&[]).await?)),
        ParkedCommand::Show { number } => {
            let found = parked.list(&[*number]).await?;
            let missing = || Numbered::Parked.missing(*number).into();
            found.first().map(show).ok_or_else(missing)
        }
        ParkedCommand::Requeue(Chosen { numbers, .. }) => {
            let done = parked.requeue(numbers).await?;
            let when = "will be sent again within seconds, or when the bridge runs";
            Ok(Numbered::Parked.became(numbers, &done, when)?)
        }
        ParkedCommand::Drop(Chosen { numbers, .. }) => {
            let done = parked.discard(numbers).await?;
            Ok(Numbered::Parked.became(numbers, &done, "thrown away")?)
        }
    }
}

fn list(messages: &[ParkedMessage]) -> String {
    if messages.is_empty() {
        return "no message is parked".to_owned();
    }
    let mut text = String::from("NUMBER  AGE  TOPIC  TEXT  REASON\n");
    for one in messages {
        let shown: String = one.text.chars().take(SHOWN).collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}  {}  {}  {}  {}",
            one.number,
            age(now_millis() - one.time),
            one.topic,
            Printable(shown),
            Printable(&one.reason)
        );
    }
    text
}

fn show(one: &ParkedMessage) -> String {
    fields([
        ("number", one.number.to_string()),
        ("came", local(one.time)),
        ("topic", one.topic.clone()),
        ("reason", one.reason.clone()),
        ("text", one.text.clone()),
    ])
}
