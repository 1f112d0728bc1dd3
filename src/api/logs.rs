//! What went wrong, per SIM.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paging::{Asked, Listed, non_empty};
use super::{ApiError, ApiState, times};
use crate::logbook::{Found, LogQuery, Source, SourceKind};
use crate::sim::Imsi;

const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
/// SORACOM's services; only Beam has entries here.
const SERVICES: [&str; 8] = [
    "Air", "Beam", "Funk", "Funnel", "Harvest", "Napter", "Orbit", "Unified",
];
/// SORACOM's resource types without entries here.
const OTHER_RESOURCES: [&str; 3] = ["Device", "LoraDevice", "SigfoxDevice"];
/// Our own resource type: a source address that belongs to no SIM.
const ADDRESS: &str = "Address";
const SUBSCRIBER: &str = "Subscriber";

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Query of `GET /v1/logs`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LogsQuery {
    /// `Subscriber`, or `Address` for source addresses that belong to no SIM; SORACOM's other ones have no entries.
    resource_type: Option<String>,
    /// An IMSI, or an IP address.
    resource_id: Option<String>,
    /// `Beam` is usual; SORACOM's other ones have no entries.
    service: Option<String>,
    /// Milliseconds since 1970.
    #[param(value_type = Option<i64>, minimum = 0)]
    from: Option<String>,
    /// Milliseconds since 1970.
    #[param(value_type = Option<i64>, minimum = 0)]
    to: Option<String>,
    /// Entries of the page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// Header `x-soracom-next-key` of the page before.
    last_evaluated_key: Option<String>,
}

/// Refusals, failures of brokers and odd endings, the newest first.
#[utoipa::path(
    get,
    path = "/v1/logs",
    tag = "logs",
    params(LogsQuery),
    responses((status = 200, body = Vec<LogEntry>))
)]
async fn list(State(state): State<ApiState>, asked: Asked<LogsQuery>) -> Result<Listed<LogEntry>, ApiError> {
    let Some(wanted) = asked.query.wanted()? else {
        return Ok((asked.headers(None), Json(Vec::new())));
    };
    let (entries, next) = state.books.logbook.read(&wanted).await?;
    let next = next.map(|key| key.to_string());
    let operator = state.auth.operator().id();
    let shown = entries.iter().map(|entry| LogEntry::of(operator, entry));
    Ok((asked.headers(next.as_deref()), Json(shown.collect())))
}

/// Something that went wrong.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LogEntry {
    /// Milliseconds since 1970.
    time: i64,
    /// `Subscriber` or `Address`.
    resource_type: &'static str,
    /// An IMSI, or an IP address.
    resource_id: String,
    /// `Beam`
    service: &'static str,
    /// `error`, `warning` or `info`.
    log_level: String,
    operator_id: String,
    /// What is known: `event`, `reason`, `advice` and more.
    #[schema(value_type = Object)]
    body: Value,
}

impl LogEntry {
    fn of(operator: &str, entry: &Found) -> Self {
        Self {
            time: entry.time,
            resource_type: match entry.source.kind() {
                SourceKind::Sim => SUBSCRIBER,
                SourceKind::Address => ADDRESS,
            },
            resource_id: entry.source.to_string(),
            service: "Beam",
            log_level: entry.level.clone(),
            operator_id: operator.to_owned(),
            body: entry.body.clone(),
        }
    }
}

impl LogsQuery {
    /// What is to be looked up; `None` where it is known that there is nothing.
    fn wanted(&self) -> Result<Option<LogQuery>, ApiError> {
        let service = non_empty(self.service.as_deref()).unwrap_or("Beam");
        if !SERVICES.contains(&service) {
            let allowed = format!("one of {}", SERVICES.join(", "));
            return Err(ApiError::not_allowed("service", service, &allowed));
        }
        let resource = non_empty(self.resource_type.as_deref());
        let kind = match resource {
            None => None,
            Some(SUBSCRIBER) => Some(SourceKind::Sim),
            Some(ADDRESS) => Some(SourceKind::Address),
            Some(other) if OTHER_RESOURCES.contains(&other) => return Ok(None),
            Some(other) => {
                let allowed = format!("one of {SUBSCRIBER}, {ADDRESS}, {}", OTHER_RESOURCES.join(", "));
                return Err(ApiError::not_allowed("resource_type", other, &allowed));
            }
        };
        let source = non_empty(self.resource_id.as_deref())
            .map(|id| source(id, kind))
            .transpose()?;
        let from = times::millis("from", self.from.as_deref())?.unwrap_or(0);
        let to = times::millis("to", self.to.as_deref())?.unwrap_or(i64::MAX);
        if from > to {
            return Err(ApiError::InvalidQuery(format!(
                "from {from} is later than to {to}"
            )));
        }
        let behind = non_empty(self.last_evaluated_key.as_deref())
            .map(str::parse)
            .transpose()
            .map_err(|error| ApiError::InvalidQuery(format!("last_evaluated_key: {error}")))?;
        let wanted = LogQuery {
            source,
            kind,
            time: (from, to),
            behind,
            limit: self.limit()?,
        };
        Ok((service == "Beam").then_some(wanted))
    }

    fn limit(&self) -> Result<usize, ApiError> {
        let Some(text) = non_empty(self.limit.as_deref()) else {
            return Ok(LIMIT);
        };
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.ok_or_else(|| ApiError::not_allowed("limit", text, &format!("a number from 1 to {MAX_LIMIT}")))
    }
}

/// Whose entries: an IMSI, or the address of a stranger.
fn source(id: &str, kind: Option<SourceKind>) -> Result<Source, ApiError> {
    let sim = || Imsi::new(id).ok().map(Source::Sim);
    let address = || {
        let address = id.parse::<IpAddr>().ok()?;
        Some(Source::Address(address.to_canonical()))
    };
    let (source, allowed) = match kind {
        Some(SourceKind::Sim) => (sim(), "an IMSI"),
        Some(SourceKind::Address) => (address(), "an IP address"),
        None => (sim().or_else(address), "an IMSI or an IP address"),
    };
    source.ok_or_else(|| ApiError::not_allowed("resource_id", id, allowed))
}
