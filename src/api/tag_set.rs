//! Tags of what is made: an object, as SORACOM's API has them now, or the list that it had before and that
//! `PUT …/tags` still has. `null` is none.

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use super::body::{self, Tag};
use crate::json::strict;
use crate::sim::Tags;

/// Tags in either form.
#[derive(Debug, Default)]
pub(super) struct TagSet(pub(super) Tags);

impl<'de> Deserialize<'de> for TagSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tags = match strict::value(deserializer)? {
            Value::Null => Ok(Tags::new()),
            // Serde takes a list of values for an object, too.
            Value::Array(list) if list.iter().all(Value::is_object) => {
                Vec::<Tag>::deserialize(Value::Array(list)).map(body::tags)
            }
            other => Tags::deserialize(other),
        };
        tags.map(Self).map_err(D::Error::custom)
    }
}

impl PartialSchema for TagSet {
    fn schema() -> RefOr<Schema> {
        let null = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null));
        let forms = OneOfBuilder::new()
            .item(Tags::schema())
            .item(Vec::<Tag>::schema())
            .item(null);
        RefOr::T(Schema::OneOf(forms.build()))
    }
}

impl ToSchema for TagSet {}
