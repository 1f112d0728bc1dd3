//! Which handler answers which route.

use axum::extract::Request;
use axum::{Extension, Router, middleware};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::openapi::{self, Document};
use super::{
    ApiError, ApiState, auth, connections, credentials, files, groups, health, logs, metrics, operators,
    panics, sims, stats,
};

/// All routes of the API. Without [`axum::extract::ConnectInfo`] the audit log cannot name the caller's
/// address; [`super::serve`] provides it.
pub fn router(state: ApiState) -> Router {
    let (router, document) = documented().split_for_parts();
    router
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Extension(Document::of(&document)))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            auth::require_caller,
        ))
        .layer(middleware::from_fn(panics::answer))
        .with_state(state)
}

/// Every route, and what the OpenAPI document says of it.
pub(super) fn documented() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(openapi::head())
        .merge(health::routes())
        .merge(openapi::routes())
        .routes(routes!(metrics::show))
        .merge(auth::routes())
        .merge(operators::routes())
        .merge(groups::routes())
        .merge(sims::routes())
        .merge(credentials::routes())
        .merge(connections::routes())
        .merge(stats::routes())
        .merge(files::routes())
        .merge(logs::routes())
}

async fn no_such_route(request: Request) -> ApiError {
    ApiError::NoSuchRoute(request.uri().path().to_owned())
}

async fn method_not_allowed(request: Request) -> ApiError {
    ApiError::MethodNotAllowed(request.method().to_string())
}
