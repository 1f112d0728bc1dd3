//! When a SIM came online and went.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::identity::Identity;
use super::paging::{Asked, Listed, PageQuery, USUAL, non_empty};
use super::segments::Segments;
use super::{ApiError, ApiState};
use crate::sessions::Past;
use crate::sim::Imsi;

/// Milliseconds since 1970, both inclusive.
#[derive(Deserialize)]
pub(super) struct Between {
    from: Option<String>,
    to: Option<String>,
}

fn time(name: &str, text: Option<&str>) -> Result<Option<i64>, ApiError> {
    let parse = |text: &str| {
        let message = format!("{name}: {text:?} is not a time in milliseconds since 1970");
        text.parse().map_err(|_| ApiError::InvalidQuery(message))
    };
    non_empty(text).map(parse).transpose()
}

/// `GET …/events/sessions`, the newest first.
pub(super) async fn list<I: Identity>(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    asked: Asked<PageQuery>,
    Asked { query: between, .. }: Asked<Between>,
) -> Result<Listed, ApiError> {
    let (limit, last) = (asked.query.limit(USUAL)?, asked.query.last::<i64>()?);
    let from = time("from", between.from.as_deref())?.unwrap_or(0);
    let to = time("to", between.to.as_deref())?.unwrap_or(i64::MAX);
    let imsi = I::find(&state.store.snapshot(), &id)?.imsi.clone();
    // One more tells whether there is a next page.
    let events = state.history.page(&imsi, (from, to), last, limit + 1).await?;
    let (headers, Json(events)) = asked.page(
        events.into_iter(),
        limit,
        |event| event.time.to_string(),
        |event| shape(state.auth.operator().id(), &imsi, &event),
    );
    Ok((headers, Json(events)))
}

/// SORACOM's shape; the client id is our own addition.
fn shape(operator: &str, imsi: &Imsi, event: &Past) -> Value {
    json!({
        "event": event.event,
        "time": event.time,
        "createdTime": event.created_time.to_string(),
        "imsi": imsi.as_str(),
        "imei": event.imei,
        "simId": event.sim_id,
        "sessionId": event.session_id,
        "operatorId": operator,
        "ueIpAddress": event.address,
        "clientId": event.client_id,
    })
}
