//! The operator, its auth keys and its tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use super::auth::{AuthFileError, AuthKeys, AuthRefusal, Caller, Timeout};
use super::body::JsonObject;
use super::segments::Segments;
use super::{ApiError, ApiState};

/// `GET /v1/operators/{operator_id}`
pub(super) async fn get(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<Value>, ApiError> {
    let operator = state.auth.operator();
    refuse_others(&state, &id)?;
    let created = operator.created();
    Ok(Json(json!({
        "operatorId": operator.id(),
        "rootOperatorId": operator.id(),
        // All are required, and this operator has no address.
        "email": "",
        "description": "simrelay",
        "createDate": created,
        "updateDate": created,
    })))
}

/// `GET /v1/operators/{operator_id}/auth_keys`
pub(super) async fn list_auth_keys(
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<Vec<Value>>, ApiError> {
    refuse_others(&state, &id)?;
    let keys = state.auth.keys().list();
    let shown = keys.iter().map(|key| {
        let mut shown = Map::new();
        shown.insert("authKeyId".to_owned(), key.auth_key_id.as_str().into());
        shown.insert("createDateTime".to_owned(), key.create_date_time.into());
        if let Some(time) = key.last_used_date_time {
            shown.insert("lastUsedDateTime".to_owned(), time.into());
        }
        Value::Object(shown)
    });
    Ok(Json(shown.collect()))
}

/// `POST /v1/operators/{operator_id}/auth_keys`
pub(super) async fn create_auth_key(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    refuse_others(&state, &id)?;
    let key = with_keys(&state, AuthKeys::create).await?;
    tracing::info!(who = caller.who(), from = %caller, auth_key = key.auth_key_id, "auth key made");
    let shown = json!({ "authKeyId": key.auth_key_id, "authKey": key.auth_key.as_str() });
    Ok((StatusCode::CREATED, Json(shown)))
}

/// `DELETE /v1/operators/{operator_id}/auth_keys/{auth_key_id}`
pub(super) async fn delete_auth_key(
    State(state): State<ApiState>,
    caller: Caller,
    Segments((id, key_id)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    refuse_others(&state, &id)?;
    let wanted = key_id.clone();
    if !with_keys(&state, move |keys| keys.delete(&wanted)).await? {
        return Err(AuthRefusal::NoSuchAuthKey(key_id).into());
    }
    tracing::info!(who = caller.who(), from = %caller, auth_key = key_id, "auth key deleted, with the tokens made with it");
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/operators/{operator_id}/token`
pub(super) async fn reissue_token(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    JsonObject(body): JsonObject,
) -> Result<Json<Value>, ApiError> {
    refuse_others(&state, &id)?;
    let session = caller.session().ok_or(AuthRefusal::AdminToken(
        "log in with POST /v1/auth to get a token",
    ))?;
    let token = state.auth.reissue(session, Timeout::of(&body)?.0)?;
    Ok(Json(json!({ "token": token })))
}

/// `DELETE /v1/operators/{operator_id}/tokens`
pub(super) async fn revoke_tokens(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<StatusCode, ApiError> {
    refuse_others(&state, &id)?;
    state.auth.revoke_all()?;
    tracing::info!(who = caller.who(), from = %caller, "all tokens revoked");
    Ok(StatusCode::NO_CONTENT)
}

fn refuse_others(state: &ApiState, asked: &str) -> Result<(), AuthRefusal> {
    let here = state.auth.operator().id();
    if asked == here {
        return Ok(());
    }
    Err(AuthRefusal::NoSuchOperator {
        asked: asked.to_owned(),
        here: here.to_owned(),
    })
}

/// Changes the keys on a thread that may wait for the disk, and for a hash.
async fn with_keys<T: Send + 'static>(
    state: &ApiState,
    change: impl FnOnce(&AuthKeys) -> Result<T, AuthFileError> + Send + 'static,
) -> Result<T, AuthRefusal> {
    let keys = Arc::clone(state.auth.keys());
    let changed = spawn_blocking(move || change(&keys)).await;
    Ok(changed.map_err(|_| AuthRefusal::Busy)??)
}
