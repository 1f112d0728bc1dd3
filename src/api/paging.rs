//! Filters and pages of the list of groups.

use std::sync::Arc;

use serde::Deserialize;

use super::ApiError;
use crate::store::Group;

/// Query of `GET /v1/groups`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ListQuery {
    tag_name: Option<String>,
    tag_value: Option<String>,
    tag_value_match_mode: Option<String>,
    limit: Option<String>,
    last_evaluated_key: Option<String>,
}

/// A page of groups, and the key to ask for the next one with.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) groups: Vec<&'a Arc<Group>>,
    pub(super) next_key: Option<String>,
}

impl ListQuery {
    /// The page that is asked for, in the order of `groups`.
    pub(super) fn page<'a>(&self, groups: &'a [Arc<Group>]) -> Result<Page<'a>, ApiError> {
        let limit = self.limit()?;
        let matches = self.tag_filter()?;
        let mut selected = self
            .behind_last_key(groups)?
            .iter()
            .filter(|group| matches(group));
        let page: Vec<_> = selected.by_ref().take(limit).collect();
        let next_key = selected
            .next()
            .and(page.last())
            .map(|group| group.group_id.to_string());
        Ok(Page {
            groups: page,
            next_key,
        })
    }

    fn limit(&self) -> Result<usize, ApiError> {
        let Some(text) = non_empty(self.limit.as_deref()) else {
            return Ok(usize::MAX);
        };
        text.parse()
            .ok()
            .filter(|limit| *limit > 0)
            .ok_or_else(|| ApiError::InvalidQuery(format!("limit: {text:?} is not a whole number above 0")))
    }

    fn behind_last_key<'a>(&self, groups: &'a [Arc<Group>]) -> Result<&'a [Arc<Group>], ApiError> {
        let Some(key) = non_empty(self.last_evaluated_key.as_deref()) else {
            return Ok(groups);
        };
        let at = groups.iter().position(|group| group.group_id.as_str() == key);
        at.map(|at| &groups[at + 1..])
            .ok_or_else(|| ApiError::InvalidQuery(format!("last_evaluated_key: there is no group {key:?}")))
    }

    fn tag_filter(&self) -> Result<impl Fn(&Group) -> bool, ApiError> {
        let prefix = match non_empty(self.tag_value_match_mode.as_deref()) {
            None | Some("exact") => false,
            Some("prefix") => true,
            Some(other) => {
                let message = format!("tag_value_match_mode: {other:?} is neither \"exact\" nor \"prefix\"");
                return Err(ApiError::InvalidQuery(message));
            }
        };
        let tag = match (non_empty(self.tag_name.as_deref()), &self.tag_value) {
            (None, _) => None,
            (Some(name), Some(value)) => Some((name.to_owned(), value.clone())),
            (Some(_), None) => return Err(ApiError::InvalidQuery("tag_name needs tag_value".to_owned())),
        };
        Ok(move |group: &Group| {
            let Some((name, wanted)) = &tag else { return true };
            let value = group.tags.get(name);
            value.is_some_and(|value| {
                if prefix {
                    value.starts_with(wanted)
                } else {
                    value == wanted
                }
            })
        })
    }
}

/// Command line tools send parameters that were not given as empty ones.
fn non_empty(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// The `link` header of the next page: the same query with another key.
pub(super) fn link(path: &str, query: &str, next_key: &str) -> String {
    let kept = query
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("last_evaluated_key="));
    let key = format!("last_evaluated_key={next_key}");
    let query: Vec<&str> = kept.chain([key.as_str()]).collect();
    format!("<{path}?{}>; rel=next", query.join("&"))
}
