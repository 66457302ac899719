//! Stored entities as Cedar's JSON, in an order that does not depend on how the store came about.

use std::cmp::Ordering;
use std::fmt;

use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};

use crate::evidence::{ESCAPES, EscapedDatetime, EscapedEntity, call};
use crate::ext::IpAddr;
use crate::id::EntityUidRef;
use crate::names::Names;
use crate::value::arena::NameText;
use crate::value::{Value, View, first_difference};

use super::{AttributeValue, Attributes, StoredEntities, StoredEntity};

impl Serialize for StoredEntities<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entities: Vec<_> = self.iter().collect();
        entities.sort_unstable_by_key(|entity| entity.uid());
        serializer.collect_seq(entities)
    }
}

impl Serialize for StoredEntity<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tags = self.tags();
        let mut map = serializer.serialize_map(Some(3 + usize::from(!tags.is_empty())))?;
        map.serialize_entry("uid", &self.uid())?;
        map.serialize_entry("attrs", &self.attrs())?;
        map.serialize_entry("parents", &self.parents())?;
        if !tags.is_empty() {
            map.serialize_entry("tags", &tags)?;
        }
        map.end()
    }
}

impl Serialize for Attributes<'_> {
    /// A name of an attribute is no escape, whatever it is.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of = self.of;
        let sorted = Sorted::new(Value::StoredRecord(self.record), self.names);
        let attributes = sorted.parts.iter();
        serializer.collect_map(attributes.map(|(name, sorted)| (name, Part { of, sorted })))
    }
}

impl Serialize for AttributeValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { of, value, names } = *self;
        let sorted = &Sorted::new(value, names);
        Part { of, sorted }.serialize(serializer)
    }
}

/// A value, or what is in it, of an entity.
struct Part<'s> {
    of: EntityUidRef<'s>,
    sorted: &'s Sorted<'s>,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { of, sorted } = *self;
        let parts = sorted.parts.iter();
        match sorted.value.view() {
            View::Bool(truth) => serializer.serialize_bool(truth),
            View::Long(number) => serializer.serialize_i64(number),
            View::String(text) => serializer.serialize_str(text),
            View::Entity(uid) => {
                let uid = EntityUidRef::from(sorted.names.uid_text(uid));
                EscapedEntity(uid).serialize(serializer)
            }
            View::Set(_) => serializer.collect_seq(parts.map(|(_, sorted)| Part { of, sorted })),
            View::Record(_) => {
                let mut map = serializer.serialize_map(Some(parts.len()))?;
                for (name, sorted) in parts {
                    if ESCAPES.contains(name) {
                        return Err(S::Error::custom(format_args!(
                            "entity {of}: a record has the key `{name}`, which Cedar's JSON would take for an escape"
                        )));
                    }
                    map.serialize_entry(name, &Part { of, sorted })?;
                }
                map.end()
            }
            View::Decimal(decimal) => call("decimal", &decimal).serialize(serializer),
            View::Duration(duration) => call("duration", &duration).serialize(serializer),
            View::Ip(ip) => call("ip", &ip).serialize(serializer),
            View::Datetime(datetime) => EscapedDatetime(datetime).serialize(serializer),
        }
    }
}

/// A value, and what is in it in the order of its texts: put in order once, from the innermost sets on, and not each time that
/// two sets are compared.
struct Sorted<'p> {
    value: Value<'p>,
    names: &'p Names,
    /// The fields of a record by name, not by number; the elements of a set, without a name.
    parts: Vec<(&'p str, Self)>,
}

impl<'p> Sorted<'p> {
    fn new(value: Value<'p>, names: &'p Names) -> Self {
        let mut parts: Vec<_> = match value.view() {
            View::Set(set) => set
                .iter()
                .map(|value| ("", Self::new(value, names)))
                .collect(),
            View::Record(record) => {
                let fields = record.iter();
                let part = |(name, value)| (names.sym_text(name), Self::new(value, names));
                fields.map(part).collect()
            }
            _ => Vec::new(),
        };
        parts.sort_unstable_by(by_text);
        Self {
            value,
            names,
            parts,
        }
    }
}

/// By name, and then as [`Value::cmp_total`], but for the numbers of names, in whose place their texts stand.
fn by_text((j, a): &(&str, Sorted<'_>), (k, b): &(&str, Sorted<'_>)) -> Ordering {
    j.cmp(k)
        .then_with(|| match (a.value.view(), b.value.view()) {
            (View::Entity(x), View::Entity(y)) => a.names.uid_text(x).cmp(&b.names.uid_text(y)),
            (View::Set(_), View::Set(_)) | (View::Record(_), View::Record(_)) => {
                let both = a.parts.iter().zip(&b.parts);
                first_difference(both.map(|(a, b)| by_text(a, b)))
                    .then(a.parts.len().cmp(&b.parts.len()))
            }
            _ => a.value.cmp_total(b.value),
        })
}

/// One address without the length of its prefix, which other readers do not expect.
pub(super) fn ip_text(ip: &IpAddr) -> String {
    match *ip == IpAddr::from(ip.addr()) {
        true => ip.addr().to_string(),
        false => ip.to_string(),
    }
}

/// For people, so that nothing is refused.
pub(super) fn debug(value: Value<'_>, names: &Names, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    struct Shown<'s>(&'s Sorted<'s>);

    impl fmt::Debug for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let parts = self.0.parts.iter();
            match self.0.value.view() {
                View::Bool(truth) => write!(f, "{truth}"),
                View::Long(number) => write!(f, "{number}"),
                View::String(text) => write!(f, "{text:?}"),
                View::Entity(uid) => {
                    write!(f, "{}", EntityUidRef::from(self.0.names.uid_text(uid)))
                }
                View::Set(_) => {
                    let items = parts.map(|(_, sorted)| Shown(sorted));
                    f.debug_list().entries(items).finish()
                }
                View::Record(_) => {
                    let fields = parts.map(|(name, sorted)| (name, Shown(sorted)));
                    f.debug_map().entries(fields).finish()
                }
                View::Decimal(decimal) => write!(f, "{decimal}"),
                View::Duration(duration) => write!(f, "{duration}"),
                View::Datetime(datetime) => write!(f, "{datetime}"),
                View::Ip(ip) => f.write_str(&ip_text(ip)),
            }
        }
    }

    fmt::Debug::fmt(&Shown(&Sorted::new(value, names)), f)
}
