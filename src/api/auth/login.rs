//! Logging in and out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::tokens::{DEFAULT, LONGEST};
use super::{AuthRefusal, Caller};
use crate::api::body::JsonObject;
use crate::api::error::Refusal;
use crate::api::{ApiError, ApiState, audit};
use crate::json;

/// What a login may have in bytes: anybody may send one, and a hundred at a time wait for their turn.
const LOGIN_LIMIT: usize = 4 * 1024;

/// What SORACOM's clients may send: all of it is known, though not all of it serves here.
const LOGIN_FIELDS: [&str; 8] = [
    "authKeyId",
    "authKey",
    "tokenTimeoutSeconds",
    "email",
    "password",
    "operatorId",
    "userName",
    "mfaOTPCode",
];

/// `AuthResponse` of SORACOM, which adds `userName` for users that this server does not have.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LoggedIn {
    api_key: String,
    token: String,
    operator_id: String,
}

pub(in crate::api) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(logout))
}

/// A login as it is sent.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "only its schema is used: serde's own errors would quote secrets"
)]
struct AuthRequest {
    #[schema(min_length = 1)]
    auth_key_id: String,
    #[schema(min_length = 1)]
    auth_key: String,
    /// How long the token is to live.
    #[schema(minimum = 1, maximum = 172_800, default = 86_400)]
    token_timeout_seconds: Option<i64>,
}

/// How long a token is to live; without a body as long as usual.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(in crate::api) struct TokenTimeout {
    #[schema(minimum = 1, maximum = 172_800, default = 86_400)]
    token_timeout_seconds: Option<i64>,
}

/// Gives an API key and a token for an auth key.
#[utoipa::path(
    post,
    path = "/v1/auth",
    tag = "auth",
    security(()),
    request_body = AuthRequest,
    responses((status = 200, body = LoggedIn), (status = 401, body = Refusal))
)]
async fn login(
    State(state): State<ApiState>,
    caller: Caller,
    JsonObject(body): JsonObject<LOGIN_LIMIT>,
) -> Result<Json<LoggedIn>, ApiError> {
    refuse_unknown(&body, &LOGIN_FIELDS)?;
    let request = Login::of(&body)?;
    let auth = &state.auth;
    let issued = auth
        .log_in(caller.address(), request.id, request.secret, request.timeout.0)
        .await
        .inspect_err(|refusal| {
            auth.refusals.count(refusal);
            // Told once when it begins: whoever sends them must not fill the log.
            if !matches!(refusal, AuthRefusal::TooManyWrongKeys(_)) {
                let auth_key = request.loggable_id();
                tracing::warn!(target: audit::TARGET, from = %caller, auth_key, "login refused: {refusal}");
            }
        })?;
    audit::logged_in(
        request.loggable_id(),
        &caller,
        &format_args!("for {} s", request.timeout.0),
    );
    Ok(Json(LoggedIn {
        api_key: issued.api_key,
        token: issued.token,
        operator_id: auth.operator().id().to_owned(),
    }))
}

/// Ends the login that calls.
#[utoipa::path(post, path = "/v1/auth/logout", tag = "auth", responses((status = 204)))]
async fn logout(State(state): State<ApiState>, caller: Caller) -> Result<StatusCode, ApiError> {
    let session = caller
        .session()
        .ok_or(AuthRefusal::AdminToken("there is nothing to log out"))?;
    state.auth.tokens.revoke(session).map_err(AuthRefusal::from)?;
    audit::done(&caller, "logged out", &"this login");
    Ok(StatusCode::NO_CONTENT)
}

/// What `POST /v1/auth` was sent.
struct Login<'a> {
    id: &'a str,
    secret: &'a str,
    timeout: Timeout,
}

impl<'a> Login<'a> {
    /// By hand, as serde's errors quote values, which here are secrets.
    fn of(body: &'a Map<String, Value>) -> Result<Self, AuthRefusal> {
        if text(body, "authKeyId")?.is_none() && text(body, "authKey")?.is_none() {
            if body.contains_key("userName") {
                return Err(AuthRefusal::Unsupported("SAM users"));
            }
            if body.contains_key("email") || body.contains_key("password") {
                return Err(AuthRefusal::Unsupported("e-mail addresses with passwords"));
            }
        }
        Ok(Self {
            id: needed(body, "authKeyId")?,
            secret: needed(body, "authKey")?,
            timeout: Timeout::of(body)?,
        })
    }

    /// People paste a secret where the id belongs, and it must not reach the log.
    fn loggable_id(&self) -> &str {
        let digits = self.id.strip_prefix("keyId-");
        let is_id = digits.is_some_and(|id| id.len() == 36 && !id.contains(|c: char| c.is_control()));
        if is_id { self.id } else { "not an authKeyId" }
    }
}

/// How long a token is to live, in seconds.
pub(in crate::api) struct Timeout(pub(in crate::api) i64);

impl Timeout {
    /// The body of a request that has nothing else.
    pub(in crate::api) fn alone(body: &Map<String, Value>) -> Result<Self, ApiError> {
        refuse_unknown(body, &["tokenTimeoutSeconds"])?;
        Ok(Self::of(body)?)
    }

    /// `tokenTimeoutSeconds`, or the default.
    fn of(body: &Map<String, Value>) -> Result<Self, AuthRefusal> {
        let Some(value) = body.get("tokenTimeoutSeconds").filter(|value| !value.is_null()) else {
            return Ok(Self(DEFAULT));
        };
        let allowed = value.as_i64().filter(|seconds| (1..=LONGEST).contains(seconds));
        allowed.map(Self).ok_or_else(|| AuthRefusal::Field {
            field: "tokenTimeoutSeconds",
            reason: format!("{value} is not a whole number from 1 to {LONGEST}"),
        })
    }
}

/// Refuses a field that is not in `known`: one that is passed over by a typing error would have no effect.
fn refuse_unknown(body: &Map<String, Value>, known: &[&str]) -> Result<(), ApiError> {
    match body.keys().find(|field| !known.contains(&field.as_str())) {
        Some(field) => {
            let words = json::unknown("field", field, known);
            Err(ApiError::InvalidBody(format!("{field:?} {words}")))
        }
        None => Ok(()),
    }
}

/// The value of a field that holds a text. Its errors do not quote it.
fn text<'a>(body: &'a Map<String, Value>, field: &'static str) -> Result<Option<&'a str>, AuthRefusal> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty()).map(String::as_str)),
        Some(_) => Err(AuthRefusal::Field {
            field,
            reason: "is not a string".to_owned(),
        }),
    }
}

fn needed<'a>(body: &'a Map<String, Value>, field: &'static str) -> Result<&'a str, AuthRefusal> {
    text(body, field)?.ok_or_else(|| AuthRefusal::Field {
        field,
        reason: "is missing; log in with {\"authKeyId\": \"keyId-…\", \"authKey\": \"secret-…\"}".to_owned(),
    })
}
