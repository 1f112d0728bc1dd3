//! Tags, which groups and SIMs both have.

use super::ChangeError;
use crate::json::Path;
use crate::sim::Tags;

/// Tags get new values; others stay.
///
/// # Errors
/// One has no name: nobody could delete it again, as its name is the end of a path there.
pub(super) fn put_tags(tags: &mut Tags, new: &Tags) -> Result<(), ChangeError> {
    if new.contains_key("") {
        let problem = Path::ROOT
            .key("tags")
            .problem("the name of a tag must not be empty");
        return Err(ChangeError::Invalid(vec![problem]));
    }
    tags.extend(new.clone());
    Ok(())
}

/// One tag goes, of the group or SIM that `owner` names.
///
/// # Errors
/// It is not there.
pub(super) fn delete_tag(
    tags: &mut Tags,
    tag: &str,
    owner: impl FnOnce() -> String,
) -> Result<(), ChangeError> {
    let removed = tags.remove(tag);
    removed.map(drop).ok_or_else(|| ChangeError::NoSuchTag {
        owner: owner(),
        tag: tag.to_owned(),
    })
}
