//! Data as tests write it: values, entities, requests. Each has a form for Cedar (JSON) and one for serde.

use std::collections::BTreeMap;

use duramen::values::{Datetime, Decimal, Duration, EntityRef, Ip};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

/// Type name and id.
pub(crate) type Uid = (String, String);

pub(crate) type Record = BTreeMap<String, Val>;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Val {
    Bool(bool),
    Long(i64),
    Str(String),
    Entity(Uid),
    Set(Vec<Val>),
    Record(Record),
    Decimal(String),
    Ip(String),
    Datetime(String),
    Duration(String),
}

/// An entity with its direct parents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EntityData {
    pub(crate) uid: Uid,
    pub(crate) attrs: Record,
    pub(crate) tags: Record,
    pub(crate) parents: Vec<Uid>,
}

pub(crate) fn uid(type_name: &str, id: &str) -> Uid {
    (type_name.to_owned(), id.to_owned())
}

pub(crate) fn uid_json((type_name, id): &Uid) -> Json {
    json!({ "type": type_name, "id": id })
}

impl Val {
    /// In Cedar's JSON, with escapes.
    pub(crate) fn to_json(&self) -> Json {
        let call = |function: &str, arg: &str| json!({ "__extn": { "fn": function, "arg": arg } });
        match self {
            Self::Bool(b) => json!(b),
            Self::Long(i) => json!(i),
            Self::Str(s) => json!(s),
            Self::Entity(uid) => json!({ "__entity": uid_json(uid) }),
            Self::Set(items) => items.iter().map(Self::to_json).collect(),
            Self::Record(record) => record_json(record),
            Self::Decimal(text) => call("decimal", text),
            Self::Ip(text) => call("ip", text),
            Self::Datetime(text) => call("datetime", text),
            Self::Duration(text) => call("duration", text),
        }
    }
}

pub(crate) fn record_json(record: &Record) -> Json {
    record
        .iter()
        .map(|(key, value)| (key.clone(), value.to_json()))
        .collect()
}

impl EntityData {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "uid": uid_json(&self.uid),
            "attrs": record_json(&self.attrs),
            "tags": record_json(&self.tags),
            "parents": self.parents.iter().map(uid_json).collect::<Vec<_>>(),
        })
    }
}

pub(crate) fn entities_json(entities: &[EntityData]) -> String {
    let lines: Vec<String> = entities
        .iter()
        .map(|entity| entity.to_json().to_string())
        .collect();
    format!("[\n{}\n]", lines.join(",\n"))
}

/// What an application's own types would serialize to.
impl Serialize for Val {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(b) => b.serialize(serializer),
            Self::Long(i) => i.serialize(serializer),
            Self::Str(s) => s.serialize(serializer),
            Self::Entity((type_name, id)) => EntityRef::new(type_name, id).serialize(serializer),
            Self::Set(items) => items.serialize(serializer),
            Self::Record(record) => record.serialize(serializer),
            Self::Decimal(text) => Decimal::new(text).serialize(serializer),
            Self::Ip(text) => Ip::new(text).serialize(serializer),
            Self::Datetime(text) => Datetime::new(text).serialize(serializer),
            Self::Duration(text) => Duration::new(text).serialize(serializer),
        }
    }
}
