//! How deep the hierarchies of a schema are, and how much Cedar makes of them: it keeps for each type and each action all that
//! is above or below it, so that a chain of 20,000 lines has 200,000,000 ancestors.

use std::collections::HashMap;
use std::hash::Hash;

use crate::id::EntityUid;
use crate::limits::{Limit, Limits};

use super::SchemaError;
use super::json::Fragment;
use super::resolve::{Definitions, qualify};

/// How many ancestors all types of a schema may have, and all actions, each counted once for every way up. Cedar has no such
/// limit; it takes some hundred bytes for each.
const MAX_ANCESTORS: usize = 1 << 20;

/// Refuses hierarchies of types or of actions that go beyond the limits, before anybody closes them. Undeclared names and
/// cycles are left to Cedar.
pub(super) fn check(
    definitions: &Definitions<'_>,
    fragments: &[Fragment],
    limits: &Limits,
) -> Result<(), SchemaError> {
    let mut types = Vec::new();
    let mut actions = Vec::new();
    for (namespace, body) in fragments.iter().flat_map(Fragment::namespaces) {
        for (name, decl) in &body.entity_types {
            let parents = definitions.parent_types(namespace, decl);
            types.push((qualify(namespace, name), parents));
        }
        for (id, decl) in &body.actions {
            let uid = EntityUid::new(qualify(namespace, "Action"), id);
            let parents = definitions.parents(namespace, decl).unwrap_or_default();
            actions.push((uid, parents.into_vec()));
        }
    }
    Hierarchy::new(&types).check(limits)?;
    Hierarchy::new(&actions).check(limits)
}

/// The parents of each, by number.
struct Hierarchy(Vec<Vec<usize>>);

impl Hierarchy {
    fn new<K: Eq + Hash>(declared: &[(K, Vec<K>)]) -> Self {
        let names = declared.iter().map(|(name, _)| name);
        let numbers: HashMap<&K, usize> = names.zip(0..).collect();
        let parents = declared.iter().map(|(_, parents)| {
            let numbers = parents.iter().filter_map(|name| numbers.get(name));
            numbers.copied().collect()
        });
        Self(parents.collect())
    }

    fn check(&self, limits: &Limits) -> Result<(), SchemaError> {
        limits.check(Limit::HierarchyDepth, self.depth())?;
        if self.has_at_most(MAX_ANCESTORS) {
            return Ok(());
        }
        Err(SchemaError::new(format!(
            "the schema is too large: the hierarchy of its types or of its actions has more than {MAX_ANCESTORS} ways up"
        )))
    }

    fn parents(&self, of: usize) -> &[usize] {
        self.0.get(of).map_or(&[], Vec::as_slice)
    }

    /// Edges of the longest way up, without what is in a cycle or above one.
    fn depth(&self) -> usize {
        let mut children = vec![0_usize; self.0.len()];
        for &parent in self.0.iter().flatten() {
            if let Some(children) = children.get_mut(parent) {
                *children += 1;
            }
        }
        // From below: each once all of its children were met, whose depths tell its own.
        let mut depths = vec![0; self.0.len()];
        let lowest = children
            .iter()
            .enumerate()
            .filter(|(_, children)| **children == 0);
        let mut pending: Vec<usize> = lowest.map(|(number, _)| number).collect();
        while let Some(number) = pending.pop() {
            let above = depths.get(number).map_or(0, |depth| depth + 1);
            for &parent in self.parents(number) {
                let (Some(depth), Some(children)) =
                    (depths.get_mut(parent), children.get_mut(parent))
                else {
                    continue;
                };
                *depth = above.max(*depth);
                *children -= 1;
                if *children == 0 {
                    pending.push(parent);
                }
            }
        }
        depths.into_iter().max().unwrap_or_default()
    }

    /// Whether going up from each takes no more than so many steps. No more are made.
    fn has_at_most(&self, steps: usize) -> bool {
        let mut left = steps;
        // Which was the last from where each was met.
        let mut met_from = vec![usize::MAX; self.0.len()];
        let mut pending = Vec::new();
        for start in 0..self.0.len() {
            pending.push(start);
            while let Some(number) = pending.pop() {
                for &parent in self.parents(number) {
                    let Some(still) = left.checked_sub(1) else {
                        return false;
                    };
                    left = still;
                    if let Some(from) = met_from.get_mut(parent)
                        && *from != start
                    {
                        *from = start;
                        pending.push(parent);
                    }
                }
            }
        }
        true
    }
}
