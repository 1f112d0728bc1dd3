//! Requests counted: for one SIM as JSON, for all SIMs as CSV.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{AnyObject, Form, Input};
use super::error::Refusal;
use super::paging::{Asked, non_empty};
use super::segments::Segments;
use super::{ApiError, ApiState, times};
use crate::clock::now_seconds;
use crate::entrypoint::Scheme;
use crate::sim::Imsi;
use crate::usage::{ExportRow, Period, StatsRow};

/// Rows that an export may have: some 100 MB of text, which is built in memory.
const MAX_ROWS: usize = 1_000_000;
/// First line of an export. The first four columns are SORACOM's, the others ours.
const COLUMNS: &str = "imsi,date,soracomBeamType,count,unixtime,groupId,entryPoint\n";

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(of_subscriber))
        .routes(routes!(export))
}

/// Query of `GET /v1/stats/beam/subscribers/{imsi}`; all are needed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct StatsQuery {
    /// Seconds since 1970; the range is widened to whole buckets.
    #[param(value_type = i64, minimum = 0)]
    from: Option<String>,
    /// Seconds since 1970, not before `from`.
    #[param(value_type = i64, minimum = 0)]
    to: Option<String>,
    #[param(value_type = PeriodName, inline)]
    period: Option<String>,
}

/// Length of the buckets: five minutes, a day or a month.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum PeriodName {
    Month,
    Day,
    Minutes,
}

/// A range of time, in buckets of one length. As a text it is the id of an exported file: the file is made
/// when it is fetched, so there is nothing to keep, to expire or to lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    period: Period,
    from: i64,
    to: i64,
}

impl Range {
    fn new(period: &str, from: i64, to: i64) -> Result<Self, ApiError> {
        let period = period
            .parse()
            .map_err(|error| ApiError::InvalidQuery(format!("period: {error}")))?;
        let (from, to) = (times::seconds("from", from)?, times::seconds("to", to)?);
        if from > to {
            return Err(ApiError::InvalidQuery(format!(
                "from {from} is later than to {to}"
            )));
        }
        Ok(Self { period, from, to })
    }

    /// Its id as an exported file.
    pub(super) fn id(&self) -> String {
        format!("beam-{}-{}-{}", self.period.as_str(), self.from, self.to)
    }

    /// The range that an id names.
    pub(super) fn of_id(id: &str) -> Option<Self> {
        let mut parts = id.strip_prefix("beam-")?.splitn(3, '-');
        let period = parts.next()?;
        let (from, to) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Self::new(period, from, to).ok().filter(|range| range.id() == id)
    }
}

impl StatsQuery {
    fn range(&self) -> Result<Range, ApiError> {
        let seconds = |name, text| {
            let text = needed(name, text)?;
            i64::from_str(text).map_err(|_| times::no_seconds(name, text))
        };
        let period = needed("period", &self.period)?;
        Range::new(period, seconds("from", &self.from)?, seconds("to", &self.to)?)
    }
}

fn needed<'a>(name: &str, text: &'a Option<String>) -> Result<&'a str, ApiError> {
    non_empty(text.as_deref())
        .ok_or_else(|| ApiError::InvalidQuery(format!("{name} is missing; from, to and period are needed")))
}

/// Requests of one SIM counted, the oldest bucket first. Empty buckets are left out.
#[utoipa::path(
    get,
    path = "/v1/stats/beam/subscribers/{imsi}",
    tag = "stats",
    params(StatsQuery),
    responses((status = 200, body = Vec<Bucket>), (status = 404, body = Refusal))
)]
async fn of_subscriber(
    State(state): State<ApiState>,
    Segments(text): Segments<String>,
    asked: Asked<StatsQuery>,
) -> Result<Json<Vec<Bucket>>, ApiError> {
    let range = asked.query.range()?;
    let unknown = || ApiError::NoSuchSubscriber(text.clone());
    let imsi = Imsi::new(&text).map_err(|_| unknown())?;
    let ledger = &state.books.ledger;
    // A SIM that is gone keeps its history.
    if state.store.snapshot().sim_by_imsi(&imsi).is_none() && !ledger.knows(&imsi).await? {
        return Err(unknown());
    }
    let rows = ledger
        .stats(&imsi, range.period, (range.from, range.to), now_seconds())
        .await?;
    Ok(Json(buckets(range.period, &rows)))
}

/// What was counted in one bucket of time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Bucket {
    /// When it begins, in UTC, as precise as the bucket is long.
    date: String,
    /// When it begins, in seconds since 1970.
    unixtime: i64,
    /// `inMqtt`: requests of the device leg, `outMqtt` and `outMqtts` of the broker leg.
    beam_stats_map: BTreeMap<&'static str, Requests>,
}

/// A number of requests.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Requests {
    count: u64,
}

/// A type that counted nothing is left out.
fn buckets(period: Period, rows: &[StatsRow]) -> Vec<Bucket> {
    let mut buckets: BTreeMap<i64, BTreeMap<&str, Requests>> = BTreeMap::new();
    for row in rows {
        let counts = buckets.entry(row.bucket).or_default();
        for (name, count) in by_type(row) {
            counts.entry(name).or_default().count += count;
        }
    }
    let bucket = |(start, beam_stats_map)| Bucket {
        date: period.date(start),
        unixtime: start,
        beam_stats_map,
    };
    buckets.into_iter().map(bucket).collect()
}

/// The counts of a row by SORACOM's names, without zeros.
fn by_type(row: &StatsRow) -> impl Iterator<Item = (&'static str, u64)> {
    let out = match row.scheme {
        Scheme::Mqtt => "outMqtt",
        Scheme::Mqtts => "outMqtts",
    };
    [("inMqtt", row.device_leg), (out, row.broker_leg)]
        .into_iter()
        .filter(|(_, count)| *count > 0)
}

/// Query of an export.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExportQuery {
    /// `sync` is usual.
    #[param(value_type = Option<ExportMode>, inline)]
    export_mode: Option<String>,
}

/// Whether the answer names the file or leads to it.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used; an empty value counts as none")]
enum ExportMode {
    Async,
    Sync,
}

/// Body of an export.
#[derive(Debug, Deserialize, ToSchema)]
struct ExportRequest {
    /// Seconds since 1970.
    #[schema(minimum = 0)]
    from: i64,
    /// Seconds since 1970, not before `from`.
    #[schema(minimum = 0)]
    to: i64,
    #[schema(value_type = PeriodName, inline)]
    period: String,
}

impl Form for ExportRequest {
    type Outline = AnyObject;
    const FORM: &'static str =
        "{\"from\": seconds, \"to\": seconds, \"period\": \"month\", \"day\" or \"minutes\"}";
}

/// Where an export is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Exported {
    /// `sync`
    Sync {
        /// Where to fetch it, without a login for ten minutes.
        url: String,
    },
    /// `async`
    #[serde(rename_all = "camelCase")]
    Async {
        /// To ask with at `/v1/files/exported/{exported_file_id}`.
        exported_file_id: String,
        exported_file_path: String,
    },
}

/// Requests of all SIMs as CSV.
#[utoipa::path(
    post,
    path = "/v1/stats/beam/operators/{operator_id}/export",
    tag = "stats",
    params(ExportQuery),
    request_body = ExportRequest,
    responses((status = 200, body = Exported), (status = 404, body = Refusal))
)]
async fn export(
    State(state): State<ApiState>,
    Segments(operator): Segments<String>,
    asked: Asked<ExportQuery>,
    headers: HeaderMap,
    Input(wanted): Input<ExportRequest>,
) -> Result<Json<Exported>, ApiError> {
    state.auth.refuse_other_operator(&operator)?;
    let range = Range::new(&wanted.period, wanted.from, wanted.to)?;
    let exported = match non_empty(asked.query.export_mode.as_deref()) {
        None | Some("sync") => Exported::Sync {
            url: url(&state, &headers, range),
        },
        Some("async") => Exported::Async {
            exported_file_id: range.id(),
            exported_file_path: path(range),
        },
        Some(other) => {
            return Err(ApiError::not_allowed(
                "export_mode",
                other,
                "\"sync\" or \"async\"",
            ));
        }
    };
    // Made once now, so that one that is too large is refused here and not at its download.
    csv(&state, range).await?;
    Ok(Json(exported))
}

fn path(range: Range) -> String {
    format!("/v1/files/exported/{}/stats.csv", range.id())
}

/// Where the file of `range` is, at the host that the client called; for a while it needs no login.
pub(super) fn url(state: &ApiState, headers: &HeaderMap, range: Range) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = match text(header::HeaderName::from_static("x-forwarded-proto")) {
        Some("https") => "https",
        _ => "http",
    };
    let path = state.auth.sign(&path(range));
    match text(header::HOST) {
        Some(host) => format!("{scheme}://{host}{path}"),
        None => path,
    }
}

/// The export of `range`, oldest bucket first.
pub(super) async fn csv(state: &ApiState, range: Range) -> Result<String, ApiError> {
    let mut text = String::from(COLUMNS);
    let mut rows = 0;
    let take = |row| {
        rows += 1;
        if rows <= MAX_ROWS {
            write_row(&mut text, range.period, &row);
        }
        rows <= MAX_ROWS
    };
    let ledger = &state.books.ledger;
    ledger.export(range.period, (range.from, range.to), take).await?;
    if rows > MAX_ROWS {
        return Err(ApiError::ExportTooLarge(MAX_ROWS));
    }
    Ok(text)
}

/// Nothing in a row holds a comma or a quote: IMSI, group id and the key are checked where they enter.
fn write_row(text: &mut String, period: Period, row: &ExportRow) {
    let ExportRow {
        imsi,
        group,
        entry_point,
        stats,
    } = row;
    let start = stats.bucket;
    for (name, count) in by_type(stats) {
        let date = period.date(start);
        text.push_str(&format!(
            "{imsi},{date},{name},{count},{start},{group},{entry_point}\n"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_file_is_its_range() {
        let range = Range::new("day", 1, 20).unwrap();
        assert_eq!(range.id(), "beam-day-1-20");
        assert_eq!(Range::of_id("beam-day-1-20"), Some(range));
        for bad in [
            "",
            "beam-day-1",
            "beam-hour-1-2",
            "beam-day-3-2",
            "beam-day-01-2",
            "beam-day-1-2-3",
            "beam-day-+1-2",
        ] {
            assert_eq!(Range::of_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn both_kinds_of_destination_are_one_bucket() {
        let row = |scheme, device_leg| StatsRow {
            bucket: 0,
            scheme,
            device_leg,
            broker_leg: device_leg,
        };
        let buckets = buckets(
            Period::Day,
            &[row(Scheme::Mqtt, 1), row(Scheme::Mqtts, 2), row(Scheme::Mqtt, 0)],
        );
        let expected = serde_json::json!([{
            "date": "19700101", "unixtime": 0,
            "beamStatsMap": { "inMqtt": { "count": 3 }, "outMqtt": { "count": 1 }, "outMqtts": { "count": 2 } }
        }]);
        assert_eq!(serde_json::to_value(buckets).unwrap(), expected);
    }
}
