//! Who is connected now. SORACOM has nothing like it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Caller;
use super::paging::{Asked, Listed, PageQuery, USUAL, non_empty};
use super::segments::Segments;
use super::{ApiError, ApiState, shapes};
use crate::relay::{Administrative, Connection, Registry};
use crate::sim::{Imei, Imsi};

pub(super) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/v1/connections", get(list))
        .route("/v1/connections/{id}", get(get_one).delete(close))
}

#[derive(Deserialize)]
struct OfSim {
    imsi: Option<String>,
}

/// `GET /v1/connections`, the oldest first.
async fn list(
    State(state): State<ApiState>,
    asked: Asked<PageQuery>,
    of: Asked<OfSim>,
) -> Result<Listed, ApiError> {
    let (limit, last) = (asked.query.limit(USUAL)?, asked.query.last::<u64>()?);
    let imsi = non_empty(of.query.imsi.as_deref()).map(Imsi::new).transpose();
    let imsi = imsi.map_err(|error| ApiError::InvalidQuery(format!("imsi: {error}")))?;
    let mut found = Vec::new();
    state.registry.for_each(|connection| {
        let wanted = imsi
            .as_ref()
            .is_none_or(|imsi| connection.admission.sim.imsi == *imsi);
        if wanted && last.is_none_or(|last| connection.id > last) {
            found.push(Arc::clone(connection));
        }
    });
    found.sort_unstable_by_key(|connection| connection.id);
    let key = |connection: &Arc<Connection>| connection.id.to_string();
    Ok(asked.page(found.into_iter(), limit, key, |connection| {
        shape(&state.registry, &connection)
    }))
}

/// `GET /v1/connections/{id}`
async fn get_one(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<Value>, ApiError> {
    find(&state.registry, &id).map(|connection| Json(shape(&state.registry, &connection)))
}

/// `DELETE /v1/connections/{id}`: closes it. Its device is free to connect again.
async fn close(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let connection = find(&state.registry, &id)?;
    connection.close(Administrative::ByAdministrator);
    let imsi = &connection.admission.sim.imsi;
    tracing::info!(who = caller.who(), from = %caller, %imsi, address = %connection.peer, "connection closed by API");
    Ok(StatusCode::NO_CONTENT)
}

fn find(registry: &Registry, id: &str) -> Result<Arc<Connection>, ApiError> {
    let mut found = None;
    if let Ok(number) = id.parse::<u64>() {
        registry.for_each(|connection| {
            if connection.id == number {
                found = Some(Arc::clone(connection));
            }
        });
    }
    found.ok_or_else(|| ApiError::NoSuchConnection(id.to_owned()))
}

fn shape(registry: &Registry, connection: &Connection) -> Value {
    let sim = &connection.admission.sim;
    let counts = connection.counters.read();
    json!({
        // A string, as it is larger than the numbers that JavaScript can tell apart.
        "id": connection.id.to_string(),
        "imsi": sim.imsi.as_str(),
        "simId": sim.sim_id.as_str(),
        "imei": sim.imei.as_ref().map(Imei::as_str),
        "groupId": shapes::group_id(sim),
        "address": connection.peer.to_string(),
        "clientId": &*connection.client_id,
        "mqttVersion": connection.version.to_string(),
        "keepAlive": connection.keep_alive,
        "destination": connection.admission.entry_point.destination.to_string(),
        "openedTime": ago(connection.opened.elapsed()),
        "lastPacketTime": ago(connection.silent_for()),
        // Of the token that the broker was shown, where it is one that the relay makes.
        "tokenExpiresTime": registry.tokens().expires(connection.id).map(|seconds| seconds * 1000),
        "counts": {
            "deviceUp": counts.device_up,
            "brokerUp": counts.broker_up,
            "brokerDown": counts.broker_down,
            "deviceDown": counts.device_down,
            "bytesUp": counts.bytes_up,
            "bytesDown": counts.bytes_down,
        },
    })
}

/// The time so long ago, in milliseconds since 1970.
fn ago(elapsed: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(elapsed).as_millis() as u64
}
