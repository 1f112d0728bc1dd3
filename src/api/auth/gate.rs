//! Lets callers in who show what they have to, and says who called from where.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Query, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Auth, AuthRefusal, Session, Signed};
use crate::api::{ApiError, ApiState, audit};

/// Routes for machines that watch the service, which tell nothing about its configuration, and the login.
pub(in crate::api) const OPEN: [&str; 6] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/auth",
    "/v1/openapi.json",
];

/// Refuses every request that shows nothing, whatever its route, so that no new route can be forgotten. Where there is
/// no route there is nothing to be guarded: which ones there are everybody may read in the OpenAPI document.
pub(in crate::api) async fn require_caller(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_route = request.extensions().get::<MatchedPath>().is_some();
    if is_route && !OPEN.contains(&request.uri().path()) {
        let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let from = from.map(|info| info.0.ip());
        match shown(&state.auth, from, &request) {
            Ok(identity) => request.extensions_mut().insert(identity),
            Err(refusal) => {
                tell(&state.auth, from, &refusal);
                return ApiError::from(refusal).into_response();
            }
        };
    }
    next.run(request).await
}

/// Counts a refusal. A wrong admin token gets a line, as long as its address has tries left: whoever sends them must
/// not fill the log.
fn tell(auth: &Auth, from: Option<IpAddr>, refusal: &AuthRefusal) {
    auth.refusals.count(refusal);
    if matches!(refusal, AuthRefusal::WrongAdminToken) {
        let from = from.map(tracing::field::display);
        tracing::warn!(target: audit::TARGET, event = "wrong_admin_token", from, "a caller showed a wrong admin token");
    }
}

/// Who calls.
#[derive(Debug, Clone)]
enum Identity {
    AdminToken,
    Session(Session),
    SignedUrl,
}

fn shown(auth: &Auth, from: Option<IpAddr>, request: &Request) -> Result<Identity, AuthRefusal> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(token) = header(AUTHORIZATION.as_str()).and_then(bearer) {
        auth.check_admin_token(from, token)?;
        return Ok(Identity::AdminToken);
    }
    match (header("x-soracom-api-key"), header("x-soracom-token")) {
        (Some(api_key), Some(token)) => Ok(Identity::Session(auth.session(api_key, token)?)),
        (Some(_), None) => Err(AuthRefusal::OneShown("X-Soracom-Token")),
        (None, Some(_)) => Err(AuthRefusal::OneShown("X-Soracom-API-Key")),
        (None, None) => {
            let signature = signature(request).ok_or(AuthRefusal::NothingShown)?;
            auth.signer.check(request.uri().path(), &signature)?;
            Ok(Identity::SignedUrl)
        }
    }
}

/// The signature in the URL of something that is only to be read.
fn signature(request: &Request) -> Option<String> {
    let Query(signed) = Query::<Signed>::try_from_uri(request.uri()).ok()?;
    signed.signature.filter(|_| request.method().is_safe())
}

/// The token of the header; the scheme is written in any case (RFC 9110 §11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Who calls and from where, for the audit log.
#[derive(Debug, Clone)]
pub(in crate::api) struct Caller {
    from: Option<SocketAddr>,
    identity: Option<Identity>,
}

impl Caller {
    /// The auth key that was logged in with, or `admin-token`.
    pub(in crate::api) fn who(&self) -> &str {
        match &self.identity {
            Some(Identity::Session(session)) => &session.auth_key_id,
            Some(Identity::AdminToken) => "admin-token",
            Some(Identity::SignedUrl) => "signed-url",
            None => "nobody",
        }
    }

    /// The login that the call belongs to; none with the admin token.
    pub(in crate::api) fn session(&self) -> Option<&Session> {
        match &self.identity {
            Some(Identity::Session(session)) => Some(session),
            _ => None,
        }
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        self.from.map(|from| from.ip())
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self {
            from: from.map(|info| info.0),
            identity: parts.extensions.get().cloned(),
        })
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("unknown"),
        }
    }
}
