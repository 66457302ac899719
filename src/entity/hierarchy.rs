//! The transitive closure of the entity hierarchy.
//!
//! Each entity keeps its ancestors, sorted: `in` is a binary search, and the policy index walks the list.
//! A walk along parents at each request was the other choice; it costs nothing to update and more to ask, and
//! asking is what happens all the time.

use crate::id::Uid;
use crate::limits::{Limit, LimitExceeded, Limits};

use super::store::EntityData;

/// Why a hierarchy is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HierarchyFault {
    /// The entity is its own ancestor.
    Cycle(Uid),
    /// The chain of parents above the entity is too long.
    TooDeep(Uid, LimitExceeded),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    /// On the path from the entity where the walk began: meeting it again is a cycle.
    Open,
    Done,
}

/// Fills in the ancestors of all entities; faults are collected, one an entity.
pub(crate) fn close(
    entities: &mut [Option<Box<EntityData>>],
    limits: &Limits,
) -> Vec<HierarchyFault> {
    let mut marks = vec![Mark::New; entities.len()];
    let mut depths = vec![0_u32; entities.len()];
    let mut faults = Vec::new();
    // The path of entities being walked, each with the number of its parents seen so far. Iterative, because
    // a chain of parents may be as long as the limit says.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for start in 0..entities.len() {
        if marks[start] != Mark::New || entities[start].is_none() {
            continue;
        }
        marks[start] = Mark::Open;
        path.push((start, 0));
        while let Some((row, seen)) = path.last_mut() {
            let parent = entities[*row]
                .as_ref()
                .and_then(|entity| entity.parents().get(*seen))
                .copied();
            let Some(parent) = parent else {
                let (row, _) = (*row, path.pop());
                finish(entities, &mut depths, row);
                marks[row] = Mark::Done;
                let depth = depths[row] as usize;
                if let (Err(exceeded), Some(uid)) =
                    (limits.check(Limit::HierarchyDepth, depth), Uid::known(row))
                {
                    faults.push(HierarchyFault::TooDeep(uid, exceeded));
                }
                continue;
            };
            *seen += 1;
            let parent_row = parent.index();
            match marks.get(parent_row) {
                Some(Mark::Open) => faults.push(HierarchyFault::Cycle(parent)),
                Some(Mark::New) if entities[parent_row].is_some() => {
                    marks[parent_row] = Mark::Open;
                    path.push((parent_row, 0));
                }
                // Done, or a parent that has no data of its own.
                _ => {}
            }
        }
    }
    faults
}

/// The ancestors of `row`, all of whose parents are done.
fn finish(entities: &mut [Option<Box<EntityData>>], depths: &mut [u32], row: usize) {
    let Some(entity) = &entities[row] else { return };
    let mut ancestors: Vec<Uid> = entity.parents().to_vec();
    let mut depth = u32::from(!ancestors.is_empty());
    for parent in entity.parents() {
        if let Some(Some(data)) = entities.get(parent.index()) {
            ancestors.extend_from_slice(data.ancestors());
            depth = depth.max(depths[parent.index()].saturating_add(1));
        }
    }
    ancestors.sort_unstable();
    ancestors.dedup();
    depths[row] = depth;
    if let Some(entity) = &mut entities[row] {
        entity.set_ancestors(ancestors.into_boxed_slice());
    }
}
