//! What becomes of a call whose handler panics.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::ApiError;

/// A mistake of ours in one call is an answer and a line in the log, and not a connection that just ends.
pub(super) async fn answer(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut answer = pin!(next.run(request));
    // What panicked is not asked again: nothing is seen of the state in which it was left.
    let answered = poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    });
    answered.await.unwrap_or_else(|| {
        tracing::error!(event = "panic", service = "api", %method, path, "an API call failed by a mistake in simrelay; please report it");
        ApiError::Panicked.into_response()
    })
}
