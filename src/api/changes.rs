//! Changes through the API: made, and written into the audit log.

use super::auth::Caller;
use super::{ApiError, ApiState, audit};
use crate::store::{Change, Changed};

/// Makes the change, and writes who made it into the log.
pub(super) async fn change(state: &ApiState, caller: Caller, change: Change) -> Result<Changed, ApiError> {
    let (what, group) = (change.to_string(), change.group().cloned());
    let changed = state.references.change(change).await.inspect_err(|error| {
        tracing::warn!(target: audit::TARGET, who = caller.who(), from = %caller, what, "change refused: {error}");
    })?;
    audit::done_to(group.as_ref(), &caller, "configuration changed", &what);
    for note in &changed.notes {
        tracing::warn!(what, "{note}");
    }
    Ok(changed)
}
