//! The operator, its auth keys and its tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{AuthFileError, AuthKeys, AuthRefusal, Caller, Timeout, TokenTimeout};
use super::body::JsonObject;
use super::error::Refusal;
use super::segments::Segments;
use super::{ApiError, ApiState, audit};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(list_auth_keys, create_auth_key))
        .routes(routes!(delete_auth_key))
        .routes(routes!(reissue_token))
        .routes(routes!(revoke_tokens))
}

/// Whom everything on this server belongs to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OperatorModel {
    operator_id: String,
    root_operator_id: String,
    /// Empty: this operator has no address, but SORACOM's clients need the field.
    email: &'static str,
    description: &'static str,
    /// As in RFC 3339.
    create_date: String,
    update_date: String,
}

/// What one logs in with, without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuthKeyModel {
    auth_key_id: String,
    /// Seconds since 1970.
    create_date_time: i64,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_date_time: Option<i64>,
}

/// A new auth key; its secret is shown this once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewAuthKeyModel {
    auth_key_id: String,
    auth_key: String,
}

/// A token that takes the place of the one of the login.
#[derive(Serialize, ToSchema)]
struct Token {
    token: String,
}

/// The operator.
#[utoipa::path(
    get,
    path = "/v1/operators/{operator_id}",
    tag = "operators",
    responses((status = 200, body = OperatorModel), (status = 404, body = Refusal))
)]
async fn show(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<OperatorModel>, ApiError> {
    let operator = state.auth.operator();
    state.auth.refuse_other_operator(&id)?;
    let created = operator.created();
    Ok(Json(OperatorModel {
        operator_id: operator.id().to_owned(),
        root_operator_id: operator.id().to_owned(),
        email: "",
        description: "simrelay",
        create_date: created.clone(),
        update_date: created,
    }))
}

/// All auth keys.
#[utoipa::path(
    get,
    path = "/v1/operators/{operator_id}/auth_keys",
    tag = "operators",
    responses((status = 200, body = Vec<AuthKeyModel>), (status = 404, body = Refusal))
)]
async fn list_auth_keys(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<Vec<AuthKeyModel>>, ApiError> {
    state.auth.refuse_other_operator(&id)?;
    let keys = state.auth.keys().list();
    let shown = keys.iter().map(|key| AuthKeyModel {
        auth_key_id: key.auth_key_id.clone(),
        create_date_time: key.create_date_time,
        last_used_date_time: key.last_used_date_time,
    });
    Ok(Json(shown.collect()))
}

/// A new auth key.
#[utoipa::path(
    post,
    path = "/v1/operators/{operator_id}/auth_keys",
    tag = "operators",
    responses((status = 201, body = NewAuthKeyModel), (status = 404, body = Refusal))
)]
async fn create_auth_key(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<(StatusCode, Json<NewAuthKeyModel>), ApiError> {
    state.auth.refuse_other_operator(&id)?;
    let key = with_keys(&state, AuthKeys::create).await?;
    audit::done(&caller, "auth key made", &key.auth_key_id);
    let shown = NewAuthKeyModel {
        auth_key_id: key.auth_key_id,
        auth_key: key.auth_key.to_string(),
    };
    Ok((StatusCode::CREATED, Json(shown)))
}

/// The auth key goes, and the tokens made with it.
#[utoipa::path(
    delete,
    path = "/v1/operators/{operator_id}/auth_keys/{auth_key_id}",
    tag = "operators",
    responses((status = 204), (status = 404, body = Refusal))
)]
async fn delete_auth_key(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((id, key_id)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    state.auth.refuse_other_operator(&id)?;
    let wanted = key_id.clone();
    if !with_keys(&state, move |keys| keys.delete(&wanted)).await? {
        return Err(AuthRefusal::NoSuchAuthKey(key_id).into());
    }
    audit::done(&caller, "auth key deleted, with the tokens made with it", &key_id);
    Ok(StatusCode::NO_CONTENT)
}

/// Another token for the API key of the login that calls.
#[utoipa::path(
    post,
    path = "/v1/operators/{operator_id}/token",
    tag = "operators",
    request_body = TokenTimeout,
    responses((status = 200, body = Token), (status = 404, body = Refusal))
)]
async fn reissue_token(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    JsonObject(body): JsonObject,
) -> Result<Json<Token>, ApiError> {
    state.auth.refuse_other_operator(&id)?;
    let session = caller.session().ok_or(AuthRefusal::AdminToken(
        "log in with POST /v1/auth to get a token",
    ))?;
    let seconds = Timeout::alone(&body)?.0;
    let token = state.auth.reissue(session, seconds)?;
    audit::done(&caller, "token made", &format_args!("for {seconds} s"));
    Ok(Json(Token { token }))
}

/// Ends all logins; the admin token stays.
#[utoipa::path(
    delete,
    path = "/v1/operators/{operator_id}/tokens",
    tag = "operators",
    responses((status = 204), (status = 404, body = Refusal))
)]
async fn revoke_tokens(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<StatusCode, ApiError> {
    state.auth.refuse_other_operator(&id)?;
    state.auth.revoke_all()?;
    audit::done(&caller, "all tokens revoked", &"all logins");
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the keys on a thread that may wait for the disk, and for a hash.
async fn with_keys<T: Send + 'static>(
    state: &ApiState,
    change: impl FnOnce(&AuthKeys) -> Result<T, AuthFileError> + Send + 'static,
) -> Result<T, AuthRefusal> {
    let keys = Arc::clone(state.auth.keys());
    let changed = spawn_blocking(move || change(&keys)).await;
    Ok(changed.map_err(|_| AuthRefusal::Interrupted)??)
}
