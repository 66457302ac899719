//! How deep the hierarchies of a schema are, and how much Cedar makes of them: it keeps for each type and each action all that
//! is above or below it, so that a chain of 20,000 lines has 200,000,000 ancestors.

use std::collections::BTreeSet;

use crate::id::EntityUid;
use crate::limits::{Limit, Limits};

use super::SchemaError;
use super::json::Fragment;
use super::resolve::{Definitions, qualify};

/// How many ancestors all types of a schema may have, and all actions, each counted once for every way up. Cedar has no such
/// limit; it takes some hundred bytes for each.
const MAX_ANCESTORS: usize = 1 << 20;

/// An ancestor counts once more for so many bytes of its name: the model has them all by their names, and so has its digest.
const BYTES_OF_ONE: usize = 64;

/// The hierarchies that a schema declares, before anybody has closed them. Undeclared names and cycles are left to Cedar.
pub(super) struct Hierarchies {
    pub(super) types: Hierarchy<String>,
    pub(super) actions: Hierarchy<EntityUid>,
}

impl Hierarchies {
    pub(super) fn read(definitions: &Definitions<'_>, fragments: &[Fragment]) -> Self {
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
        Self {
            types: Hierarchy::new(types),
            actions: Hierarchy::new(actions),
        }
    }

    /// Refuses what goes beyond the limits.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), SchemaError> {
        let cost_of_type = |name: &String| 1 + name.len() / BYTES_OF_ONE;
        let cost_of_action =
            |uid: &EntityUid| 1 + (uid.type_name().len() + uid.id().len()) / BYTES_OF_ONE;
        self.types.check(limits, cost_of_type)?;
        self.actions.check(limits, cost_of_action)
    }
}

/// What is declared, sorted by name, and the parents of each, by number.
pub(super) struct Hierarchy<K> {
    names: Vec<K>,
    parents: Vec<Vec<usize>>,
}

impl<K: Ord + Clone> Hierarchy<K> {
    fn new(mut declared: Vec<(K, Vec<K>)>) -> Self {
        declared.sort_unstable();
        let (names, parents): (Vec<K>, Vec<Vec<K>>) = declared.into_iter().unzip();
        let number = |name: &K| names.binary_search(name).ok();
        let parents = parents.iter();
        let parents = parents
            .map(|parents| parents.iter().filter_map(number).collect())
            .collect();
        Self { names, parents }
    }

    /// Everything above `name`, sorted.
    pub(super) fn ancestors(&self, name: &K) -> Vec<&K> {
        let mut reached = BTreeSet::new();
        let mut pending: Vec<usize> = self.names.binary_search(name).into_iter().collect();
        while let Some(number) = pending.pop() {
            for &parent in self.parents(number) {
                if reached.insert(parent) {
                    pending.push(parent);
                }
            }
        }
        reached
            .into_iter()
            .filter_map(|number| self.names.get(number))
            .collect()
    }

    fn check(&self, limits: &Limits, cost: impl Fn(&K) -> usize) -> Result<(), SchemaError> {
        limits.check(Limit::HierarchyDepth, self.depth())?;
        let costs: Vec<usize> = self.names.iter().map(cost).collect();
        if self.costs_at_most(MAX_ANCESTORS, &costs) {
            return Ok(());
        }
        Err(SchemaError::new(format!(
            "the schema is too large: the hierarchy of its types or of its actions has more than {MAX_ANCESTORS} ways up, \
             each counted once more for {BYTES_OF_ONE} bytes of a name"
        )))
    }

    fn parents(&self, of: usize) -> &[usize] {
        self.parents.get(of).map_or(&[], Vec::as_slice)
    }

    /// Edges of the longest way up, without what is in a cycle or above one.
    fn depth(&self) -> usize {
        let mut children = vec![0_usize; self.names.len()];
        for &parent in self.parents.iter().flatten() {
            if let Some(children) = children.get_mut(parent) {
                *children += 1;
            }
        }
        // From below: each once all of its children were met, whose depths tell its own.
        let mut depths = vec![0; self.names.len()];
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

    /// Whether going up from each costs no more than so much. No more steps are made.
    fn costs_at_most(&self, allowed: usize, costs: &[usize]) -> bool {
        let mut left = allowed;
        // Which was the last from where each was met.
        let mut met_from = vec![usize::MAX; self.names.len()];
        let mut pending = Vec::new();
        for start in 0..self.names.len() {
            pending.push(start);
            while let Some(number) = pending.pop() {
                for &parent in self.parents(number) {
                    let cost = costs.get(parent).copied().unwrap_or(1);
                    let Some(still) = left.checked_sub(cost) else {
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
