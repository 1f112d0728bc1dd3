//! What the broker's session is subscribed to, written down: it may be more than today's configuration asks for.

use super::topic_filter::TopicFilter;
use crate::database::Database;
use sqlx::Row;
use std::collections::BTreeMap;

/// The list of subscriptions.
#[derive(Debug)]
pub(super) struct Subscriptions {
    database: Database,
}

impl Subscriptions {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Notes what will be asked for, and returns what is to be given up. Those are forgotten here; if the broker
    /// does not hear of it, it sends messages that no route takes.
    pub(super) async fn begin(
        &self,
        wanted: &BTreeMap<TopicFilter, bool>,
    ) -> Result<Vec<String>, sqlx::Error> {
        let mut transaction = self.database.begin().await?;
        let rows = sqlx::query("SELECT filter FROM notification_subscription")
            .fetch_all(&mut *transaction)
            .await?;
        let mut stale = Vec::new();
        for row in rows {
            let filter: String = row.try_get("filter")?;
            if !wanted.keys().any(|wanted| wanted.as_str() == filter) {
                stale.push(filter);
            }
        }
        sqlx::query("DELETE FROM notification_subscription")
            .execute(&mut *transaction)
            .await?;
        for filter in wanted.keys() {
            sqlx::query("INSERT INTO notification_subscription (filter) VALUES (?)")
                .bind(filter.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(stale)
    }
}
