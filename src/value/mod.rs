//! Cedar values as the evaluator sees them.
//!
//! A [`Value`] is `Copy` and borrows: from the program's constants, from the entity snapshot, or from the
//! request's arena. Data that outlives a request is held as [`Stored`], which owns; `Stored::value` is free.
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
pub(crate) mod text;

use std::cmp::Ordering;
use std::sync::Arc;

use crate::ext::{Datetime, Decimal, Duration, IpAddr};
use crate::id::{Sym, Uid, WideUid};

pub use error::ErrorKind;
pub(crate) use error::Raise;
pub(crate) use measure::Bounds;
pub(crate) use pattern::{Pattern, PatternPart};
pub(crate) use stored::{Shared, Stored, StoredRecord, StoredSet};

/// A Cedar value, as it is computed with: a tag, and eight bytes in every variant. That makes it (and a `Result`
/// of it with an error of no size) what the compiler hands from node to node in two registers; one variant of another
/// size, and all go through memory.
///
/// Whoever wants to look at any value takes it as a [`View`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Bool(Truth),
    Long(i64),
    Entity(WideUid),
    Decimal(Decimal),
    Datetime(Datetime),
    Duration(Duration),
    Ip(&'a IpAddr),
    /// A thin reference to what a `Stored` owns; one to the text itself is twice as large.
    StoredString(&'a Arc<str>),
    BuiltString(&'a &'a str),
    StoredSet(&'a StoredSet),
    BuiltSet(&'a &'a [Value<'a>]),
    StoredRecord(&'a StoredRecord),
    BuiltRecord(&'a &'a [(Sym, Value<'a>)]),
}

/// A `bool` of eight bytes: see [`Value`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum Truth {
    No,
    Yes,
}

/// A value to look at: wherever it lives, one variant for each of Cedar's types.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    Bool(bool),
    Long(i64),
    String(&'a str),
    Entity(Uid),
    Set(Set<'a>),
    Record(Record<'a>),
    Decimal(Decimal),
    Datetime(Datetime),
    Duration(Duration),
    Ip(&'a IpAddr),
}

/// A set: sorted, without duplicates. See the module docs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Set<'a> {
    Stored(&'a StoredSet),
    /// Behind one more reference, as in [`Value`].
    Built(&'a &'a [Value<'a>]),
}

/// A record: sorted by key, without duplicates. See the module docs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    Stored(&'a StoredRecord),
    /// Behind one more reference, as in [`Value`].
    Built(&'a &'a [(Sym, Value<'a>)]),
}

/// The types whose values are a number and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Plain {
    Bool,
    Long,
    Entity,
    Decimal,
    Datetime,
    Duration,
    /// None of them.
    Other,
}

/// Up to this many elements of a set are walked; more are searched.
const WALK: usize = 8;

/// Up to this many keys of a record are walked: one cache line, and no branch to mispredict.
const WALK_KEYS: usize = 16;

impl<'a> Value<'a> {
    /// The value to look at.
    #[inline]
    pub(crate) fn view(self) -> View<'a> {
        match self {
            Value::Bool(truth) => View::Bool(truth.into()),
            Value::Long(i) => View::Long(i),
            Value::Entity(wide) => View::Entity(wide.uid()),
            Value::Decimal(d) => View::Decimal(d),
            Value::Datetime(d) => View::Datetime(d),
            Value::Duration(d) => View::Duration(d),
            Value::Ip(ip) => View::Ip(ip),
            Value::StoredString(text) => View::String(text),
            Value::BuiltString(text) => View::String(text),
            Value::StoredSet(set) => View::Set(Set::Stored(set)),
            Value::BuiltSet(items) => View::Set(Set::Built(items)),
            Value::StoredRecord(record) => View::Record(Record::Stored(record)),
            Value::BuiltRecord(fields) => View::Record(Record::Built(fields)),
        }
    }

    /// Cedar's `==`: never fails, values of different types are unequal.
    #[inline]
    pub(crate) fn same(self, other: Value<'_>) -> bool {
        match (self, other) {
            (Value::Entity(a), Value::Entity(b)) => a.uid() == b.uid(),
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Long(a), Value::Long(b)) => a == b,
            _ => match (self.text(), other.text()) {
                (Some(a), Some(b)) => same_bytes(a.as_bytes(), b.as_bytes()),
                (None, None) => self.view().same(other.view()),
                _ => false,
            },
        }
    }

    /// A total order over all values, consistent with [`Value::same`]. It is the order in which sets are
    /// kept and has no meaning in Cedar.
    pub(crate) fn cmp_total(self, other: Value<'_>) -> Ordering {
        self.view().cmp_total(other.view())
    }

    /// The type of a value that is a number and nothing else. Two of one type are equal if their numbers are, and where Cedar
    /// has an order it is that of the numbers.
    ///
    /// Apart from [`Self::number`], and in the order of the variants, so that it is compiled to no jump: in one function, what is
    /// done with the result was copied to a jump for each type.
    #[inline(always)]
    pub(crate) fn plain(self) -> Plain {
        match self {
            Value::Bool(_) => Plain::Bool,
            Value::Long(_) => Plain::Long,
            Value::Entity(_) => Plain::Entity,
            Value::Decimal(_) => Plain::Decimal,
            Value::Datetime(_) => Plain::Datetime,
            Value::Duration(_) => Plain::Duration,
            _ => Plain::Other,
        }
    }

    /// The number; 0 where a value is none.
    #[inline(always)]
    pub(crate) fn number(self) -> i64 {
        match self {
            Value::Bool(truth) => truth as i64,
            Value::Long(i) => i,
            Value::Entity(wide) => wide.number(),
            Value::Decimal(d) => d.scaled(),
            Value::Datetime(d) => d.millis(),
            Value::Duration(d) => d.millis(),
            _ => 0,
        }
    }

    #[inline]
    fn text(self) -> Option<&'a str> {
        match self {
            Value::StoredString(text) => Some(text),
            Value::BuiltString(text) => Some(text),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn as_bool(self) -> Result<bool, ErrorKind> {
        match self {
            Value::Bool(truth) => Ok(truth.into()),
            _ => Err(ErrorKind::TypeError),
        }
    }

    #[inline]
    pub(crate) fn as_long(self) -> Result<i64, ErrorKind> {
        match self {
            Value::Long(i) => Ok(i),
            _ => Err(ErrorKind::TypeError),
        }
    }

    #[inline]
    pub(crate) fn as_string(self) -> Result<&'a str, ErrorKind> {
        self.text().ok_or(ErrorKind::TypeError)
    }

    #[inline]
    pub(crate) fn as_entity(self) -> Result<Uid, ErrorKind> {
        match self {
            Value::Entity(wide) => Ok(wide.uid()),
            _ => Err(ErrorKind::TypeError),
        }
    }

    #[inline]
    pub(crate) fn as_set(self) -> Result<Set<'a>, ErrorKind> {
        match self {
            Value::StoredSet(set) => Ok(Set::Stored(set)),
            Value::BuiltSet(items) => Ok(Set::Built(items)),
            _ => Err(ErrorKind::TypeError),
        }
    }

    #[inline]
    pub(crate) fn as_record(self) -> Result<Record<'a>, ErrorKind> {
        match self {
            Value::StoredRecord(record) => Ok(Record::Stored(record)),
            Value::BuiltRecord(fields) => Ok(Record::Built(fields)),
            _ => Err(ErrorKind::TypeError),
        }
    }
}

impl From<bool> for Truth {
    #[inline]
    fn from(b: bool) -> Self {
        if b { Self::Yes } else { Self::No }
    }
}

impl From<Truth> for bool {
    #[inline]
    fn from(truth: Truth) -> Self {
        truth == Truth::Yes
    }
}

impl From<bool> for Value<'_> {
    #[inline]
    fn from(b: bool) -> Self {
        Value::Bool(b.into())
    }
}

impl From<Uid> for Value<'_> {
    #[inline]
    fn from(uid: Uid) -> Self {
        Value::Entity(uid.into())
    }
}

impl<'a> From<Record<'a>> for Value<'a> {
    #[inline]
    fn from(record: Record<'a>) -> Self {
        match record {
            Record::Stored(record) => Value::StoredRecord(record),
            Record::Built(fields) => Value::BuiltRecord(fields),
        }
    }
}

impl View<'_> {
    fn same(self, other: View<'_>) -> bool {
        match (self, other) {
            (View::Bool(a), View::Bool(b)) => a == b,
            (View::Long(a), View::Long(b)) => a == b,
            (View::String(a), View::String(b)) => a == b,
            (View::Entity(a), View::Entity(b)) => a == b,
            (View::Decimal(a), View::Decimal(b)) => a == b,
            (View::Datetime(a), View::Datetime(b)) => a == b,
            (View::Duration(a), View::Duration(b)) => a == b,
            (View::Ip(a), View::Ip(b)) => a == b,
            (View::Set(a), View::Set(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(x, y)| x.same(y))
            }
            (View::Record(a), View::Record(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .zip(b.iter())
                        .all(|((j, x), (k, y))| j == k && x.same(y))
            }
            _ => false,
        }
    }

    fn cmp_total(self, other: View<'_>) -> Ordering {
        match (self, other) {
            (View::Bool(a), View::Bool(b)) => a.cmp(&b),
            (View::Long(a), View::Long(b)) => a.cmp(&b),
            (View::String(a), View::String(b)) => a.cmp(b),
            (View::Entity(a), View::Entity(b)) => a.cmp(&b),
            (View::Decimal(a), View::Decimal(b)) => a.cmp(&b),
            (View::Datetime(a), View::Datetime(b)) => a.cmp(&b),
            (View::Duration(a), View::Duration(b)) => a.cmp(&b),
            (View::Ip(a), View::Ip(b)) => a.cmp(b),
            (View::Set(a), View::Set(b)) => {
                first_difference(a.iter().zip(b.iter()).map(|(x, y)| x.cmp_total(y)))
                    .then(a.len().cmp(&b.len()))
            }
            (View::Record(a), View::Record(b)) => first_difference(
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
            View::Bool(_) => 0,
            View::Long(_) => 1,
            View::String(_) => 2,
            View::Entity(_) => 3,
            View::Set(_) => 4,
            View::Record(_) => 5,
            View::Decimal(_) => 6,
            View::Datetime(_) => 7,
            View::Duration(_) => 8,
            View::Ip(_) => 9,
        }
    }
}

/// Equality of short texts, which ids, type names and most attributes are, without the call to `memcmp`: two loads that
/// overlap in the middle. Six comparisons a request; a tenth of what its three look-ups cost.
///
/// Empty ones above all. Where an empty text points to is no memory, and on processors with AVX-512 glibc's `memcmp` loads from
/// there, masked: each took 60 ns on a Zen 4, and with one for every name of a context a third of the decision.
#[inline]
pub(crate) fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        0 => true,
        len @ 1..=3 => {
            a.first() == b.first() && a.get(len / 2) == b.get(len / 2) && a.last() == b.last()
        }
        4..=8 => {
            a.first_chunk::<4>() == b.first_chunk::<4>() && a.last_chunk::<4>() == b.last_chunk()
        }
        9..=16 => {
            a.first_chunk::<8>() == b.first_chunk::<8>() && a.last_chunk::<8>() == b.last_chunk()
        }
        _ => same_long_bytes(a, b),
    }
}

/// Apart, because what stays in registers across the call of `memcmp` costs the short ones as much as their comparison.
#[inline(never)]
fn same_long_bytes(a: &[u8], b: &[u8]) -> bool {
    a == b
}

/// The order of two lists that goes by the first elements that differ.
pub(crate) fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

impl<'a> Set<'a> {
    #[inline]
    pub(crate) fn len(self) -> usize {
        match self {
            Set::Stored(set) => set.items().len(),
            Set::Built(items) => items.len(),
        }
    }

    pub(crate) fn get(self, index: usize) -> Option<Value<'a>> {
        match self {
            Set::Stored(set) => set.items().get(index).map(Stored::value),
            Set::Built(items) => items.get(index).copied(),
        }
    }

    /// The greatest.
    pub(crate) fn last(self) -> Option<Value<'a>> {
        self.get(self.len().checked_sub(1)?)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Value<'a>> {
        (0..self.len()).map_while(move |index| self.get(index))
    }

    /// Whether the set has an element equal to `value`.
    pub(crate) fn contains(self, value: Value<'_>) -> bool {
        match self {
            Set::Stored(set) if set.items().len() <= WALK => match (value, value.text()) {
                (Value::Entity(entity), _) => {
                    let uid = entity.uid();
                    let is = |item: &Stored| matches!(item, Stored::Entity(item) if *item == uid);
                    set.items().iter().any(is)
                }
                (_, Some(text)) => set.items().iter().any(|item| match item {
                    Stored::String(item) => same_bytes(item.as_bytes(), text.as_bytes()),
                    _ => false,
                }),
                _ => set.items().iter().any(|item| item.value().same(value)),
            },
            Set::Stored(set) => set
                .items()
                .binary_search_by(|item| item.value().cmp_total(value))
                .is_ok(),
            Set::Built(items) if items.len() <= WALK => items.iter().any(|item| item.same(value)),
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
            Record::Stored(record) => record.get(key).map(Stored::value),
            Record::Built(fields) => Some(fields.get(place_of(key, fields, |(key, _)| *key)?)?.1),
        }
    }

    /// Whether there is a value under `key`. That is not taken out, which of stored ones is a jump that nobody can guess.
    #[inline]
    pub(crate) fn has(self, key: Sym) -> bool {
        match self {
            Record::Stored(record) => record.has(key),
            Record::Built(fields) => place_of(key, fields, |(key, _)| *key).is_some(),
        }
    }

    pub(crate) fn entry(self, index: usize) -> Option<(Sym, Value<'a>)> {
        match self {
            Record::Stored(record) => record.entry(index).map(|(k, v)| (k, v.value())),
            Record::Built(fields) => fields.get(index).copied(),
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (Sym, Value<'a>)> {
        (0..self.len()).map_while(move |index| self.entry(index))
    }
}

/// Where a key stands among items that are in the order of their keys.
#[inline]
fn place_of<T>(key: Sym, items: &[T], key_of: impl Fn(&T) -> Sym) -> Option<usize> {
    match items.len() <= WALK_KEYS {
        true => items.iter().position(|item| key_of(item) == key),
        false => items.binary_search_by_key(&key, key_of).ok(),
    }
}
