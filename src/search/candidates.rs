//! Where candidates come from.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashSet};

use bumpalo::Bump;

use crate::entity::{EntityData, Snapshot};
use crate::eval::Machine;
use crate::id::Uid;

use super::plan::{Extent, Plan};

/// The candidates of a search, in the order of their numbers.
#[derive(Debug)]
pub(crate) enum Candidates {
    None,
    /// Everything in the store.
    Store {
        /// All of the type are allowed.
        untested: bool,
    },
    /// Single entities, and what is directly below these groups.
    Below {
        ones: Vec<Uid>,
        groups: Vec<Uid>,
    },
}

/// How far a search may go before it is asked again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) results: usize,
    pub(crate) entities: usize,
}

/// How far it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// The first entity that was not looked at; `None` when all were.
    pub(crate) next: Option<Uid>,
    pub(crate) entities: usize,
}

/// From this many groups on, merging their members costs as much as looking at everything.
const MANY_GROUPS: usize = 4096;

/// Conditions may build sets and records: when the candidates so far have left this many bytes, the search stops for
/// the arena to be emptied.
const ARENA: usize = 1 << 20;

impl Candidates {
    pub(crate) fn new(plan: &Plan, snapshot: &Snapshot) -> Self {
        match plan.extent() {
            Extent::Nobody => Self::None,
            Extent::Everybody => Self::Store { untested: true },
            Extent::Each => Self::Store { untested: false },
            Extent::Below => match groups_below(plan, snapshot) {
                Some(groups) => Self::Below {
                    ones: plan.ones().collect(),
                    groups,
                },
                None => Self::Store { untested: false },
            },
        }
    }

    /// Looks at candidates from `first` on and adds those that are allowed to `found`.
    pub(crate) fn search<'a>(
        &self,
        plan: &mut Plan,
        machines: &mut [Machine<'a>],
        snapshot: &'a Snapshot,
        first: Uid,
        bounds: Bounds,
        found: &mut Vec<Uid>,
    ) -> Progress {
        let most = found.len().saturating_add(bounds.results);
        let type_id = Some(plan.type_id);
        let untested = matches!(self, Self::Store { untested: true });
        let left = |machines: &[Machine<'_>]| {
            let arena = machines.first().map(Machine::arena);
            arena.map_or(0, Bump::allocated_bytes)
        };
        let full = left(machines).saturating_add(ARENA);
        let mut entities = 0;
        let mut stops = |uid: Uid, data: &'a EntityData| {
            if found.len() == most || entities == bounds.entities || left(machines) > full {
                return true;
            }
            entities += 1;
            if snapshot.names.type_of(uid) == type_id
                && (untested || plan.allows(machines, snapshot, uid, data))
            {
                found.push(uid);
            }
            false
        };
        let next = match self {
            Self::None => None,
            Self::Store { .. } => snapshot
                .iter_from(first)
                .find(|(uid, data)| stops(*uid, data))
                .map(|(uid, _)| uid),
            Self::Below { ones, groups } => {
                let members = groups
                    .iter()
                    .map(|group| snapshot.members().of_group(*group));
                Merged::new(members.chain([&ones[..]]), first)
                    .filter_map(|uid| Some((uid, snapshot.entity(uid)?)))
                    .find(|(uid, data)| stops(*uid, data))
                    .map(|(uid, _)| uid)
            }
        };
        Progress { next, entities }
    }
}

/// The groups that permit what is below them, with all groups below those; `None` when there is so much below them that
/// looking at everything is as good.
fn groups_below(plan: &Plan, snapshot: &Snapshot) -> Option<Vec<Uid>> {
    let mut groups: Vec<Uid> = plan.permitting_groups().collect();
    if groups.is_empty() {
        return Some(groups);
    }
    let members = snapshot.members();
    let mut seen: HashSet<Uid> = groups.iter().copied().collect();
    let (mut entities, mut at) = (0, 0);
    while let Some(group) = groups.get(at).copied() {
        entities += members.of_group(group).len();
        if groups.len() > MANY_GROUPS || entities > snapshot.len() / 4 {
            return None;
        }
        groups.extend(members.groups_of(group).filter(|below| seen.insert(*below)));
        at += 1;
    }
    Some(groups)
}

/// Sorted lists as one, each entity once.
struct Merged<'l> {
    rest: Vec<&'l [Uid]>,
    /// The first of each list, with the list's number.
    heads: BinaryHeap<Reverse<(Uid, usize)>>,
    last: Option<Uid>,
}

impl<'l> Merged<'l> {
    /// From `first` on.
    fn new(lists: impl Iterator<Item = &'l [Uid]>, first: Uid) -> Self {
        let behind = |list: &'l [Uid]| {
            let start = list.partition_point(|uid| *uid < first);
            list.get(start..).unwrap_or_default()
        };
        let mut rest: Vec<&[Uid]> = lists.map(behind).collect();
        let mut heads = Vec::with_capacity(rest.len());
        for (number, list) in rest.iter_mut().enumerate() {
            if let Some((head, tail)) = list.split_first() {
                heads.push(Reverse((*head, number)));
                *list = tail;
            }
        }
        Self {
            rest,
            heads: heads.into(),
            last: None,
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = Uid;

    fn next(&mut self) -> Option<Uid> {
        loop {
            let mut top = self.heads.peek_mut()?;
            let Reverse((uid, number)) = *top;
            match self.rest.get_mut(number).and_then(|list| {
                let (head, tail) = list.split_first()?;
                *list = tail;
                Some(*head)
            }) {
                Some(head) => *top = Reverse((head, number)),
                None => {
                    PeekMut::pop(top);
                }
            }
            if self.last != Some(uid) {
                self.last = Some(uid);
                return Some(uid);
            }
        }
    }
}
