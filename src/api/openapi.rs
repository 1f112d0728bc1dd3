//! The OpenAPI document. Each handler says what is its own; what all calls of a kind have in common is added here.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;
use utoipa::{OpenApi as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use crate::credential::CredentialType;
use crate::store::NAMESPACES;

/// Where the document is.
const PATH: &str = "/v1/openapi.json";

/// What stands in a path: its name there, what it is, and what it looks like.
const SEGMENTS: [(&str, &str, &str); 11] = [
    ("auth_key_id", "An auth key", "^keyId-[0-9a-f-]{36}$"),
    ("credentials_id", "A credential", "^[A-Za-z0-9._@-]{1,128}$"),
    (
        "exported_file_id",
        "An exported file",
        "^beam-(month|day|minutes)-[0-9]+-[0-9]+$",
    ),
    ("group_id", "A group", "^[A-Za-z0-9._-]{1,64}$"),
    ("id", "A connection", "^[0-9]+$"),
    ("imsi", "A SIM by its IMSI", "^[0-9]{6,15}$"),
    ("name", "A key of the namespace", "^.+$"),
    ("namespace", "A namespace of SORACOM", "^Soracom|^Unified"),
    ("operator_id", "The operator of this server", "^OP[0-9]{10}$"),
    ("sim_id", "A SIM", "^[0-9]{18,22}$"),
    ("tag_name", "A tag", "^.+$"),
];

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "simrelay",
    description = "Admin API of simrelay, in SORACOM's shapes. Log in with POST /v1/auth, or show the admin token.",
    license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
))]
struct Head;

/// The document before any route is in it.
pub(super) fn head() -> OpenApi {
    Head::openapi()
}

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(index)).routes(routes!(show))
}

/// The document as it is served.
#[derive(Debug, Clone)]
pub(super) struct Document(std::sync::Arc<str>);

impl Document {
    pub(super) fn of(openapi: &OpenApi) -> Self {
        Self(complete(openapi).to_string().into())
    }
}

/// This document.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "health",
    security(()),
    responses((status = 200, body = Object, content_type = "application/json"))
)]
async fn show(Extension(Document(text)): Extension<Document>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], text.to_string())
}

/// What runs here, and where it says what it can do.
#[derive(Serialize, ToSchema)]
struct Index {
    service: &'static str,
    version: &'static str,
    openapi: &'static str,
}

/// Where to begin.
#[utoipa::path(get, path = "/", tag = "health", security(()), responses((status = 200, body = Index)))]
async fn index() -> Json<Index> {
    Json(Index {
        service: "simrelay",
        version: env!("CARGO_PKG_VERSION"),
        openapi: PATH,
    })
}

/// The document with what the routes have in common.
fn complete(openapi: &OpenApi) -> Value {
    let mut document = serde_json::to_value(openapi).unwrap_or_default();
    document["components"]["securitySchemes"] = json!({
        "bearer": { "type": "http", "scheme": "bearer", "description": "The token of the file admin-token in the data directory" },
        "api_key": { "type": "apiKey", "in": "header", "name": "X-Soracom-API-Key" },
        "api_token": { "type": "apiKey", "in": "header", "name": "X-Soracom-Token" },
    });
    let types = CredentialType::ALL.map(CredentialType::name);
    document["components"]["schemas"]["NewCredentials"]["properties"]["type"]["enum"] = json!(types);
    document["security"] = json!([{ "bearer": [] }, { "api_key": [], "api_token": [] }]);
    let Some(Value::Object(paths)) = document.get_mut("paths") else {
        return document;
    };
    let routes = std::mem::take(paths);
    for (path, mut item) in routes {
        // axum's name for a part that takes slashes too.
        let path = path.replace("{*", "{");
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let Value::Object(operation) = operation {
                finish(method, &path, operation);
            }
        }
        paths.insert(path, item);
    }
    document
}

fn finish(method: &str, path: &str, operation: &mut Map<String, Value>) {
    operation.insert("operationId".to_owned(), operation_id(method, path).into());
    if let Value::Array(parameters) = operation.entry("parameters").or_insert_with(|| json!([])) {
        parameters.extend(
            SEGMENTS
                .iter()
                .filter(|(name, ..)| path.contains(&format!("{{{name}}}")))
                .map(|(name, what, pattern)| {
                    json!({ "name": name, "in": "path", "required": true, "description": what,
                                             "schema": { "type": "string", "pattern": pattern } })
                }),
        );
    }
    let listed = operation.get_mut("parameters").and_then(Value::as_array_mut);
    listed.into_iter().flatten().for_each(finish_parameter);
    let answers = common_answers(method, operation);
    let is_paged = parameters(operation).any(|parameter| parameter["name"] == "last_evaluated_key");
    let Some(Value::Object(responses)) = operation.get_mut("responses") else {
        return;
    };
    for (status, response) in responses.iter_mut() {
        response["description"] = if status == "404" {
            "There is no such thing"
        } else {
            "Done"
        }
        .into();
    }
    for (status, why) in answers {
        responses
            .entry(status)
            .or_insert_with(|| json!({ "content": refusal() }))["description"] = why.into();
    }
    if let (true, Some(page)) = (is_paged, responses.get_mut("200")) {
        let header = |what: &str| json!({ "description": what, "schema": { "type": "string" } });
        page["headers"] = json!({
            "x-soracom-next-key": header("last_evaluated_key of the next page, where there is one"),
            "link": header("The next page, where there is one"),
        });
    }
}

fn finish_parameter(parameter: &mut Value) {
    match parameter["name"].as_str() {
        Some("namespace") => parameter["schema"] = json!({ "type": "string", "enum": NAMESPACES }),
        // Of any size.
        Some("limit") => drop(
            parameter["schema"]
                .as_object_mut()
                .map(|schema| schema.remove("format")),
        ),
        _ => {}
    }
    // Command line tools send parameters that were not given as empty ones; and one value is a list of one.
    let may_be_empty = parameter["in"] == "query" && parameter["required"] != true;
    let beside = match parameter["schema"]["type"].as_str() {
        Some("boolean") => return,
        Some("array") => json!({ "type": "string" }),
        _ => json!({ "const": "" }),
    };
    if may_be_empty {
        parameter["schema"] = json!({ "anyOf": [parameter["schema"], beside] });
    }
}

fn parameters(operation: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    operation
        .get("parameters")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Statuses that any call of a kind may be answered with, and why.
fn common_answers(method: &str, operation: &Map<String, Value>) -> Vec<(&'static str, &'static str)> {
    let mut answers = Vec::new();
    let is_open = operation.contains_key("security");
    let has_body = operation.contains_key("requestBody");
    if has_body || !is_open {
        answers.push(("400", "Something is not what it has to be; nothing has changed"));
    }
    if has_body {
        answers.push(("408", "The body did not come in time"));
        answers.push((
            "413",
            "The body is larger than 1 MiB, or than 4 KiB if it is a login",
        ));
        answers.push(("415", "The body is not JSON"));
    }
    if !is_open {
        answers.push(("401", "No login and no admin token, or one that is over"));
    }
    let tag = operation.get("tags").and_then(|tags| tags[0].as_str());
    let changes = |tags: &[&str]| method != "get" && tag.is_some_and(|tag| tags.contains(&tag));
    if changes(&["groups", "sims", "credentials", "operators"]) {
        answers.push((
            "409",
            "Something that is there stands against it; nothing has changed",
        ));
    }
    if !is_open && changes(&["groups", "sims", "credentials", "operators", "auth"]) {
        answers.push(("503", "The program is shutting down"));
        answers.push(("507", "The disk is full; nothing has changed"));
    }
    if !is_open || has_body {
        answers.push(("500", "The disk or the database failed"));
    }
    answers
}

fn refusal() -> Value {
    json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Refusal" } } })
}

/// The method and the path in one word.
fn operation_id(method: &str, path: &str) -> String {
    let words = path
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.fold(method.to_owned(), |id, word| {
        let (first, rest) = word.split_at(1);
        id + &first.to_ascii_uppercase() + rest
    })
}
