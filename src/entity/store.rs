//! The entity store: a snapshot that decisions read, and the loader that makes one.

use std::sync::Arc;

use crate::id::{EntityUid, Uid};
use crate::limits::{Limit, Limits};
use crate::names::Names;
use crate::value::arena::{NameText, TableFull};
use crate::value::{Bounds, Record, StoredRecord, Value};

use super::error::{EntityError, EntityProblem};
use super::hierarchy::{self, HierarchyFault};

/// One entity's data.
#[derive(Clone, Debug)]
pub(crate) struct EntityData {
    attrs: StoredRecord,
    tags: StoredRecord,
    /// Sorted, without duplicates.
    parents: Box<[Uid]>,
    /// The transitive closure of the parents; sorted.
    ancestors: Box<[Uid]>,
}

/// The entities at one moment, with the names that number them. Immutable.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) names: Arc<Names>,
    entities: Arc<Entities>,
}

#[derive(Debug)]
struct Entities {
    /// By uid; a uid that is only mentioned has none.
    rows: Vec<Option<Box<EntityData>>>,
    count: usize,
}

impl EntityData {
    pub(crate) fn attrs(&self) -> &StoredRecord {
        &self.attrs
    }

    pub(crate) fn tags(&self) -> &StoredRecord {
        &self.tags
    }

    pub(crate) fn parents(&self) -> &[Uid] {
        &self.parents
    }

    pub(crate) fn ancestors(&self) -> &[Uid] {
        &self.ancestors
    }

    pub(super) fn set_ancestors(&mut self, ancestors: Box<[Uid]>) {
        self.ancestors = ancestors;
    }

    fn same(&self, other: &Self) -> bool {
        let same = |a, b| Value::StoredRecord(a).same(Value::StoredRecord(b));
        same(&self.attrs, &other.attrs)
            && same(&self.tags, &other.tags)
            && self.parents == other.parents
    }
}

impl Snapshot {
    /// The data of an entity; `None` for what is only mentioned and for a request's own uids.
    #[inline]
    pub(crate) fn entity(&self, uid: Uid) -> Option<&EntityData> {
        if uid.is_local() {
            return None;
        }
        self.entities.rows.get(uid.index())?.as_deref()
    }

    /// How many entities have data.
    pub(crate) fn len(&self) -> usize {
        self.entities.count
    }

    /// All entities that have data.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Uid, &EntityData)> {
        self.entities
            .rows
            .iter()
            .enumerate()
            .filter_map(|(row, data)| Some((Uid::known(row)?, data.as_deref()?)))
    }

    /// The entities of type `Action`, in any namespace.
    pub(crate) fn actions(&self) -> impl Iterator<Item = (Uid, &EntityData)> {
        let is_action: Vec<bool> = self
            .names
            .types()
            .map(|ty| {
                let name = self.names.type_text(ty);
                name == "Action" || name.ends_with("::Action")
            })
            .collect();
        self.iter().filter(move |(uid, _)| {
            self.names
                .type_of(*uid)
                .and_then(|ty| is_action.get(ty.index()))
                .is_some_and(|is_action| *is_action)
        })
    }
}

/// Collects entities, then closes the hierarchy.
#[derive(Clone, Debug)]
pub(crate) struct EntityLoader {
    pub(crate) names: Names,
    rows: Vec<Option<Box<EntityData>>>,
    count: usize,
    pub(crate) problems: Vec<EntityProblem>,
    limits: Limits,
}

impl EntityLoader {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            names: Names::new(),
            rows: Vec::new(),
            count: 0,
            problems: Vec::new(),
            limits,
        }
    }

    /// Adds an entity. A second one with the same uid must be equal, as in Cedar.
    pub(crate) fn insert(
        &mut self,
        uid: Uid,
        attrs: StoredRecord,
        tags: StoredRecord,
        mut parents: Vec<Uid>,
    ) {
        for record in [&attrs, &tags] {
            if let Err(exceeded) = Bounds::attributes(&self.limits).check(Record::Stored(record)) {
                self.problem(uid, exceeded.into());
            }
        }
        parents.sort_unstable();
        parents.dedup();
        let data = EntityData {
            attrs,
            tags,
            parents: parents.into_boxed_slice(),
            ancestors: Box::default(),
        };
        let row = uid.index();
        if row >= self.rows.len() {
            self.rows.resize_with(row + 1, || None);
        }
        match &self.rows[row] {
            Some(existing) if existing.same(&data) => {}
            Some(_) => self.problem(
                uid,
                EntityProblem::new(
                    "is given twice with different data; give it once, or the same both times",
                ),
            ),
            None => {
                self.rows[row] = Some(Box::new(data));
                self.count += 1;
                if let Err(exceeded) = self.limits.check(Limit::Entities, self.count) {
                    self.problem(uid, exceeded.into());
                }
            }
        }
    }

    /// Whether an entity with this uid has been added.
    pub(crate) fn contains(&self, uid: Uid) -> bool {
        self.rows.get(uid.index()).is_some_and(Option::is_some)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn problem(&mut self, uid: Uid, problem: EntityProblem) {
        let uid = self.uid(uid);
        self.problems.push(problem.of(uid));
    }

    fn uid(&self, uid: Uid) -> EntityUid {
        let (type_name, id) = self.names.uid_text(uid);
        EntityUid::new(type_name, id)
    }

    /// Closes the hierarchy and lets `check` look at each entity (validation against a schema).
    pub(crate) fn finish(
        mut self,
        mut check: impl FnMut(&Names, Uid, &EntityData) -> Result<(), String>,
    ) -> Result<Snapshot, EntityError> {
        for fault in hierarchy::close(&mut self.rows, &self.limits) {
            match fault {
                HierarchyFault::Cycle(uid) => self.problem(
                    uid,
                    EntityProblem::new("is its own ancestor; the hierarchy must not have cycles"),
                ),
                HierarchyFault::TooDeep(uid, exceeded) => self.problem(uid, exceeded.into()),
            }
        }
        if self.problems.is_empty() {
            for (row, data) in self.rows.iter().enumerate() {
                if let (Some(uid), Some(data)) = (Uid::known(row), data)
                    && let Err(message) = check(&self.names, uid, data)
                {
                    let uid = self.uid(uid);
                    self.problems.push(EntityProblem::new(message).of(uid));
                }
            }
        }
        match EntityError::from_problems(self.problems) {
            Some(error) => Err(error),
            None => Ok(Snapshot {
                names: Arc::new(self.names),
                entities: Arc::new(Entities {
                    rows: self.rows,
                    count: self.count,
                }),
            }),
        }
    }
}

impl From<TableFull> for EntityProblem {
    fn from(full: TableFull) -> Self {
        Self::new(full)
    }
}
