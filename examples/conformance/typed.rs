//! Cedar JSON as typed values: what a caller would write as structs with the types of [`duramen::values`].

use cedar_policy as cedar;
use duramen::values::{Datetime, Decimal, Duration, EntityRef, Ip};
use duramen::{Entities, Entity, EntityUid, EntityUidRef};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::case::Uid;

/// A record of explicit Cedar JSON that serializes to typed values: each escape as the type that stands for it.
#[derive(Clone)]
pub(crate) struct CedarJson(Value);

impl CedarJson {
    /// `None` where an extension value is not made by a constructor from text: there is no type for
    /// `datetime("2024-01-01").offset(duration("1h"))`.
    pub(crate) fn new(json: Value) -> Option<Self> {
        is_typed(&json).then_some(Self(json))
    }
}

impl Serialize for CedarJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Typed(&self.0).serialize(serializer)
    }
}

/// A part of it.
struct Typed<'v>(&'v Value);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0, escape(self.0)) {
            (_, Some(Escape::Entity { type_name, id })) => {
                EntityRef::new(type_name, id).serialize(serializer)
            }
            (_, Some(Escape::Call("ip", text))) => Ip::new(text).serialize(serializer),
            (_, Some(Escape::Call("decimal", text))) => Decimal::new(text).serialize(serializer),
            (_, Some(Escape::Call("datetime", text))) => Datetime::new(text).serialize(serializer),
            (_, Some(Escape::Call("duration", text))) => Duration::new(text).serialize(serializer),
            (Value::Array(items), None) => serializer.collect_seq(items.iter().map(Typed)),
            (Value::Object(fields), None) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (name, Typed(value))))
            }
            (other, _) => other.serialize(serializer),
        }
    }
}

/// An object that stands for something else.
enum Escape<'v> {
    Entity {
        type_name: &'v str,
        id: &'v str,
    },
    /// An extension function and its one argument, if that is text.
    Call(&'v str, &'v str),
    /// Another call.
    Other,
}

fn escape(json: &Value) -> Option<Escape<'_>> {
    let (key, inner) = match json {
        Value::Object(fields) if fields.len() == 1 => fields.iter().next()?,
        _ => return None,
    };
    let text = |field| inner.get(field).and_then(Value::as_str);
    match (key.as_str(), text("type"), text("id")) {
        ("__entity", Some(type_name), Some(id)) => Some(Escape::Entity { type_name, id }),
        ("__extn", ..) => Some(match (text("fn"), text("arg")) {
            (Some(function), Some(arg)) => Escape::Call(function, arg),
            _ => Escape::Other,
        }),
        _ => None,
    }
}

fn is_typed(json: &Value) -> bool {
    match (escape(json), json) {
        (Some(Escape::Entity { .. }), _) => true,
        (Some(Escape::Call(function, _)), _) => {
            ["ip", "decimal", "datetime", "duration"].contains(&function)
        }
        (Some(Escape::Other), _) => false,
        (None, Value::Array(items)) => items.iter().all(is_typed),
        (None, Value::Object(fields)) => fields.values().all(is_typed),
        (None, _) => true,
    }
}

/// Whether `unknown(…)` is called anywhere: Cedar accepts it in data, Duramen refuses it by name.
pub(crate) fn mentions_unknown(json: &Value) -> bool {
    match json {
        Value::Array(items) => items.iter().any(mentions_unknown),
        Value::Object(fields) => {
            fields.get("fn").and_then(Value::as_str) == Some("unknown")
                || fields.values().any(mentions_unknown)
        }
        _ => false,
    }
}

/// An entity in explicit Cedar JSON, as Cedar writes it.
#[derive(Deserialize)]
struct ExplicitEntity {
    uid: Uid,
    attrs: Value,
    #[serde(default)]
    tags: serde_json::Map<String, Value>,
    parents: Vec<Uid>,
}

/// An entity's data as typed values.
pub(crate) struct TypedEntity {
    uid: EntityUid,
    attrs: CedarJson,
    tags: CedarJson,
    parents: Vec<EntityUid>,
}

impl TypedEntity {
    pub(crate) fn new(entity: &cedar::Entity) -> Option<Self> {
        let own = |uid: Uid| EntityUid::new(uid.type_name, uid.id);
        let json = entity.to_json_value().ok()?;
        let entity = ExplicitEntity::deserialize(json).ok()?;
        Some(Self {
            uid: own(entity.uid),
            attrs: CedarJson::new(entity.attrs)?,
            tags: CedarJson::new(Value::Object(entity.tags))?,
            parents: entity.parents.into_iter().map(own).collect(),
        })
    }

    fn parents(&self) -> Vec<EntityUidRef<'_>> {
        self.parents.iter().map(EntityUid::as_ref).collect()
    }

    fn entity<'a>(&'a self, parents: &'a [EntityUidRef<'a>]) -> Entity<'a> {
        Entity::new(&self.uid)
            .attrs(&self.attrs)
            .tags(&self.tags)
            .parents(parents)
    }
}

/// Adds entities to a store to load.
pub(crate) fn stored(entities: &[TypedEntity]) -> Entities {
    entities.iter().fold(Entities::new(), |store, entity| {
        store.insert(entity.entity(&entity.parents()))
    })
}

/// Lends entities to a request.
pub(crate) fn with_request_entities<T>(
    entities: &[TypedEntity],
    decide: impl FnOnce(&[Entity<'_>]) -> T,
) -> T {
    let parents: Vec<Vec<EntityUidRef<'_>>> = entities.iter().map(TypedEntity::parents).collect();
    let entities: Vec<Entity<'_>> = entities
        .iter()
        .zip(&parents)
        .map(|(entity, parents)| entity.entity(parents))
        .collect();
    decide(&entities)
}
