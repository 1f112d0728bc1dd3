//! Numbers of a service that runs alone, where nobody asks for them: in the log, when they have changed.

use std::time::Duration;

/// How often the numbers are looked at.
const EVERY: Duration = Duration::from_secs(60);

/// Logs the `numbers` as `event` each minute in which they changed, until the task is ended.
pub(crate) async fn changes(event: &'static str, numbers: impl Fn() -> String + Send) {
    let mut before = numbers();
    loop {
        tokio::time::sleep(EVERY).await;
        let now = numbers();
        if now != before {
            tracing::info!(event, "{now}");
            before = now;
        }
    }
}
