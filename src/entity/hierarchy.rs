//! The transitive closure of the entity hierarchy, in two levels.
//!
//! A *group* is a uid that some entity has as a parent, whether or not it has data of its own. Each group keeps its
//! closure: itself and all its ancestors, sorted. An entity keeps its direct parents, and its ancestors are the union
//! of its parents' closures: for one parent, that parent's closure as it is. So `in` remains a search in a sorted
//! list, and giving a group a new parent changes the group and the groups below it, not their members.
//!
//! Two other choices: the closure with every entity makes moving a group of 100,000 members write 100,000 lists, and a
//! walk along parents at each request makes questions pay for what updates save.

use std::collections::HashMap;
use std::sync::Arc;

use crate::id::Uid;
use crate::limits::{Limit, LimitExceeded, Limits};

use super::ancestors::Signature;
use super::paged::Paged;
use super::snapshot::EntityData;

/// Why a hierarchy is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HierarchyFault {
    /// The entity is its own ancestor.
    Cycle(Uid),
    /// The chain of parents above the entity is too long.
    TooDeep(Uid, LimitExceeded),
    /// With the ancestors of this entity there are too many.
    TooMany(Uid, LimitExceeded),
}

/// What may be spent on lists of ancestors. A file of `n` edges can ask for `n²/4` entries: half of them below one entity,
/// the other half above it.
#[derive(Debug)]
pub(super) struct Budget<'l> {
    limits: &'l Limits,
    spent: usize,
    /// The first that was too much; after it nothing is worked out.
    fault: Option<HierarchyFault>,
}

impl<'l> Budget<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            spent: 0,
            fault: None,
        }
    }

    /// Whether there is enough left to unite the closures of these parents. Counted is what is read, before what occurs
    /// twice is dropped.
    pub(super) fn suffices(&mut self, uid: Uid, parents: &[Uid], groups: &Paged<Group>) -> bool {
        if self.fault.is_some() {
            return false;
        }
        let above = |parent: &Uid| groups.get(parent.index()).map_or(1, |g| g.closure.len());
        let more = parents.iter().map(above).fold(1, usize::saturating_add);
        self.spent = self.spent.saturating_add(more);
        let checked = self.limits.check(Limit::Ancestors, self.spent);
        self.fault = checked.err().map(|e| HierarchyFault::TooMany(uid, e));
        self.fault.is_none()
    }

    pub(super) fn fault(self) -> Option<HierarchyFault> {
        self.fault
    }
}

/// What a group keeps.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The group and its ancestors; sorted.
    pub(super) closure: Arc<[Uid]>,
    pub(super) signature: Signature,
    /// Edges of the longest way up.
    pub(super) depth: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    /// On the path from the group where the walk began: meeting it again is a cycle.
    Open,
    Done,
}

/// Computes the closures of `open`, which must be all groups whose ancestors may have changed. Faults are collected.
///
/// Groups that are too deep or for which the budget is spent are left without ancestors: what is refused must not first
/// be worked out.
pub(super) fn close(
    rows: &Paged<EntityData>,
    groups: &mut Paged<Group>,
    open: &[Uid],
    budget: &mut Budget<'_>,
) -> Vec<HierarchyFault> {
    let parents = |uid: Uid| {
        rows.get(uid.index())
            .map_or(&[] as &[_], |data| data.parents())
    };
    let mut marks: HashMap<Uid, Mark> = open.iter().map(|uid| (*uid, Mark::New)).collect();
    let mut faults = Vec::new();
    // The path of groups being walked, each with the number of its parents seen so far. Iterative, because a chain of
    // parents may be as long as the limit says.
    let mut path: Vec<(Uid, usize)> = Vec::new();
    for start in open {
        if marks.get(start) != Some(&Mark::New) {
            continue;
        }
        marks.insert(*start, Mark::Open);
        path.push((*start, 0));
        while let Some((uid, seen)) = path.last_mut() {
            let Some(parent) = parents(*uid).get(*seen) else {
                let uid = *uid;
                path.pop();
                marks.insert(uid, Mark::Done);
                groups.set(uid.index(), Some(group(uid, parents(uid), groups, budget)));
                continue;
            };
            *seen += 1;
            match marks.get_mut(parent) {
                Some(Mark::Open) => faults.push(HierarchyFault::Cycle(*parent)),
                Some(mark @ Mark::New) => {
                    *mark = Mark::Open;
                    path.push((*parent, 0));
                }
                // Done, or not affected.
                Some(Mark::Done) | None => {}
            }
        }
    }
    faults
}

/// A group whose parents' closures are known.
fn group(uid: Uid, parents: &[Uid], groups: &Paged<Group>, budget: &mut Budget<'_>) -> Group {
    let mut closure = vec![uid];
    let depth = depth(parents, groups);
    let is_refused =
        depth as usize > budget.limits.hierarchy_depth() || !budget.suffices(uid, parents, groups);
    let parents = if is_refused { &[] } else { parents };
    for parent in parents {
        match groups.get(parent.index()) {
            Some(above) => closure.extend_from_slice(&above.closure),
            // In a cycle, which is reported.
            None => closure.push(*parent),
        }
    }
    closure.sort_unstable();
    closure.dedup();
    Group {
        signature: Signature::of(&closure),
        closure: closure.into(),
        depth,
    }
}

/// Edges of the longest way up from something with these parents.
fn depth(parents: &[Uid], groups: &Paged<Group>) -> u32 {
    let above = |parent: &Uid| groups.get(parent.index()).map_or(0, |group| group.depth);
    parents
        .iter()
        .map(|parent| above(parent).saturating_add(1))
        .max()
        .unwrap_or(0)
}

/// Whether the way up from `uid` is short enough; with `below` also for what it is a parent of.
pub(super) fn check_depth(
    uid: Uid,
    parents: &[Uid],
    groups: &Paged<Group>,
    below: bool,
    limits: &Limits,
) -> Result<(), HierarchyFault> {
    let depth = depth(parents, groups).saturating_add(u32::from(below));
    limits
        .check(Limit::HierarchyDepth, depth as usize)
        .map_err(|exceeded| HierarchyFault::TooDeep(uid, exceeded))
}
