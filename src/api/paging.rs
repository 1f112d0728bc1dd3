//! Lists come in pages: `limit` and `last_evaluated_key` go in, `x-soracom-next-key` and `link` come out.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::{IntoParams, ToSchema};

use super::ApiError;
use crate::sim::Tags;

/// Elements of a page where the caller says nothing.
pub(super) const USUAL: usize = 100;
/// Elements of a page at most.
const MOST: usize = 1000;

/// A list as it is answered: the page, and headers that lead to the next one.
pub(super) type Listed<T> = (HeaderMap, Json<Vec<T>>);

/// The elements of a page, and headers that lead to the next one.
pub(super) struct Page<E> {
    headers: HeaderMap,
    pub(super) elements: Vec<E>,
}

impl<E> Page<E> {
    /// The page as it is answered.
    pub(super) fn show<T>(self, show: impl Fn(E) -> T) -> Listed<T> {
        (self.headers, Json(self.elements.into_iter().map(show).collect()))
    }
}

/// The query of a request, and what is needed to make the link to the next page.
pub(super) struct Asked<T> {
    pub(super) query: T,
    path: String,
    text: String,
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|error| ApiError::InvalidQuery(error.body_text()))?;
        Ok(Self {
            query,
            path: parts.uri.path().to_owned(),
            text: parts.uri.query().unwrap_or_default().to_owned(),
        })
    }
}

impl<T> Asked<T> {
    /// The first `limit` of `elements`, of which there may be more.
    pub(super) fn page<E>(
        &self,
        mut elements: impl Iterator<Item = E>,
        limit: usize,
        key: impl Fn(&E) -> String,
    ) -> Page<E> {
        let page: Vec<E> = elements.by_ref().take(limit).collect();
        let next = elements.next().and(page.last()).map(key);
        Page {
            headers: self.headers(next.as_deref()),
            elements: page,
        }
    }

    /// The headers of a page behind which there is another one, whose key is `next`.
    pub(super) fn headers(&self, next: Option<&str>) -> HeaderMap {
        let Some(key) = next else {
            return HeaderMap::new();
        };
        let link = link(&self.path, &self.text, key);
        [("x-soracom-next-key", key), ("link", &link)]
            .into_iter()
            .filter_map(|(name, value)| {
                Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
            })
            .collect()
    }
}

/// Where a page begins, and how long it is.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Elements of the page; more than 1000 count as 1000.
    #[param(value_type = Option<u32>, minimum = 1)]
    limit: Option<String>,
    /// Header `x-soracom-next-key` of the page before.
    last_evaluated_key: Option<String>,
}

impl PageQuery {
    /// Elements of the page: what is asked for within [`MOST`], else `usual`.
    pub(super) fn limit(&self, usual: usize) -> Result<usize, ApiError> {
        let Some(text) = non_empty(self.limit.as_deref()) else {
            return Ok(usual);
        };
        let is_number = text.bytes().all(|b| b.is_ascii_digit()) && text.bytes().any(|b| b != b'0');
        if is_number {
            // One that is too long for a number is more than enough.
            Ok(text.parse().map_or(MOST, |limit: usize| limit.min(MOST)))
        } else {
            Err(ApiError::not_allowed("limit", text, "a whole number above 0"))
        }
    }

    /// The key of the last element of the page before.
    pub(super) fn last<K: std::str::FromStr<Err: ToString>>(&self) -> Result<Option<K>, ApiError> {
        let parse = |text: &str| {
            text.parse().map_err(|error: K::Err| {
                ApiError::InvalidQuery(format!("last_evaluated_key: {}", error.to_string()))
            })
        };
        non_empty(self.last_evaluated_key.as_deref())
            .map(parse)
            .transpose()
    }
}

/// A filter by one tag.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TagQuery {
    /// Needs `tag_value`.
    tag_name: Option<String>,
    /// Needs `tag_name`.
    tag_value: Option<String>,
    /// `exact` is usual.
    #[param(value_type = Option<MatchMode>, inline)]
    tag_value_match_mode: Option<String>,
}

/// How `tag_value` is compared.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used; an empty value counts as none")]
enum MatchMode {
    Exact,
    Prefix,
}

impl TagQuery {
    /// Whether tags are what is asked for.
    pub(super) fn filter(&self) -> Result<impl Fn(&Tags) -> bool, ApiError> {
        let prefix = match non_empty(self.tag_value_match_mode.as_deref()) {
            None | Some("exact") => false,
            Some("prefix") => true,
            Some(other) => {
                let allowed = "\"exact\" or \"prefix\"";
                return Err(ApiError::not_allowed("tag_value_match_mode", other, allowed));
            }
        };
        let needs = |one: &str, other: &str| Err(ApiError::InvalidQuery(format!("{one} needs {other}")));
        let tag = match (non_empty(self.tag_name.as_deref()), self.tag_value.as_deref()) {
            (None, None | Some("")) => None,
            (Some(name), Some(value)) => Some((name.to_owned(), value.to_owned())),
            (Some(_), None) => return needs("tag_name", "tag_value"),
            (None, Some(_)) => return needs("tag_value", "tag_name"),
        };
        Ok(move |tags: &Tags| {
            let Some((name, wanted)) = &tag else { return true };
            let value = tags.get(name);
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
pub(super) fn non_empty(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// The `link` header of the next page: the same query with another key.
fn link(path: &str, query: &str, next_key: &str) -> String {
    let kept = query
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("last_evaluated_key="));
    let key = format!("last_evaluated_key={next_key}");
    let query: Vec<&str> = kept.chain([key.as_str()]).collect();
    format!("<{path}?{}>; rel=next", query.join("&"))
}
