//! Tags, which groups and SIMs both have.

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
