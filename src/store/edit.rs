//! Changes, made on a snapshot: checked against all else that is true, then a new snapshot.

use super::change::Change;
use super::{ChangeError, Snapshot, edit_group, edit_sim};

/// What is true after `change`, and notes for the admin.
///
/// # Errors
/// What is changed is not there, or what it would become is not allowed.
pub(super) fn apply(snapshot: &Snapshot, change: &Change) -> Result<(Snapshot, Vec<String>), ChangeError> {
    match change {
        Change::Group(id, change) => edit_group::apply(snapshot, id, change),
        Change::Sim(id, change) => Ok((edit_sim::apply(snapshot, id, change)?, Vec::new())),
    }
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
