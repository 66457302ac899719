//! Cedar values as the evaluator sees them.
//!
//! A [`Value`] is `Copy` and borrows: from the program's constants, from the entity snapshot, or from the
//! request's arena. Data that outlives a request is held as [`Stored`], which owns; `Stored::view` is free.
//!
//! Sets are kept sorted by [`Value::cmp_total`] and without duplicates wherever they live, records sorted by
//! key. Equality of sets and records is then a pairwise walk, and membership a binary search, whoever built
//! them: a set of 10,000 elements costs 14 comparisons, not 10,000.

pub(crate) mod arena;
mod error;
mod measure;
pub(crate) mod ops;
mod pattern;
pub(crate) mod stored;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use crate::ext::{Datetime, Decimal, Duration, IpAddr};
use crate::id::{Sym, Uid};

pub use error::ErrorKind;
pub(crate) use error::Raise;
pub(crate) use measure::Bounds;
pub(crate) use pattern::{Pattern, PatternPart};
pub(crate) use stored::{Stored, StoredRecord, StoredSet};

/// A Cedar value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Bool(bool),
    Long(i64),
    String(&'a str),
    Entity(Uid),
    Set(Set<'a>),
    Record(Record<'a>),
    Decimal(Decimal),
    Datetime(Datetime),
    Duration(Duration),
    Ip(IpAddr),
}

/// A set: sorted, without duplicates. See the module docs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Set<'a> {
    Stored(&'a StoredSet),
    /// Behind one more reference, so that a `Value` stays at 24 bytes.
    Built(&'a &'a [Value<'a>]),
}

/// A record: sorted by key, without duplicates. See the module docs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    Stored(&'a StoredRecord),
    /// Behind one more reference, so that a `Value` stays at 24 bytes.
    Built(&'a &'a [(Sym, Value<'a>)]),
}

/// Up to this many entries a plain walk beats a binary search (keys of one cache line or two).
const WALK: usize = 8;

impl<'a> Value<'a> {
    /// Cedar's `==`: never fails, values of different types are unequal.
    pub(crate) fn same(self, other: Value<'_>) -> bool {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Long(a), Value::Long(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Entity(a), Value::Entity(b)) => a == b,
            (Value::Decimal(a), Value::Decimal(b)) => a == b,
            (Value::Datetime(a), Value::Datetime(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Set(a), Value::Set(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(x, y)| x.same(y))
            }
            (Value::Record(a), Value::Record(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .zip(b.iter())
                        .all(|((j, x), (k, y))| j == k && x.same(y))
            }
            _ => false,
        }
    }

    /// A total order over all values, consistent with [`Value::same`]. It is the order in which sets are
    /// kept and has no meaning in Cedar.
    pub(crate) fn cmp_total(self, other: Value<'_>) -> Ordering {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(&b),
            (Value::Long(a), Value::Long(b)) => a.cmp(&b),
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Entity(a), Value::Entity(b)) => a.cmp(&b),
            (Value::Decimal(a), Value::Decimal(b)) => a.cmp(&b),
            (Value::Datetime(a), Value::Datetime(b)) => a.cmp(&b),
            (Value::Duration(a), Value::Duration(b)) => a.cmp(&b),
            (Value::Ip(a), Value::Ip(b)) => a.cmp(&b),
            (Value::Set(a), Value::Set(b)) => {
                first_difference(a.iter().zip(b.iter()).map(|(x, y)| x.cmp_total(y)))
                    .then(a.len().cmp(&b.len()))
            }
            (Value::Record(a), Value::Record(b)) => first_difference(
                a.iter()
                    .zip(b.iter())
                    .map(|((j, x), (k, y))| j.cmp(&k).then_with(|| x.cmp_total(y))),
            )
            .then(a.len().cmp(&b.len())),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    fn rank(self) -> u8 {
        match self {
            Value::Bool(_) => 0,
            Value::Long(_) => 1,
            Value::String(_) => 2,
            Value::Entity(_) => 3,
            Value::Set(_) => 4,
            Value::Record(_) => 5,
            Value::Decimal(_) => 6,
            Value::Datetime(_) => 7,
            Value::Duration(_) => 8,
            Value::Ip(_) => 9,
        }
    }

    pub(crate) fn as_bool(self) -> Result<bool, ErrorKind> {
        match self {
            Value::Bool(b) => Ok(b),
            _ => Err(ErrorKind::TypeError),
        }
    }

    pub(crate) fn as_long(self) -> Result<i64, ErrorKind> {
        match self {
            Value::Long(i) => Ok(i),
            _ => Err(ErrorKind::TypeError),
        }
    }

    pub(crate) fn as_string(self) -> Result<&'a str, ErrorKind> {
        match self {
            Value::String(s) => Ok(s),
            _ => Err(ErrorKind::TypeError),
        }
    }

    pub(crate) fn as_entity(self) -> Result<Uid, ErrorKind> {
        match self {
            Value::Entity(uid) => Ok(uid),
            _ => Err(ErrorKind::TypeError),
        }
    }

    pub(crate) fn as_set(self) -> Result<Set<'a>, ErrorKind> {
        match self {
            Value::Set(set) => Ok(set),
            _ => Err(ErrorKind::TypeError),
        }
    }
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

impl<'a> Set<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Set::Stored(set) => set.items().len(),
            Set::Built(items) => items.len(),
        }
    }

    pub(crate) fn get(self, index: usize) -> Option<Value<'a>> {
        match self {
            Set::Stored(set) => set.items().get(index).map(Stored::view),
            Set::Built(items) => items.get(index).copied(),
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Value<'a>> {
        (0..self.len()).map_while(move |index| self.get(index))
    }

    /// Whether the set has an element equal to `value`.
    pub(crate) fn contains(self, value: Value<'_>) -> bool {
        if self.len() <= WALK {
            return self.iter().any(|item| item.same(value));
        }
        match self {
            Set::Stored(set) => set
                .items()
                .binary_search_by(|item| item.view().cmp_total(value))
                .is_ok(),
            Set::Built(items) => items.binary_search_by(|item| item.cmp_total(value)).is_ok(),
        }
    }
}

impl<'a> Record<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Record::Stored(record) => record.keys().len(),
            Record::Built(fields) => fields.len(),
        }
    }

    /// The value under `key`.
    #[inline]
    pub(crate) fn get(self, key: Sym) -> Option<Value<'a>> {
        match self {
            Record::Stored(record) => record.get(key).map(Stored::view),
            Record::Built(fields) => {
                let found = if fields.len() <= WALK {
                    fields.iter().position(|(k, _)| *k == key)
                } else {
                    fields.binary_search_by(|(k, _)| k.cmp(&key)).ok()
                };
                found.and_then(|index| fields.get(index)).map(|(_, v)| *v)
            }
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (Sym, Value<'a>)> {
        (0..self.len()).map_while(move |index| match self {
            Record::Stored(record) => record.entry(index).map(|(k, v)| (k, v.view())),
            Record::Built(fields) => fields.get(index).copied(),
        })
    }
}
