//! Groups, their configuration and their tags.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::body::{self, AnyObject, Form, Input, Parameter, Tag};
use super::changes::change;
use super::error::Refusal;
use super::paging::{Asked, Listed, PageQuery, TagQuery, USUAL};
use super::previous::Previous;
use super::segments::Segments;
use super::shapes::{Group, Sim};
use super::tag_set::TagSet;
use super::{ApiError, ApiState};
use crate::json::strict;
use crate::sim::{GroupId, Imsi};
use crate::store::{Change, Changed, GroupChange, GroupEdit};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get_one, delete_one))
        .routes(routes!(subscribers))
        .routes(routes!(put_tags))
        .routes(routes!(delete_tag))
        .routes(routes!(put_configuration, delete_namespace))
        .routes(routes!(delete_key))
}

/// Body of `POST /v1/groups`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    #[serde(default)]
    tags: TagSet,
    /// Namespace to key to value, checked as in a PUT.
    #[serde(default, deserialize_with = "strict::object_or_null")]
    #[schema(value_type = Option<BTreeMap<String, BTreeMap<String, Value>>>)]
    configuration: Map<String, Value>,
}

impl Form for NewGroup {
    type Outline = AnyObject;
    const FORM: &'static str = "{\"configuration\": {namespace: {key: any}}, \"tags\": {name: string}}";
}

/// Groups in the order of their ids.
#[utoipa::path(get, path = "/v1/groups", tag = "groups", params(PageQuery, TagQuery), responses((status = 200, body = Vec<Group>)))]
async fn list(
    State(state): State<ApiState>,
    asked: Asked<PageQuery>,
    tags: Asked<TagQuery>,
) -> Result<Listed<Group>, ApiError> {
    let (limit, last) = (asked.query.limit(USUAL)?, asked.query.last::<GroupId>()?);
    let matches = tags.query.filter()?;
    let snapshot = state.store.snapshot();
    let groups = snapshot
        .groups_behind(last.as_ref())
        .filter(|group| matches(&group.tags));
    let page = asked.page(groups, limit, |group| group.group_id.to_string());
    Ok(page.show(|group| Group::of(&state, group)))
}

/// A new group, with an id of its own.
#[utoipa::path(post, path = "/v1/groups", tag = "groups", request_body = NewGroup, responses((status = 201, body = Group)))]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Input(new): Input<NewGroup>,
) -> Result<(StatusCode, Json<Group>), ApiError> {
    let id = uuid::Uuid::new_v4().to_string();
    let create = GroupChange::Create {
        tags: new.tags.0,
        configuration: new.configuration,
    };
    let created = change_group(&state, caller, id, create).await?;
    Ok((StatusCode::CREATED, created))
}

/// One group.
#[utoipa::path(get, path = "/v1/groups/{group_id}", tag = "groups", responses((status = 200, body = Group), (status = 404, body = Refusal)))]
async fn get_one(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<Group>, ApiError> {
    let snapshot = state.store.snapshot();
    let group = snapshot.group(&known(&id)?);
    group
        .map(|group| Json(Group::of(&state, group)))
        .ok_or(ApiError::NoSuchGroup(id))
}

/// The group goes, if no SIM is in it.
#[utoipa::path(delete, path = "/v1/groups/{group_id}", tag = "groups", responses((status = 204), (status = 404, body = Refusal)))]
async fn delete_one(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<StatusCode, ApiError> {
    remove(&state, caller, &id, GroupChange::Delete).await
}

/// The SIMs of a group in the order of their IMSIs.
#[utoipa::path(get, path = "/v1/groups/{group_id}/subscribers", tag = "groups", params(PageQuery), responses((status = 200, body = Vec<Sim>), (status = 404, body = Refusal)))]
async fn subscribers(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    asked: Asked<PageQuery>,
) -> Result<Listed<Sim>, ApiError> {
    let (limit, last) = (asked.query.limit(USUAL)?, asked.query.last::<Imsi>()?);
    let snapshot = state.store.snapshot();
    let group = known(&id)?;
    if snapshot.group(&group).is_none() {
        return Err(ApiError::NoSuchGroup(id));
    }
    let sims = snapshot
        .subscribers_behind(last.as_ref())
        .filter(|sim| sim.group_id.as_ref() == Some(&group));
    let page = asked.page(sims, limit, |sim| sim.imsi.to_string());
    let previous = Previous::of(&state, &page.elements).await;
    Ok(page.show(|sim| Sim::of(&state, sim, previous.session(sim))))
}

/// Tags get new values; others stay.
#[utoipa::path(put, path = "/v1/groups/{group_id}/tags", tag = "groups", request_body = Vec<Tag>, responses((status = 200, body = Group), (status = 404, body = Refusal)))]
async fn put_tags(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(tags): Input<Vec<Tag>>,
) -> Result<Json<Group>, ApiError> {
    change_group(&state, caller, id, GroupEdit::PutTags(body::tags(tags))).await
}

/// One tag goes.
#[utoipa::path(delete, path = "/v1/groups/{group_id}/tags/{*tag_name}", tag = "groups", responses((status = 204), (status = 404, body = Refusal)))]
async fn delete_tag(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((id, tag)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    remove(&state, caller, &id, GroupEdit::DeleteTag(tag)).await
}

/// Each key gets its value whole; keys that are not named stay.
#[utoipa::path(put, path = "/v1/groups/{group_id}/configuration/{namespace}", tag = "groups", request_body = Vec<Parameter>, responses((status = 200, body = Group), (status = 404, body = Refusal)))]
async fn put_configuration(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((id, namespace)): Segments<(String, String)>,
    Input(parameters): Input<Vec<Parameter>>,
) -> Result<Json<Group>, ApiError> {
    let entries = parameters
        .into_iter()
        .map(|parameter| (parameter.key, parameter.value))
        .collect();
    change_group(&state, caller, id, GroupEdit::Put { namespace, entries }).await
}

/// A namespace goes with all its keys.
#[utoipa::path(delete, path = "/v1/groups/{group_id}/configuration/{namespace}", tag = "groups", responses((status = 204), (status = 404, body = Refusal)))]
async fn delete_namespace(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((id, namespace)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    remove(&state, caller, &id, GroupEdit::DeleteNamespace { namespace }).await
}

/// One key goes; it may be sent with its slashes unencoded.
#[utoipa::path(delete, path = "/v1/groups/{group_id}/configuration/{namespace}/{*name}", tag = "groups", responses((status = 204), (status = 404, body = Refusal)))]
async fn delete_key(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((id, namespace, key)): Segments<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    remove(&state, caller, &id, GroupEdit::DeleteKey { namespace, key }).await
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
    what: impl Into<GroupChange>,
) -> Result<Json<Group>, ApiError> {
    let group = known(&id)?;
    let Changed { snapshot, .. } = change(state, caller, Change::Group(group.clone(), what.into())).await?;
    let group = snapshot.group(&group).ok_or(ApiError::NoSuchGroup(id))?;
    Ok(Json(Group::of(state, group)))
}

async fn remove(
    state: &ApiState,
    caller: Caller,
    id: &str,
    what: impl Into<GroupChange>,
) -> Result<StatusCode, ApiError> {
    change(state, caller, Change::Group(known(id)?, what.into())).await?;
    Ok(StatusCode::NO_CONTENT)
}
