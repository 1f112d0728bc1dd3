//! The client for services that speak HTTP, and what their answers mean for a notification.

use super::{LIMIT, Outcome, with_causes};
use crate::upstream::system_roots;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode};
use rustls::ClientConfig;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long the way to a service may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The longest wait that a service may ask for: limits of services are by the second or the minute, and one odd answer must not silence alarms for a day.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// How much of an answer is shown.
const SHOWN: usize = 300;
/// How much of an answer is read.
const READ: usize = 16 * 1024;

/// There is no client for HTTPS.
#[derive(Debug, thiserror::Error)]
#[error("no HTTPS client can be made: {0}")]
pub struct NoHttpsClient(String);

impl NoHttpsClient {
    fn because(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// A client that trusts the machine's trust store.
pub(super) fn client() -> Result<Client, NoHttpsClient> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(NoHttpsClient::because)?
        .with_root_certificates(system_roots())
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(LIMIT)
        .connect_timeout(CONNECT_WITHIN)
        // A secret URL is for the one it was made for.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("simrelay/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(NoHttpsClient::because)
}

/// Sends a request and understands the answer.
pub(super) async fn attempt(request: RequestBuilder) -> Outcome {
    let mut response = match request.send().await {
        Ok(response) => response,
        // Not sent: what the configuration gives is no request, and none comes of it by waiting.
        Err(error) if error.is_builder() => return Outcome::NotConfigured(failure(&error.without_url())),
        // The URL may be a secret.
        Err(error) => return Outcome::later(failure(&error.without_url())),
    };
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while body.len() < READ {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            // The status says it all.
            Ok(None) | Err(_) => break,
        }
    }
    understand(
        status,
        &headers,
        &String::from_utf8_lossy(&body),
        Timestamp::now(),
    )
}

/// The outcome for an answer.
fn understand(status: StatusCode, headers: &HeaderMap, body: &str, now: Timestamp) -> Outcome {
    let body: String = body.trim().chars().take(SHOWN).collect();
    let words = format!("{status} {body}").trim_end().to_owned();
    if status.is_success() {
        return Outcome::Delivered(words);
    }
    let heals = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY
        );
    if heals {
        return Outcome::Later {
            reason: words,
            after: retry_after(headers, now),
        };
    }
    Outcome::Never(words)
}

/// Seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            let left = date.as_millisecond().saturating_sub(now.as_millisecond());
            Duration::from_millis(u64::try_from(left).unwrap_or(0))
        }
    };
    Some(wait.min(LONGEST))
}

/// What went wrong with a request.
fn failure(error: &reqwest::Error) -> String {
    let words = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        error.to_string()
    };
    with_causes(words, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, after: Option<&str>) -> Outcome {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert(RETRY_AFTER, after.parse().unwrap());
        }
        let now = "2026-11-23T05:00:00Z".parse().unwrap();
        understand(StatusCode::from_u16(status).unwrap(), &headers, "body\n", now)
    }

    fn wait(after: &str) -> Option<Duration> {
        match outcome(429, Some(after)) {
            Outcome::Later { after, .. } => after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn success_is_delivered_what_heals_comes_later_and_the_rest_never() {
        for status in [200, 201, 204] {
            assert!(matches!(outcome(status, None), Outcome::Delivered(_)), "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(outcome(status, None), Outcome::Later { .. }), "{status}");
        }
        for status in [301, 302, 400, 401, 403, 404, 409, 410, 413, 422] {
            assert!(matches!(outcome(status, None), Outcome::Never(_)), "{status}");
        }
        assert_eq!(outcome(404, None), Outcome::Never("404 Not Found body".into()));
    }

    #[test]
    fn a_wait_is_seconds_or_a_date_and_never_endless() {
        assert_eq!(wait("30"), Some(Duration::from_secs(30)));
        assert_eq!(
            wait("Mon, 23 Nov 2026 05:01:00 GMT"),
            Some(Duration::from_secs(60))
        );
        assert_eq!(wait("Mon, 23 Nov 2026 04:00:00 GMT"), Some(Duration::ZERO));
        for endless in ["86400", "99999999999", "Tue, 24 Nov 2026 05:00:00 GMT"] {
            assert_eq!(wait(endless), Some(Duration::from_secs(900)));
        }
        assert_eq!(wait("soon"), None);
    }
}
