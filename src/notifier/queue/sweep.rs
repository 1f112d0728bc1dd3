//! Bounds of the queue: what is too old or too much goes, and is counted.

use super::Queue;
use super::excess::{self, Most};
use crate::clock::whole_millis;
use crate::notifier::configuration::{Notifications, Service};

/// Bytes that may wait in all, shared equally by the destinations.
const MOST_BYTES: i64 = 256 * 1024 * 1024;
/// Dead letters that are kept.
const MOST_DEAD: Most = Most {
    number: 10_000,
    bytes: 128 * 1024 * 1024,
};
/// How long they are kept, in milliseconds: 30 days.
const DEAD_FOR: i64 = 30 * 24 * 60 * 60 * 1000;
/// How long a count of repeats waits for the next message that can tell it, in milliseconds: a day.
const REPEATS_FOR: i64 = 24 * 60 * 60 * 1000;

const EXPIRE_TRIED: &str = "
    UPDATE notification SET died = ?1,
        reason = 'older than its time to live after ' || attempts || ' attempt(s); the last one: ' || reason
    WHERE died IS NULL AND expires <= ?1 AND attempts > 0";
const EXPIRE_UNTRIED: &str = "DELETE FROM notification WHERE died IS NULL AND expires <= ?1 AND attempts = 0";
const TOO_OLD: &str = "DELETE FROM notification WHERE died < ?1";

/// What a sweep took out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Became dead letters because they got too old while their destination failed.
    pub buried: u64,
    /// Got too old without a single attempt, and are gone.
    pub expired: u64,
    /// Were too many, and are gone.
    pub overflowed: u64,
}

impl Queue {
    /// Brings everything back into its bounds.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn sweep(&self, notifications: &Notifications, now: i64) -> Result<Swept, sqlx::Error> {
        let mut transaction = self.begin().await?;
        let connection = &mut *transaction;
        let buried = sqlx::query(EXPIRE_TRIED)
            .bind(now)
            .execute(&mut *connection)
            .await?;
        let expired = sqlx::query(EXPIRE_UNTRIED)
            .bind(now)
            .execute(&mut *connection)
            .await?;
        let mut overflowed = 0;
        let share = MOST_BYTES / i64::try_from(notifications.destinations.len().max(1)).unwrap_or(i64::MAX);
        for destination in notifications.destinations.values() {
            let most = Most {
                number: destination.most_waiting,
                bytes: share,
            };
            overflowed += excess::delete_waiting(connection, &destination.name, most).await?;
            if let Service::Database { keep } = &destination.service {
                sqlx::query("DELETE FROM notification_record WHERE destination = ? AND time < ?")
                    .bind(&destination.name)
                    .bind(now.saturating_sub(whole_millis(*keep)))
                    .execute(&mut *connection)
                    .await?;
            }
        }
        sqlx::query(TOO_OLD)
            .bind(now - DEAD_FOR)
            .execute(&mut *connection)
            .await?;
        excess::delete_dead(connection, MOST_DEAD).await?;
        sqlx::query("DELETE FROM notification_repeat WHERE until < ?1 AND (count = 0 OR until < ?1 - ?2)")
            .bind(now)
            .bind(REPEATS_FOR)
            .execute(&mut *connection)
            .await?;
        transaction.commit().await?;
        Ok(Swept {
            buried: buried.rows_affected(),
            expired: expired.rows_affected(),
            overflowed,
        })
    }
}
