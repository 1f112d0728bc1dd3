//! SIMs, and the same as subscribers.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use super::auth::Caller;
use super::body::{self, Input, Tag};
use super::changes::change;
use super::identity::{ByImsi, BySimId, Identity};
use super::paging::{Asked, Listed, PageQuery, TagQuery, USUAL, non_empty};
use super::segments::Segments;
use super::sim_body::{self, Group, Modem, NewSim};
use super::{ApiError, ApiState, query, session_events};
use crate::relay::Administrative;
use crate::sim::{Sim, SimStatus};
use crate::store::{Change, SimChange};

pub(super) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/v1/sims", get(list::<BySimId>).post(create))
        .route("/v1/subscribers", get(list::<ByImsi>))
        .route("/v1/query/sims", get(query::search::<BySimId>))
        .route("/v1/query/subscribers", get(query::search::<ByImsi>))
        .route("/v1/sims/{id}/register", post(register_sim))
        .route("/v1/subscribers/{id}/register", post(register_subscriber))
        .merge(twins::<BySimId>())
        .merge(twins::<ByImsi>())
}

/// What is there for a SIM by either of its names.
fn twins<I: Identity>() -> Router<ApiState> {
    let at = |rest: &str| format!("{}/{{id}}{rest}", I::ROOT);
    Router::new()
        .route(&at(""), get(get_one::<I>).delete(delete_one::<I>))
        .route(&at("/set_group"), post(set_group::<I>))
        .route(&at("/unset_group"), post(unset_group::<I>))
        .route(&at("/activate"), post(activate::<I>))
        .route(&at("/deactivate"), post(deactivate::<I>))
        .route(&at("/suspend"), post(suspend::<I>))
        .route(&at("/terminate"), post(terminate::<I>))
        .route(&at("/enable_termination"), post(enable_termination::<I>))
        .route(&at("/delete_session"), post(delete_session::<I>))
        .route(&at("/events/sessions"), get(session_events::list::<I>))
        .route(&at("/tags"), put(put_tags::<I>))
        // A wildcard, as people and scripts send names with their slashes unencoded.
        .route(&at("/tags/{*tag_name}"), delete(delete_tag::<I>))
        // Our own.
        .route(&at("/addresses"), put(put_addresses::<I>))
        .route(&at("/imei"), put(put_imei::<I>))
}

/// Filters of `GET /v1/subscribers`; several values are separated by `|`.
#[derive(Deserialize)]
struct Filters {
    status_filter: Option<String>,
    speed_class_filter: Option<String>,
    serial_number_filter: Option<String>,
}

impl Filters {
    fn matches(&self, sim: &Sim) -> bool {
        let status = non_empty(self.status_filter.as_deref());
        let status = status.is_none_or(|text| text.split('|').any(|status| status == sim.status.as_str()));
        // No SIM has either here.
        let others = [&self.speed_class_filter, &self.serial_number_filter];
        status && others.iter().all(|filter| non_empty(filter.as_deref()).is_none())
    }
}

/// `GET /v1/sims`, `GET /v1/subscribers`
async fn list<I: Identity>(
    State(state): State<ApiState>,
    asked: Asked<PageQuery>,
    tags: Asked<TagQuery>,
    filters: Asked<Filters>,
) -> Result<Listed, ApiError> {
    let (limit, last) = (asked.query.limit(USUAL)?, asked.query.last::<I::Key>()?);
    let matches = tags.query.filter()?;
    let snapshot = state.store.snapshot();
    let sims =
        I::behind(&snapshot, last.as_ref()).filter(|sim| matches(&sim.tags) && filters.query.matches(sim));
    let sessions = state.registry.sessions();
    Ok(asked.page(sims, limit, |sim| I::key(sim), |sim| I::show(sim, sessions)))
}

/// `POST /v1/sims`
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Input(new): Input<NewSim>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    make::<BySimId>(&state, caller, new).await
}

/// `POST /v1/sims/{sim_id}/register`
async fn register_sim(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(mut new): Input<NewSim>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    new.sim_id = Some(id);
    make::<BySimId>(&state, caller, new).await
}

/// `POST /v1/subscribers/{imsi}/register`
async fn register_subscriber(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(mut new): Input<NewSim>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    new.imsi = Some(id);
    make::<ByImsi>(&state, caller, new).await
}

async fn make<I: Identity>(
    state: &ApiState,
    caller: Caller,
    new: NewSim,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let (id, create) = new.change(&state.store.snapshot())?;
    let changed = change(state, caller, Change::Sim(id.clone(), create)).await?;
    let sim = changed.snapshot.sim(&id).cloned();
    let sim = sim.ok_or_else(|| ApiError::NoSuchSim(id.to_string()))?;
    Ok((
        StatusCode::CREATED,
        Json(I::show(&sim, state.registry.sessions())),
    ))
}

/// `GET /v1/sims/{sim_id}`
async fn get_one<I: Identity>(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<Value>, ApiError> {
    let sim = I::find(&state.store.snapshot(), &id)?;
    Ok(Json(I::show(&sim, state.registry.sessions())))
}

/// `DELETE /v1/sims/{sim_id}`: our own. Its connections are closed.
async fn delete_one<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let sim = I::find(&state.store.snapshot(), &id)?;
    change(&state, caller, Change::Sim(sim.sim_id.clone(), SimChange::Delete)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the change and shows the SIM as it is then.
async fn change_sim<I: Identity>(
    state: &ApiState,
    caller: Caller,
    id: &str,
    what: SimChange,
) -> Result<Json<Value>, ApiError> {
    let sim_id = I::find(&state.store.snapshot(), id)?.sim_id.clone();
    let changed = change(state, caller, Change::Sim(sim_id, what)).await?;
    let sim = I::find(&changed.snapshot, id)?;
    Ok(Json(I::show(&sim, state.registry.sessions())))
}

/// `POST …/set_group`: connections are closed, and follow the new group's configuration when they come back.
async fn set_group<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(group): Input<Group>,
) -> Result<Json<Value>, ApiError> {
    change_sim::<I>(&state, caller, &id, group.change()?).await
}

/// Calls without a body, that only say what the SIM is to be.
macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident: $change:expr;)*) => {$(
        $(#[$doc])*
        async fn $name<I: Identity>(
            State(state): State<ApiState>,
            caller: Caller,
            Segments(id): Segments<String>,
        ) -> Result<Json<Value>, ApiError> {
            change_sim::<I>(&state, caller, &id, $change).await
        }
    )*};
}

plain! {
    /// `POST …/unset_group`
    unset_group: SimChange::SetGroup(None);
    /// `POST …/activate`
    activate: SimChange::SetStatus(SimStatus::Active);
    /// `POST …/deactivate`: connections are closed and new ones refused.
    deactivate: SimChange::SetStatus(SimStatus::Inactive);
    /// `POST …/suspend`: as `deactivate`.
    suspend: SimChange::SetStatus(SimStatus::Suspended);
    /// `POST …/terminate`: as `deactivate`, for good.
    terminate: SimChange::SetStatus(SimStatus::Terminated);
}

/// `POST …/enable_termination`: SIMs have no protection against it here, so nothing changes.
async fn enable_termination<I: Identity>(
    state: State<ApiState>,
    id: Segments<String>,
) -> Result<Json<Value>, ApiError> {
    get_one::<I>(state, id).await
}

/// `POST …/delete_session`: closes the SIM's connections now.
async fn delete_session<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Json<Value>, ApiError> {
    let sim = I::find(&state.store.snapshot(), &id)?;
    let of_sim = |connection: &crate::relay::Connection| connection.admission.sim.imsi == sim.imsi;
    let connections = state.registry.close(of_sim, Administrative::ByAdministrator);
    if connections == 0 {
        return Err(ApiError::Offline);
    }
    tracing::info!(who = "token", from = %caller, imsi = %sim.imsi, connections, "session deleted");
    Ok(Json(I::show(&sim, state.registry.sessions())))
}

/// `PUT …/tags`
async fn put_tags<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(tags): Input<Vec<Tag>>,
) -> Result<Json<Value>, ApiError> {
    change_sim::<I>(&state, caller, &id, SimChange::PutTags(body::tags(tags))).await
}

/// `DELETE …/tags/{tag_name}`
async fn delete_tag<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((id, tag)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let _ = change_sim::<I>(&state, caller, &id, SimChange::DeleteTag(tag)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT …/addresses`: our own. All source addresses of the SIM; connections from others are closed.
async fn put_addresses<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(list): Input<Vec<String>>,
) -> Result<Json<Value>, ApiError> {
    let addresses = sim_body::addresses(&list)?;
    change_sim::<I>(&state, caller, &id, SimChange::SetAddresses(addresses)).await
}

/// `PUT …/imei`: our own. Open connections keep the one they began with.
async fn put_imei<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(modem): Input<Modem>,
) -> Result<Json<Value>, ApiError> {
    change_sim::<I>(&state, caller, &id, modem.change()?).await
}
