//! The SQLite file of the data folder: opened, brought to today's schema. Who owns a table writes its SQL.

use crate::private_file;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection, SqlitePool};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name in the data folder.
pub const FILE: &str = "simrelay.sqlite";

/// The schema, step by step. A step that has been released is never changed; a new one is added behind it.
const STEPS: [&str; 5] = [
    include_str!("usage.sql"),
    include_str!("logbook.sql"),
    include_str!("session_events.sql"),
    include_str!("bridge_queue.sql"),
    include_str!("notifications.sql"),
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

/// Opens the database in the folder `data`, which is made if it is not there.
///
/// # Errors
/// [`DatabaseError`] names the file.
pub async fn open(data: &Path) -> Result<SqlitePool, DatabaseError> {
    let path = data.join(FILE);
    let failed = |source| DatabaseError::Sqlite {
        path: path.clone(),
        source,
    };
    prepare(data, &path).map_err(|source| DatabaseError::Folder {
        path: data.to_owned(),
        source,
    })?;
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        // A commit is on disk when it returns, power cut or not.
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Pages kept in memory by each connection, in KiB: what is written is hardly ever read.
        .pragma("cache_size", "-400")
        .busy_timeout(Duration::from_secs(5));
    let pool = SqlitePoolOptions::new()
        .max_connections(4)
        .after_release(|connection, _| Box::pin(async { Ok(is_outside_transactions(connection).await) }))
        .connect_with(options)
        .await
        .map_err(failed)?;
    migrate(&pool, &path).await?;
    Ok(pool)
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

/// Writes what is there already, to see whether the database can be written. On disk when it returns.
///
/// # Errors
/// What SQLite says.
pub async fn write_nothing(pool: &SqlitePool) -> sqlx::Result<()> {
    let version = AssertSqlSafe(format!("PRAGMA user_version = {}", STEPS.len()));
    sqlx::query(version).execute(pool).await.map(drop)
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
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        open(&data).await.unwrap().close().await;
        let pool = open(&data).await.unwrap();
        let row = sqlx::query("PRAGMA user_version").fetch_one(&pool).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), STEPS.len() as i64);
    }

    #[tokio::test]
    async fn a_database_can_be_opened_while_another_process_writes() {
        let folder = tempfile::tempdir().unwrap();
        let pool = open(folder.path()).await.unwrap();
        let writing = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        open(folder.path()).await.unwrap().close().await;
        writing.commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_of_a_later_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let pool = open(folder.path()).await.unwrap();
        sqlx::query("PRAGMA user_version = 999")
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
        let error = open(folder.path()).await.unwrap_err();
        assert!(
            matches!(error, DatabaseError::Newer { found: 999, .. }),
            "{error}"
        );
    }
}
