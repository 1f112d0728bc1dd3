//! What callers are told.

use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::message::LONGEST_MESSAGE;
use super::rate::TooMany;
use super::{InvalidTopic, Outcome};

/// A request that is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The topic cannot be published to.
    #[error(transparent)]
    Topic(#[from] InvalidTopic),
    /// `/publish` needs to be told where to.
    #[error(
        "topic is missing: say where to publish, as in {{\"topic\": \"alert/critical\", \"message\": \"…\"}}"
    )]
    NoTopic,
    /// There is nothing to say.
    #[error("message is missing or empty: send it as message=… or as {{\"message\": \"…\"}}")]
    NoMessage,
    /// More than 64 KiB.
    #[error("the message is longer than {LONGEST_MESSAGE} bytes")]
    TooLong,
    /// Neither JSON nor a form, or not what it says it is.
    #[error("{0}")]
    Body(String),
    /// A type that is none of those known.
    #[error("the body is {0:?}; send application/json, application/x-www-form-urlencoded or text/plain")]
    MediaType(String),
    /// No key.
    #[error(
        "show the key: header X-API-Key, Authorization: Bearer or Basic (as password), or key= in the address"
    )]
    Key,
    /// A wrong key.
    #[error(
        "this key is none of the bridge's: compare it with those in SIMRELAY_BRIDGE_KEY, or in the file of --bridge-key-file"
    )]
    WrongKey,
    /// The address is not on the list.
    #[error("{0} is in no network that may call; see --bridge-allow")]
    Network(IpAddr),
    /// A trusted proxy does not say who calls.
    #[error(
        "X-Forwarded-For of the proxy ends with {0:?}, which is no address: have it put its caller's address there, as \
         in nginx with proxy_set_header X-Forwarded-For $remote_addr"
    )]
    Forwarded(String),
    /// Too many requests.
    #[error("too many requests from this address; try again in {} s", seconds(.0.wait))]
    TooMany(TooMany),
    /// The broker would not have it.
    #[error("{0}")]
    Broker(String),
    /// Too much waits for the broker.
    #[error("the queue is full, because the broker has not taken messages for long; see simrelay doctor")]
    Full,
    /// The message cannot be kept.
    #[error("the broker did not answer, and the message cannot be kept: {0}")]
    Unkept(String),
    /// The request's head took too long.
    #[error("the request did not come in time: send it whole within 10 s")]
    TooSlow,
    /// No such route.
    #[error("there is no {0}; there are GET and POST /notify, and POST /publish")]
    Route(String),
    /// The route knows other methods: these.
    #[error("{0} is not allowed here; there are GET and POST /notify, and POST /publish")]
    Method(String, &'static str),
}

impl Refusal {
    fn status_and_error(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Topic(_) | Self::NoTopic => (StatusCode::BAD_REQUEST, "invalid topic"),
            Self::NoMessage => (StatusCode::BAD_REQUEST, "invalid message"),
            Self::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "message too long"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "invalid request"),
            Self::MediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported media type"),
            Self::Key | Self::WrongKey => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Network(_) | Self::Forwarded(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "too many requests"),
            Self::Broker(_) => (StatusCode::BAD_GATEWAY, "refused by the broker"),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, "queue full"),
            Self::Unkept(_) => (StatusCode::SERVICE_UNAVAILABLE, "not accepted"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too slow"),
            Self::Route(_) => (StatusCode::NOT_FOUND, "not found"),
            Self::Method(..) => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
        }
    }

    /// The body of its answer.
    pub(super) fn body(&self) -> Value {
        json!({ "error": self.status_and_error().1, "reason": self.to_string() })
    }

    /// Whether it is worth a line in the log: a flood from one address is one line.
    pub(super) fn is_told(&self) -> bool {
        !matches!(self, Self::TooMany(TooMany { is_first: false, .. }))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status_and_error().0, Json(self.body())).into_response();
        // For the log.
        response.extensions_mut().insert(self.clone());
        let mut add = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
        match self {
            // Basic, so that a browser asks for the key.
            Self::Key | Self::WrongKey => drop(add(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"simrelay\", charset=\"UTF-8\""),
            )),
            // RFC 9110, 15.5.6.
            Self::Method(_, allowed) => drop(add(header::ALLOW, HeaderValue::from_static(allowed))),
            Self::TooMany(too_many) => drop(add(header::RETRY_AFTER, seconds(too_many.wait).into())),
            Self::Full | Self::Unkept(_) => drop(add(header::RETRY_AFTER, HeaderValue::from_static("60"))),
            _ => {}
        }
        response
    }
}

/// Whole seconds, one at least.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The status of an outcome in answers and in the log.
pub(super) fn status_of(outcome: Outcome) -> Result<(StatusCode, &'static str), Refusal> {
    match outcome {
        Outcome::Published => Ok((StatusCode::OK, "published")),
        Outcome::Accepted => Ok((StatusCode::ACCEPTED, "accepted")),
        Outcome::Refused(reason) => Err(Refusal::Broker(reason)),
        Outcome::Full => Err(Refusal::Full),
        Outcome::Unkept(reason) => Err(Refusal::Unkept(reason)),
    }
}
