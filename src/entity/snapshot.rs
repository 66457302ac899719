//! The entities that decisions read.

use std::sync::{Arc, OnceLock};

use bumpalo::Bump;

use crate::id::Uid;
use crate::names::Names;
use crate::schema::is_action_type;
use crate::value::{StoredRecord, Value};

use super::ancestors::{Ancestors, List, Signature};
use super::hierarchy::Group;
use super::members::Members;
use super::paged::Paged;
use super::reclaim::Origin;

/// Up to so many lists of ancestors stay apart for one request's own entity.
const FEW: usize = 4;

/// One entity's data. Clones share it.
///
/// What every decision asks for, its ancestors, stands in the row itself and not behind the pointer: most entities of a
/// large store are in no cache, and a policy without a condition reads nothing else of them.
#[derive(Clone, Debug)]
pub(crate) struct EntityData {
    facts: Arc<EntityFacts>,
    /// All ancestors, sorted, as they were when the data was written. With one parent it is that group's list.
    ancestors: List,
}

/// What an entity was given as.
#[derive(Clone, Debug)]
struct EntityFacts {
    attrs: StoredRecord,
    tags: StoredRecord,
    /// Sorted, without duplicates.
    parents: Box<[Uid]>,
}

/// The entities at one moment, with the names that number them. Immutable; clones and successors share what neither
/// changed.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) names: Arc<Names>,
    /// By uid; a uid that is only mentioned has none.
    pub(super) rows: Paged<EntityData>,
    /// By uid, of what is somebody's parent.
    pub(super) groups: Paged<Group>,
    pub(super) count: usize,
    /// The groups whose ancestors have changed since the entities were loaded: what is below one of them may have a
    /// list that is out of date.
    pub(super) moved: Signature,
    /// `None` until it is first published.
    pub(super) origin: Option<Origin>,
    /// Made when it is first asked for; shared by snapshots with the same hierarchy.
    pub(super) members: Arc<OnceLock<Members>>,
}

impl EntityData {
    /// `parents` in any order.
    pub(super) fn new(attrs: StoredRecord, tags: StoredRecord, mut parents: Vec<Uid>) -> Self {
        parents.sort_unstable();
        parents.dedup();
        Self {
            facts: Arc::new(EntityFacts {
                attrs,
                tags,
                parents: parents.into_boxed_slice(),
            }),
            ancestors: List::default(),
        }
    }

    /// Writes down the ancestors, once the groups are closed.
    pub(super) fn set_ancestors(&mut self, groups: &Paged<Group>) {
        self.ancestors = match self.parents() {
            [] => List::default(),
            [parent] => groups
                .get(parent.index())
                .map(|group| List::new(&group.closure, group.signature))
                .unwrap_or_default(),
            parents => {
                let mut ancestors = Vec::new();
                for group in parents
                    .iter()
                    .filter_map(|parent| groups.get(parent.index()))
                {
                    ancestors.extend_from_slice(&group.closure);
                }
                ancestors.sort_unstable();
                ancestors.dedup();
                let signature = Signature::of(&ancestors);
                List::new(&ancestors.into(), signature)
            }
        };
    }

    #[inline]
    pub(crate) fn attrs(&self) -> &StoredRecord {
        &self.facts.attrs
    }

    #[inline]
    pub(crate) fn tags(&self) -> &StoredRecord {
        &self.facts.tags
    }

    pub(crate) fn parents(&self) -> &[Uid] {
        &self.facts.parents
    }

    pub(super) fn share_with(&mut self, other: &Self) {
        let facts = Arc::make_mut(&mut self.facts);
        facts.attrs.share_with(other.attrs());
        facts.tags.share_with(other.tags());
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        let same = |a, b| Value::StoredRecord(a).same(Value::StoredRecord(b));
        self.parents() == other.parents()
            && same(self.attrs(), other.attrs())
            && same(self.tags(), other.tags())
    }
}

impl Snapshot {
    /// The data of an entity; `None` for what is only mentioned and for a request's own uids.
    #[inline]
    pub(crate) fn entity(&self, uid: Uid) -> Option<&EntityData> {
        if uid.is_local() {
            return None;
        }
        self.rows.get(uid.index())
    }

    /// A group and its ancestors, sorted; `None` for what is nobody's parent.
    #[inline]
    pub(crate) fn closure(&self, uid: Uid) -> Option<&[Uid]> {
        if uid.is_local() {
            return None;
        }
        self.groups.get(uid.index()).map(|group| &*group.closure)
    }

    /// An entity's ancestors.
    #[inline]
    pub(crate) fn ancestors<'a>(&'a self, arena: &'a Bump, data: &'a EntityData) -> Ancestors<'a> {
        if self.has_moved(data) {
            return self.closures(arena, data.parents());
        }
        data.ancestors.ancestors()
    }

    /// Whether the list of ancestors that the entity keeps may be out of date.
    #[inline]
    pub(crate) fn has_moved(&self, data: &EntityData) -> bool {
        data.ancestors.signature().meets(self.moved)
    }

    /// Groups with what is above them; `None` if one is nobody's parent, or if they are more than a few: every question would be
    /// asked of each list.
    pub(crate) fn closures_of_few<'a>(
        &'a self,
        arena: &'a Bump,
        groups: &'a [Uid],
    ) -> Option<Ancestors<'a>> {
        let few = groups.len() <= FEW;
        let known = few && groups.iter().all(|group| self.closure(*group).is_some());
        known.then(|| self.closures(arena, groups))
    }

    #[inline(never)]
    fn closures<'a>(&'a self, arena: &'a Bump, parents: &'a [Uid]) -> Ancestors<'a> {
        let above = |parent: &Uid| match self.groups.get(parent.index()) {
            Some(group) => (&*group.closure, group.signature),
            None => Default::default(),
        };
        Ancestors::of_each(arena, parents.iter().map(above))
    }

    /// Whether both have the same entities, by the same numbers.
    pub(crate) fn has_entities_of(&self, other: &Self) -> bool {
        self.rows.is_same(&other.rows)
    }

    /// How many entities have data.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// All entities that have data.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Uid, &EntityData)> {
        self.rows
            .iter()
            .filter_map(|(row, data)| Some((Uid::known(row)?, data)))
    }

    /// The same from a uid on.
    #[inline]
    pub(crate) fn iter_from(&self, first: Uid) -> impl Iterator<Item = (Uid, &EntityData)> {
        self.rows
            .iter_from(first.index())
            .filter_map(|(row, data)| Some((Uid::known(row)?, data)))
    }

    /// Who is below whom. The first to ask after a change of the hierarchy waits for a walk over all entities.
    pub(crate) fn members(&self) -> &Members {
        self.members.get_or_init(|| Members::of(self))
    }

    /// The entities of type `Action`, in any namespace.
    pub(crate) fn actions(&self) -> impl Iterator<Item = (Uid, &EntityData)> {
        let is_action: Vec<bool> = self
            .names
            .types()
            .map(|ty| is_action_type(self.names.type_text(ty)))
            .collect();
        self.iter().filter(move |(uid, _)| {
            self.names
                .type_of(*uid)
                .and_then(|ty| is_action.get(ty.index()))
                .is_some_and(|is_action| *is_action)
        })
    }
}
