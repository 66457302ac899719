//! Values that outlive a request: constants of a program, attributes of stored entities.

use std::collections::HashSet;
use std::convert::Infallible;
use std::iter;
use std::sync::Arc;

use ahash::RandomState;

use crate::ext::{Datetime, Decimal, Duration, IpAddr};
use crate::id::{Sym, Uid};

use super::arena::{Intern, NameText, TableFull};
use super::{Record, Value, View, place_of};

/// An owned value. [`Stored::value`] gives the form that is computed with.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Bool(bool),
    Long(i64),
    /// Counted, so that equal ones can be one ([`Shared`]).
    String(Arc<str>),
    Entity(Uid),
    Set(StoredSet),
    Record(StoredRecord),
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

const _: () = assert!(size_of::<Stored>() == 24 && size_of::<Cell>() == 24);

/// An owned record, sorted by key. Keys stand apart from values, so that a look-up walks keys only, and so that entities
/// with the same attributes share them ([`Shared`]).
///
/// The list of keys is the first cell in front of the values: a record is one piece of memory, which is seldom in a cache. Of a
/// path as `resource.owner.profile.dept`, each record costs one load from far memory; it were two if the list's place stood
/// beside that of the values, behind a pointer.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredRecord {
    cells: Box<[Cell]>,
}

/// A part of a record: its keys, then their values in that order. A record without fields has no cells.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Keys(Arc<[Sym]>),
    Value(Stored),
}

/// What was met in records, so that others have the same and not their own: less memory, and what is asked about many
/// entities (a role, a department, the keys of all users) stays in the nearest cache.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    keys: HashSet<Arc<[Sym]>, RandomState>,
    /// By hash. What comes later takes the place: what is frequent comes back, and what is met once does no harm.
    texts: Vec<Option<Arc<str>>>,
}

/// Where no two records have the same keys, no more than so many are remembered.
const LAYOUTS: usize = 4096;

/// Places for texts; a power of two.
const TEXTS: usize = 4096;

/// Longer texts (addresses, paths) are rarely those of others.
const SHORT: usize = 24;

impl Shared {
    fn share(&mut self, value: &mut Stored) {
        match value {
            Stored::String(text) if text.len() <= SHORT => {
                if self.texts.is_empty() {
                    self.texts.resize(TEXTS, None);
                }
                let hash = self.keys.hasher().hash_one(&**text) as usize;
                let Some(place) = self.texts.get_mut(hash % TEXTS) else {
                    return;
                };
                match place {
                    Some(known) if known == text => *text = Arc::clone(known),
                    _ => *place = Some(Arc::clone(text)),
                }
            }
            Stored::Set(set) => set.items.iter_mut().for_each(|item| self.share(item)),
            Stored::Record(record) => record.share(self),
            _ => {}
        }
    }
}

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
            View::Record(record) => Stored::Record(StoredRecord::new(
                record
                    .iter()
                    .map(|(key, value)| Ok((names.sym(key)?, Stored::copy_of(value, names)?)))
                    .collect::<Result<_, E>>()?,
            )),
            View::Decimal(d) => Stored::Decimal(d),
            View::Datetime(d) => Stored::Datetime(d),
            View::Duration(d) => Stored::Duration(d),
            View::Ip(ip) => Stored::Ip(*ip),
        })
    }

    /// Takes from another value what is the same.
    fn share_with(&mut self, other: &Self) {
        match (self, other) {
            (Stored::String(text), Stored::String(other)) if text == other => {
                *text = Arc::clone(other)
            }
            (Stored::Set(set), Stored::Set(other)) => {
                for (item, other) in set.items.iter_mut().zip(&other.items) {
                    item.share_with(other);
                }
            }
            (Stored::Record(record), Stored::Record(other)) => record.share_with(other),
            _ => {}
        }
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
        if fields.is_empty() {
            return Self::default();
        }
        let keys = fields.iter().map(|(key, _)| *key).collect();
        let values = fields.into_iter().map(|(_, value)| Cell::Value(value));
        Self {
            cells: iter::once(Cell::Keys(keys)).chain(values).collect(),
        }
    }

    /// A deep copy of a record with its entities and keys renamed.
    pub(crate) fn copy_of<E>(
        record: Record<'_>,
        names: &mut impl Rename<Error = E>,
    ) -> Result<Self, E> {
        Ok(match Stored::copy_of(record.into(), names)? {
            Stored::Record(record) => record,
            _ => Self::default(),
        })
    }

    /// Takes the keys and short texts that were met before for its own that are the same.
    pub(crate) fn share(&mut self, shared: &mut Shared) {
        for cell in &mut self.cells {
            match cell {
                Cell::Keys(keys) => match shared.keys.get(keys) {
                    Some(known) => *keys = Arc::clone(known),
                    None if shared.keys.len() < LAYOUTS => {
                        shared.keys.insert(Arc::clone(keys));
                    }
                    None => {}
                },
                Cell::Value(value) => shared.share(value),
            }
        }
    }

    /// Takes the same from another record, where it has the same keys.
    pub(crate) fn share_with(&mut self, other: &Self) {
        for pair in self.cells.iter_mut().zip(&other.cells) {
            match pair {
                (Cell::Keys(keys), Cell::Keys(others)) if keys == others => {
                    *keys = Arc::clone(others);
                }
                (Cell::Value(value), Cell::Value(other)) => value.share_with(other),
                _ => return,
            }
        }
    }

    /// Puts another value in the place of one that there is.
    pub(crate) fn replace(&mut self, key: Sym, value: Stored) {
        if let Ok(at) = self.keys().binary_search(&key)
            && let Some(old) = self.cells.get_mut(1 + at)
        {
            *old = Cell::Value(value);
        }
    }

    #[inline]
    pub(crate) fn keys(&self) -> &[Sym] {
        self.parts().0
    }

    /// In the order of the keys.
    #[inline]
    pub(crate) fn fields(&self) -> impl Iterator<Item = (Sym, &Cell)> {
        let (keys, values) = self.parts();
        keys.iter().copied().zip(values)
    }

    pub(crate) fn entry(&self, index: usize) -> Option<(Sym, &Stored)> {
        let (keys, values) = self.parts();
        Some((*keys.get(index)?, values.get(index)?.stored()?))
    }

    #[inline]
    pub(crate) fn get(&self, key: Sym) -> Option<&Stored> {
        let (keys, values) = self.parts();
        values.get(place_of(key, keys, |key| *key)?)?.stored()
    }

    #[inline]
    pub(crate) fn has(&self, key: Sym) -> bool {
        place_of(key, self.parts().0, |key| *key).is_some()
    }

    #[inline]
    fn parts(&self) -> (&[Sym], &[Cell]) {
        match &*self.cells {
            [Cell::Keys(keys), values @ ..] => (keys, values),
            _ => (&[], &[]),
        }
    }
}

impl Cell {
    #[inline]
    pub(crate) fn value(&self) -> Option<Value<'_>> {
        self.stored().map(Stored::value)
    }

    #[inline]
    fn stored(&self) -> Option<&Stored> {
        match self {
            Cell::Value(value) => Some(value),
            Cell::Keys(_) => None,
        }
    }
}
