//! Who is connected now. SORACOM has nothing like it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::error::Refusal;
use super::paging::{Asked, Listed, PageQuery, USUAL, non_empty};
use super::segments::Segments;
use super::{ApiError, ApiState, audit};
use crate::clock::{now_millis, whole_millis};
use crate::relay::{Administrative, Connection, Registry};
use crate::sim::Imsi;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get_one, close))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfSim {
    /// Only those of this SIM.
    #[param(pattern = "^[0-9]{6,15}$")]
    imsi: Option<String>,
}

/// Connections now, the oldest first.
#[utoipa::path(
    get,
    path = "/v1/connections",
    tag = "connections",
    params(PageQuery, OfSim),
    responses((status = 200, body = Vec<OpenConnection>))
)]
async fn list(
    State(state): State<ApiState>,
    asked: Asked<PageQuery>,
    of: Asked<OfSim>,
) -> Result<Listed<OpenConnection>, ApiError> {
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
    let page = asked.page(found.into_iter(), limit, key);
    Ok(page.show(|connection| OpenConnection::of(&state.registry, &connection)))
}

/// One connection.
#[utoipa::path(
    get,
    path = "/v1/connections/{id}",
    tag = "connections",
    responses((status = 200, body = OpenConnection), (status = 404, body = Refusal))
)]
async fn get_one(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<OpenConnection>, ApiError> {
    let connection = find(&state.registry, &id)?;
    Ok(Json(OpenConnection::of(&state.registry, &connection)))
}

/// Closes a connection. Its device is free to connect again.
#[utoipa::path(
    delete,
    path = "/v1/connections/{id}",
    tag = "connections",
    responses((status = 204), (status = 404, body = Refusal))
)]
async fn close(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let connection = find(&state.registry, &id)?;
    connection.close(Administrative::ByAdministrator);
    let (imsi, peer) = (&connection.admission.sim.imsi, connection.peer);
    audit::done(
        &caller,
        "connection closed",
        &format_args!("connection {id} of IMSI {imsi} from {peer}"),
    );
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

/// A connection that is open now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OpenConnection {
    /// A number, as a string: it is larger than the numbers that JavaScript can tell apart.
    id: String,
    imsi: String,
    sim_id: String,
    imei: Option<String>,
    group_id: Option<String>,
    /// IP address and port that the device calls from.
    address: String,
    client_id: String,
    mqtt_version: String,
    /// Seconds.
    keep_alive: u16,
    destination: String,
    /// Milliseconds since 1970.
    opened_time: i64,
    /// Milliseconds since 1970.
    last_packet_time: i64,
    /// When the token ends that the broker was shown, where the relay made one. Milliseconds since 1970.
    token_expires_time: Option<u64>,
    counts: Counts,
}

/// Requests by leg and direction, and bytes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Counts {
    device_up: u64,
    broker_up: u64,
    broker_down: u64,
    device_down: u64,
    bytes_up: u64,
    bytes_down: u64,
}

impl OpenConnection {
    fn of(registry: &Registry, connection: &Connection) -> Self {
        let sim = &connection.admission.sim;
        let counts = connection.counters.read();
        Self {
            id: connection.id.to_string(),
            imsi: sim.imsi.to_string(),
            sim_id: sim.sim_id.to_string(),
            imei: sim.imei.as_ref().map(ToString::to_string),
            group_id: sim.group_id.as_ref().map(ToString::to_string),
            address: connection.peer.to_string(),
            client_id: connection.client_id.to_string(),
            mqtt_version: connection.version.to_string(),
            keep_alive: connection.keep_alive,
            destination: connection.admission.entry_point.destination.to_string(),
            opened_time: ago(connection.opened.elapsed()),
            last_packet_time: ago(connection.silent_for()),
            token_expires_time: registry
                .tokens()
                .expires(connection.id)
                .map(|seconds| seconds * 1000),
            counts: Counts {
                device_up: counts.device_up,
                broker_up: counts.broker_up,
                broker_down: counts.broker_down,
                device_down: counts.device_down,
                bytes_up: counts.bytes_up,
                bytes_down: counts.bytes_down,
            },
        }
    }
}

/// The time so long ago, in milliseconds since 1970.
fn ago(elapsed: Duration) -> i64 {
    now_millis() - whole_millis(elapsed)
}
