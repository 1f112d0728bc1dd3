//! Which handler answers which route.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Extension, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::answer::{Refusal, status_of};
use super::guard::Guard;
use super::outbox::Outbox;
use super::request::{Fields, LONGEST_BODY};
use super::{Message, Outcome};
use crate::http_server::{Unread, read_body};

/// Where a notice goes if nothing is said.
const DEFAULT_TOPIC: &str = "notify/slack";
const NOTIFY: &str = "/notify";
const PUBLISH: &str = "/publish";
/// Open to those who watch over services: it needs no key.
const HEALTH: &str = "/healthz";

/// What the routes work with.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) guard: Guard,
    pub(super) outbox: Outbox,
}

/// Who called, proxies seen through.
#[derive(Debug, Clone, Copy)]
struct Caller(IpAddr);

pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        // What a HEAD asks for would be published.
        .route(
            NOTIFY,
            get(notify_by_address).post(notify).head(method_not_allowed),
        )
        .route(PUBLISH, post(publish))
        .route(HEALTH, get(health))
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&desk), guard))
        .with_state(desk)
}

/// Admits a request, and puts down what was refused. Keys may stand in the address, so only the path is told.
async fn guard(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = desk.guard.caller(peer.ip(), request.headers());
    let address = caller.as_ref().copied().unwrap_or_else(|_| peer.ip());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = request.uri().query().unwrap_or_default();
    let wants_key = path != HEALTH;
    let admitted = caller.and_then(|caller| desk.guard.admit(caller, request.headers(), query, wants_key));
    let response = match admitted {
        Ok(()) => {
            request.extensions_mut().insert(Caller(address));
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        let status = response.status().as_u16();
        desk.outbox.counters().refused_with(status);
        if !refusal.is_told() {
            return response;
        }
        tracing::warn!(event = "refused", service = "bridge", %address, %method, path, status, reason = %refusal, "request refused");
    }
    response
}

async fn notify_by_address(
    State(desk): State<Arc<Desk>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let message = of_address(&uri)?.message(Some(DEFAULT_TOPIC))?;
    echo(desk, caller, message).await
}

async fn notify(
    State(desk): State<Arc<Desk>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Refusal> {
    let message = of_request(request).await?.message(Some(DEFAULT_TOPIC))?;
    echo(desk, caller, message).await
}

/// Answers as the article does, with what was understood.
async fn echo(desk: Arc<Desk>, caller: Caller, message: Message) -> Result<Response, Refusal> {
    let (topic, text) = (message.topic.to_string(), message.text.clone());
    let (code, status) = hand_over(desk, caller, message).await?;
    Ok((
        code,
        Json(json!({ "status": status, "topic": topic, "message": text })),
    )
        .into_response())
}

async fn publish(
    State(desk): State<Arc<Desk>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Refusal> {
    let message = of_request(request).await?.message(None)?;
    let (code, status) = hand_over(desk, caller, message).await?;
    Ok((code, Json(json!({ "status": status }))).into_response())
}

async fn hand_over(
    desk: Arc<Desk>,
    Caller(address): Caller,
    message: Message,
) -> Result<(StatusCode, &'static str), Refusal> {
    let began = Instant::now();
    let (topic, bytes) = (message.topic.to_string(), message.text.len());
    // A task of its own, because a caller who hangs up drops this one, and the message is to be kept.
    let published = tokio::spawn(async move { desk.outbox.publish(message).await });
    let outcome = published
        .await
        .unwrap_or_else(|error| Outcome::Unkept(error.to_string()));
    let answer = status_of(outcome)?;
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(event = "message", %address, topic, bytes, status = answer.1, ms = took, "message taken");
    Ok(answer)
}

fn of_address(uri: &Uri) -> Result<Fields, Refusal> {
    Fields::of_form(uri.query().unwrap_or_default())
}

/// Body and address: a shortcut may have the topic in one and the message in the other.
async fn of_request(request: Request) -> Result<Fields, Refusal> {
    let (parts, body) = request.into_parts();
    let body = read_body(body, LONGEST_BODY).await?;
    let address = of_address(&parts.uri)?;
    if body.is_empty() {
        return Ok(address);
    }
    Ok(Fields::of_body(&parts.headers, &body)?.or(address))
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLong => Self::TooLong,
            Unread::TooSlow => Self::TooSlow,
            Unread::Broken(_) => Self::Body(unread.to_string()),
        }
    }
}

/// Alive, and whether the broker is there.
async fn health(State(desk): State<Arc<Desk>>) -> Response {
    let broker = if desk.outbox.is_down() { "away" } else { "there" };
    // Not to be had from a database that cannot be read.
    let parked = desk.outbox.parked().count().await.ok();
    let waiting = desk.outbox.len();
    Json(json!({ "status": "ok", "broker": broker, "waiting": waiting, "parked": parked })).into_response()
}

async fn no_such_route(uri: Uri) -> Refusal {
    Refusal::Route(uri.path().to_owned())
}

async fn method_not_allowed(request: Request) -> Refusal {
    let allowed = match request.uri().path() {
        NOTIFY => "GET, POST",
        PUBLISH => "POST",
        _ => "GET, HEAD",
    };
    Refusal::Method(request.method().to_string(), allowed)
}
