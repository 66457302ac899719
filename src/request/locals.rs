//! Names that one request uses and nobody else knows.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;
use hashbrown::HashTable;

use crate::id::{EntityUidRef, Sym, TypeId, Uid};
use crate::names::Names;
use crate::value::arena::{Intern, NameText, TableFull};

/// A request's own numbering of uids and attribute names that the shared tables do not have.
///
/// Part of the scratch memory: cleared between calls, its storage kept.
#[derive(Debug, Default)]
pub(crate) struct Locals {
    uids: Vec<LocalUid>,
    syms: Vec<(u32, u32)>,
    text: String,
    /// Used only past [`WALK`] entries; a request mentions two or three strangers, not a thousand.
    uid_index: HashTable<u32>,
    sym_index: HashTable<u32>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct LocalUid {
    start: u32,
    id_start: u32,
    end: u32,
    /// The type, when it is known although the id is not.
    type_id: Option<TypeId>,
}

/// Up to this many entries a walk is cheaper than a hash.
const WALK: usize = 8;

/// Text of more bytes than this is not kept: names of a megabyte are no application's.
const KEPT: usize = 1 << 20;

impl Locals {
    /// Forgets all names; keeps the memory, up to a bound.
    pub(crate) fn clear(&mut self) {
        if self.uids.is_empty() && self.syms.is_empty() {
            return;
        }
        if self.text.capacity() > KEPT {
            *self = Self::default();
            return;
        }
        self.uids.clear();
        self.syms.clear();
        self.text.clear();
        self.uid_index.clear();
        self.sym_index.clear();
    }

    /// Whether the shared tables still have none of these names, nor the types that they did not have.
    pub(crate) fn are_unknown_to(&self, shared: &Names) -> bool {
        self.uids.iter().all(|uid| {
            let (type_name, id) = self.uid_parts(uid);
            shared.find_uid(type_name, id).is_none() && shared.find_type(type_name) == uid.type_id
        }) && self
            .syms
            .iter()
            .all(|sym| shared.find_sym(self.sym_part(*sym)).is_none())
    }

    /// The type of a request's own uid, when any policy or entity knows it.
    pub(crate) fn type_of(&self, uid: Uid) -> Option<TypeId> {
        self.uids.get(uid.index())?.type_id
    }

    fn uid_parts(&self, uid: &LocalUid) -> (&str, &str) {
        (
            &self.text[uid.start as usize..uid.id_start as usize],
            &self.text[uid.id_start as usize..uid.end as usize],
        )
    }

    fn sym_part(&self, sym: (u32, u32)) -> &str {
        &self.text[sym.0 as usize..sym.1 as usize]
    }

    fn add_uid(
        &mut self,
        type_name: &str,
        id: &str,
        type_id: Option<TypeId>,
    ) -> Result<Uid, TableFull> {
        let hash = hash_of(&self.hasher, type_name, id);
        let found = if self.uids.len() <= WALK {
            self.uids
                .iter()
                .position(|uid| self.uid_parts(uid) == (type_name, id))
        } else {
            self.uid_index
                .find(hash, |row| {
                    self.uids
                        .get(*row as usize)
                        .is_some_and(|uid| self.uid_parts(uid) == (type_name, id))
                })
                .map(|row| *row as usize)
        };
        if let Some(row) = found {
            return Uid::local(row).ok_or(TableFull);
        }
        let row = self.uids.len();
        let uid = Uid::local(row).ok_or(TableFull)?;
        let start = offset(self.text.len())?;
        let id_start = offset(self.text.len() + type_name.len())?;
        let end = offset(self.text.len() + type_name.len() + id.len())?;
        self.text.push_str(type_name);
        self.text.push_str(id);
        self.uids.push(LocalUid {
            start,
            id_start,
            end,
            type_id,
        });
        if self.uids.len() > WALK {
            let Self {
                uids,
                text,
                uid_index,
                hasher,
                ..
            } = self;
            let rehash = |row: &u32| {
                uids.get(*row as usize).map_or(0, |uid| {
                    hash_of(
                        hasher,
                        &text[uid.start as usize..uid.id_start as usize],
                        &text[uid.id_start as usize..uid.end as usize],
                    )
                })
            };
            // The first time past the mark, everything goes in.
            let first = if uid_index.is_empty() { 0 } else { row };
            for row in first..uids.len() {
                let row = offset(row)?;
                uid_index.insert_unique(rehash(&row), row, rehash);
            }
        }
        Ok(uid)
    }

    fn find_sym(&self, name: &str) -> Option<Sym> {
        let row = if self.syms.len() <= WALK {
            self.syms.iter().position(|sym| self.sym_part(*sym) == name)
        } else {
            self.sym_index
                .find(hash_of(&self.hasher, name, ""), |row| {
                    self.syms
                        .get(*row as usize)
                        .is_some_and(|sym| self.sym_part(*sym) == name)
                })
                .map(|row| *row as usize)
        };
        row.and_then(Sym::local)
    }

    fn add_sym(&mut self, name: &str) -> Result<Sym, TableFull> {
        if let Some(sym) = self.find_sym(name) {
            return Ok(sym);
        }
        let row = self.syms.len();
        let sym = Sym::local(row).ok_or(TableFull)?;
        let start = offset(self.text.len())?;
        let end = offset(self.text.len() + name.len())?;
        self.text.push_str(name);
        self.syms.push((start, end));
        if self.syms.len() > WALK {
            let Self {
                syms,
                text,
                sym_index,
                hasher,
                ..
            } = self;
            let rehash = |row: &u32| {
                syms.get(*row as usize).map_or(0, |sym| {
                    hash_of(hasher, &text[sym.0 as usize..sym.1 as usize], "")
                })
            };
            let first = if sym_index.is_empty() { 0 } else { row };
            for row in first..syms.len() {
                let row = offset(row)?;
                sym_index.insert_unique(rehash(&row), row, rehash);
            }
        }
        Ok(sym)
    }
}

fn offset(at: usize) -> Result<u32, TableFull> {
    u32::try_from(at).map_err(|_| TableFull)
}

fn hash_of(hasher: &RandomState, a: &str, b: &str) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(a.as_bytes());
    state.write(b.as_bytes());
    state.finish()
}

/// Gives ids to what a request says: the shared table's where it has one, else the request's own.
#[derive(Debug)]
pub(crate) struct RequestInterner<'s> {
    pub(crate) shared: &'s Names,
    pub(crate) locals: &'s mut Locals,
}

impl Intern for RequestInterner<'_> {
    #[inline]
    fn uid(&mut self, type_name: &str, id: &str) -> Result<Uid, TableFull> {
        match self.shared.find_uid(type_name, id) {
            Some(uid) => Ok(uid),
            None => {
                let type_id = self.shared.find_type(type_name);
                self.locals.add_uid(type_name, id, type_id)
            }
        }
    }

    #[inline]
    fn sym(&mut self, name: &str) -> Result<Sym, TableFull> {
        match self.shared.find_sym(name) {
            Some(sym) => Ok(sym),
            None => self.locals.add_sym(name),
        }
    }
}

/// The text of a request's ids, shared and own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestNames<'s> {
    pub(crate) shared: &'s Names,
    pub(crate) locals: &'s Locals,
}

impl RequestNames<'_> {
    /// The entity type, when any policy or entity knows it.
    #[inline]
    pub(crate) fn type_of(&self, uid: Uid) -> Option<TypeId> {
        if uid.is_local() {
            self.locals.type_of(uid)
        } else {
            self.shared.type_of(uid)
        }
    }

    /// The attribute name's id, shared or own.
    pub(crate) fn find_sym(&self, name: &str) -> Option<Sym> {
        self.shared
            .find_sym(name)
            .or_else(|| self.locals.find_sym(name))
    }
}

impl<'s> RequestNames<'s> {
    /// The entity's uid as text, for as long as the names live.
    pub(crate) fn entity(self, uid: Uid) -> EntityUidRef<'s> {
        if !uid.is_local() {
            return self.shared.uid_text(uid).into();
        }
        let locals = self.locals;
        let found = locals.uids.get(uid.index());
        found.map_or(("", ""), |uid| locals.uid_parts(uid)).into()
    }
}

impl NameText for RequestNames<'_> {
    fn uid_text(&self, uid: Uid) -> (&str, &str) {
        if uid.is_local() {
            self.locals
                .uids
                .get(uid.index())
                .map_or(("", ""), |uid| self.locals.uid_parts(uid))
        } else {
            self.shared.uid_text(uid)
        }
    }

    fn sym_text(&self, sym: Sym) -> &str {
        if sym.is_local() {
            self.locals
                .syms
                .get(sym.index())
                .map_or("", |sym| self.locals.sym_part(*sym))
        } else {
            self.shared.sym_text(sym)
        }
    }
}
