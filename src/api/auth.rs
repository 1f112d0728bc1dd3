//! Who may call, and from where the call came.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{ApiError, ApiState};

/// Routes for machines that watch the service. Prometheus brings no token; `/metrics` tells numbers and the
/// ids of groups, no SIM and no address, and the API listens on loopback unless told otherwise.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Refuses every request without the token, whatever its route, so that no new route can be forgotten.
pub(super) async fn require_token(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let shown = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let known = shown
        .and_then(bearer)
        .is_some_and(|token| state.token.matches(token));
    if known || OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    ApiError::Unauthorized.into_response()
}

/// The token of the header; the scheme is written in any case (RFC 9110 §11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Who calls, for the audit log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller(Option<SocketAddr>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(
            parts
                .extensions
                .get::<ConnectInfo<SocketAddr>>()
                .map(|info| info.0),
        ))
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("unknown"),
        }
    }
}
