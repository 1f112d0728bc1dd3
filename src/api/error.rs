//! Refusals of the API: always `{"code": "...", "message": "..."}`.

use std::io;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::AuthRefusal;
use super::credential_refusal::CredentialRefusal;
use crate::logbook::LogBookError;
use crate::store::ChangeError;
use crate::usage::LedgerError;

/// A refusal as it is answered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Refusal {
    /// For programs.
    code: &'static str,
    /// For people: what is wrong, and what to do.
    message: String,
}

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
    #[error(
        "there is nothing at {0}: simrelay has not all of SORACOM's API; the table \"What there is of SORACOM's API\" in \
         its README says which parts it has, and /v1/openapi.json every call"
    )]
    NoSuchRoute(String),
    /// No such route, because the client puts a wrong endpoint before its paths.
    #[error(
        "there is nothing at {0}: the endpoint is the URL without /v1 and without a slash at its end, as \
         http://127.0.0.1:8090"
    )]
    WrongEndpoint(String),
    /// The route is there, but not for this method.
    #[error("{method} is not possible here; {possible} is")]
    MethodNotAllowed {
        /// What was asked for.
        method: String,
        /// What the header `Allow` names.
        possible: String,
    },
    /// No such group.
    #[error("there is no group {0:?}")]
    NoSuchGroup(String),
    /// No such exported file.
    #[error("there is no exported file {0:?}")]
    NoSuchFile(String),
    /// An export that would not fit into memory.
    #[error("the export has more than {0} rows: ask for a shorter range, or for days or months")]
    ExportTooLarge(usize),
    /// The usage ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The log book.
    #[error(transparent)]
    LogBook(#[from] LogBookError),
    /// No such SIM.
    #[error("there is no SIM {0:?}")]
    NoSuchSim(String),
    /// No SIM has this IMSI.
    #[error("there is no subscriber {0:?}")]
    NoSuchSubscriber(String),
    /// The SIM has no live connection.
    #[error("The specified subscriber is offline")]
    Offline,
    /// No such connection now.
    #[error("there is no connection {0:?}; it may have closed")]
    NoSuchConnection(String),
    /// The database did not answer.
    #[error("the database cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// A path that does not decode.
    #[error("{0}")]
    InvalidPath(String),
    /// A query parameter that is not what it has to be.
    #[error("{0}")]
    InvalidQuery(String),
    /// A query parameter that the call does not have.
    #[error("{unknown:?} is no parameter of this call; {}", there_are(known))]
    UnknownParameter {
        /// As it was given.
        unknown: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// A body that is not JSON, or not of the right form.
    #[error("{0}")]
    InvalidBody(String),
    /// A body that says itself that it is not JSON.
    #[error("the body is {0:?}; allowed is application/json")]
    UnsupportedMediaType(String),
    /// A body that is too large.
    #[error("the body is larger than {0} bytes")]
    PayloadTooLarge(usize),
    /// A request that did not come in time.
    #[error("the request did not come in time: send it whole within 10 s")]
    TooSlow,
    /// Devices cannot be served now.
    #[error("{0}")]
    NotReady(&'static str),
    /// The store refused.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A mistake of this program.
    #[error("this call failed by a mistake in simrelay, which is in its log: please report it")]
    Panicked,
}

fn there_are(known: &[String]) -> String {
    match known {
        [] => "it has none".to_owned(),
        known => format!("there are {}", known.join(", ")),
    }
}

impl ApiError {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Auth(refusal) => refusal.status_and_code(),
            Self::Credential(refusal) => refusal.status_and_code(),
            Self::NoSuchRoute(_) | Self::WrongEndpoint(_) => (StatusCode::NOT_FOUND, "NoSuchRoute"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::NoSuchGroup(_) | Self::Change(ChangeError::NoSuchGroup(_)) => {
                (StatusCode::NOT_FOUND, "NoSuchGroup")
            }
            Self::NoSuchFile(_) => (StatusCode::NOT_FOUND, "NoSuchFile"),
            Self::ExportTooLarge(_) => (StatusCode::BAD_REQUEST, "ExportTooLarge"),
            Self::Ledger(_) | Self::LogBook(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Database"),
            Self::NoSuchSim(_) | Self::Change(ChangeError::NoSuchSim(_)) => {
                (StatusCode::NOT_FOUND, "NoSuchSim")
            }
            Self::NoSuchSubscriber(_) => (StatusCode::NOT_FOUND, "NoSuchSubscriber"),
            // SORACOM's own code.
            Self::Offline => (StatusCode::BAD_REQUEST, "SEM0016"),
            Self::NoSuchConnection(_) => (StatusCode::NOT_FOUND, "NoSuchConnection"),
            Self::Database(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Database"),
            Self::Change(ChangeError::GroupExists(_) | ChangeError::Taken { .. }) => {
                (StatusCode::CONFLICT, "AlreadyExists")
            }
            Self::Change(ChangeError::GroupInUse { .. }) => (StatusCode::CONFLICT, "GroupInUse"),
            Self::Change(ChangeError::UnknownGroup(_)) => (StatusCode::BAD_REQUEST, "NoSuchGroup"),
            Self::Change(ChangeError::Terminated(_)) => (StatusCode::CONFLICT, "Terminated"),
            Self::Change(ChangeError::NoSuchTag { .. }) => (StatusCode::NOT_FOUND, "NoSuchTag"),
            Self::InvalidPath(_) => (StatusCode::BAD_REQUEST, "InvalidPath"),
            Self::InvalidQuery(_) | Self::UnknownParameter { .. } => {
                (StatusCode::BAD_REQUEST, "InvalidQuery")
            }
            Self::InvalidBody(_) => (StatusCode::BAD_REQUEST, "InvalidBody"),
            Self::UnsupportedMediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "RequestTimeout"),
            Self::NotReady(_) => (StatusCode::SERVICE_UNAVAILABLE, "NotReady"),
            Self::PayloadTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge"),
            Self::Change(ChangeError::UnknownNamespace(_)) => (StatusCode::BAD_REQUEST, "UnknownNamespace"),
            // SORACOM's own API answers 400 here and 404 for a key.
            Self::Change(ChangeError::NoSuchNamespace { .. }) => (StatusCode::BAD_REQUEST, "NoSuchNamespace"),
            Self::Change(ChangeError::NoSuchKey { .. }) => (StatusCode::NOT_FOUND, "NoSuchKey"),
            Self::Change(ChangeError::Invalid(_)) => (StatusCode::BAD_REQUEST, "InvalidConfiguration"),
            Self::Change(ChangeError::NoSuchCredential(_)) => (StatusCode::BAD_REQUEST, "NoSuchCredential"),
            Self::Change(ChangeError::BrokenFile(_)) => (StatusCode::CONFLICT, "BrokenFile"),
            Self::Change(ChangeError::Busy(_)) => (StatusCode::CONFLICT, "Busy"),
            Self::Change(ChangeError::Write { source, .. }) => write_failed(source),
            Self::Change(ChangeError::NotSynced { .. }) => (StatusCode::INTERNAL_SERVER_ERROR, "NotSynced"),
            Self::Change(ChangeError::Interrupted) => (StatusCode::SERVICE_UNAVAILABLE, "Interrupted"),
            Self::Change(ChangeError::Unreadable(_)) | Self::Panicked => {
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalError")
            }
        }
    }
}

impl ApiError {
    /// A query parameter with a value that is not `allowed`.
    pub(super) fn not_allowed(name: &str, value: &str, allowed: &str) -> Self {
        Self::InvalidQuery(format!("{name}: {value:?} is not {allowed}"))
    }

    fn refusal(&self) -> Refusal {
        let (_, code) = self.status_and_code();
        Refusal {
            code,
            message: self.to_string(),
        }
    }

    /// The body of the answer.
    pub(super) fn body(&self) -> String {
        serde_json::to_string(&self.refusal()).unwrap_or_default()
    }
}

/// Status and code of a file that could not be written: whether that is for want of room.
pub(super) fn write_failed(error: &io::Error) -> (StatusCode, &'static str) {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            (StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage")
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "WriteFailed"),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, _) = self.status_and_code();
        let refusal = self.refusal();
        let mut response = (status, Json(refusal)).into_response();
        let header = match (self, status) {
            // Not 429 or 503: SORACOM's command would go on for two minutes before it says anything.
            (Self::Auth(AuthRefusal::Busy), _) => Some((header::RETRY_AFTER, "1")),
            (_, StatusCode::UNAUTHORIZED) => Some((header::WWW_AUTHENTICATE, "Bearer")),
            // The rest of the body is not waited for.
            (_, StatusCode::REQUEST_TIMEOUT) => Some((header::CONNECTION, "close")),
            _ => None,
        };
        if let Some((name, value)) = header {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::AuthFileError;
    use crate::store::CredentialChangeError;

    #[test]
    fn a_full_disk_has_one_code_whatever_could_not_be_written() {
        use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, StorageFull};
        let full = (StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage");
        let other = (StatusCode::INTERNAL_SERVER_ERROR, "WriteFailed");
        for (kind, expected) in [
            (StorageFull, full),
            (QuotaExceeded, full),
            (FileTooLarge, full),
            (PermissionDenied, other),
        ] {
            let path = std::path::PathBuf::from("f");
            let configuration = ChangeError::Write {
                path: path.clone(),
                source: kind.into(),
            };
            let credential = CredentialChangeError::File {
                path: path.clone(),
                source: kind.into(),
            };
            let auth = AuthFileError::File {
                path,
                source: kind.into(),
            };
            for error in [
                ApiError::from(configuration),
                CredentialRefusal::from(credential).into(),
                AuthRefusal::from(auth).into(),
            ] {
                assert_eq!(error.status_and_code(), expected, "{error:?}");
            }
        }
    }
}
