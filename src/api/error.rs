//! Refusals of the API: always `{"code": "...", "message": "..."}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::auth::AuthRefusal;
use super::credentials::CredentialRefusal;
use crate::store::ChangeError;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Who calls is not let in, or asked for what is not there.
    #[error(transparent)]
    Auth(#[from] AuthRefusal),
    /// A credential was refused, or is not there.
    #[error(transparent)]
    Credential(#[from] CredentialRefusal),
    /// No such route.
    #[error("there is nothing at {0}")]
    NoSuchRoute(String),
    /// The route is there, but not for this method.
    #[error("{0} is not possible here")]
    MethodNotAllowed(String),
    /// No such group.
    #[error("there is no group {0:?}")]
    NoSuchGroup(String),
    /// A path that does not decode.
    #[error("{0}")]
    InvalidPath(String),
    /// A query parameter that is not what it has to be.
    #[error("{0}")]
    InvalidQuery(String),
    /// A body that is not JSON, or not of the right form.
    #[error("{0}")]
    InvalidBody(String),
    /// A body that says itself that it is not JSON.
    #[error("the body is {0:?}; allowed is application/json")]
    UnsupportedMediaType(String),
    /// A body that is too large.
    #[error("the body is larger than {} bytes", super::BODY_LIMIT)]
    PayloadTooLarge,
    /// The store refused.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl ApiError {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Auth(refusal) => refusal.status_and_code(),
            Self::Credential(refusal) => refusal.status_and_code(),
            Self::NoSuchRoute(_) => (StatusCode::NOT_FOUND, "NoSuchRoute"),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::NoSuchGroup(_) | Self::Change(ChangeError::NoSuchGroup(_)) => {
                (StatusCode::NOT_FOUND, "NoSuchGroup")
            }
            Self::InvalidPath(_) => (StatusCode::BAD_REQUEST, "InvalidPath"),
            Self::InvalidQuery(_) => (StatusCode::BAD_REQUEST, "InvalidQuery"),
            Self::InvalidBody(_) => (StatusCode::BAD_REQUEST, "InvalidBody"),
            Self::UnsupportedMediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType"),
            Self::PayloadTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge"),
            Self::Change(ChangeError::UnknownNamespace(_)) => (StatusCode::BAD_REQUEST, "UnknownNamespace"),
            // SORACOM's own API answers 400 here and 404 for a key.
            Self::Change(ChangeError::NoSuchNamespace { .. }) => (StatusCode::BAD_REQUEST, "NoSuchNamespace"),
            Self::Change(ChangeError::NoSuchKey { .. }) => (StatusCode::NOT_FOUND, "NoSuchKey"),
            Self::Change(ChangeError::Invalid(_)) => (StatusCode::BAD_REQUEST, "InvalidConfiguration"),
            Self::Change(ChangeError::BrokenFile(_)) => (StatusCode::CONFLICT, "BrokenFile"),
            Self::Change(ChangeError::Busy(_)) => (StatusCode::CONFLICT, "Busy"),
            Self::Change(ChangeError::Write { .. }) => (StatusCode::INTERNAL_SERVER_ERROR, "WriteFailed"),
            Self::Change(ChangeError::Interrupted) => (StatusCode::SERVICE_UNAVAILABLE, "Interrupted"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let mut response =
            (status, Json(json!({ "code": code, "message": self.to_string() }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
