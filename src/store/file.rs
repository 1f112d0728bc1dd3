//! The store of one node: `entrypoints.json`, which admins and the API both edit.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::task::spawn_blocking;

use super::document::{self, Document};
use super::{Change, ChangeError, Changed, Pending, Snapshot, Store, atomic, edit, read_back, render};
use crate::json::{JsonFile, JsonFileError};
use crate::private_file::{self, Replacement};
use crate::stamp::Stamp;

/// How often the file is looked at for hand edits.
const POLL: Duration = Duration::from_secs(1);

/// How long a changed file has to stay as it is before it is read, so that it is not taken half written.
const SETTLE: Duration = Duration::from_millis(150);

/// How often a change starts again because somebody edited the file meanwhile.
const ATTEMPTS: usize = 5;

/// A store in one JSON file. Clones are the same store.
#[derive(Debug, Clone)]
pub struct FileStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    current: ArcSwap<Snapshot>,
    revision: watch::Sender<u64>,
    /// Held by whoever reads the file in order to swap the snapshot: one at a time.
    writer: Arc<Mutex<Seen>>,
}

/// The file as it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Seen {
    /// `None` if it could not be found.
    stamp: Option<Stamp>,
    /// Whether the snapshot is what it says; otherwise it is broken.
    is_snapshot: bool,
    /// Of the content that became the snapshot.
    content: u64,
}

/// The file as a change makes it, on disk beside the one that it is to replace.
struct Draft {
    /// The file that the change starts from.
    replaces: Stamp,
    /// The file as it will be seen.
    seen: Seen,
    file: Replacement,
    snapshot: Snapshot,
    notes: Vec<String>,
}

/// A file that was read whole and is valid.
struct Loaded {
    text: String,
    stamp: Stamp,
    document: Document,
}

impl FileStore {
    /// Reads the file at `path` and logs what its author should know. Blocks; meant for the start of the program.
    ///
    /// # Errors
    /// The file cannot be read, or everything that is wrong in it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JsonFileError> {
        let (store, notes) = Self::open_with_notes(path)?;
        log_notes(&store.0.path, &notes);
        Ok(store)
    }

    /// Like [`Self::open`], but returns the notes instead of logging them.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_notes(path: impl Into<PathBuf>) -> Result<(Self, Vec<String>), JsonFileError> {
        let path = path.into();
        let loaded = load(&path)?;
        let seen = Seen {
            stamp: Some(loaded.stamp),
            is_snapshot: true,
            content: hash(loaded.text.as_bytes()),
        };
        let inner = Inner {
            path,
            current: ArcSwap::from_pointee(loaded.document.snapshot),
            revision: watch::Sender::new(0),
            writer: Arc::new(Mutex::new(seen)),
        };
        Ok((Self(Arc::new(inner)), loaded.document.notes))
    }

    /// Reads the file again, at once (SIGHUP). Logs what came of it. Returns whether the content is new.
    ///
    /// # Errors
    /// The file cannot be used; the old state runs on.
    pub async fn reload(&self) -> Result<bool, JsonFileError> {
        let mut seen = Arc::clone(&self.0.writer).lock_owned().await;
        let inner = Arc::clone(&self.0);
        let reloaded = spawn_blocking(move || inner.reload(&mut seen)).await;
        // The blocking task ends early only when the runtime does.
        reloaded.unwrap_or(Ok(false))
    }

    /// Follows hand edits until it is dropped. A broken one is logged once and has no effect.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(POLL).await;
            let seen = self.0.writer.lock().await.stamp;
            if self.stamp().await != seen && self.settled().await {
                // Its log says what is to be said.
                let _ = self.reload().await;
            }
        }
    }

    async fn stamp(&self) -> Option<Stamp> {
        let metadata = tokio::fs::metadata(&self.0.path).await;
        metadata.and_then(|metadata| Stamp::from_metadata(&metadata)).ok()
    }

    async fn settled(&self) -> bool {
        let before = self.stamp().await;
        tokio::time::sleep(SETTLE).await;
        self.stamp().await == before
    }
}

impl Store for FileStore {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.current.load_full()
    }

    fn latest(&self) -> Pending<'_, Result<Arc<Snapshot>, JsonFileError>> {
        Box::pin(async move {
            let seen = Arc::clone(&self.0.writer).lock_owned().await;
            let inner = Arc::clone(&self.0);
            let latest = spawn_blocking(move || inner.before_change(&seen)).await;
            // The blocking task ends early only when the runtime does.
            latest.map_or_else(|_| Ok(self.snapshot()), |latest| Ok(latest?.0))
        })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.revision.subscribe()
    }

    fn change(&self, change: Change) -> Pending<'_, Result<Changed, ChangeError>> {
        Box::pin(async move {
            let mut seen: OwnedMutexGuard<Seen> = Arc::clone(&self.0.writer).lock_owned().await;
            let inner = Arc::clone(&self.0);
            // On its own thread, lock included: a caller who goes away does not stop a change half way.
            let changed = spawn_blocking(move || inner.change(&mut seen, &change)).await;
            changed.unwrap_or(Err(ChangeError::Interrupted))
        })
    }
}

impl Inner {
    fn reload(&self, seen: &mut Seen) -> Result<bool, JsonFileError> {
        let stamp = Stamp::of(&self.path).ok();
        let loaded = load(&self.path).inspect_err(|error| {
            (seen.stamp, seen.is_snapshot) = (stamp, false);
            tracing::error!(file = %self.path.display(), "configuration refused, the old one runs on: {}", error.on_one_line());
        })?;
        let content = hash(loaded.text.as_bytes());
        let is_new = content != seen.content;
        *seen = Seen {
            stamp: Some(loaded.stamp),
            is_snapshot: true,
            content,
        };
        if is_new {
            log_notes(&self.path, &loaded.document.notes);
            self.publish(loaded.document.snapshot);
            tracing::info!(file = %self.path.display(), snapshot = ?self.current.load(), "configuration loaded");
        } else {
            // Somebody may wait for the word that it is mended.
            tracing::info!(file = %self.path.display(), "configuration read again: it says what is in force");
        }
        Ok(is_new)
    }

    fn change(&self, seen: &mut Seen, change: &Change) -> Result<Changed, ChangeError> {
        for _ in 0..ATTEMPTS {
            let draft = self.draft(seen, change)?;
            if let Some(changed) = self.put(seen, draft)? {
                return Ok(changed);
            }
        }
        Err(ChangeError::Busy(self.path.clone()))
    }

    /// The file as it is to be, written beside the one that is there. Writing takes its time, so it comes first.
    fn draft(&self, seen: &Seen, change: &Change) -> Result<Draft, ChangeError> {
        let failed = |source| self.write_failed(source);
        let (before, replaces) = self.before_change(seen)?;
        let (snapshot, notes) = edit::apply(&before, change)?;
        read_back::check(&snapshot, change)?;
        let text = render::text(&snapshot).map_err(|error| failed(error.into()))?;
        let file = atomic::prepare(&self.path, &text).map_err(failed)?;
        let stamp = file.metadata().and_then(|file| Stamp::from_metadata(&file));
        Ok(Draft {
            replaces,
            seen: Seen {
                stamp: Some(stamp.map_err(failed)?),
                is_snapshot: true,
                content: hash(&text),
            },
            file,
            snapshot,
            notes,
        })
    }

    /// Puts a draft in force, unless somebody has edited the file since. Nothing but a rename is between this look at
    /// it and the new file.
    fn put(&self, seen: &mut Seen, draft: Draft) -> Result<Option<Changed>, ChangeError> {
        if Stamp::of(&self.path).map_err(|source| self.write_failed(source))? != draft.replaces {
            return Ok(None);
        }
        let replaced = draft.file.put().map_err(|source| self.write_failed(source))?;
        *seen = draft.seen;
        let snapshot = self.in_force(draft.snapshot, replaced.sync())?;
        Ok(Some(Changed {
            snapshot,
            notes: draft.notes,
        }))
    }

    /// What is in the file is in force, also where it may be gone after a crash.
    fn in_force(&self, snapshot: Snapshot, synced: io::Result<()>) -> Result<Arc<Snapshot>, ChangeError> {
        let snapshot = self.publish(snapshot);
        let path = self.path.clone();
        let synced = synced.map_err(|source| ChangeError::NotSynced { path, source });
        synced.inspect_err(|error| tracing::error!("{error}"))?;
        Ok(snapshot)
    }

    fn write_failed(&self, source: io::Error) -> ChangeError {
        ChangeError::Write {
            path: self.path.clone(),
            source,
        }
    }

    /// What a change starts from: the file and not memory, so that a hand edit of the last second is not lost.
    /// A file that is still the one the snapshot came from need not be read again.
    fn before_change(&self, seen: &Seen) -> Result<(Arc<Snapshot>, Stamp), JsonFileError> {
        if let (true, Some(stamp), Ok(now)) = (seen.is_snapshot, seen.stamp, Stamp::of(&self.path))
            && stamp == now
        {
            return Ok((self.current.load_full(), stamp));
        }
        let loaded = load(&self.path)?;
        Ok((Arc::new(loaded.document.snapshot), loaded.stamp))
    }

    fn publish(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        self.current.store(Arc::clone(&snapshot));
        self.revision.send_modify(|revision| *revision += 1);
        snapshot
    }
}

/// Reads and checks the file.
fn load(path: &Path) -> Result<Loaded, JsonFileError> {
    let file = JsonFile::read(path)?;
    match document::parse(&file.value) {
        Ok(mut document) => {
            document.notes.extend(public_password(path, &document.snapshot));
            Ok(Loaded {
                text: file.text,
                stamp: file.stamp,
                document,
            })
        }
        Err(problems) => Err(file.invalid(path, problems)),
    }
}

/// What to tell where the file at `path` holds a password that every user of this machine can read.
pub(crate) fn public_password(path: &Path, snapshot: &Snapshot) -> Option<String> {
    let mut entry_points = snapshot.groups().iter().filter_map(|group| group.beam.as_ref());
    let has_one = entry_points.any(|entry_point| entry_point.login.has_password());
    has_one.then(|| private_file::warning_if_public(path, "the passwords in this file"))?
}

fn hash(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn log_notes(path: &Path, notes: &[String]) {
    for note in notes {
        tracing::warn!(file = %path.display(), "{note}");
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
