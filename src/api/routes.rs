//! Which handler answers which route.

use axum::extract::{MatchedPath, Request};
use axum::{Extension, Router, middleware};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::methods::Methods;
use super::openapi::{self, Document};
use super::parameters::Known;
use super::{
    ApiError, ApiState, auth, connections, credentials, files, groups, health, logs, metrics, operators,
    panics, parameters, sims, stats,
};

/// All routes of the API. Without [`axum::extract::ConnectInfo`] the audit log cannot name the caller's
/// address; [`super::serve`] provides it.
pub fn router(state: ApiState) -> Router {
    let (router, document) = documented().split_for_parts();
    router
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Extension(Document::of(&document)))
        .layer(Extension(Methods::of(&document)))
        .layer(middleware::from_fn_with_state(
            Known::of(&document),
            parameters::refuse_unknown,
        ))
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

/// Calls of SORACOM that are not here, and whose last word would be taken for that of a SIM.
const NOT_HERE: [&str; 2] = ["/v1/sims/export", "/v1/subscribers/export"];

/// How paths begin when a client's endpoint ends in a slash or in `/v1`.
const WRONG_ENDPOINT: [&str; 3] = ["//", "/v1/v1/", "/v1//"];

async fn no_such_route(request: Request) -> ApiError {
    let path = request.uri().path().to_owned();
    if WRONG_ENDPOINT.iter().any(|begin| path.starts_with(begin)) {
        ApiError::WrongEndpoint(path)
    } else {
        ApiError::NoSuchRoute(path)
    }
}

async fn method_not_allowed(
    Extension(methods): Extension<Methods>,
    route: MatchedPath,
    request: Request,
) -> ApiError {
    let path = request.uri().path();
    if NOT_HERE.contains(&path) {
        ApiError::NoSuchRoute(path.to_owned())
    } else {
        ApiError::MethodNotAllowed {
            method: request.method().to_string(),
            possible: methods.at(route.as_str()).to_owned(),
        }
    }
}
