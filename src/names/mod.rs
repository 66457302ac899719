//! Tables of names: entity uids, entity types and attribute names as small integers.
//!
//! A table only grows, and a clone that grows shares what was there before ([`tiers`]). What a decision looks up
//! (three uids, the fields of a context) is found here by its bytes; nothing that a request says is ever added, so
//! that untrusted strings cannot grow memory.

mod table;
#[cfg(test)]
mod tests;
mod tiers;

use std::fmt;
use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

use crate::id::{Sym, TypeId, Uid};
use crate::value::arena::{Intern, NameText, TableFull};

use tiers::Tiers;

/// Uids, types and attribute names with their ids.
#[derive(Clone)]
pub(crate) struct Names {
    /// Keyed at random for each table, so that ids chosen by an attacker do not collide.
    hasher: RandomState,
    /// The two parts of a text are type name and id, its tag is the type.
    uids: Tiers,
    types: Tiers,
    syms: Tiers,
}

/// How many names there are. While names are only added, equal extents mean equal tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Extent {
    pub(crate) uids: usize,
    pub(crate) types: usize,
    pub(crate) syms: usize,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            uids: Tiers::default(),
            types: Tiers::default(),
            syms: Tiers::default(),
        }
    }

    pub(crate) fn extent(&self) -> Extent {
        Extent {
            uids: self.uids.len(),
            types: self.types.len(),
            syms: self.syms.len(),
        }
    }

    /// Bytes of text, of all names.
    pub(crate) fn text_len(&self) -> usize {
        self.uids.text_len() + self.types.text_len() + self.syms.text_len()
    }

    /// All uids, by number.
    pub(crate) fn uids(&self) -> impl Iterator<Item = Uid> + use<> {
        (0..self.uids.len()).map_while(Uid::known)
    }

    /// All entity types, by number.
    pub(crate) fn types(&self) -> impl Iterator<Item = TypeId> + use<> {
        (0..self.types.len()).map_while(TypeId::known)
    }

    /// All attribute names, by number.
    pub(crate) fn syms(&self) -> impl Iterator<Item = Sym> + use<> {
        (0..self.syms.len()).map_while(Sym::known)
    }

    /// The uid `type_name::"id"`, when it is known.
    #[inline]
    pub(crate) fn find_uid(&self, type_name: &str, id: &str) -> Option<Uid> {
        self.uids
            .find(self.hash(type_name, id), type_name, id)
            .and_then(Uid::known)
    }

    /// The entity type, when it is known.
    pub(crate) fn find_type(&self, type_name: &str) -> Option<TypeId> {
        self.types
            .find(self.hash_name(type_name), "", type_name)
            .and_then(TypeId::known)
    }

    /// The attribute name, when it is known.
    #[inline]
    pub(crate) fn find_sym(&self, name: &str) -> Option<Sym> {
        self.syms
            .find(self.hash_name(name), "", name)
            .and_then(Sym::known)
    }

    /// Adds an entity type.
    pub(crate) fn add_type(&mut self, type_name: &str) -> Result<TypeId, TableFull> {
        if let Some(type_id) = self.find_type(type_name) {
            return Ok(type_id);
        }
        let type_id = TypeId::known(self.types.len()).ok_or(TableFull)?;
        self.types
            .add(self.hash_name(type_name), "", type_name, 0)?;
        Ok(type_id)
    }

    /// The type of a known uid; `None` for a request's own.
    #[inline]
    pub(crate) fn type_of(&self, uid: Uid) -> Option<TypeId> {
        if uid.is_local() {
            return None;
        }
        let tag = self.uids.tag(uid.index())?;
        TypeId::known(tag as usize)
    }

    pub(crate) fn type_text(&self, type_id: TypeId) -> &str {
        self.types
            .parts(type_id.index())
            .map_or("", |(_, text)| text)
    }

    /// One hash over both parts. Where one ends and the other begins need not be mixed in: equality decides.
    #[inline]
    fn hash(&self, first: &str, second: &str) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(first.as_bytes());
        hasher.write(second.as_bytes());
        // The tables use 32 bits of it.
        hasher.finish() as u32
    }

    /// Of a type or an attribute, which has one part: an empty one costs as much to mix in as a short one.
    #[inline]
    fn hash_name(&self, name: &str) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name.as_bytes());
        hasher.finish() as u32
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new()
    }
}

impl Intern for Names {
    fn uid(&mut self, type_name: &str, id: &str) -> Result<Uid, TableFull> {
        let hash = self.hash(type_name, id);
        if let Some(row) = self.uids.find(hash, type_name, id) {
            return Uid::known(row).ok_or(TableFull);
        }
        let uid = Uid::known(self.uids.len()).ok_or(TableFull)?;
        let type_id = self.add_type(type_name)?;
        let tag = u32::try_from(type_id.index()).map_err(|_| TableFull)?;
        self.uids.add(hash, type_name, id, tag)?;
        Ok(uid)
    }

    fn sym(&mut self, name: &str) -> Result<Sym, TableFull> {
        let hash = self.hash_name(name);
        if let Some(row) = self.syms.find(hash, "", name) {
            return Sym::known(row).ok_or(TableFull);
        }
        let sym = Sym::known(self.syms.len()).ok_or(TableFull)?;
        self.syms.add(hash, "", name, 0)?;
        Ok(sym)
    }
}

/// Text of known ids; a request's own ids have none here and give empty text.
impl NameText for Names {
    fn uid_text(&self, uid: Uid) -> (&str, &str) {
        if uid.is_local() {
            return ("", "");
        }
        self.uids.parts(uid.index()).unwrap_or_default()
    }

    fn sym_text(&self, sym: Sym) -> &str {
        if sym.is_local() {
            return "";
        }
        self.syms.parts(sym.index()).map_or("", |(_, text)| text)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Names").field(&self.extent()).finish()
    }
}
