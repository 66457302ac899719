//! What a body asks, and what that is in Cedar.

use serde_json::{Map, Value};

use crate::authorizer::Pinned;
use crate::id::{EntityUid, EntityUidRef};
use crate::json::{Json, Member};
use crate::schema::RecordType;

use super::{DecisionPoint, Properties};

/// Keys that Cedar's JSON reads as something else than names of fields.
const ESCAPES: [&str; 3] = ["__entity", "__extn", "__expr"];

/// The members of a JSON object.
#[derive(Clone, Copy)]
pub(super) struct Object<'a>(&'a [Member<'a>]);

/// A subject or a resource.
#[derive(Clone, Copy)]
pub(super) struct Thing<'a> {
    pub(super) type_name: &'a str,
    pub(super) id: &'a str,
    properties: Option<Object<'a>>,
}

#[derive(Clone, Copy)]
pub(super) struct Action<'a> {
    pub(super) name: &'a str,
    properties: Option<Object<'a>>,
}

impl<'a> Object<'a> {
    pub(super) fn of(json: Json<'a>) -> Option<Self> {
        json.as_object().map(Self)
    }

    /// A member; null is none.
    pub(super) fn get(self, name: &str) -> Option<Json<'a>> {
        let (_, json) = self.0.iter().find(|(key, _)| *key == name)?;
        (*json != Json::Null).then_some(*json)
    }

    pub(super) fn object(self, name: &str) -> Result<Option<Self>, String> {
        self.get(name)
            .map(|json| Self::of(json).ok_or_else(|| format!("`{name}` has to be an object")))
            .transpose()
    }

    pub(super) fn text(self, name: &str) -> Result<Option<&'a str>, String> {
        self.get(name)
            .map(|json| {
                let text = json.as_str();
                text.ok_or_else(|| format!("`{name}` has to be a text"))
            })
            .transpose()
    }

    fn required_text(self, name: &str, of: &str) -> Result<&'a str, String> {
        let text = self.text(name)?;
        text.ok_or_else(|| format!("`{of}` lacks `{name}`"))
    }

    /// The subject or the resource, if there is one.
    pub(super) fn thing(self, name: &str) -> Result<Option<Thing<'a>>, String> {
        let Some(object) = self.object(name)? else {
            return Ok(None);
        };
        Ok(Some(Thing {
            type_name: object.required_text("type", name)?,
            id: object.required_text("id", name)?,
            properties: object.object("properties")?,
        }))
    }

    /// The type alone of what is searched for. An id says nothing there.
    pub(super) fn sought_type(self, name: &str) -> Result<&'a str, String> {
        let object = self.object(name)?;
        let object = object.ok_or_else(|| missing(name))?;
        object.required_text("type", name)
    }

    pub(super) fn action(self) -> Result<Option<Action<'a>>, String> {
        let Some(object) = self.object("action")? else {
            return Ok(None);
        };
        Ok(Some(Action {
            name: object.required_text("name", "action")?,
            properties: object.object("properties")?,
        }))
    }
}

pub(super) fn missing(name: &str) -> String {
    format!("the request lacks `{name}`")
}

/// Nothing can be asked, so that nothing is allowed.
#[derive(Clone, Copy)]
pub(super) struct Unaskable;

impl DecisionPoint {
    /// The type in Cedar's terms; `None` if nobody knows it.
    pub(super) fn cedar_type<'t>(&'t self, authzen: &'t str) -> Option<&'t str> {
        match self.types.is_empty() {
            true => Some(authzen),
            false => self.types.get(authzen).map(String::as_str),
        }
    }

    pub(super) fn uid(&self, thing: &Thing<'_>) -> Result<EntityUid, Unaskable> {
        let type_name = self.cedar_type(thing.type_name).ok_or(Unaskable)?;
        Ok(EntityUid::new(type_name, thing.id))
    }

    pub(super) fn action_uid(&self, action: &Action<'_>) -> EntityUid {
        EntityUid::new(&*self.action_type, action.name)
    }

    /// The context as Cedar's JSON, with what is said of the action.
    pub(super) fn context(
        &self,
        pinned: &Pinned,
        action: Option<&Action<'_>>,
        context: Option<Object<'_>>,
    ) -> Result<String, Unaskable> {
        let (_, epoch) = pinned.parts();
        let uid = action.map(|action| self.action_uid(action));
        let declared = epoch.schema.as_deref();
        let declared = declared.zip(uid.as_ref());
        let declared = declared.and_then(|(schema, uid)| schema.action(uid.as_ref()));
        let declared = declared.map(|action| &action.context);
        let mut fields = match context {
            Some(context) => fields(context, declared)?,
            None => Map::new(),
        };
        if let Some(name) = &self.action_properties {
            if context.is_some_and(|context| context.get(name).is_some()) {
                return Err(Unaskable);
            }
            if let Some(properties) = action.and_then(|action| action.properties) {
                fields.insert(name.clone(), Value::Object(self::fields(properties, None)?));
            }
        }
        Ok(super::json(&fields))
    }

    /// What the properties make of entities, as Cedar's JSON; `None` where they make nothing.
    pub(super) fn entities(
        &self,
        pinned: &Pinned,
        things: &[(&EntityUid, &Thing<'_>)],
    ) -> Result<Option<String>, Unaskable> {
        if self.properties == Properties::Ignored {
            return Ok(None);
        }
        let mut entities: Vec<(&EntityUid, Value)> = Vec::new();
        for (uid, thing) in things {
            let Some(properties) = thing.properties else {
                continue;
            };
            let (_, epoch) = pinned.parts();
            let declared = epoch.schema.as_deref();
            let declared = declared.and_then(|schema| schema.entity_type(uid.type_name()));
            let properties = fields(properties, declared.map(|of| &of.attributes))?;
            // Somebody may ask about what they are themselves.
            let known = entities.iter().position(|(known, _)| known == uid);
            let at = match known {
                Some(at) => at,
                None => {
                    entities.push((uid, stored(pinned, uid.as_ref())?));
                    entities.len() - 1
                }
            };
            let attrs = entities
                .get_mut(at)
                .and_then(|(_, entity)| entity.get_mut("attrs"));
            let Some(attrs) = attrs.and_then(Value::as_object_mut) else {
                return Err(Unaskable);
            };
            for (name, value) in properties {
                if self.properties == Properties::Override || !attrs.contains_key(&name) {
                    attrs.insert(name, value);
                }
            }
        }
        let entities: Vec<Value> = entities.into_iter().map(|(_, entity)| entity).collect();
        Ok((!entities.is_empty()).then(|| super::json(&entities)))
    }
}

/// An entity of the store in Cedar's JSON; one without attributes and parents, if it is not there.
fn stored(pinned: &Pinned, uid: EntityUidRef<'_>) -> Result<Value, Unaskable> {
    match pinned.entity(uid) {
        Some(entity) => serde_json::to_value(entity).map_err(|_| Unaskable),
        None => Ok(serde_json::json!({ "uid": uid, "attrs": {}, "parents": [] })),
    }
}

/// The fields of an object, those that are `declared` alone where something is.
fn fields(
    object: Object<'_>,
    declared: Option<&RecordType>,
) -> Result<Map<String, Value>, Unaskable> {
    let is_declared =
        |name: &str| declared.is_none_or(|declared| declared.attribute(name).is_some());
    let known = object.0.iter().filter(|(name, _)| is_declared(name));
    let mut fields = Map::new();
    for (name, json) in known {
        if ESCAPES.contains(name) {
            return Err(Unaskable);
        }
        if *json != Json::Null {
            fields.insert((*name).to_owned(), value(*json)?);
        }
    }
    Ok(fields)
}

/// What Cedar has a value for.
fn value(json: Json<'_>) -> Result<Value, Unaskable> {
    Ok(match json {
        Json::Bool(truth) => Value::Bool(truth),
        Json::Integer(number) => number.into(),
        Json::String(text) => text.into(),
        Json::Array(items) => {
            let items = items.iter().map(|item| value(*item));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Json::Object(members) => Value::Object(fields(Object(members), None)?),
        Json::Null | Json::Number(_) => return Err(Unaskable),
    })
}
