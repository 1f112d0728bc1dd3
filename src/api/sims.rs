//! SIMs, and the same as subscribers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::body::{self, Input, OptionalInput, Tag};
use super::changes::change;
use super::error::Refusal;
use super::identity::{ByImsi, BySimId, Identity};
use super::paging::{Asked, Listed, PageQuery, TagQuery, USUAL, non_empty};
use super::segments::Segments;
use super::shapes::{Sim, Subscriber};
use super::sim_answer::{show, show_page};
use super::sim_body::{self, GroupOfSim, Lock, Modem, NewSim};
use super::twin::twin;
use super::{ApiError, ApiState, audit, query, session_events};
use crate::relay::Administrative;
use crate::sim::{self, SimStatus, SpeedClass};
use crate::store::{Change, SimChange, SimEdit};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(register_sim))
        .routes(routes!(register_subscriber))
        .merge(twins::<BySimId>())
        .merge(twins::<ByImsi>())
}

/// What is there for a SIM by either of its names.
fn twins<I: Identity>() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(twin!(I, self: list))
        .routes(twin!(I, query: search))
        .routes(twin!(I, self: get_one, delete_one))
        .routes(twin!(I, self: set_group))
        .routes(twin!(I, self: unset_group))
        .routes(twin!(I, self: activate))
        .routes(twin!(I, self: deactivate))
        .routes(twin!(I, self: suspend))
        .routes(twin!(I, self: terminate))
        .routes(twin!(I, self: enable_termination))
        .routes(twin!(I, self: delete_session))
        .routes(twin!(I, session_events: list))
        .routes(twin!(I, self: put_tags))
        .routes(twin!(I, self: delete_tag))
        .routes(twin!(I, self: put_addresses))
        .routes(twin!(I, self: put_imei))
        .routes(twin!(I, self: set_imei_lock))
        .routes(twin!(I, self: unset_imei_lock))
}

/// Filters of `GET /v1/subscribers`; several values are separated by `|`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filters {
    status_filter: Option<String>,
    speed_class_filter: Option<String>,
    /// No SIM has a serial number here, so nothing matches one.
    serial_number_filter: Option<String>,
}

/// Statuses that only SORACOM has.
const OTHER_STATUSES: [&str; 2] = ["instock", "shipped"];

impl Filters {
    fn check(&self) -> Result<(), ApiError> {
        let known = SimStatus::ALL.map(SimStatus::as_str);
        let known: Vec<&str> = known.into_iter().chain(OTHER_STATUSES).collect();
        let mut statuses = non_empty(self.status_filter.as_deref())
            .into_iter()
            .flat_map(|text| text.split('|'));
        match statuses.find(|status| !known.contains(status)) {
            Some(other) => {
                let allowed = format!("one of {}, where several have | between them", known.join(", "));
                Err(ApiError::not_allowed("status_filter", other, &allowed))
            }
            None => Ok(()),
        }
    }

    fn matches(&self, sim: &sim::Sim) -> bool {
        let status = non_empty(self.status_filter.as_deref());
        let status = status.is_none_or(|text| text.split('|').any(|status| status == sim.status.as_str()));
        let class = sim.kind.speed_class.as_ref().map(SpeedClass::as_str);
        let speed_class = non_empty(self.speed_class_filter.as_deref());
        let speed_class = speed_class.is_none_or(|text| text.split('|').any(|wanted| class == Some(wanted)));
        // No SIM has a serial number here.
        status && speed_class && non_empty(self.serial_number_filter.as_deref()).is_none()
    }
}

/// SIMs in the order of the ids that the path names.
#[utoipa::path(get, path = "/v1/sims", tag = "sims", params(PageQuery, TagQuery, Filters), responses((status = 200, body = Vec<Sim>)))]
async fn list<I: Identity>(
    State(state): State<ApiState>,
    asked: Asked<PageQuery>,
    tags: Asked<TagQuery>,
    filters: Asked<Filters>,
) -> Result<Listed<I::Shape>, ApiError> {
    let (limit, last) = (asked.query.limit(USUAL)?, asked.query.last::<I::Key>()?);
    let matches = tags.query.filter()?;
    filters.query.check()?;
    let snapshot = state.store.snapshot();
    let sims =
        I::behind(&snapshot, last.as_ref()).filter(|sim| matches(&sim.tags) && filters.query.matches(sim));
    show_page::<I>(&state, asked.page(sims, limit, |sim| I::key(sim))).await
}

/// A new SIM. Numbers that are not given are chosen from those that no network uses.
#[utoipa::path(post, path = "/v1/sims", tag = "sims", request_body = NewSim, responses((status = 201, body = Sim)))]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Input(new): Input<NewSim>,
) -> Result<(StatusCode, Json<Sim>), ApiError> {
    make::<BySimId>(&state, caller, new).await
}

/// A new SIM with the id of the path.
#[utoipa::path(post, path = "/v1/sims/{sim_id}/register", tag = "sims", request_body = NewSim, responses((status = 201, body = Sim)))]
async fn register_sim(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(mut new): Input<NewSim>,
) -> Result<(StatusCode, Json<Sim>), ApiError> {
    new.sim_id = Some(id);
    make::<BySimId>(&state, caller, new).await
}

/// A new SIM with the IMSI of the path.
#[utoipa::path(post, path = "/v1/subscribers/{imsi}/register", tag = "sims", request_body = NewSim, responses((status = 201, body = Subscriber)))]
async fn register_subscriber(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(mut new): Input<NewSim>,
) -> Result<(StatusCode, Json<Subscriber>), ApiError> {
    new.imsi = Some(id);
    make::<ByImsi>(&state, caller, new).await
}

async fn make<I: Identity>(
    state: &ApiState,
    caller: Caller,
    new: NewSim,
) -> Result<(StatusCode, Json<I::Shape>), ApiError> {
    let (id, create) = new.change(&state.store.snapshot())?;
    let changed = change(state, caller, Change::Sim(id.clone(), create)).await?;
    let sim = changed.snapshot.sim(&id).cloned();
    let sim = sim.ok_or_else(|| ApiError::NoSuchSim(id.to_string()))?;
    Ok((StatusCode::CREATED, show::<I>(state, &sim).await))
}

/// One SIM.
#[utoipa::path(get, path = "/v1/sims/{sim_id}", tag = "sims", responses((status = 200, body = Sim), (status = 404, body = Refusal)))]
async fn get_one<I: Identity>(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<I::Shape>, ApiError> {
    let sim = I::find(&state.store.snapshot(), &id)?;
    Ok(show::<I>(&state, &sim).await)
}

/// This server's own: the SIM goes, and its connections are closed.
#[utoipa::path(delete, path = "/v1/sims/{sim_id}", tag = "sims", responses((status = 204), (status = 404, body = Refusal)))]
async fn delete_one<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let sim = I::find(&state.store.snapshot(), &id)?;
    change(&state, caller, Change::Sim(sim.sim_id.clone(), SimChange::Delete)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the edit and shows the SIM as it is then.
async fn change_sim<I: Identity>(
    state: &ApiState,
    caller: Caller,
    id: &str,
    edit: SimEdit,
) -> Result<Json<I::Shape>, ApiError> {
    let sim_id = I::find(&state.store.snapshot(), id)?.sim_id.clone();
    let changed = change(state, caller, Change::Sim(sim_id, SimChange::Edit(edit))).await?;
    let sim = I::find(&changed.snapshot, id)?;
    Ok(show::<I>(state, &sim).await)
}

/// Connections are closed, and follow the configuration of the new group when they come back.
#[utoipa::path(post, path = "/v1/sims/{sim_id}/set_group", tag = "sims", request_body = GroupOfSim, responses((status = 200, body = Sim), (status = 404, body = Refusal)))]
async fn set_group<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(group): Input<GroupOfSim>,
) -> Result<Json<I::Shape>, ApiError> {
    change_sim::<I>(&state, caller, &id, group.edit()?).await
}

/// The SIM may be used in no other modem; without an IMEI, in no other than now. Open connections stay.
#[utoipa::path(
    post,
    path = "/v1/sims/{sim_id}/set_imei_lock",
    tag = "sims",
    request_body = Option<Lock>,
    responses((status = 200, body = Sim), (status = 404, body = Refusal))
)]
async fn set_imei_lock<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    OptionalInput(lock): OptionalInput<Lock>,
) -> Result<Json<I::Shape>, ApiError> {
    let sim = I::find(&state.store.snapshot(), &id)?;
    let session = state.registry.sessions().of(&sim.imsi);
    let edit = lock.edit(session.and_then(|session| session.sim.imei.clone()))?;
    change_sim::<I>(&state, caller, &id, edit).await
}

/// Calls without a body, that only say what the SIM is to be.
macro_rules! plain {
    ($($(#[$doc:meta])* $path:literal $name:ident: $edit:expr;)*) => {$(
        $(#[$doc])*
        #[utoipa::path(
            post,
            path = $path,
            tag = "sims",
            responses((status = 200, body = Sim), (status = 404, body = Refusal))
        )]
        async fn $name<I: Identity>(
            State(state): State<ApiState>,
            caller: Caller,
            Segments(id): Segments<String>,
        ) -> Result<Json<I::Shape>, ApiError> {
            change_sim::<I>(&state, caller, &id, $edit).await
        }
    )*};
}

plain! {
    /// The SIM is in no group, and can connect nowhere.
    "/v1/sims/{sim_id}/unset_group" unset_group: SimEdit::SetGroup(None);
    /// The SIM may connect.
    "/v1/sims/{sim_id}/activate" activate: SimEdit::SetStatus(SimStatus::Active);
    /// Connections are closed and new ones refused.
    "/v1/sims/{sim_id}/deactivate" deactivate: SimEdit::SetStatus(SimStatus::Inactive);
    /// As `deactivate`.
    "/v1/sims/{sim_id}/suspend" suspend: SimEdit::SetStatus(SimStatus::Suspended);
    /// The SIM may be used in any modem.
    "/v1/sims/{sim_id}/unset_imei_lock" unset_imei_lock: SimEdit::SetImeiLock(None);
    /// As `deactivate`, for good.
    "/v1/sims/{sim_id}/terminate" terminate: SimEdit::SetStatus(SimStatus::Terminated);
}

/// SIMs have no protection against termination here, so nothing changes.
#[utoipa::path(post, path = "/v1/sims/{sim_id}/enable_termination", tag = "sims", responses((status = 200, body = Sim), (status = 404, body = Refusal)))]
async fn enable_termination<I: Identity>(
    state: State<ApiState>,
    id: Segments<String>,
) -> Result<Json<I::Shape>, ApiError> {
    get_one::<I>(state, id).await
}

/// Closes the connections of the SIM now. Code SEM0016 if it has none.
#[utoipa::path(post, path = "/v1/sims/{sim_id}/delete_session", tag = "sims", responses((status = 200, body = Sim), (status = 404, body = Refusal)))]
async fn delete_session<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Json<I::Shape>, ApiError> {
    let sim = I::find(&state.store.snapshot(), &id)?;
    let of_sim = |connection: &crate::relay::Connection| connection.admission.sim.imsi == sim.imsi;
    let connections = state.registry.close(of_sim, Administrative::ByAdministrator);
    if connections == 0 {
        return Err(ApiError::Offline);
    }
    audit::done(
        &caller,
        "session deleted",
        &format_args!("SIM {}: close {connections}", sim.sim_id),
    );
    Ok(show::<I>(&state, &sim).await)
}

/// Tags get new values; others stay.
#[utoipa::path(put, path = "/v1/sims/{sim_id}/tags", tag = "sims", request_body = Vec<Tag>, responses((status = 200, body = Sim), (status = 404, body = Refusal)))]
async fn put_tags<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(tags): Input<Vec<Tag>>,
) -> Result<Json<I::Shape>, ApiError> {
    change_sim::<I>(&state, caller, &id, SimEdit::PutTags(body::tags(tags))).await
}

/// One tag goes.
#[utoipa::path(delete, path = "/v1/sims/{sim_id}/tags/{*tag_name}", tag = "sims", responses((status = 204), (status = 404, body = Refusal)))]
async fn delete_tag<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((id, tag)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let Json(_) = change_sim::<I>(&state, caller, &id, SimEdit::DeleteTag(tag)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// This server's own: all source addresses of the SIM; connections from others are closed.
#[utoipa::path(put, path = "/v1/sims/{sim_id}/addresses", tag = "sims", request_body = Vec<String>, responses((status = 200, body = Sim), (status = 404, body = Refusal)))]
async fn put_addresses<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(list): Input<Vec<String>>,
) -> Result<Json<I::Shape>, ApiError> {
    let addresses = sim_body::addresses(&list)?;
    change_sim::<I>(&state, caller, &id, SimEdit::SetAddresses(addresses)).await
}

/// This server's own: the modem that the SIM sits in; null forgets it. Open connections keep the one they began with.
#[utoipa::path(put, path = "/v1/sims/{sim_id}/imei", tag = "sims", request_body = Modem, responses((status = 200, body = Sim), (status = 404, body = Refusal)))]
async fn put_imei<I: Identity>(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    Input(modem): Input<Modem>,
) -> Result<Json<I::Shape>, ApiError> {
    change_sim::<I>(&state, caller, &id, modem.edit()?).await
}
