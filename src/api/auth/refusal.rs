//! Why a caller is not let in, and how often.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;

use super::{AuthFileError, SignatureRefusal, TokenRefusal};
use crate::api::error::write_failed;

/// Why a login, or a call, was refused. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum AuthRefusal {
    /// Nothing was shown.
    #[error(
        "this needs the headers X-Soracom-API-Key and X-Soracom-Token, which POST /v1/auth gives for an authKeyId and \
         authKey, or \"Authorization: Bearer <token>\" with the token of the file admin-token in the data directory"
    )]
    NothingShown,
    /// Not the admin token.
    #[error(
        "this is not the admin token, which is in the file admin-token of the data directory of this server"
    )]
    WrongAdminToken,
    /// The address has shown too many wrong ones; this one may be right.
    #[error(
        "too many wrong admin tokens came from your address; this one was not looked at, try again in {0} s"
    )]
    TooManyWrongAdminTokens(u64),
    /// One of the two headers.
    #[error("X-Soracom-API-Key and X-Soracom-Token are both needed; {0} is missing")]
    OneShown(&'static str),
    /// API key and token are not taken.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// A URL that was to be fetched without a login.
    #[error(transparent)]
    Signature(#[from] SignatureRefusal),
    /// A wrong key, or a key that is not there: nobody learns which.
    #[error("authKeyId or authKey is wrong")]
    WrongKey,
    /// The address has shown too many wrong keys.
    #[error(
        "too many wrong auth keys came from your address; this one was not looked at, try again in {0} s"
    )]
    TooManyWrongKeys(u64),
    /// More logins at once than can be checked.
    #[error("too many logins are waiting; this one was not looked at, try again in 1 s")]
    Busy,
    /// The program is shutting down.
    #[error("the program is shutting down; try again")]
    Interrupted,
    /// A login of a kind that this server does not have.
    #[error(
        "this server has no {0}; log in with authKeyId and authKey, which `simrelay auth-key create` on the server makes"
    )]
    Unsupported(&'static str),
    /// Something is missing from the body, or is of the wrong type.
    #[error("{field}: {reason}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that only a login has.
    #[error("the admin token has no API key and no session; {0}")]
    AdminToken(&'static str),
    /// Another operator's id.
    #[error("there is no operator {asked:?} here; this server is {here}")]
    NoSuchOperator {
        /// The id in the path.
        asked: String,
        /// The id of this server.
        here: String,
    },
    /// No such key.
    #[error("there is no auth key {0:?}")]
    NoSuchAuthKey(String),
    /// A token cannot be signed.
    #[error("cannot sign a token: {0}")]
    Signing(jsonwebtoken::errors::Error),
    /// A file of the data directory.
    #[error(transparent)]
    File(#[from] AuthFileError),
}

impl AuthRefusal {
    /// One word for `/metrics`, where it is about who calls.
    fn kind(&self) -> Option<&'static str> {
        match self {
            Self::NothingShown | Self::OneShown(_) => Some("nothing_shown"),
            Self::WrongAdminToken => Some("wrong_admin_token"),
            Self::TooManyWrongAdminTokens(_) => Some("too_many_wrong_admin_tokens"),
            Self::Token(_) => Some("wrong_token"),
            Self::Signature(_) => Some("wrong_signature"),
            Self::WrongKey => Some("wrong_auth_key"),
            Self::TooManyWrongKeys(_) => Some("too_many_wrong_auth_keys"),
            _ => None,
        }
    }

    /// Status and code of the answer.
    pub(in crate::api) fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NothingShown | Self::WrongAdminToken | Self::OneShown(_) => {
                (StatusCode::UNAUTHORIZED, "Unauthorized")
            }
            Self::TooManyWrongAdminTokens(_) => (StatusCode::UNAUTHORIZED, "TooManyWrongAdminTokens"),
            Self::Token(TokenRefusal::Expired(_)) => (StatusCode::UNAUTHORIZED, "TokenExpired"),
            Self::Token(TokenRefusal::Revoked | TokenRefusal::KeyDeleted(_)) => {
                (StatusCode::UNAUTHORIZED, "TokenRevoked")
            }
            Self::Token(_) => (StatusCode::UNAUTHORIZED, "InvalidToken"),
            Self::Signature(SignatureRefusal::Wrong) => (StatusCode::UNAUTHORIZED, "InvalidSignature"),
            Self::Signature(SignatureRefusal::Expired(_)) => (StatusCode::UNAUTHORIZED, "SignatureExpired"),
            Self::WrongKey => (StatusCode::UNAUTHORIZED, "WrongAuthKey"),
            Self::TooManyWrongKeys(_) => (StatusCode::UNAUTHORIZED, "TooManyWrongAuthKeys"),
            // As for too many wrong keys: a login is never told to wait in a way that makes a command hang.
            Self::Busy => (StatusCode::UNAUTHORIZED, "TooManyLogins"),
            Self::Interrupted => (StatusCode::SERVICE_UNAVAILABLE, "Interrupted"),
            Self::Unsupported(_) => (StatusCode::BAD_REQUEST, "UnsupportedLogin"),
            Self::Field { .. } => (StatusCode::BAD_REQUEST, "InvalidBody"),
            Self::AdminToken(_) => (StatusCode::BAD_REQUEST, "NoSession"),
            Self::NoSuchOperator { .. } => (StatusCode::NOT_FOUND, "NoSuchOperator"),
            Self::NoSuchAuthKey(_) => (StatusCode::NOT_FOUND, "NoSuchAuthKey"),
            Self::Signing(_) => (StatusCode::INTERNAL_SERVER_ERROR, "SigningFailed"),
            Self::File(AuthFileError::File { source, .. }) => write_failed(source),
            Self::File(AuthFileError::Malformed { .. }) => (StatusCode::CONFLICT, "BrokenFile"),
        }
    }
}

/// How many callers were not let in since the start, by kind.
#[derive(Debug, Default)]
pub(in crate::api) struct Refusals(Mutex<BTreeMap<&'static str, u64>>);

impl Refusals {
    /// Counts a refusal that is about who calls.
    pub(super) fn count(&self, refusal: &AuthRefusal) {
        if let Some(kind) = refusal.kind() {
            let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *numbers.entry(kind).or_default() += 1;
        }
    }

    /// The numbers by kind.
    pub(in crate::api) fn numbers(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
