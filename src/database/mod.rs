//! The SQLite file of the data folder: opened, brought to today's schema. Who owns a table writes its SQL.

use crate::private_file;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection, Row, Sqlite, SqliteConnection, SqlitePool, Transaction};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name in the data folder.
pub const FILE: &str = "simrelay.sqlite";

/// Connections that read at a time.
const READERS: u32 = 3;
/// How long a connection that reads stays open unused: each has a thread, and some memory.
const UNUSED: Duration = Duration::from_secs(60);

/// The schema, step by step. A step that has been released is never changed; a new one is added behind it.
const STEPS: [&str; 8] = [
    include_str!("usage.sql"),
    include_str!("logbook.sql"),
    include_str!("session_events.sql"),
    include_str!("bridge_queue.sql"),
    include_str!("notifications.sql"),
    include_str!("bridge_queue_parked.sql"),
    include_str!("bridge_queue_again.sql"),
    include_str!("notification_silence_topic.sql"),
];

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be opened, read or written.
    #[error("database {}: {source}{}", path.display(), advice(source))]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// Its folder cannot be made.
    #[error("cannot make the data folder {}: {source}; choose a writable one with --data", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is none, where one was expected.
    #[error("there is no database in {}: run this where simrelay runs, or name the folder with --data", data.display())]
    Missing {
        /// The folder.
        data: PathBuf,
    },
    /// It was written by a later simrelay.
    #[error("database {} has schema {found}, this simrelay knows up to {known}: use the newer program again", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema in the file.
        found: i64,
        /// The newest known here.
        known: i64,
    },
}

/// What to do about an error of SQLite's; see <https://www.sqlite.org/rescode.html>.
fn advice(error: &sqlx::Error) -> &'static str {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    let code = code.and_then(|code| code.parse::<u32>().ok()).unwrap_or(0);
    // The low byte is the kind, what is above it the detail.
    match code & 0xff {
        3 | 8 | 14 => {
            "; the data folder and what is in it have to be writable by the user that simrelay runs as, and not mounted read-only"
        }
        5 => "; another program holds it: stop that, or choose another folder with --data",
        10 | 13 => "; make room on its disk, and look for errors of the disk in the system's log",
        11 | 26 => {
            "; put a backup in its place, or move it away with its -wal and -shm files: usage, log book and queues then start empty, the configuration is elsewhere"
        }
        _ => "",
    }
}

/// The database of a data folder, open. Clones are the same.
#[derive(Debug, Clone)]
pub struct Database {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Database {
    /// Opens the database in the folder `data`, which is made if it is not there.
    ///
    /// # Errors
    /// [`DatabaseError`] names the file.
    pub async fn open(data: &Path) -> Result<Self, DatabaseError> {
        let path = data.join(FILE);
        prepare(data, &path).map_err(|source| DatabaseError::Folder {
            path: data.to_owned(),
            source,
        })?;
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .after_release(|connection, _| Box::pin(async { Ok(is_outside_transactions(connection).await) }))
            .connect_with(options(&path).create_if_missing(true))
            .await
            .map_err(|source| DatabaseError::Sqlite {
                path: path.clone(),
                source,
            })?;
        migrate(&writer, &path).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(UNUSED)
            .connect_lazy_with(options(&path).pragma("query_only", "ON"));
        Ok(Self { writer, readers })
    }

    /// As [`Self::open`], where there is a database, for those who look at what others have put there.
    ///
    /// # Errors
    /// [`DatabaseError`]: there is none, and none is made; or as [`Self::open`].
    pub async fn open_existing(data: &Path) -> Result<Self, DatabaseError> {
        if let Ok(false) = data.join(FILE).try_exists() {
            return Err(DatabaseError::Missing {
                data: data.to_owned(),
            });
        }
        Self::open(data).await
    }

    /// For what writes, and for what a write hangs on. It is one connection, as SQLite lets one write at a time:
    /// who has to wait waits for his turn here, and not for a lock that may be had in vain. Who holds a transaction of it
    /// must not ask for another.
    #[must_use]
    pub fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// For what only reads, which never waits for who writes. They open when they are asked for, and what they are
    /// given to write they refuse.
    #[must_use]
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn begin(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Writes what is there already, to see whether the database can be written. On disk when it returns.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn write_nothing(&self) -> sqlx::Result<()> {
        let version = AssertSqlSafe(format!("PRAGMA user_version = {}", STEPS.len()));
        sqlx::query(version).execute(&self.writer).await.map(drop)
    }

    /// Closes it when who uses it is done.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        // A commit is on disk when it returns, power cut or not.
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Pages kept in memory by each connection, in KiB: what is written is hardly ever read.
        .pragma("cache_size", "-400")
        // Another program may hold it: one of the commands, or a service that runs by itself.
        .busy_timeout(Duration::from_secs(5))
}

/// Folder and file, for their owner only: queued notifications and messages are in there. SQLite gives the
/// files beside it the same mode, and takes an empty file for a new database.
fn prepare(data: &Path, path: &Path) -> io::Result<()> {
    private_file::create_folder(data)?;
    match private_file::create(path, b"") {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Whether the connection may serve again. SQLite itself ends a transaction when the disk is full; sqlx's own ROLLBACK
/// fails then, and it counts the connection as inside of a transaction for ever.
async fn is_outside_transactions(connection: &mut SqliteConnection) -> bool {
    match connection.begin_with("BEGIN").await {
        Ok(transaction) => transaction.rollback().await.is_ok(),
        Err(_) => false,
    }
}

async fn migrate(pool: &SqlitePool, path: &Path) -> Result<(), DatabaseError> {
    let failed = |source| DatabaseError::Sqlite {
        path: path.to_owned(),
        source,
    };
    let known = STEPS.len() as i64;
    // Most often there is nothing to do, and then nobody who writes is in the way.
    if version(&mut *pool.acquire().await.map_err(failed)?)
        .await
        .map_err(failed)?
        == known
    {
        return Ok(());
    }
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let found = version(&mut transaction).await.map_err(failed)?;
    if found > known {
        return Err(DatabaseError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        sqlx::raw_sql(*step)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    let done = AssertSqlSafe(format!("PRAGMA user_version = {known}"));
    sqlx::query(done)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// How many steps the file has behind it.
async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let row = sqlx::query("PRAGMA user_version").fetch_one(connection).await?;
    row.try_get(0)
}

#[cfg(test)]
mod tests;
