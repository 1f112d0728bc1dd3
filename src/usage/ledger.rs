//! The ledger: requests by SIM, entry point and bucket of time, in SQLite.

use super::{Counts, Pending, Period, UNDATED, UsageKey};
use crate::database::Database;
use crate::entrypoint::{MQTT_ENTRY_POINT, Scheme};
use crate::sim::{GroupId, Imsi};
use foldhash::fast::RandomState;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use std::collections::HashMap;
use std::sync::LazyLock;
use tokio::sync::Mutex;

/// Rows that an export reads at once, so that its memory is the text and not the rows.
const PAGE: i64 = 10_000;

/// Keys or deltas of one statement at most, so that its text stays small, and what runs it gives its core away in between.
const ROWS: usize = 128;

const NEW_KEYS: &str = "
    INSERT INTO usage_key (imsi, group_id, entry_point, scheme)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1)
    WHERE true
    ON CONFLICT DO NOTHING";

/// The place of each key in the list, and its id.
const KEYS: &str = "
    SELECT j.key, k.id FROM json_each(?1) AS j CROSS JOIN usage_key AS k
    ON k.imsi = j.value ->> 0 AND k.group_id = j.value ->> 1
    AND k.entry_point = j.value ->> 2 AND k.scheme = j.value ->> 3";

/// What is done with a bucket that has something in it.
const ADD_TO_IT: &str = "
    ON CONFLICT (period, bucket, key_id) DO UPDATE SET
        device_up = device_up + excluded.device_up,
        broker_up = broker_up + excluded.broker_up,
        broker_down = broker_down + excluded.broker_down,
        device_down = device_down + excluded.device_down";

/// Adds up to [`ROWS`] deltas to all three buckets that a moment lies in. What is not bound is NULL, so it is one
/// statement for any number of them, and prepared once. Their numbers are bound, as reading JSON takes longer than adding.
static ADD: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
    INSERT INTO usage (period, bucket, key_id, device_up, broker_up, broker_down, device_down)
    SELECT b.column1, b.column2, d.column1, d.column2, d.column3, d.column4, d.column5
    FROM (VALUES {}) AS b CROSS JOIN (VALUES {}) AS d
    WHERE d.column1 IS NOT NULL
    {ADD_TO_IT}",
        ["(?, ?)"; Period::ALL.len()].join(","),
        ["(?, ?, ?, ?, ?)"; ROWS].join(","),
    )
});

/// Adds all of one bucket to another.
static MOVE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
    INSERT INTO usage (period, bucket, key_id, device_up, broker_up, broker_down, device_down)
    SELECT period, ?3, key_id, device_up, broker_up, broker_down, device_down
    FROM usage WHERE period = ?1 AND bucket = ?2
    {ADD_TO_IT}"
    )
});

/// Looks the buckets up one by one: a scan over the range would read all SIMs.
const STATS: &str = "
    SELECT u.bucket, k.scheme,
           sum(u.device_up + u.device_down) AS device_leg, sum(u.broker_up + u.broker_down) AS broker_leg
    FROM usage_key AS k CROSS JOIN json_each(?1) AS b
    CROSS JOIN usage AS u ON u.period = ?2 AND u.bucket = b.value AND u.key_id = k.id
    WHERE k.imsi = ?3
    GROUP BY u.bucket, k.scheme
    ORDER BY u.bucket, k.scheme";

const EXPORT: &str = "
    SELECT u.bucket, u.key_id, k.imsi, k.group_id, k.entry_point, k.scheme,
           u.device_up + u.device_down AS device_leg, u.broker_up + u.broker_down AS broker_leg
    FROM usage AS u JOIN usage_key AS k ON k.id = u.key_id
    WHERE u.period = ?1 AND u.bucket <= ?2 AND (u.bucket, u.key_id) > (?3, ?4)
    ORDER BY u.bucket, u.key_id
    LIMIT ?5";

/// Whatever is counted is in a month, and no bucket is kept longer than that of its month.
const UNUSED: &str = "
    DELETE FROM usage_key WHERE id NOT IN (SELECT key_id FROM usage WHERE period = ?)";

/// The ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the usage ledger: {0}")]
pub struct LedgerError(#[from] sqlx::Error);

/// Requests of one SIM in one bucket towards one kind of destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatsRow {
    /// First second of the bucket.
    pub bucket: i64,
    /// How the brokers were spoken to.
    pub scheme: Scheme,
    /// Requests on the device leg, both ways.
    pub device_leg: u64,
    /// Requests on the broker leg, both ways.
    pub broker_leg: u64,
}

/// A [`StatsRow`] with what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRow {
    /// The SIM.
    pub imsi: String,
    /// The group that held the entry point.
    pub group: String,
    /// The entry point's key in the group.
    pub entry_point: String,
    /// When and how much.
    pub stats: StatsRow,
}

/// The ledger. Whole deltas go in, in one transaction; nothing is ever read to be written back.
#[derive(Debug)]
pub struct Ledger {
    database: Database,
    /// Ids of keys that are in the database for sure.
    ids: Mutex<HashMap<UsageKey, i64, RandomState>>,
}

impl Ledger {
    /// The ledger in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self {
            database,
            ids: Mutex::default(),
        }
    }

    /// Adds everything in `pending`, or nothing.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing was added, and the same deltas may be tried again.
    pub async fn write(&self, pending: &Pending) -> Result<(), LedgerError> {
        let mut ids = self.ids.lock().await;
        let mut transaction = self.database.begin().await?;
        let keys = pending.buckets().flat_map(|(_, sums)| sums.keys());
        let new: Vec<&UsageKey> = keys.filter(|key| !ids.contains_key(key)).collect();
        let mut fresh = HashMap::default();
        for keys in new.chunks(ROWS) {
            enter(&mut transaction, keys, &mut fresh).await?;
        }
        for (bucket, sums) in pending.buckets() {
            let mut deltas = Vec::with_capacity(sums.len());
            for (key, counts) in sums {
                let id = ids.get(key).or_else(|| fresh.get(key));
                deltas.push((*id.ok_or(sqlx::Error::RowNotFound)?, counts));
            }
            // As they stand in the table: neighbours share a page, and each page is looked for, and written, once.
            deltas.sort_unstable_by_key(|(id, _)| *id);
            for deltas in deltas.chunks(ROWS) {
                add(&mut transaction, bucket, deltas).await?;
            }
        }
        transaction.commit().await?;
        // Not before: a transaction that is rolled back takes its new keys with it.
        ids.extend(fresh);
        Ok(())
    }

    /// Enters at `now` what was counted at [`UNDATED`], all of it or nothing. Returns whether there was something.
    ///
    /// # Errors
    /// [`LedgerError`] says what SQLite said.
    pub async fn date(&self, now: i64) -> Result<bool, LedgerError> {
        let mut transaction = self.database.begin().await?;
        let mut moved = 0;
        for period in Period::ALL {
            sqlx::query(MOVE.as_str())
                .bind(period.code())
                .bind(UNDATED)
                .bind(period.start(now))
                .execute(&mut *transaction)
                .await?;
            let left = sqlx::query("DELETE FROM usage WHERE period = ? AND bucket = ?")
                .bind(period.code())
                .bind(UNDATED)
                .execute(&mut *transaction)
                .await?;
            moved += left.rows_affected();
        }
        transaction.commit().await?;
        Ok(moved > 0)
    }

    /// Whether anything was ever counted for this SIM.
    ///
    /// # Errors
    /// [`LedgerError`] says what SQLite said.
    pub async fn knows(&self, imsi: &Imsi) -> Result<bool, LedgerError> {
        let row = sqlx::query("SELECT EXISTS (SELECT 1 FROM usage_key WHERE imsi = ?)")
            .bind(imsi.as_str())
            .fetch_one(self.database.readers())
            .await?;
        Ok(row.try_get(0)?)
    }

    /// What was counted for a SIM in the buckets from `from` to `to`, oldest first. Empty ones are left out.
    ///
    /// # Errors
    /// [`LedgerError`] says what SQLite said.
    pub async fn stats(
        &self,
        imsi: &Imsi,
        period: Period,
        (from, to): (i64, i64),
        now: i64,
    ) -> Result<Vec<StatsRow>, LedgerError> {
        let buckets: Vec<i64> = period.buckets(from, to, now).collect();
        let rows = sqlx::query(STATS)
            .bind(format!("{buckets:?}"))
            .bind(period.code())
            .bind(imsi.as_str())
            .fetch_all(self.database.readers())
            .await?;
        Ok(rows.iter().map(stats_row).collect::<Result<_, _>>()?)
    }

    /// Hands everything of all SIMs in the buckets from `from` to `to` to `take`, oldest first, until
    /// `take` wants no more.
    ///
    /// # Errors
    /// [`LedgerError`] says what SQLite said.
    pub async fn export(
        &self,
        period: Period,
        (from, to): (i64, i64),
        mut take: impl FnMut(ExportRow) -> bool,
    ) -> Result<(), LedgerError> {
        let mut behind = (period.start(from), -1);
        loop {
            let rows = sqlx::query(EXPORT)
                .bind(period.code())
                .bind(to)
                .bind(behind.0)
                .bind(behind.1)
                .bind(PAGE)
                .fetch_all(self.database.readers())
                .await?;
            for row in &rows {
                behind = (row.try_get("bucket")?, row.try_get("key_id")?);
                let row = ExportRow {
                    imsi: row.try_get("imsi")?,
                    group: row.try_get("group_id")?,
                    entry_point: row.try_get("entry_point")?,
                    stats: stats_row(row)?,
                };
                if !take(row) {
                    return Ok(());
                }
            }
            if (rows.len() as i64) < PAGE {
                return Ok(());
            }
        }
    }

    /// Removes buckets that are older than what is kept, and keys for which nothing is left. What has no date yet stays.
    ///
    /// # Errors
    /// [`LedgerError`] says what SQLite said.
    pub async fn prune(&self, now: i64) -> Result<(), LedgerError> {
        for period in Period::ALL {
            sqlx::query("DELETE FROM usage WHERE period = ? AND bucket < ? AND bucket <> ?")
                .bind(period.code())
                .bind(period.kept_since(now))
                .bind(UNDATED)
                .execute(self.database.writer())
                .await?;
        }
        // Not while a delta is on its way to one of them.
        let mut ids = self.ids.lock().await;
        let gone = sqlx::query(UNUSED)
            .bind(Period::Month.code())
            .execute(self.database.writer())
            .await?;
        if gone.rows_affected() > 0 {
            ids.clear();
        }
        Ok(())
    }
}

/// Enters keys where they are not in the database yet, and tells their ids.
async fn enter(
    transaction: &mut Transaction<'_, Sqlite>,
    keys: &[&UsageKey],
    ids: &mut HashMap<UsageKey, i64, RandomState>,
) -> Result<(), sqlx::Error> {
    let rows = keys.iter().map(|key| {
        let scheme = key.scheme().to_string();
        let group = key.group().map_or("", GroupId::as_str);
        json!([key.imsi().as_str(), group, MQTT_ENTRY_POINT, scheme])
    });
    let rows = Value::from_iter(rows).to_string();
    sqlx::query(NEW_KEYS)
        .bind(&rows)
        .execute(&mut **transaction)
        .await?;
    for row in sqlx::query(KEYS)
        .bind(&rows)
        .fetch_all(&mut **transaction)
        .await?
    {
        let (at, id): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let key = usize::try_from(at).ok().and_then(|at| keys.get(at));
        ids.extend(key.map(|key| ((*key).clone(), id)));
    }
    Ok(())
}

/// Adds what was counted for these keys, [`ROWS`] at most, in one bucket of five minutes.
async fn add(
    transaction: &mut Transaction<'_, Sqlite>,
    bucket: i64,
    deltas: &[(i64, &Counts)],
) -> Result<(), sqlx::Error> {
    let mut add = sqlx::query(ADD.as_str());
    for period in Period::ALL {
        add = add.bind(period.code()).bind(period.start(bucket));
    }
    for (id, counts) in deltas {
        add = add
            .bind(id)
            .bind(counts.device_up.cast_signed())
            .bind(counts.broker_up.cast_signed())
            .bind(counts.broker_down.cast_signed())
            .bind(counts.device_down.cast_signed());
    }
    add.execute(&mut **transaction).await.map(drop)
}

fn stats_row(row: &SqliteRow) -> Result<StatsRow, sqlx::Error> {
    let count = |name| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
    let scheme = match row.try_get("scheme")? {
        "mqtts" => Scheme::Mqtts,
        _ => Scheme::Mqtt,
    };
    Ok(StatsRow {
        bucket: row.try_get("bucket")?,
        scheme,
        device_leg: count("device_leg")?,
        broker_leg: count("broker_leg")?,
    })
}

#[cfg(test)]
mod tests;
