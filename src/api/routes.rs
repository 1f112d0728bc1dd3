//! Which handler answers which route.

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::routing::{delete, get, post, put};

use super::{ApiError, ApiState, auth, credentials, groups, operators};

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
        .route("/v1/groups", get(groups::list))
        .route("/v1/groups/{group_id}", get(groups::get))
        .route(
            "/v1/groups/{group_id}/configuration/{namespace}",
            put(groups::put_configuration).delete(groups::delete_namespace),
        )
        // A wildcard, as people and scripts send names with their slashes unencoded.
        .route(
            "/v1/groups/{group_id}/configuration/{namespace}/{*name}",
            delete(groups::delete_key),
        )
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
