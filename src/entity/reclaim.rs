//! Names that nothing mentions any more, and giving back their memory.
//!
//! Tables of names only grow, and so do the lists by number. What a removed entity was called is garbage, unless an
//! entity, a parent or a policy still mentions it; nobody counts who mentions what, as that would have every change of
//! an attribute look at all it refers to. Instead the snapshot remembers how many names without data it began with. What
//! has come on top of them is taken for garbage, and when that is more than a third of all names, a writer copies the
//! entities into new tables with new numbers ([`Snapshot::renumbered`]). Whatever was taken for garbage and is not,
//! counts as mentioned from then on.

use std::sync::Arc;

use crate::id::{Sym, Uid};
use crate::names::{Extent, Names};
use crate::value::arena::{Intern, NameText, TableFull};
use crate::value::stored::Rename;
use crate::value::{Record, Shared, StoredRecord};

use super::ancestors::Signature;
use super::hierarchy::Group;
use super::paged::Paged;
use super::snapshot::{EntityData, Snapshot};

/// The state in which a numbering began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Tells this numbering from others.
    numbering: u64,
    /// Names of uids that had no data: policies and attributes mentioned them.
    mentioned: usize,
    syms: usize,
    text: usize,
}

/// So many names are never worth a renumbering: about a megabyte.
const SLACK: usize = 1 << 14;
/// Nor is so much text.
const TEXT_SLACK: usize = 16 << 20;

/// Equal marks: the same names have the same numbers, and no other names are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct NamesMark {
    /// 0 for none.
    pub(crate) numbering: u64,
    pub(crate) extent: Extent,
}

impl Snapshot {
    /// Notes the state of a numbering that is new; `numbering` must not have been used for another.
    pub(crate) fn begin(&mut self, numbering: u64) {
        if self.origin.is_none() {
            let extent = self.names.extent();
            self.origin = Some(Origin {
                numbering,
                mentioned: extent.uids.saturating_sub(self.count),
                syms: extent.syms,
                text: self.names.text_len(),
            });
        }
    }

    pub(crate) fn names_mark(&self) -> NamesMark {
        NamesMark {
            numbering: self.origin.map_or(0, |origin| origin.numbering),
            extent: self.names.extent(),
        }
    }

    /// Whether more than a third of the uids are probably garbage, or attribute names or text have more than doubled.
    pub(crate) fn is_wasteful(&self) -> bool {
        let Some(origin) = self.origin else {
            return false;
        };
        let extent = self.names.extent();
        let garbage = extent.uids.saturating_sub(self.count + origin.mentioned);
        garbage > SLACK.max(extent.uids / 3)
            || extent.syms > SLACK + 2 * origin.syms
            || self.names.text_len() > TEXT_SLACK + 2 * origin.text
    }

    /// The same entities in new tables, which have no other names.
    pub(crate) fn renumbered(&self) -> Result<Self, TableFull> {
        let mut rename = Renumbering {
            from: &self.names,
            to: Names::new(),
            uids: vec![None; self.names.extent().uids],
            syms: vec![None; self.names.extent().syms],
        };
        let mut groups = Paged::default();
        for (row, group) in self.groups.iter() {
            let Some(uid) = Uid::known(row) else { continue };
            let mut closure = rename.all(&group.closure)?;
            closure.sort_unstable();
            let group = Group {
                signature: Signature::of(&closure),
                closure: closure.into(),
                depth: group.depth,
            };
            groups.set(rename.uid(uid)?.index(), Some(group));
        }
        let mut shared = Shared::default();
        let mut rows = Paged::default();
        for (uid, data) in self.iter() {
            let mut attrs = StoredRecord::copy_of(Record::Stored(data.attrs()), &mut rename)?;
            let mut tags = StoredRecord::copy_of(Record::Stored(data.tags()), &mut rename)?;
            attrs.share(&mut shared);
            tags.share(&mut shared);
            let mut copy = EntityData::new(attrs, tags, rename.all(data.parents())?);
            copy.set_ancestors(&groups);
            rows.set(rename.uid(uid)?.index(), Some(copy));
        }
        Ok(Self {
            names: Arc::new(rename.to),
            rows,
            groups,
            count: self.count,
            moved: Signature::default(),
            origin: None,
            members: Arc::default(),
        })
    }
}

/// From one numbering to another, in which each name gets the next number when it is first met.
struct Renumbering<'n> {
    from: &'n Names,
    to: Names,
    uids: Vec<Option<Uid>>,
    syms: Vec<Option<Sym>>,
}

impl Renumbering<'_> {
    fn all(&mut self, uids: &[Uid]) -> Result<Vec<Uid>, TableFull> {
        uids.iter().map(|uid| self.uid(*uid)).collect()
    }
}

impl Rename for Renumbering<'_> {
    type Error = TableFull;

    fn uid(&mut self, uid: Uid) -> Result<Uid, TableFull> {
        if let Some(Some(known)) = self.uids.get(uid.index()) {
            return Ok(*known);
        }
        let (type_name, id) = self.from.uid_text(uid);
        let new = self.to.uid(type_name, id)?;
        if let Some(place) = self.uids.get_mut(uid.index()) {
            *place = Some(new);
        }
        Ok(new)
    }

    fn sym(&mut self, sym: Sym) -> Result<Sym, TableFull> {
        if let Some(Some(known)) = self.syms.get(sym.index()) {
            return Ok(*known);
        }
        let new = self.to.sym(self.from.sym_text(sym))?;
        if let Some(place) = self.syms.get_mut(sym.index()) {
            *place = Some(new);
        }
        Ok(new)
    }
}
