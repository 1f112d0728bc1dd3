//! Exported files. Their content is made when it is fetched; see [`super::stats::Range`].

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use serde_json::{Value, json};

use super::segments::Segments;
use super::stats::{Range, csv, url};
use super::{ApiError, ApiState};

/// `GET /v1/files/exported/{exported_file_id}`
pub(super) async fn exported(
    Segments(id): Segments<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    let range = Range::of_id(&id).ok_or(ApiError::NoSuchFile(id))?;
    Ok(Json(json!({ "status": "exported", "url": url(&headers, range) })))
}

/// `GET /v1/files/exported/{exported_file_id}/stats.csv`
pub(super) async fn content(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
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
