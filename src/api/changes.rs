//! Changes through the API: made, and written into the audit log.

use super::auth::Caller;
use super::{ApiError, ApiState};
use crate::store::{Change, Changed};

/// Makes the change, and writes who made it into the log.
pub(super) async fn change(state: &ApiState, caller: Caller, change: Change) -> Result<Changed, ApiError> {
    let what = change.to_string();
    let changed = state.references.change(change).await.inspect_err(|error| {
        tracing::warn!(who = caller.who(), from = %caller, what, "change refused: {error}");
    })?;
    tracing::info!(who = caller.who(), from = %caller, what, "configuration changed");
    for note in &changed.notes {
        tracing::warn!(what, "{note}");
    }
    Ok(changed)
}
