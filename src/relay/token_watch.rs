//! Closes connections ahead of the end of their tokens.

use super::registry::Registry;
use super::tokens::Stage;
use super::{Administrative, journal};
use crate::clock;
use std::time::{Duration, Instant, SystemTime};

/// Looks at every token each second, until the task is ended.
pub(super) async fn watch(registry: &Registry) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = clock::seconds(SystemTime::now());
        let changed = registry.tokens().advance(now, Instant::now());
        if changed.is_empty() {
            continue;
        }
        registry.for_each(|connection| match changed.get(&connection.id) {
            Some((Stage::Announced, left)) => journal::token_ends(connection, *left),
            Some((Stage::Closing, _)) => connection.close(Administrative::TokenEnds),
            Some((Stage::Over, _)) => connection.close(Administrative::TokenOver),
            Some((Stage::Good, _)) | None => {}
        });
    }
}
