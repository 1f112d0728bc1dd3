//! Which handler answers which route.

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::routing::{get, post};

use super::{ApiError, ApiState, auth, connections, files, groups, logs, metrics, sims, stats};

/// All routes of the API. Without [`axum::extract::ConnectInfo`] the audit log cannot name the caller's
/// address; [`super::serve`] provides it.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        // The state is loaded before the API listens.
        .route("/readyz", get(alive))
        .route("/metrics", get(metrics::show))
        .route("/v1/stats/beam/subscribers/{imsi}", get(stats::of_subscriber))
        .route(
            "/v1/stats/beam/operators/{operator_id}/export",
            post(stats::export),
        )
        .route("/v1/files/exported/{exported_file_id}", get(files::exported))
        .route(
            "/v1/files/exported/{exported_file_id}/stats.csv",
            get(files::content),
        )
        .route("/v1/logs", get(logs::list))
        .merge(groups::routes())
        .merge(sims::routes())
        .merge(connections::routes())
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(state.clone(), auth::require_token))
        .with_state(state)
}

async fn alive() -> &'static str {
    "ok\n"
}

async fn no_such_route(request: Request) -> ApiError {
    ApiError::NoSuchRoute(request.uri().path().to_owned())
}

async fn method_not_allowed(request: Request) -> ApiError {
    ApiError::MethodNotAllowed(request.method().to_string())
}
