//! Which handler answers which route.

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::routing::{delete, get, post};

use super::{
    ApiError, ApiState, auth, connections, credentials, files, groups, logs, metrics, operators, sims, stats,
};

/// All routes of the API. Without [`axum::extract::ConnectInfo`] the audit log cannot name the caller's
/// address; [`super::serve`] provides it.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        // The state is loaded before the API listens.
        .route("/readyz", get(alive))
        .route("/v1/auth", post(auth::login))
        .route("/v1/auth/logout", post(auth::logout))
        .route("/v1/operators/{operator_id}", get(operators::get))
        .route(
            "/v1/operators/{operator_id}/auth_keys",
            get(operators::list_auth_keys).post(operators::create_auth_key),
        )
        .route(
            "/v1/operators/{operator_id}/auth_keys/{auth_key_id}",
            delete(operators::delete_auth_key),
        )
        .route(
            "/v1/operators/{operator_id}/token",
            post(operators::reissue_token),
        )
        .route(
            "/v1/operators/{operator_id}/tokens",
            delete(operators::revoke_tokens),
        )
        .route("/v1/credentials", get(credentials::list))
        .route(
            "/v1/credentials/{credentials_id}",
            post(credentials::create)
                .put(credentials::update)
                .delete(credentials::delete),
        )
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
        .layer(middleware::from_fn_with_state(
            state.clone(),
            auth::require_caller,
        ))
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
