//! The log book in SQLite: written in batches, read in pages, pruned.

use super::{Entry, Queue, Source, SourceKind};
use crate::database::Database;
use crate::sim::Imsi;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Entries kept of one source.
const KEPT_OF_ONE: i64 = 1000;
/// Entries kept in all.
const KEPT: i64 = 100_000;
/// Entries kept of all addresses without a SIM.
const KEPT_OF_STRANGERS: i64 = 10_000;
/// How long entries are kept, in milliseconds: 30 days.
const KEPT_FOR: i64 = 30 * 24 * 60 * 60 * 1000;

const PRUNE: &str = "
    DELETE FROM log_entry WHERE time < ?1 OR id IN (
        SELECT id FROM (
            SELECT id, is_sim,
                   row_number() OVER (PARTITION BY is_sim, source ORDER BY id DESC) AS of_source,
                   row_number() OVER (PARTITION BY is_sim ORDER BY id DESC) AS of_kind,
                   row_number() OVER (ORDER BY id DESC) AS of_all
            FROM log_entry)
        WHERE of_source > ?2 OR of_all > ?3 OR (is_sim = 0 AND of_kind > ?4))";

/// A page, newest entries first. Two statements, because an index serves either one source or all.
const OF_SOURCE: &str = "
    SELECT id, time, source, is_sim, level, body FROM log_entry
    WHERE is_sim = ?5 AND source = ?6 AND time >= ?1 AND time <= ?2 AND (time, id) < (?3, ?4)
    ORDER BY time DESC, id DESC LIMIT ?7";
const OF_ALL: &str = "
    SELECT id, time, source, is_sim, level, body FROM log_entry
    WHERE (?5 IS NULL OR is_sim = ?5) AND time >= ?1 AND time <= ?2 AND (time, id) < (?3, ?4)
    ORDER BY time DESC, id DESC LIMIT ?6";

/// The log book cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogBookError {
    /// The database refused.
    #[error("the log book: {0}")]
    Sqlite(#[from] sqlx::Error),
    /// An entry in the file cannot be understood.
    #[error("entry {id} of the log book cannot be read")]
    Entry {
        /// Its number.
        id: i64,
    },
}

/// Where a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageKey {
    time: i64,
    id: i64,
}

impl fmt::Display for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.time, self.id)
    }
}

/// A text that is no [`PageKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no key of a page of the log book")]
pub struct InvalidPageKey(String);

impl FromStr for PageKey {
    type Err = InvalidPageKey;

    fn from_str(text: &str) -> Result<Self, InvalidPageKey> {
        let parts = text.split_once('-');
        parts
            .and_then(|(time, id)| {
                Some(Self {
                    time: time.parse().ok()?,
                    id: id.parse().ok()?,
                })
            })
            .ok_or_else(|| InvalidPageKey(text.to_owned()))
    }
}

/// Which entries are wanted.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// Of this SIM or this address only.
    pub source: Option<Source>,
    /// Of this kind only; a source has its own.
    pub kind: Option<SourceKind>,
    /// The earliest and the latest time, in milliseconds since 1970.
    pub time: (i64, i64),
    /// Behind this page.
    pub behind: Option<PageKey>,
    /// At most so many.
    pub limit: usize,
}

/// An entry of the book.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// When, in milliseconds since 1970.
    pub time: i64,
    /// To whom.
    pub source: Source,
    /// How bad it is.
    pub level: String,
    /// What, as a JSON object.
    pub body: serde_json::Value,
}

/// The log book.
#[derive(Debug)]
pub struct LogBook {
    database: Database,
    queue: Arc<Queue>,
    grown: AtomicBool,
}

impl LogBook {
    /// The log book in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self {
            database,
            queue: Arc::default(),
            // What an earlier run left may be old by now.
            grown: AtomicBool::new(true),
        }
    }

    /// Where entries go in.
    #[must_use]
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Writes what waits in the queue, in one transaction.
    ///
    /// # Errors
    /// [`LogBookError`] says what SQLite said; the entries wait on.
    pub async fn flush(&self) -> Result<(), LogBookError> {
        let entries = self.queue.take();
        if entries.is_empty() {
            return Ok(());
        }
        let written = self.write(&entries).await;
        match written {
            Ok(()) => self.grown.store(true, Ordering::Relaxed),
            Err(_) => self.queue.put_back(entries),
        }
        Ok(written?)
    }

    async fn write(&self, entries: &[Entry]) -> Result<(), sqlx::Error> {
        let mut transaction = self.database.begin().await?;
        for entry in entries {
            let insert = "INSERT INTO log_entry (time, source, is_sim, level, body) VALUES (?, ?, ?, ?, ?)";
            sqlx::query(insert)
                .bind(entry.time)
                .bind(entry.source.to_string())
                .bind(is_sim(entry.source.kind()))
                .bind(entry.level.as_str())
                .bind(serde_json::Value::Object(entry.body.clone()).to_string())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// Removes what is past the bounds. Does nothing if nothing was written since the last time.
    ///
    /// # Errors
    /// [`LogBookError`] says what SQLite said.
    pub async fn prune(&self, now: i64) -> Result<(), LogBookError> {
        if !self.grown.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        sqlx::query(PRUNE)
            .bind(now - KEPT_FOR)
            .bind(KEPT_OF_ONE)
            .bind(KEPT)
            .bind(KEPT_OF_STRANGERS)
            .execute(self.database.writer())
            .await?;
        Ok(())
    }

    /// A page of entries, newest first, and the key of the next one if there is one.
    ///
    /// # Errors
    /// [`LogBookError`] says what SQLite said.
    pub async fn read(&self, query: &LogQuery) -> Result<(Vec<Found>, Option<PageKey>), LogBookError> {
        let behind = query.behind.unwrap_or(PageKey {
            time: i64::MAX,
            id: i64::MAX,
        });
        // One more than asked for tells whether there is another page.
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX - 1) + 1;
        let sql = if query.source.is_some() { OF_SOURCE } else { OF_ALL };
        let sqlx = sqlx::query(sql)
            .bind(query.time.0)
            .bind(query.time.1)
            .bind(behind.time)
            .bind(behind.id);
        let sqlx = match &query.source {
            Some(source) => sqlx.bind(is_sim(source.kind())).bind(source.to_string()),
            None => sqlx.bind(query.kind.map(is_sim)),
        };
        let mut rows = sqlx.bind(limit).fetch_all(self.database.readers()).await?;
        let more = rows.len() > query.limit;
        rows.truncate(query.limit);
        let next = match rows.last() {
            Some(last) if more => Some(PageKey {
                time: last.try_get("time")?,
                id: last.try_get("id")?,
            }),
            _ => None,
        };
        Ok((rows.iter().map(found).collect::<Result<_, _>>()?, next))
    }
}

/// As the table has it.
fn is_sim(kind: SourceKind) -> bool {
    kind == SourceKind::Sim
}

fn found(row: &SqliteRow) -> Result<Found, LogBookError> {
    let id = row.try_get("id")?;
    let text: &str = row.try_get("source")?;
    let source = if row.try_get("is_sim")? {
        Imsi::new(text).ok().map(Source::Sim)
    } else {
        text.parse::<IpAddr>().ok().map(Source::Address)
    };
    Ok(Found {
        time: row.try_get("time")?,
        source: source.ok_or(LogBookError::Entry { id })?,
        level: row.try_get("level")?,
        body: serde_json::from_str(row.try_get("body")?).map_err(|_| LogBookError::Entry { id })?,
    })
}

#[cfg(test)]
mod tests;
