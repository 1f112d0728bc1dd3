//! What becomes of times in the queue when the system clock was set.

use super::Queue;
use super::operator::REQUESTED;
use crate::clock::Moment;

/// The longest that is looked back for what came when the clock had been set already, in milliseconds. Less than any
/// clock is set by, so that nothing older is taken for it.
const FRESH: i64 = 30_000;

/// The system clock was set between two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockSet {
    /// By how many milliseconds; back if below 0.
    pub(crate) by: i64,
    /// What has a time from this one on ...
    from: i64,
    /// ... to this one was written when the clock had been set.
    to: i64,
}

impl ClockSet {
    /// Whether, and by how much, between `earlier` and `now`.
    pub(crate) fn between(earlier: Moment, now: Moment) -> Option<Self> {
        now.set_since(earlier).map(|by| Self {
            by,
            from: now.wall - now.since(earlier).clamp(0, FRESH),
            to: now.wall + FRESH,
        })
    }
}

/// Times of old entries go with the clock, so that nothing gets older than it is, or younger.
const SHIFT: [&str; 3] = [
    "UPDATE notification SET created = created + ?1, expires = expires + ?1, died = died + ?1,
         due = CASE due WHEN ?4 THEN due ELSE due + ?1 END
     WHERE created NOT BETWEEN ?2 AND ?3",
    "UPDATE notification_seen SET time = time + ?1 WHERE time NOT BETWEEN ?2 AND ?3",
    "UPDATE notification_silence SET heard = heard + ?1 WHERE heard NOT BETWEEN ?2 AND ?3",
];

impl Queue {
    /// Moves what was written by the clock as it was: what waits keeps its time to live, and no topic has been silent
    /// for longer than it was. Windows of repeats end, so that none lasts until the old clock's time comes again.
    ///
    /// # Errors
    /// What SQLite says.
    pub(crate) async fn follow_clock(&self, set: ClockSet, now: Moment) -> Result<(), sqlx::Error> {
        let mut transaction = self.begin().await?;
        for shift in SHIFT {
            sqlx::query(shift)
                .bind(set.by)
                .bind(set.from)
                .bind(set.to)
                .bind(REQUESTED)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("UPDATE notification_repeat SET until = min(until, ?)")
            .bind(now.wall)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }
}
