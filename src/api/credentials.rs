//! The credential store, in SORACOM's shapes. Secrets come in and never go out.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::body::JsonObject;
use super::credential_refusal::CredentialRefusal;
use super::error::Refusal;
use super::paging::Asked;
use super::segments::Segments;
use super::{ApiError, ApiState, audit};
use crate::credential::{self, Credential, CredentialProblem, CredentialType, CredentialsId};
use crate::store::{InUse, StoredCredential};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(create, update, delete))
}

/// A credential, without its secrets. They are left out rather than masked: a mask that is sent back would be
/// stored as the password.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CredentialsModel {
    credentials_id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    description: String,
    /// What is no secret.
    credentials: BTreeMap<String, String>,
    /// Milliseconds since 1970.
    create_date_time: i64,
    /// Milliseconds since 1970.
    update_date_time: i64,
    /// Milliseconds since 1970; 0 for one that was never used.
    last_used_date_time: i64,
    /// When its certificate expires, where it has one. Milliseconds since 1970. Not of SORACOM.
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_date_time: Option<i64>,
}

impl CredentialsModel {
    fn of(stored: &StoredCredential) -> Self {
        let kind = stored.credential.kind;
        let shown = stored.credential.values.shown(kind);
        Self {
            credentials_id: stored.id.to_string(),
            kind: kind.name(),
            description: stored.description.clone(),
            credentials: shown
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            create_date_time: stored.create_time,
            update_date_time: stored.update_time,
            last_used_date_time: stored.last_used,
            expire_date_time: credential::expires(&stored.credential.values).map(|seconds| seconds * 1000),
        }
    }
}

/// A credential as it is sent.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only its schema is used: serde's own errors would quote secrets"
)]
struct NewCredentials {
    r#type: String,
    description: Option<String>,
    /// What the type consists of, e.g. `key`, `cert` and `ca` of x509, as PEM.
    credentials: BTreeMap<String, String>,
}

/// All credentials by name.
#[utoipa::path(
    get,
    path = "/v1/credentials",
    tag = "credentials",
    responses((status = 200, body = Vec<CredentialsModel>))
)]
async fn list(State(state): State<ApiState>) -> Result<Json<Vec<CredentialsModel>>, ApiError> {
    let listed = state.credentials.list().await.map_err(CredentialRefusal::from)?;
    Ok(Json(listed.iter().map(CredentialsModel::of).collect()))
}

/// A new credential; the next CONNECT can use it.
#[utoipa::path(
    post,
    path = "/v1/credentials/{credentials_id}",
    tag = "credentials",
    request_body = NewCredentials,
    responses((status = 201, body = CredentialsModel))
)]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    JsonObject(body): JsonObject,
) -> Result<(StatusCode, Json<CredentialsModel>), ApiError> {
    let (id, description, credential) = given(&id, &body)?;
    let stored = state.credentials.create(id, description, credential).await;
    let stored = stored.map_err(CredentialRefusal::from)?;
    log(&caller, &stored, "credential made");
    Ok((StatusCode::CREATED, Json(CredentialsModel::of(&stored))))
}

/// Replaces a credential whole; the next CONNECT uses the new one.
#[utoipa::path(
    put,
    path = "/v1/credentials/{credentials_id}",
    tag = "credentials",
    request_body = NewCredentials,
    responses((status = 200, body = CredentialsModel), (status = 404, body = Refusal))
)]
async fn update(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    JsonObject(body): JsonObject,
) -> Result<Json<CredentialsModel>, ApiError> {
    let (id, description, credential) = given(&id, &body)?;
    let stored = state.credentials.update(id, description, credential).await;
    let stored = stored.map_err(CredentialRefusal::from)?;
    log(&caller, &stored, "credential changed");
    Ok(Json(CredentialsModel::of(&stored)))
}

fn log(caller: &Caller, stored: &StoredCredential, message: &'static str) {
    let kind = stored.credential.kind.name();
    audit::done(caller, message, &format_args!("credential {}, {kind}", stored.id));
}

/// Query of `DELETE /v1/credentials/{credentials_id}`, our own addition.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Force {
    /// This server's own: deletes it even if entry points name it.
    force: Option<bool>,
}

/// The credential goes, if no entry point names it.
#[utoipa::path(
    delete,
    path = "/v1/credentials/{credentials_id}",
    tag = "credentials",
    params(Force),
    responses((status = 204), (status = 404, body = Refusal))
)]
async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Segments(id): Segments<String>,
    asked: Asked<Force>,
) -> Result<StatusCode, ApiError> {
    let id = CredentialsId::new(&id).map_err(CredentialRefusal::from)?;
    let in_use = if asked.query.force == Some(true) {
        InUse::Allowed
    } else {
        InUse::Refused
    };
    let groups = state.references.delete_credential(id.clone(), in_use).await;
    let groups = groups.map_err(CredentialRefusal::from)?;
    audit::done(&caller, "credential deleted", &format_args!("credential {id}"));
    for group in groups {
        tracing::warn!(credential = %id, group = %group, "the entry point of this group has lost its credential");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Name, description and credential that a body gives.
fn given(
    id: &str,
    body: &Map<String, Value>,
) -> Result<(CredentialsId, String, Credential), CredentialRefusal> {
    let id = CredentialsId::new(id)?;
    let problem = |field: &str, reason: &str| {
        CredentialRefusal::Invalid(vec![CredentialProblem {
            field: field.to_owned(),
            reason: reason.to_owned(),
        }])
    };
    let kind = match body.get("type") {
        Some(Value::String(name)) => CredentialType::of_name(name)
            .ok_or_else(|| CredentialRefusal::Type(format!("{name:?} is unknown here")))?,
        Some(_) => return Err(CredentialRefusal::Type("is not a string".to_owned())),
        None => return Err(CredentialRefusal::Type("is missing".to_owned())),
    };
    let description = match body.get("description") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(_) => return Err(problem("description", "is not a string")),
    };
    let values = match body.get("credentials") {
        Some(Value::Object(values)) => values,
        Some(_) => return Err(problem("credentials", "is not an object")),
        None => return Err(problem("credentials", "is missing")),
    };
    if let Some(key) = body
        .keys()
        .find(|key| !["type", "description", "credentials"].contains(&key.as_str()))
    {
        return Err(problem(
            key,
            "is no such field; there are type, description and credentials",
        ));
    }
    let credential = Credential::checked(kind, values).map_err(CredentialRefusal::Invalid)?;
    Ok((id, description, credential))
}
