//! Notifications whose destination is not in the file any more: nobody sends them, which nothing else would say.

use super::configuration::Notifications;
use super::queue::Queue;
use std::sync::Arc;
use tokio::sync::watch;

/// Tells of them at the start, and whenever the file has changed.
pub(super) async fn tell(queue: Queue, mut notifications: watch::Receiver<Arc<Notifications>>) {
    loop {
        let now = Arc::clone(&notifications.borrow_and_update());
        match orphans(&queue, &now).await {
            Ok(orphans) => orphans.iter().for_each(|(destination, waiting)| {
                tracing::warn!(
                    event = "destination_missing",
                    destination,
                    waiting,
                    "{waiting} notification(s) wait for the destination {destination}, which is not in the file any more; \
                    put it back, or throw them away: simrelay notifications drop --destination {destination}"
                );
            }),
            Err(error) => tracing::error!(%error, "whether notifications wait for nobody cannot be seen"),
        }
        if notifications.changed().await.is_err() {
            return;
        }
    }
}

/// Names that are not in the file, and how many wait for each.
async fn orphans(queue: &Queue, notifications: &Notifications) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let mut waiting = queue.waiting().await?;
    waiting.retain(|(destination, _)| !notifications.destinations.contains_key(destination));
    Ok(waiting)
}
