//! Groups and their configuration.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use serde_json::{Map, Value, json};

use super::auth::Caller;
use super::body::Parameters;
use super::paging::{ListQuery, link};
use super::segments::Segments;
use super::{ApiError, ApiState};
use crate::sim::GroupId;
use crate::store::{Change, Changed, Group};

/// There is one operator here; SORACOM's clients want to see one.
const OPERATOR_ID: &str = "OP0000000000";

/// A group in SORACOM's shape.
fn to_json(group: &Group) -> Value {
    let mut tags = group.tags.clone();
    // "TagSet always contains at least name".
    tags.entry("name".to_owned()).or_default();
    let mut object = json!({
        "groupId": group.group_id.as_str(),
        "operatorId": OPERATOR_ID,
        "configuration": Value::Object(group.configuration.clone()),
        "tags": tags,
    });
    let times = [
        ("createdTime", group.created_time),
        ("lastModifiedTime", group.last_modified_time),
    ];
    let known = times
        .into_iter()
        .filter_map(|(key, time)| Some((key.to_owned(), Value::from(time?))));
    object.as_object_mut().unwrap_or(&mut Map::new()).extend(known);
    object
}

/// `GET /v1/groups`
pub(super) async fn list(
    State(state): State<ApiState>,
    uri: Uri,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<(HeaderMap, Json<Vec<Value>>), ApiError> {
    let Query(query) = query.map_err(|error| ApiError::InvalidQuery(error.body_text()))?;
    let snapshot = state.store.snapshot();
    let page = query.page(snapshot.groups())?;
    let mut headers = HeaderMap::new();
    if let Some(key) = page.next_key {
        let link = link(uri.path(), uri.query().unwrap_or_default(), &key);
        for (name, value) in [("x-soracom-next-key", key), ("link", link)] {
            headers.extend(
                HeaderValue::from_str(&value)
                    .ok()
                    .map(|value| (HeaderName::from_static(name), value)),
            );
        }
    }
    Ok((
        headers,
        Json(page.groups.into_iter().map(|group| to_json(group)).collect()),
    ))
}

/// `GET /v1/groups/{group_id}`
pub(super) async fn get(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<Value>, ApiError> {
    let snapshot = state.store.snapshot();
    let group = GroupId::new(&id).ok().and_then(|id| snapshot.group(&id));
    group
        .map(|group| Json(to_json(group)))
        .ok_or(ApiError::NoSuchGroup(id))
}

/// `PUT /v1/groups/{group_id}/configuration/{namespace}`
pub(super) async fn put_configuration(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((group, namespace)): Segments<(String, String)>,
    Parameters(parameters): Parameters,
) -> Result<Json<Value>, ApiError> {
    let entries = parameters
        .into_iter()
        .map(|parameter| (parameter.key, parameter.value))
        .collect();
    let changed = change(&state, &caller, &group, Change::Put { namespace, entries }).await?;
    Ok(Json(to_json(&changed.group)))
}

/// `DELETE /v1/groups/{group_id}/configuration/{namespace}`
pub(super) async fn delete_namespace(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((group, namespace)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    change(&state, &caller, &group, Change::DeleteNamespace { namespace }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/groups/{group_id}/configuration/{namespace}/{name}`
pub(super) async fn delete_key(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((group, namespace, key)): Segments<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    change(&state, &caller, &group, Change::DeleteKey { namespace, key }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the change, and writes who made it into the log. Values stay out of it: they may hold passwords.
async fn change(state: &ApiState, caller: &Caller, group: &str, change: Change) -> Result<Changed, ApiError> {
    let what = describe(&change);
    let changed = state.store.change(group, change).await.inspect_err(|error| {
        tracing::warn!(who = caller.who(), from = %caller, group, what, "change refused: {error}");
    })?;
    tracing::info!(who = caller.who(), from = %caller, group, what, "configuration changed");
    for note in &changed.notes {
        tracing::warn!(group, "{note}");
    }
    Ok(changed)
}

fn describe(change: &Change) -> String {
    match change {
        Change::Put { namespace, entries } => {
            let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
            format!("put {namespace} {keys:?}")
        }
        Change::DeleteKey { namespace, key } => format!("delete {namespace} {key:?}"),
        Change::DeleteNamespace { namespace } => format!("delete {namespace}"),
    }
}
