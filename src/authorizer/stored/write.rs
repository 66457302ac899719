//! Stored entities as Cedar's JSON, in an order that does not depend on how the store came about.

use std::cmp::Ordering;
use std::fmt;

use serde::ser::{Error, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::evidence::{ESCAPES, EscapedDatetime, EscapedEntity, call};
use crate::ext::IpAddr;
use crate::id::{EntityUidRef, Sym};
use crate::names::Names;
use crate::value::arena::NameText;
use crate::value::{Record, Set, Value, View, first_difference};

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
        let fields = sorted_fields(Record::Stored(self.record), self.names);
        serializer.collect_map(
            fields
                .iter()
                .map(|(name, value)| (name, self.value(*value))),
        )
    }
}

impl Serialize for AttributeValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { of, value, names } = *self;
        let part = |value| AttributeValue { of, value, names };
        match value.view() {
            View::Bool(truth) => serializer.serialize_bool(truth),
            View::Long(number) => serializer.serialize_i64(number),
            View::String(text) => serializer.serialize_str(text),
            View::Entity(uid) => {
                let uid = EntityUidRef::from(names.uid_text(uid));
                EscapedEntity(uid).serialize(serializer)
            }
            View::Set(set) => {
                let items = sorted_items(set, names);
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(&part(item))?;
                }
                seq.end()
            }
            View::Record(record) => {
                let fields = sorted_fields(record, names);
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    if ESCAPES.contains(&name) {
                        return Err(S::Error::custom(format_args!(
                            "entity {of}: a record has the key `{name}`, which Cedar's JSON would take for an escape"
                        )));
                    }
                    map.serialize_entry(name, &part(value))?;
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

/// By name, not by number.
fn sorted_fields<'p>(record: Record<'p>, names: &'p Names) -> Vec<(&'p str, Value<'p>)> {
    let text = |(name, value): (Sym, _)| (names.sym_text(name), value);
    let mut fields: Vec<_> = record.iter().map(text).collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields
}

fn sorted_items<'p>(set: Set<'p>, names: &Names) -> Vec<Value<'p>> {
    let mut items: Vec<_> = set.iter().collect();
    items.sort_unstable_by(|a, b| by_text(*a, *b, names));
    items
}

/// [`Value::cmp_total`], but for the numbers of names, in whose place their texts stand.
fn by_text(a: Value<'_>, b: Value<'_>, names: &Names) -> Ordering {
    match (a.view(), b.view()) {
        (View::Entity(a), View::Entity(b)) => names.uid_text(a).cmp(&names.uid_text(b)),
        (View::Set(a), View::Set(b)) => {
            let (a, b) = (sorted_items(a, names), sorted_items(b, names));
            let both = a.iter().zip(&b);
            first_difference(both.map(|(a, b)| by_text(*a, *b, names))).then(a.len().cmp(&b.len()))
        }
        (View::Record(a), View::Record(b)) => {
            let (a, b) = (sorted_fields(a, names), sorted_fields(b, names));
            let both = a.iter().zip(&b);
            let by_field = |((j, x), (k, y)): (&(&str, _), &(&str, _))| {
                j.cmp(k).then_with(|| by_text(*x, *y, names))
            };
            first_difference(both.map(by_field)).then(a.len().cmp(&b.len()))
        }
        _ => a.cmp_total(b),
    }
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
    struct Shown<'p>(Value<'p>, &'p Names);

    impl fmt::Debug for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            debug(self.0, self.1, f)
        }
    }

    let shown = |value| Shown(value, names);
    match value.view() {
        View::Bool(truth) => write!(f, "{truth}"),
        View::Long(number) => write!(f, "{number}"),
        View::String(text) => write!(f, "{text:?}"),
        View::Entity(uid) => write!(f, "{}", EntityUidRef::from(names.uid_text(uid))),
        View::Set(set) => {
            let items = sorted_items(set, names);
            f.debug_list()
                .entries(items.into_iter().map(shown))
                .finish()
        }
        View::Record(record) => {
            let fields = sorted_fields(record, names);
            let fields = fields.into_iter().map(|(name, value)| (name, shown(value)));
            f.debug_map().entries(fields).finish()
        }
        View::Decimal(decimal) => write!(f, "{decimal}"),
        View::Duration(duration) => write!(f, "{duration}"),
        View::Datetime(datetime) => write!(f, "{datetime}"),
        View::Ip(ip) => f.write_str(&ip_text(ip)),
    }
}
