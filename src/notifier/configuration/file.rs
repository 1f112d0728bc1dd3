//! `notifications.json` itself: read at the start, followed while the program runs.

use super::Notifications;
use super::document::{self, Parsed};
use crate::json::{JsonFile, JsonFileError};
use crate::stamp::Stamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the file is looked at for hand edits.
const POLL: Duration = Duration::from_secs(1);
/// How long a changed file has to stay as it is before it is read, so that it is not taken half written.
const SETTLE: Duration = Duration::from_millis(150);

/// The file, and what it says now.
#[derive(Debug)]
pub struct NotificationsFile {
    path: PathBuf,
    current: watch::Sender<Arc<Notifications>>,
    stamp: Stamp,
}

impl NotificationsFile {
    /// Reads the file at `path` and logs what its author should know.
    ///
    /// # Errors
    /// The file cannot be read, or everything that is wrong in it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JsonFileError> {
        let path = path.into();
        let (parsed, stamp) = load(&path)?;
        log_notes(&path, &parsed.notes);
        Ok(Self {
            path,
            current: watch::Sender::new(Arc::new(parsed.notifications)),
            stamp,
        })
    }

    /// Reads the file at `path`, and returns what its author should know instead of logging it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn check(path: &Path) -> Result<(Notifications, Vec<String>), JsonFileError> {
        load(path).map(|(parsed, _)| (parsed.notifications, parsed.notes))
    }

    /// What it says, now and after each change.
    #[must_use]
    pub fn current(&self) -> watch::Receiver<Arc<Notifications>> {
        self.current.subscribe()
    }

    /// Follows hand edits until it is dropped. A broken one is logged once and has no effect.
    pub async fn watch(mut self) {
        loop {
            tokio::time::sleep(POLL).await;
            let Some(stamp) = self.changed().await else {
                continue;
            };
            self.stamp = stamp;
            let path = self.path.clone();
            let Ok(loaded) = tokio::task::spawn_blocking(move || load(&path)).await else {
                return;
            };
            match loaded {
                Ok((parsed, _)) => {
                    log_notes(&self.path, &parsed.notes);
                    tracing::info!(file = %self.path.display(), "notifications loaded");
                    self.current.send_replace(Arc::new(parsed.notifications));
                }
                Err(error) => {
                    tracing::error!(file = %self.path.display(), "notifications refused, the old ones run on: {}", error.on_one_line());
                }
            }
        }
    }

    /// The stamp of a file that is another one now and has come to rest.
    async fn changed(&self) -> Option<Stamp> {
        let before = Stamp::of(&self.path).ok()?;
        if before == self.stamp {
            return None;
        }
        tokio::time::sleep(SETTLE).await;
        Stamp::of(&self.path).ok().filter(|after| *after == before)
    }
}

fn load(path: &Path) -> Result<(Parsed, Stamp), JsonFileError> {
    let file = JsonFile::read(path)?;
    match document::parse(&file.value) {
        Ok(parsed) => Ok((parsed, file.stamp)),
        Err(problems) => Err(file.invalid(path, problems)),
    }
}

fn log_notes(path: &Path, notes: &[String]) {
    for note in notes {
        tracing::warn!(file = %path.display(), "{note}");
    }
}
