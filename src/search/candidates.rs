//! Where candidates come from.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashSet};

use bumpalo::Bump;

use crate::entity::{EntityData, Snapshot};
use crate::epoch::Epoch;
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
        /// All of the type that are below the groups are allowed.
        untested: bool,
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
                    untested: plan.is_certain(),
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
        epoch: &'a Epoch,
        first: Uid,
        bounds: Bounds,
        found: &mut Vec<Uid>,
    ) -> Progress {
        let mut walk = Walk {
            full: found.len().saturating_add(bounds.results),
            found,
            entities: 0,
            most: bounds.entities,
        };
        let snapshot = &epoch.snapshot;
        let type_id = Some(plan.type_id);
        let is_of_type = |uid: Uid| snapshot.names.type_of(uid) == type_id;
        let arena = machines.first().map(Machine::arena);
        let used = || arena.map_or(0, Bump::allocated_bytes);
        let full = used().saturating_add(ARENA);
        let mut allows = |uid: Uid, data: &'a EntityData| {
            is_of_type(uid) && plan.allows(machines, epoch, uid, data)
        };
        let next = match self {
            Self::None => None,
            Self::Store { untested: true } => {
                let store = snapshot.iter_from(first).map(|(uid, _)| (uid, ()));
                walk.over(store, |uid, ()| Some(is_of_type(uid)))
            }
            Self::Store { untested: false } => {
                let store = snapshot.iter_from(first);
                walk.over(store, |uid, data| {
                    (used() <= full).then(|| allows(uid, data))
                })
            }
            Self::Below {
                ones,
                groups,
                untested,
            } => {
                let members = groups
                    .iter()
                    .map(|group| snapshot.members().of_group(*group));
                let merged = Merged::new(std::iter::once(&ones[..]).chain(members), first);
                walk.over(merged, |uid, list| {
                    // The first list is that of single entities; in the others are stored ones alone.
                    if *untested && list > 0 {
                        return Some(is_of_type(uid));
                    }
                    let data = snapshot.entity(uid);
                    (used() <= full).then(|| data.is_some_and(|data| allows(uid, data)))
                })
            }
        };
        Progress {
            next,
            entities: walk.entities,
        }
    }
}

/// A walk over candidates that stops at its bounds.
struct Walk<'f> {
    found: &'f mut Vec<Uid>,
    /// As many results as there may be.
    full: usize,
    entities: usize,
    most: usize,
}

impl Walk<'_> {
    /// Where it stopped, if not at the end. `is_allowed` gives `None` to stop before a candidate.
    #[inline(always)]
    fn over<T>(
        &mut self,
        candidates: impl Iterator<Item = (Uid, T)>,
        mut is_allowed: impl FnMut(Uid, T) -> Option<bool>,
    ) -> Option<Uid> {
        for (uid, with) in candidates {
            if self.found.len() == self.full || self.entities == self.most {
                return Some(uid);
            }
            match is_allowed(uid, with) {
                None => return Some(uid),
                Some(true) => self.found.push(uid),
                Some(false) => {}
            }
            self.entities += 1;
        }
        None
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
    /// The entity, and the number of the first list that it is in.
    type Item = (Uid, usize);

    fn next(&mut self) -> Option<(Uid, usize)> {
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
                return Some((uid, number));
            }
        }
    }
}
