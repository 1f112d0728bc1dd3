//! Groups, their configuration and their tags.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::auth::Caller;
use super::body::{self, Form, Input, Parameter, Tag};
use super::changes::change;
use super::paging::{Asked, Listed, PageQuery, TagQuery, USUAL};
use super::segments::Segments;
use super::{ApiError, ApiState, shapes};
use crate::sim::{GroupId, Imsi, Tags};
use crate::store::{Change, Changed, GroupChange};

pub(super) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/v1/groups", get(list).post(create))
        .route("/v1/groups/{group_id}", get(get_one).delete(delete_one))
        .route("/v1/groups/{group_id}/subscribers", get(subscribers))
        .route("/v1/groups/{group_id}/tags", put(put_tags))
        // Wildcards, as people and scripts send names with their slashes unencoded.
        .route("/v1/groups/{group_id}/tags/{*tag_name}", delete(delete_tag))
        .route(
            "/v1/groups/{group_id}/configuration/{namespace}",
            put(put_configuration).delete(delete_namespace),
        )
        .route(
            "/v1/groups/{group_id}/configuration/{namespace}/{*name}",
            delete(delete_key),
        )
}

/// Body of `POST /v1/groups`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    configuration: Map<String, Value>,
}

impl Form for NewGroup {
    const FORM: &'static str = "{\"configuration\": {namespace: {key: any}}, \"tags\": {name: string}}";
}

/// `GET /v1/groups`
async fn list(
    State(state): State<ApiState>,
    asked: Asked<PageQuery>,
    tags: Asked<TagQuery>,
) -> Result<Listed, ApiError> {
    let (limit, last) = (asked.query.limit(USUAL)?, asked.query.last::<GroupId>()?);
    let matches = tags.query.filter()?;
    let snapshot = state.store.snapshot();
    let groups = snapshot
        .groups_behind(last.as_ref())
        .filter(|group| matches(&group.tags));
    Ok(asked.page(
        groups,
        limit,
        |group| group.group_id.to_string(),
        |group| shapes::group(&state, group),
    ))
}

/// `POST /v1/groups`
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Input(NewGroup { tags, configuration }): Input<NewGroup>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let id = uuid::Uuid::new_v4().to_string();
    let created = change_group(&state, caller, id, GroupChange::Create { tags, configuration }).await?;
    Ok((StatusCode::CREATED, created))
}

/// `GET /v1/groups/{group_id}`
async fn get_one(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<Value>, ApiError> {
    let snapshot = state.store.snapshot();
    let group = snapshot.group(&known(&id)?);
    group
        .map(|group| Json(shapes::group(&state, group)))
        .ok_or(ApiError::NoSuchGroup(id))
}

/// `DELETE /v1/groups/{group_id}`
async fn delete_one(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<StatusCode, ApiError> {
    remove(&state, caller, &id, GroupChange::Delete).await
}

/// `GET /v1/groups/{group_id}/subscribers`
async fn subscribers(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    asked: Asked<PageQuery>,
) -> Result<Listed, ApiError> {
    let (limit, last) = (asked.query.limit(USUAL)?, asked.query.last::<Imsi>()?);
    let snapshot = state.store.snapshot();
    let group = known(&id)?;
    if snapshot.group(&group).is_none() {
        return Err(ApiError::NoSuchGroup(id));
    }
    let sims = snapshot
        .subscribers_behind(last.as_ref())
        .filter(|sim| sim.group_id.as_ref() == Some(&group));
    Ok(asked.page(
        sims,
        limit,
        |sim| sim.imsi.to_string(),
        |sim| shapes::sim(&state, sim),
    ))
}

/// `PUT /v1/groups/{group_id}/tags`
async fn put_tags(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(tags): Input<Vec<Tag>>,
) -> Result<Json<Value>, ApiError> {
    change_group(&state, caller, id, GroupChange::PutTags(body::tags(tags))).await
}

/// `DELETE /v1/groups/{group_id}/tags/{tag_name}`
async fn delete_tag(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((id, tag)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    remove(&state, caller, &id, GroupChange::DeleteTag(tag)).await
}

/// `PUT /v1/groups/{group_id}/configuration/{namespace}`
async fn put_configuration(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((id, namespace)): Segments<(String, String)>,
    Input(parameters): Input<Vec<Parameter>>,
) -> Result<Json<Value>, ApiError> {
    let entries = parameters
        .into_iter()
        .map(|parameter| (parameter.key, parameter.value))
        .collect();
    change_group(&state, caller, id, GroupChange::Put { namespace, entries }).await
}

/// `DELETE /v1/groups/{group_id}/configuration/{namespace}`
async fn delete_namespace(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((id, namespace)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    remove(&state, caller, &id, GroupChange::DeleteNamespace { namespace }).await
}

/// `DELETE /v1/groups/{group_id}/configuration/{namespace}/{name}`
async fn delete_key(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((id, namespace, key)): Segments<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    remove(&state, caller, &id, GroupChange::DeleteKey { namespace, key }).await
}

/// An id that could be that of a group.
fn known(id: &str) -> Result<GroupId, ApiError> {
    GroupId::new(id).map_err(|_| ApiError::NoSuchGroup(id.to_owned()))
}

/// Makes the change and shows the group as it is then.
async fn change_group(
    state: &ApiState,
    caller: Caller,
    id: String,
    what: GroupChange,
) -> Result<Json<Value>, ApiError> {
    let group = known(&id)?;
    let Changed { snapshot, .. } = change(state, caller, Change::Group(group.clone(), what)).await?;
    let group = snapshot.group(&group).ok_or(ApiError::NoSuchGroup(id))?;
    Ok(Json(shapes::group(state, group)))
}

async fn remove(
    state: &ApiState,
    caller: Caller,
    id: &str,
    what: GroupChange,
) -> Result<StatusCode, ApiError> {
    change(state, caller, Change::Group(known(id)?, what)).await?;
    Ok(StatusCode::NO_CONTENT)
}
