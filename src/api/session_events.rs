//! When a SIM came online and went.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::Refusal;
use super::identity::Identity;
use super::paging::{Asked, Listed, PageQuery, USUAL};
use super::segments::Segments;
use super::{ApiError, ApiState, times};
use crate::sessions::Past;
use crate::sim::Imsi;

/// Milliseconds since 1970, both inclusive.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Between {
    #[param(value_type = Option<i64>, minimum = 0)]
    from: Option<String>,
    #[param(value_type = Option<i64>, minimum = 0)]
    to: Option<String>,
}

/// When the SIM came online and went in the last 32 days, the newest first.
#[utoipa::path(
    get,
    path = "/v1/sims/{sim_id}/events/sessions",
    tag = "sims",
    params(Between, PageQuery),
    responses((status = 200, body = Vec<SessionEvent>), (status = 404, body = Refusal))
)]
pub(super) async fn list<I: Identity>(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    asked: Asked<PageQuery>,
    Asked { query: between, .. }: Asked<Between>,
) -> Result<Listed<SessionEvent>, ApiError> {
    let (limit, last) = (asked.query.limit(USUAL)?, asked.query.last::<i64>()?);
    let from = times::millis("from", between.from.as_deref())?.unwrap_or(0);
    let to = times::millis("to", between.to.as_deref())?.unwrap_or(i64::MAX);
    let imsi = I::find(&state.store.snapshot(), &id)?.imsi.clone();
    // One more tells whether there is a next page.
    let events = state.history.page(&imsi, (from, to), last, limit + 1).await?;
    let page = asked.page(events.into_iter(), limit, |event| event.time.to_string());
    let operator = state.auth.operator().id();
    Ok(page.show(|event| SessionEvent::of(operator, &imsi, event)))
}

/// Something that happened to a session. `clientId` is this server's own addition.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionEvent {
    /// `Created`, `Modified` or `Deleted`.
    event: String,
    /// Milliseconds since 1970.
    time: i64,
    /// When the session began: milliseconds since 1970, as SORACOM writes them here.
    created_time: String,
    imsi: String,
    imei: Option<String>,
    sim_id: String,
    session_id: String,
    operator_id: String,
    ue_ip_address: String,
    client_id: String,
}

impl SessionEvent {
    fn of(operator: &str, imsi: &Imsi, event: Past) -> Self {
        Self {
            event: event.event,
            time: event.time,
            created_time: event.created_time.to_string(),
            imsi: imsi.to_string(),
            imei: event.imei,
            sim_id: event.sim_id,
            session_id: event.session_id,
            operator_id: operator.to_owned(),
            ue_ip_address: event.address,
            client_id: event.client_id,
        }
    }
}
