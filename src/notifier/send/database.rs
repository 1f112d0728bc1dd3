//! Rows in the database of the data folder.

use super::{Outcome, Ready};
use crate::database::Database;

pub(super) async fn send(database: &Database, notifications: &[Ready]) -> Outcome {
    match write(database, notifications).await {
        Ok(()) => Outcome::Delivered(format!("{} row(s) written", notifications.len())),
        Err(error) => Outcome::later(error.to_string()),
    }
}

/// A second attempt finds the rows of the first and leaves them.
async fn write(database: &Database, notifications: &[Ready]) -> Result<(), sqlx::Error> {
    const INSERT: &str = "
        INSERT OR IGNORE INTO notification_record (id, destination, route, topic, payload, text, time)
        VALUES (?, ?, ?, ?, ?, ?, ?)";
    let mut transaction = database.begin().await?;
    for Ready { job, text } in notifications {
        let payload = job.payload.as_deref().map(String::from_utf8_lossy);
        sqlx::query(INSERT)
            .bind(job.id)
            .bind(&job.destination)
            .bind(&job.route)
            .bind(&job.topic)
            .bind(payload.as_deref())
            .bind(text)
            .bind(job.created)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}
