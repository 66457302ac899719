//! Tables of names: entity uids, entity types and attribute names as small integers.
//!
//! A table only grows. What a decision looks up (three uids, the fields of a context) is found here by its
//! bytes; nothing that a request says is ever added, so that untrusted strings cannot grow memory.

#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;
use hashbrown::HashTable;

use crate::id::{Sym, TypeId, Uid};
use crate::value::arena::{Intern, NameText, TableFull};

/// Uids, types and attribute names with their ids.
#[derive(Clone)]
pub(crate) struct Names {
    /// Keyed at random for each table, so that ids chosen by an attacker do not collide.
    hasher: RandomState,
    uids: Vec<UidRow>,
    uid_index: HashTable<Uid>,
    /// `type name` followed by `id` of every uid, one after the other: a look-up compares one run of bytes.
    uid_text: String,
    types: Texts<TypeId>,
    syms: Texts<Sym>,
}

#[derive(Clone, Copy)]
struct UidRow {
    start: u32,
    id_start: u32,
    end: u32,
    type_id: TypeId,
}

/// Distinct texts with their ids.
#[derive(Clone)]
struct Texts<Id> {
    rows: Vec<Box<str>>,
    index: HashTable<Id>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            uids: Vec::new(),
            uid_index: HashTable::new(),
            uid_text: String::new(),
            types: Texts::new(),
            syms: Texts::new(),
        }
    }

    /// All uids, by number.
    pub(crate) fn uids(&self) -> impl Iterator<Item = Uid> + use<> {
        (0..self.uids.len()).map_while(Uid::known)
    }

    /// All entity types, by number.
    pub(crate) fn types(&self) -> impl Iterator<Item = TypeId> + use<> {
        (0..self.types.rows.len()).map_while(TypeId::known)
    }

    /// All attribute names, by number.
    pub(crate) fn syms(&self) -> impl Iterator<Item = Sym> + use<> {
        (0..self.syms.rows.len()).map_while(Sym::known)
    }

    /// The uid `type_name::"id"`, when it is known.
    #[inline]
    pub(crate) fn find_uid(&self, type_name: &str, id: &str) -> Option<Uid> {
        let hash = self.hash_pair(type_name, id);
        self.uid_index
            .find(hash, |uid| self.is_uid(*uid, type_name, id))
            .copied()
    }

    /// The entity type, when it is known.
    pub(crate) fn find_type(&self, type_name: &str) -> Option<TypeId> {
        self.types.find(&self.hasher, type_name)
    }

    /// The attribute name, when it is known.
    #[inline]
    pub(crate) fn find_sym(&self, name: &str) -> Option<Sym> {
        self.syms.find(&self.hasher, name)
    }

    /// Adds an entity type.
    pub(crate) fn add_type(&mut self, type_name: &str) -> Result<TypeId, TableFull> {
        self.types.add(&self.hasher, type_name, TypeId::known)
    }

    /// The type of a known uid; `None` for a request's own.
    #[inline]
    pub(crate) fn type_of(&self, uid: Uid) -> Option<TypeId> {
        if uid.is_local() {
            return None;
        }
        self.uids.get(uid.index()).map(|row| row.type_id)
    }

    pub(crate) fn type_text(&self, type_id: TypeId) -> &str {
        self.types.text(type_id.index())
    }

    #[inline]
    fn is_uid(&self, uid: Uid, type_name: &str, id: &str) -> bool {
        let Some(row) = self.uids.get(uid.index()) else {
            return false;
        };
        let text = self.uid_text.as_bytes();
        let part = |start: u32, end: u32| text.get(start as usize..end as usize);
        // The id first: it tells apart what the type does not.
        part(row.id_start, row.end).is_some_and(|text| same_bytes(text, id.as_bytes()))
            && part(row.start, row.id_start)
                .is_some_and(|text| same_bytes(text, type_name.as_bytes()))
    }

    /// One hash over both parts. Where one ends and the other begins need not be mixed in: equality decides.
    #[inline]
    fn hash_pair(&self, type_name: &str, id: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(type_name.as_bytes());
        hasher.write(id.as_bytes());
        hasher.finish()
    }
}

/// Equality of short texts, which ids and type names are, without the call to `memcmp`: two loads that overlap in
/// the middle. Six comparisons a request; a tenth of what its three look-ups cost.
#[inline]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        4..=8 => {
            a.first_chunk::<4>() == b.first_chunk::<4>() && a.last_chunk::<4>() == b.last_chunk()
        }
        9..=16 => {
            a.first_chunk::<8>() == b.first_chunk::<8>() && a.last_chunk::<8>() == b.last_chunk()
        }
        _ => a == b,
    }
}

impl Intern for Names {
    fn uid(&mut self, type_name: &str, id: &str) -> Result<Uid, TableFull> {
        if let Some(uid) = self.find_uid(type_name, id) {
            return Ok(uid);
        }
        let uid = Uid::known(self.uids.len()).ok_or(TableFull)?;
        let type_id = self.add_type(type_name)?;
        let offset = |at: usize| u32::try_from(at).map_err(|_| TableFull);
        let start = self.uid_text.len();
        let row = UidRow {
            start: offset(start)?,
            id_start: offset(start + type_name.len())?,
            end: offset(start + type_name.len() + id.len())?,
            type_id,
        };
        self.uid_text.push_str(type_name);
        self.uid_text.push_str(id);
        self.uids.push(row);
        let hash = self.hash_pair(type_name, id);
        let Self {
            uid_index,
            uids,
            uid_text,
            hasher,
            ..
        } = self;
        uid_index.insert_unique(hash, uid, |uid| {
            let mut state = hasher.build_hasher();
            if let Some(row) = uids.get(uid.index()) {
                // The same bytes as `hash_pair`, in the same two writes.
                let bytes = uid_text.as_bytes();
                state.write(&bytes[row.start as usize..row.id_start as usize]);
                state.write(&bytes[row.id_start as usize..row.end as usize]);
            }
            state.finish()
        });
        Ok(uid)
    }

    fn sym(&mut self, name: &str) -> Result<Sym, TableFull> {
        self.syms.add(&self.hasher, name, Sym::known)
    }
}

/// Text of known ids; a request's own ids have none here and give empty text.
impl NameText for Names {
    fn uid_text(&self, uid: Uid) -> (&str, &str) {
        match self.uids.get(uid.index()) {
            Some(row) if !uid.is_local() => (
                &self.uid_text[row.start as usize..row.id_start as usize],
                &self.uid_text[row.id_start as usize..row.end as usize],
            ),
            _ => ("", ""),
        }
    }

    fn sym_text(&self, sym: Sym) -> &str {
        if sym.is_local() {
            return "";
        }
        self.syms.text(sym.index())
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("uids", &self.uids.len())
            .field("types", &self.types.rows.len())
            .field("syms", &self.syms.rows.len())
            .finish()
    }
}

/// The row of a [`Texts`] that an id stands for.
trait RowIndex: Copy {
    fn row(self) -> usize;
}

impl RowIndex for Sym {
    fn row(self) -> usize {
        self.index()
    }
}

impl RowIndex for TypeId {
    fn row(self) -> usize {
        self.index()
    }
}

impl<Id: RowIndex> Texts<Id> {
    fn new() -> Self {
        Self {
            rows: Vec::new(),
            index: HashTable::new(),
        }
    }

    fn text(&self, index: usize) -> &str {
        self.rows.get(index).map_or("", |text| text)
    }

    #[inline]
    fn find(&self, hasher: &RandomState, text: &str) -> Option<Id> {
        self.index
            .find(hash_text(hasher, text), |id| self.text(id.row()) == text)
            .copied()
    }

    fn add(
        &mut self,
        hasher: &RandomState,
        text: &str,
        known: impl Fn(usize) -> Option<Id>,
    ) -> Result<Id, TableFull> {
        if let Some(id) = self.find(hasher, text) {
            return Ok(id);
        }
        let id = known(self.rows.len()).ok_or(TableFull)?;
        self.rows.push(text.into());
        let rows = &self.rows;
        self.index.insert_unique(hash_text(hasher, text), id, |id| {
            hash_text(hasher, rows.get(id.row()).map_or("", |text| text))
        });
        Ok(id)
    }
}

#[inline]
fn hash_text(hasher: &RandomState, text: &str) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(text.as_bytes());
    state.finish()
}
