//! Contexts as an application would have them: typed values, not JSON.

use std::error::Error;

use cedar_policy::{Context, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use duramen::values;
use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json};

/// A typed value. Serializes as a derived struct of these types would.
pub(crate) enum Typed {
    Bool(bool),
    Long(i64),
    String(String),
    Entity(EntityTypeName, String, String),
    Ip(String),
    Decimal(String),
    Datetime(String),
    Duration(String),
    Set(Vec<Typed>),
    /// Field names are static, as in a struct.
    Record(Vec<(&'static str, Typed)>),
}

impl Typed {
    pub(crate) fn record(fields: &Map<String, Json>) -> Result<Self, Box<dyn Error>> {
        let fields = fields
            .iter()
            .map(|(name, value)| {
                let name: &'static str = Box::leak(name.clone().into_boxed_str());
                Ok((name, Self::value(value)?))
            })
            .collect::<Result<_, Box<dyn Error>>>()?;
        Ok(Self::Record(fields))
    }

    fn value(json: &Json) -> Result<Self, Box<dyn Error>> {
        Ok(match json {
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => Self::Long(n.as_i64().ok_or("not a 64-bit integer")?),
            Json::String(s) => Self::String(s.clone()),
            Json::Array(items) => {
                Self::Set(items.iter().map(Self::value).collect::<Result<_, _>>()?)
            }
            Json::Object(object) => match (object.get("__extn"), object.get("__entity")) {
                (Some(call), _) => Self::extension(call)?,
                (_, Some(uid)) => {
                    let (type_name, id) = (text(uid, "type")?, text(uid, "id")?);
                    Self::Entity(type_name.parse()?, type_name, id)
                }
                _ => Self::record(object)?,
            },
            Json::Null => return Err("null".into()),
        })
    }

    fn extension(call: &Json) -> Result<Self, Box<dyn Error>> {
        let arg = text(call, "arg")?;
        Ok(match text(call, "fn")?.as_str() {
            "ip" => Self::Ip(arg),
            "decimal" => Self::Decimal(arg),
            "datetime" => Self::Datetime(arg),
            "duration" => Self::Duration(arg),
            other => return Err(format!("unknown constructor {other}").into()),
        })
    }

    /// Cedar's way from typed values to a context.
    pub(crate) fn to_cedar_context(&self) -> Result<Context, Box<dyn Error>> {
        match self {
            Self::Record(fields) => {
                Ok(Context::from_pairs(fields.iter().map(|(name, value)| {
                    ((*name).to_owned(), value.to_cedar())
                }))?)
            }
            _ => Err("a context is a record".into()),
        }
    }

    fn to_cedar(&self) -> RestrictedExpression {
        match self {
            Self::Bool(b) => RestrictedExpression::new_bool(*b),
            Self::Long(i) => RestrictedExpression::new_long(*i),
            Self::String(s) => RestrictedExpression::new_string(s.clone()),
            Self::Entity(type_name, _, id) => RestrictedExpression::new_entity_uid(
                EntityUid::from_type_name_and_id(type_name.clone(), EntityId::new(id)),
            ),
            Self::Ip(text) => RestrictedExpression::new_ip(text),
            Self::Decimal(text) => RestrictedExpression::new_decimal(text),
            Self::Datetime(text) => RestrictedExpression::new_datetime(text),
            Self::Duration(text) => RestrictedExpression::new_duration(text),
            Self::Set(items) => RestrictedExpression::new_set(items.iter().map(Self::to_cedar)),
            Self::Record(fields) => RestrictedExpression::new_record(
                fields
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.to_cedar())),
            )
            .unwrap_or_else(|_| RestrictedExpression::new_bool(false)),
        }
    }
}

fn text(json: &Json, key: &str) -> Result<String, Box<dyn Error>> {
    json.get(key)
        .and_then(Json::as_str)
        .map(str::to_owned)
        .ok_or_else(|| format!("an escape without the text `{key}`").into())
}

impl Serialize for Typed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Long(i) => serializer.serialize_i64(*i),
            Self::String(s) => serializer.serialize_str(s),
            Self::Entity(_, type_name, id) => {
                values::EntityRef::new(type_name, id).serialize(serializer)
            }
            Self::Ip(text) => values::Ip::new(text).serialize(serializer),
            Self::Decimal(text) => values::Decimal::new(text).serialize(serializer),
            Self::Datetime(text) => values::Datetime::new(text).serialize(serializer),
            Self::Duration(text) => values::Duration::new(text).serialize(serializer),
            Self::Set(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Self::Record(fields) => {
                let mut record = serializer.serialize_struct("Context", fields.len())?;
                for (name, value) in fields {
                    record.serialize_field(name, value)?;
                }
                record.end()
            }
        }
    }
}
