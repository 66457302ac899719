//! Loading: what makes a snapshot of entities that are given one after the other.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::id::Uid;
use crate::limits::{Limit, Limits};
use crate::names::Names;
use crate::value::arena::{NameText, TableFull};
use crate::value::{Bounds, Record, Shared, StoredRecord};

use super::ancestors::Signature;
use super::error::{EntityError, EntityProblem, MAX_PROBLEMS, entities_of};
use super::hierarchy::{self, Budget, Group, HierarchyFault};
use super::paged::Paged;
use super::snapshot::{EntityData, Snapshot};

/// Collects entities, then closes the hierarchy.
#[derive(Clone, Debug)]
pub(crate) struct EntityLoader {
    pub(crate) names: Names,
    rows: Paged<EntityData>,
    count: usize,
    pub(crate) problems: Vec<EntityProblem>,
    limits: Limits,
    shared: Shared,
}

impl EntityLoader {
    /// `names` are those of what is inserted first, or none.
    pub(crate) fn new(names: Names, limits: Limits) -> Self {
        Self {
            names,
            rows: Paged::default(),
            count: 0,
            problems: Vec::new(),
            limits,
            shared: Shared::default(),
        }
    }

    /// Adds an entity. A second one with the same uid must be equal, as in Cedar.
    pub(crate) fn insert(
        &mut self,
        uid: Uid,
        mut attrs: StoredRecord,
        mut tags: StoredRecord,
        parents: Vec<Uid>,
    ) {
        for record in [&attrs, &tags] {
            if let Err(exceeded) = Bounds::attributes(&self.limits).check(Record::Stored(record)) {
                self.problem(uid, exceeded.into());
            }
        }
        attrs.share(&mut self.shared);
        tags.share(&mut self.shared);
        let data = EntityData::new(attrs, tags, parents);
        match self.rows.get(uid.index()) {
            Some(existing) if existing.same(&data) => {}
            Some(_) => self.problem(
                uid,
                EntityProblem::new(
                    "is given twice with different data; give it once, or the same both times",
                ),
            ),
            None => {
                self.rows.set(uid.index(), Some(data));
                self.count += 1;
                if let Err(exceeded) = self.limits.check(Limit::Entities, self.count) {
                    self.problem(uid, exceeded.into());
                }
            }
        }
    }

    /// The entity with this uid, if it has been added.
    pub(crate) fn get(&self, uid: Uid) -> Option<&EntityData> {
        self.rows.get(uid.index())
    }

    /// All that is above an entity by what has been added so far.
    pub(crate) fn above(&self, uid: Uid) -> BTreeSet<Uid> {
        let parents = |uid| self.get(uid).map_or(&[][..], EntityData::parents);
        let mut above = BTreeSet::new();
        let mut open = parents(uid).to_vec();
        while let Some(next) = open.pop() {
            if above.insert(next) {
                open.extend_from_slice(parents(next));
            }
        }
        above
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn problem(&mut self, uid: Uid, problem: EntityProblem) {
        let uid = self.names.owned_uid(uid);
        self.problems.push(problem.of(uid));
    }

    /// Closes the hierarchy and lets `check` look at each entity (validation against a schema).
    pub(crate) fn finish(
        mut self,
        mut check: impl FnMut(&Snapshot, Uid, &EntityData) -> Result<(), String>,
    ) -> Result<Snapshot, EntityError> {
        let read = self.problems.len();
        let groups = self.close();
        if self.problems.len() > read
            && let Some(error) = EntityError::from_problems(std::mem::take(&mut self.problems))
        {
            // What is above whom cannot be said, so that actions could not be compared.
            return Err(error);
        }
        let wrong = entities_of(&self.problems);
        self.rows.update_all(|data| data.set_ancestors(&groups));
        let snapshot = Snapshot {
            names: Arc::new(std::mem::take(&mut self.names)),
            rows: std::mem::take(&mut self.rows),
            groups,
            count: self.count,
            moved: Signature::default(),
            origin: None,
            members: Arc::default(),
        };
        for (uid, data) in snapshot.iter() {
            if self.problems.len() >= MAX_PROBLEMS {
                break;
            }
            let is_wrong = || wrong.contains(&snapshot.names.owned_uid(uid));
            if (wrong.is_empty() || !is_wrong())
                && let Err(message) = check(&snapshot, uid, data)
            {
                let problem = EntityProblem::new(message);
                self.problems
                    .push(problem.of(snapshot.names.owned_uid(uid)));
            }
        }
        match EntityError::from_problems(self.problems) {
            Some(error) => Err(error),
            None => Ok(snapshot),
        }
    }

    fn close(&mut self) -> Paged<Group> {
        let mut is_group = vec![false; self.names.extent().uids];
        for (_, data) in self.rows.iter() {
            for parent in data.parents() {
                is_group[parent.index()] = true;
            }
        }
        let open: Vec<Uid> = self
            .names
            .uids()
            .zip(is_group)
            .filter_map(|(uid, is_group)| is_group.then_some(uid))
            .collect();
        let mut groups = Paged::default();
        let mut budget = Budget::new(&self.limits);
        let mut faults = hierarchy::close(&self.rows, &mut groups, &open, &mut budget);
        for (row, data) in self.rows.iter() {
            if let Some(uid) = Uid::known(row) {
                let checked =
                    hierarchy::check_depth(uid, data.parents(), &groups, false, &self.limits);
                faults.extend(checked.err());
                if data.parents().len() > 1 {
                    budget.suffices(uid, data.parents(), &groups);
                }
            }
        }
        faults.extend(budget.fault());
        for fault in faults.into_iter().take(MAX_PROBLEMS) {
            let (uid, problem) = fault.problem();
            self.problem(uid, problem);
        }
        groups
    }
}

impl HierarchyFault {
    pub(super) fn problem(self) -> (Uid, EntityProblem) {
        match self {
            Self::Cycle(uid) => (
                uid,
                EntityProblem::new("is its own ancestor; the hierarchy must not have cycles"),
            ),
            Self::TooDeep(uid, exceeded) | Self::TooMany(uid, exceeded) => (uid, exceeded.into()),
        }
    }
}

impl From<TableFull> for EntityError {
    fn from(full: TableFull) -> Self {
        EntityProblem::from(full).into()
    }
}

impl From<TableFull> for EntityProblem {
    fn from(full: TableFull) -> Self {
        Self::new(full)
    }
}
