//! When what goes on for long is to be said again: a flood must not fill the log.

use std::time::Duration;

use tokio::time::Instant;

/// How often it is said.
const EVERY: Duration = Duration::from_secs(10);

/// When something was last said.
#[derive(Debug, Default)]
pub(crate) struct Complaint(Option<Instant>);

impl Complaint {
    /// Whether it is to be said now, as it was not of late.
    pub(crate) fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|said| said.elapsed() >= EVERY);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_said_at_once_and_then_every_ten_seconds() {
        let mut complaint = Complaint::default();
        assert!(complaint.is_due());
        assert!(!complaint.is_due());
        tokio::time::advance(EVERY).await;
        assert!(complaint.is_due());
    }
}
