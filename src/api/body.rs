//! JSON bodies, with refusals that say where they are wrong.

use std::collections::HashMap;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{ApiError, BODY_LIMIT};
use crate::http_server::{Unread, read_body};
use crate::json::strict;
use crate::sim::Tags;

/// A body of a known form.
pub(super) trait Form: DeserializeOwned {
    /// The form in words, for refusals.
    const FORM: &'static str;
    /// What is an object and what a list in it: serde alone takes a list of values for an object too.
    type Outline: DeserializeOwned;
}

/// The outline of an object.
pub(super) type AnyObject = HashMap<String, IgnoredAny>;

/// The body of a request, read and checked.
pub(super) struct Input<T>(pub(super) T);

impl<S: Sync, T: Form> FromRequest<S> for Input<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        refuse_other_types(&request)?;
        let bytes = read(request.into_body(), BODY_LIMIT).await?;
        parse(&bytes).map(Self)
    }
}

/// As [`Input`], where no body at all means that every field is left out.
pub(super) struct OptionalInput<T>(pub(super) T);

impl<S: Sync, T: Form + Default> FromRequest<S> for OptionalInput<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        refuse_other_types(&request)?;
        let bytes = read(request.into_body(), BODY_LIMIT).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        parse(&bytes).map(Self)
    }
}

/// The message of a refusal ends with line and column.
fn parse<T: Form>(bytes: &[u8]) -> Result<T, ApiError> {
    let not_it = |error| ApiError::InvalidBody(format!("the body is not {}: {error}", T::FORM));
    serde_json::from_slice::<T::Outline>(bytes).map_err(not_it)?;
    strict::parse(bytes).map_err(|error| ApiError::InvalidBody(error.to_string()))?;
    serde_json::from_slice(bytes).map_err(not_it)
}

/// One element of `PUT …/configuration/{namespace}`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameter {
    #[schema(min_length = 1)]
    pub(super) key: String,
    /// Any JSON, `null` too, but it has to be there.
    #[schema(required = true)]
    #[serde(deserialize_with = "strict::value")]
    pub(super) value: Value,
}

/// Without this serde takes a missing value for `null`.
pub(super) fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::deserialize(deserializer)
}

impl Form for Vec<Parameter> {
    type Outline = Vec<AnyObject>;
    const FORM: &'static str = "[{\"key\": string, \"value\": any}, …]";
}

/// One element of `PUT …/tags`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Tag {
    #[schema(min_length = 1)]
    tag_name: String,
    tag_value: String,
}

impl Form for Vec<Tag> {
    type Outline = Vec<AnyObject>;
    const FORM: &'static str = "[{\"tagName\": string, \"tagValue\": string}, …]";
}

/// The last one of several with the same name counts.
pub(super) fn tags(list: Vec<Tag>) -> Tags {
    list.into_iter()
        .map(|tag| (tag.tag_name, tag.tag_value))
        .collect()
}

/// A body that is one JSON object of at most so many bytes, whose fields the handler looks at itself. No body at all is an
/// empty one: some clients send none where every field may be left out.
pub(super) struct JsonObject<const LIMIT: usize = BODY_LIMIT>(pub(super) Map<String, Value>);

impl<S: Sync, const LIMIT: usize> FromRequest<S> for JsonObject<LIMIT> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        refuse_other_types(&request)?;
        let bytes = read(request.into_body(), LIMIT).await?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        // Only the place of the error: its words may quote a secret.
        match strict::parse(&bytes) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(ApiError::InvalidBody("the body is not a JSON object".to_owned())),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let reason = if error.is_data() {
                    "has a key twice"
                } else {
                    "is not JSON"
                };
                let message = format!("the body {reason}: line {line} column {column}");
                Err(ApiError::InvalidBody(message))
            }
        }
    }
}

/// Without a type the body counts as JSON; with another one the caller means something else.
fn refuse_other_types(request: &Request) -> Result<(), ApiError> {
    let Some(value) = request.headers().get(CONTENT_TYPE) else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let media_type = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if media_type == "application/json" {
        Ok(())
    } else {
        Err(ApiError::UnsupportedMediaType(text.into_owned()))
    }
}

async fn read(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    read_body(body, limit).await.map_err(|unread| match unread {
        Unread::TooLong => ApiError::PayloadTooLarge(limit),
        Unread::TooSlow => ApiError::TooSlow,
        Unread::Broken(_) => ApiError::InvalidBody(unread.to_string()),
    })
}
