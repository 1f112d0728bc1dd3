//! Exported files. Their content is made when it is fetched; see [`super::stats::Range`].

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Signed;
use super::error::Refusal;
use super::paging::Asked;
use super::segments::Segments;
use super::stats::{Range, csv, url};
use super::{ApiError, ApiState};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(exported))
        .routes(routes!(content))
}

/// A file that can be fetched.
#[derive(Serialize, ToSchema)]
struct ExportedFile {
    /// `exported`
    status: &'static str,
    /// Where to fetch it, without a login for ten minutes.
    url: String,
}

/// What became of an export: it is always ready.
#[utoipa::path(
    get,
    path = "/v1/files/exported/{exported_file_id}",
    tag = "stats",
    responses((status = 200, body = ExportedFile), (status = 404, body = Refusal))
)]
async fn exported(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<ExportedFile>, ApiError> {
    let range = Range::of_id(&id).ok_or(ApiError::NoSuchFile(id))?;
    Ok(Json(ExportedFile {
        status: "exported",
        url: url(&state, &headers, range),
    }))
}

/// The exported file. The URL that the export gave needs no login, for ten minutes.
#[utoipa::path(
    get,
    path = "/v1/files/exported/{exported_file_id}/stats.csv",
    tag = "stats",
    params(Signed),
    responses((status = 200, body = String, content_type = "text/csv"), (status = 404, body = Refusal))
)]
async fn content(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    // The gate has looked at it.
    _: Asked<Signed>,
) -> Result<([(HeaderName, &'static str); 2], String), ApiError> {
    let range = Range::of_id(&id).ok_or(ApiError::NoSuchFile(id))?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"beam-stats.csv\"",
        ),
    ];
    Ok((headers, csv(&state, range).await?))
}
