//! What changes of groups and of SIMs have in common.

use std::time::{SystemTime, UNIX_EPOCH};

use super::ChangeError;
use crate::sim::Tags;

/// One tag goes.
///
/// # Errors
/// It is not there.
pub(super) fn delete_tag(tags: &mut Tags, tag: &str) -> Result<(), ChangeError> {
    let removed = tags.remove(tag);
    removed
        .map(drop)
        .ok_or_else(|| ChangeError::NoSuchTag(tag.to_owned()))
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
