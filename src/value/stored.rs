//! Values that outlive a request: constants of a program, attributes of stored entities.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use ahash::RandomState;

use crate::ext::{Datetime, Decimal, Duration, IpAddr};
use crate::id::{Sym, Uid};

use super::arena::{Intern, NameText, TableFull};
use super::{Record, Value, View, WALK_KEYS};

/// An owned value. [`Stored::value`] gives the form that is computed with.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Bool(bool),
    Long(i64),
    String(Box<str>),
    Entity(Uid),
    Set(StoredSet),
    /// Boxed: a record is rare as an attribute's value, and a `Stored` stays at 24 bytes.
    Record(Box<StoredRecord>),
    Decimal(Decimal),
    Datetime(Datetime),
    Duration(Duration),
    Ip(IpAddr),
}

/// An owned set, sorted and without duplicates.
#[derive(Clone, Debug)]
pub(crate) struct StoredSet {
    items: Box<[Stored]>,
}

/// An owned record, sorted by key. Keys and values stand apart, so that a look-up walks keys only, and so that entities
/// with the same attributes share them ([`Layouts`]): one load from far memory less at each look-up.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredRecord {
    keys: Arc<[Sym]>,
    values: Box<[Stored]>,
}

/// Lists of keys that were met, to be shared by records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layouts(HashSet<Arc<[Sym]>, RandomState>);

/// Where no two records have the same keys, no more than so many are remembered.
const LAYOUTS: usize = 4096;

impl Stored {
    #[inline]
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Stored::Bool(b) => Value::from(*b),
            Stored::Long(i) => Value::Long(*i),
            Stored::String(text) => Value::StoredString(text),
            Stored::Entity(uid) => Value::from(*uid),
            Stored::Set(set) => Value::StoredSet(set),
            Stored::Record(record) => Value::StoredRecord(record),
            Stored::Decimal(d) => Value::Decimal(*d),
            Stored::Datetime(d) => Value::Datetime(*d),
            Stored::Duration(d) => Value::Duration(*d),
            Stored::Ip(ip) => Value::Ip(ip),
        }
    }

    /// A deep copy of `value`, ids unchanged.
    pub(crate) fn of(value: Value<'_>) -> Stored {
        match Stored::copy_of(value, &mut SameNames) {
            Ok(stored) => stored,
            Err(never) => match never {},
        }
    }

    /// A deep copy of `value` with its entities and keys renamed: from one id space (a program's own, a
    /// request's) to another. Sets and records are sorted anew, as the order follows the ids.
    pub(crate) fn copy_of<E>(
        value: Value<'_>,
        names: &mut impl Rename<Error = E>,
    ) -> Result<Stored, E> {
        Ok(match value.view() {
            View::Bool(b) => Stored::Bool(b),
            View::Long(i) => Stored::Long(i),
            View::String(s) => Stored::String(s.into()),
            View::Entity(uid) => Stored::Entity(names.uid(uid)?),
            View::Set(set) => Stored::Set(StoredSet::new(
                set.iter()
                    .map(|item| Stored::copy_of(item, names))
                    .collect::<Result<_, E>>()?,
            )),
            View::Record(record) => Stored::Record(Box::new(StoredRecord::new(
                record
                    .iter()
                    .map(|(key, value)| Ok((names.sym(key)?, Stored::copy_of(value, names)?)))
                    .collect::<Result<_, E>>()?,
            ))),
            View::Decimal(d) => Stored::Decimal(d),
            View::Datetime(d) => Stored::Datetime(d),
            View::Duration(d) => Stored::Duration(d),
            View::Ip(ip) => Stored::Ip(*ip),
        })
    }
}

/// How [`Stored::copy_of`] carries ids over.
pub(crate) trait Rename {
    type Error;
    fn uid(&mut self, uid: Uid) -> Result<Uid, Self::Error>;
    fn sym(&mut self, sym: Sym) -> Result<Sym, Self::Error>;
}

/// Ids carried over by their text: from any numbering to one that gives ids.
pub(crate) struct ByText<'t, F, T> {
    pub(crate) from: F,
    pub(crate) to: &'t mut T,
}

impl<F: NameText, T: Intern> Rename for ByText<'_, F, T> {
    type Error = TableFull;

    fn uid(&mut self, uid: Uid) -> Result<Uid, TableFull> {
        let (type_name, id) = self.from.uid_text(uid);
        self.to.uid(type_name, id)
    }

    fn sym(&mut self, sym: Sym) -> Result<Sym, TableFull> {
        self.to.sym(self.from.sym_text(sym))
    }
}

/// Ids that are in the right table already.
struct SameNames;

impl Rename for SameNames {
    type Error = Infallible;

    fn uid(&mut self, uid: Uid) -> Result<Uid, Infallible> {
        Ok(uid)
    }

    fn sym(&mut self, sym: Sym) -> Result<Sym, Infallible> {
        Ok(sym)
    }
}

impl StoredSet {
    pub(crate) fn new(mut items: Vec<Stored>) -> Self {
        items.sort_unstable_by(|a, b| a.value().cmp_total(b.value()));
        items.dedup_by(|a, b| a.value().same(b.value()));
        Self {
            items: items.into_boxed_slice(),
        }
    }

    pub(crate) fn items(&self) -> &[Stored] {
        &self.items
    }
}

impl StoredRecord {
    /// From fields in any order; of duplicate keys (which loaders refuse before) the first stays.
    pub(crate) fn new(mut fields: Vec<(Sym, Stored)>) -> Self {
        fields.sort_by_key(|(key, _)| *key);
        fields.dedup_by_key(|(key, _)| *key);
        let (keys, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
        Self {
            keys: keys.into(),
            values: values.into_boxed_slice(),
        }
    }

    /// A deep copy of a record with its entities and keys renamed.
    pub(crate) fn copy_of<E>(
        record: Record<'_>,
        names: &mut impl Rename<Error = E>,
    ) -> Result<Self, E> {
        Ok(match Stored::copy_of(record.into(), names)? {
            Stored::Record(record) => *record,
            _ => Self::default(),
        })
    }

    /// Takes the same keys from those that were met before, as do the records in it.
    pub(crate) fn share_keys(&mut self, layouts: &mut Layouts) {
        match layouts.0.get(&self.keys) {
            Some(known) => self.keys = Arc::clone(known),
            None if layouts.0.len() < LAYOUTS => {
                layouts.0.insert(Arc::clone(&self.keys));
            }
            None => {}
        }
        for value in &mut self.values {
            if let Stored::Record(record) = value {
                record.share_keys(layouts);
            }
        }
    }

    /// Takes the same keys from another record, if it has the same, as do the records in it.
    pub(crate) fn share_keys_with(&mut self, other: &Self) {
        if self.keys != other.keys {
            return;
        }
        self.keys = Arc::clone(&other.keys);
        for pair in self.values.iter_mut().zip(&other.values) {
            if let (Stored::Record(record), Stored::Record(other)) = pair {
                record.share_keys_with(other);
            }
        }
    }

    /// Puts another value in the place of one that there is.
    pub(crate) fn replace(&mut self, key: Sym, value: Stored) {
        if let Ok(at) = self.keys.binary_search(&key)
            && let Some(old) = self.values.get_mut(at)
        {
            *old = value;
        }
    }

    pub(crate) fn keys(&self) -> &[Sym] {
        &self.keys
    }

    pub(crate) fn values(&self) -> &[Stored] {
        &self.values
    }

    pub(crate) fn entry(&self, index: usize) -> Option<(Sym, &Stored)> {
        Some((*self.keys.get(index)?, self.values.get(index)?))
    }

    #[inline]
    pub(crate) fn get(&self, key: Sym) -> Option<&Stored> {
        let index = if self.keys.len() <= WALK_KEYS {
            self.keys.iter().position(|k| *k == key)?
        } else {
            self.keys.binary_search(&key).ok()?
        };
        self.values.get(index)
    }
}
