//! A change of entities while it is being made: the next snapshot, which nobody sees yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::id::{EntityUid, Sym, Uid};
use crate::limits::{Limit, Limits};
use crate::names::Names;
use crate::value::arena::NameText;
use crate::value::{Bounds, Record, Stored, StoredRecord};

use super::children::Children;
use super::error::{EntityError, EntityProblem, MAX_PROBLEMS, entities_of};
use super::hierarchy::{self, Budget};
use super::snapshot::{EntityData, Snapshot};

/// What became of one entity in an update.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum EntityChange {
    /// It had no data before.
    Created,
    /// It was given anew, with different data.
    Replaced,
    /// Attributes, tags or parents were changed; also when it lost a parent that was removed.
    Changed,
    /// It is gone.
    Removed,
    /// Nothing was changed: it is as it was before.
    Unchanged,
}

/// Which of an entity's two records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Attrs,
    Tags,
}

/// The next snapshot of a writer. Dropped, it has changed nothing but [`Children`], which the writer rolls back.
#[derive(Debug)]
pub(crate) struct Draft<'w> {
    pub(crate) names: Names,
    snapshot: Snapshot,
    children: &'w mut Children,
    limits: Limits,
    pub(crate) problems: Vec<EntityProblem>,
    /// What the update mentions or changes, in the order in which it first does.
    touched: Vec<Touched>,
    touched_at: HashMap<Uid, usize>,
}

#[derive(Debug)]
struct Touched {
    uid: Uid,
    before: Option<EntityData>,
    /// Whether it was given anew, whole.
    whole: bool,
}

/// A draft that is in order.
#[derive(Debug)]
pub(crate) struct Drafted {
    pub(crate) snapshot: Snapshot,
    changes: Vec<(Uid, EntityChange)>,
    touched: Vec<Touched>,
}

/// Something about an entity that is other than before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Altered {
    Parents,
    Attribute(Sym),
    Tag(Sym),
}

impl<'w> Draft<'w> {
    pub(crate) fn new(snapshot: &Snapshot, children: &'w mut Children, limits: &Limits) -> Self {
        Self {
            names: (*snapshot.names).clone(),
            snapshot: snapshot.clone(),
            children,
            limits: *limits,
            problems: Vec::new(),
            touched: Vec::new(),
            touched_at: HashMap::new(),
        }
    }

    /// As they are with what was changed so far.
    pub(crate) fn children(&self) -> &Children {
        self.children
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn upsert(
        &mut self,
        uid: Uid,
        attrs: StoredRecord,
        tags: StoredRecord,
        parents: Vec<Uid>,
    ) {
        self.touch(uid).whole = true;
        self.write(uid, Some(EntityData::new(attrs, tags, parents)));
    }

    /// Removes an entity, and from its children's parents, as `cedar_policy::Entities::remove_entities`.
    pub(crate) fn remove(&mut self, uid: Uid) {
        self.touch(uid).whole = true;
        if self.data(uid).is_none() {
            return;
        }
        let children: Vec<Uid> = self.children.of_parent(uid).collect();
        for child in children {
            self.touch(child);
            self.change_parents(child, |parents| parents.retain(|parent| *parent != uid));
        }
        self.write(uid, None);
    }

    /// Sets one attribute or tag, or takes it away.
    pub(crate) fn set(&mut self, uid: Uid, part: Part, key: Sym, value: Option<Stored>) {
        self.touch(uid);
        let Some(data) = self.existing(uid, value.is_none()) else {
            return;
        };
        let record = match part {
            Part::Attrs => data.attrs(),
            Part::Tags => data.tags(),
        };
        let kept = (0..record.keys().len()).filter_map(|at| record.entry(at));
        let mut fields: Vec<(Sym, Stored)> = kept
            .filter(|(name, _)| *name != key)
            .map(|(name, value)| (name, value.clone()))
            .collect();
        fields.extend(value.map(|value| (key, value)));
        let record = StoredRecord::new(fields);
        let data = match part {
            Part::Attrs => EntityData::new(record, data.tags().clone(), data.parents().to_vec()),
            Part::Tags => EntityData::new(data.attrs().clone(), record, data.parents().to_vec()),
        };
        self.write(uid, Some(data));
    }

    pub(crate) fn add_parent(&mut self, uid: Uid, parent: Uid) {
        self.touch(uid);
        if self.existing(uid, false).is_some() {
            self.change_parents(uid, |parents| parents.push(parent));
        }
    }

    pub(crate) fn remove_parent(&mut self, uid: Uid, parent: Uid) {
        self.touch(uid);
        self.change_parents(uid, |parents| parents.retain(|other| *other != parent));
    }

    fn change_parents(&mut self, uid: Uid, change: impl FnOnce(&mut Vec<Uid>)) {
        if let Some(data) = self.data(uid) {
            let mut parents = data.parents().to_vec();
            change(&mut parents);
            let data = EntityData::new(data.attrs().clone(), data.tags().clone(), parents);
            self.write(uid, Some(data));
        }
    }

    fn data(&self, uid: Uid) -> Option<EntityData> {
        self.snapshot.rows.get(uid.index()).cloned()
    }

    /// The entity's data; a problem when there is none, unless `quiet`.
    fn existing(&mut self, uid: Uid, quiet: bool) -> Option<EntityData> {
        let data = self.data(uid);
        if data.is_none() && !quiet {
            self.problem(uid, EntityProblem::new("does not exist; upsert it first"));
        }
        data
    }

    fn touch(&mut self, uid: Uid) -> &mut Touched {
        let before = &self.snapshot;
        let touched = &mut self.touched;
        let at = *self.touched_at.entry(uid).or_insert_with(|| {
            touched.push(Touched {
                uid,
                before: before.rows.get(uid.index()).cloned(),
                whole: false,
            });
            touched.len() - 1
        });
        &mut self.touched[at]
    }

    /// Writes a row, and who is whose child.
    fn write(&mut self, uid: Uid, mut data: Option<EntityData>) {
        let old = self.data(uid);
        if let (Some(data), Some(old)) = (&mut data, &old) {
            data.share_with(old);
        }
        let before = old.as_ref().map_or(&[] as &[_], EntityData::parents);
        let after = data.as_ref().map_or(&[] as &[_], EntityData::parents);
        // Both are sorted.
        let lacks = |parents: &[Uid], parent: &Uid| parents.binary_search(parent).is_err();
        for parent in before.iter().filter(|parent| lacks(after, parent)) {
            self.children.remove(*parent, uid);
        }
        for parent in after.iter().filter(|parent| lacks(before, parent)) {
            self.children.insert(*parent, uid);
        }
        self.snapshot.count += usize::from(data.is_some());
        self.snapshot.count -= usize::from(old.is_some());
        self.snapshot.rows.set(uid.index(), data);
    }

    pub(crate) fn problem(&mut self, uid: Uid, problem: EntityProblem) {
        let uid = self.names.owned_uid(uid);
        self.problems.push(problem.of(uid));
    }

    /// Closes the hierarchy and lets `check` look at each entity that changed (validation against a schema).
    pub(crate) fn finish(
        mut self,
        mut check: impl FnMut(&Names, Uid, &EntityData) -> Result<(), String>,
    ) -> Result<Drafted, EntityError> {
        self.close();
        let changes: Vec<(Uid, EntityChange)> = self
            .touched
            .iter()
            .map(|touched| (touched.uid, touched.change(&self.snapshot)))
            .collect();
        self.bound();
        let wrong = entities_of(&self.problems);
        for (uid, change) in &changes {
            if self.problems.len() >= MAX_PROBLEMS {
                break;
            }
            let is_wrong = || wrong.contains(&self.names.owned_uid(*uid));
            if *change != EntityChange::Unchanged
                && (wrong.is_empty() || !is_wrong())
                && let Some(data) = self.data(*uid)
                && let Err(message) = check(&self.names, *uid, &data)
            {
                self.problem(*uid, EntityProblem::new(message));
            }
        }
        let members = if self
            .touched
            .iter()
            .any(|touched| touched.moved(&self.snapshot))
        {
            Arc::default()
        } else {
            Arc::clone(&self.snapshot.members)
        };
        match EntityError::from_problems(self.problems) {
            Some(error) => Err(error),
            None => Ok(Drafted {
                snapshot: Snapshot {
                    names: Arc::new(self.names),
                    members,
                    ..self.snapshot
                },
                changes,
                touched: self.touched,
            }),
        }
    }

    /// Brings the closures of groups up to date, and the lists of what was written.
    fn close(&mut self) {
        let written: Vec<Uid> = self.touched.iter().map(|touched| touched.uid).collect();
        // Who became a parent, or ceased to be one: old and new parents of what was written.
        let mut parents: HashSet<Uid> = written.iter().copied().collect();
        for touched in &self.touched {
            let after = self.snapshot.rows.get(touched.uid.index());
            for data in touched.before.iter().chain(after) {
                parents.extend(data.parents());
            }
        }
        let mut open = Vec::new();
        for uid in parents {
            let above = self.data(uid);
            let above = above.as_ref().map_or(&[] as &[_], |data| data.parents());
            self.children.refile(uid, above);
            let was = self.snapshot.closure(uid).is_some();
            match self.children.is_parent(uid) {
                true if !was || self.touched_at.contains_key(&uid) => open.push(uid),
                false if was => self.snapshot.groups.set(uid.index(), None),
                _ => {}
            }
        }
        // And the groups below them.
        let mut seen: HashSet<Uid> = open.iter().copied().collect();
        let mut at = 0;
        while let Some(uid) = open.get(at).copied() {
            at += 1;
            open.extend(
                self.children
                    .groups_of(uid)
                    .filter(|below| seen.insert(*below)),
            );
        }
        let before = self.snapshot.groups.clone();
        let groups = &mut self.snapshot.groups;
        let mut budget = Budget::new(&self.limits);
        let mut faults = hierarchy::close(&self.snapshot.rows, groups, &open, &mut budget);
        for uid in &open {
            // What has become a group just now is in no list but those that are written now.
            if let (Some(before), Some(after)) = (before.get(uid.index()), groups.get(uid.index()))
                && before.closure != after.closure
            {
                self.snapshot.moved.insert(*uid);
            }
        }
        for (uid, is_group) in written
            .iter()
            .map(|uid| (*uid, false))
            .chain(open.iter().map(|uid| (*uid, true)))
        {
            let data = self.snapshot.rows.get(uid.index()).cloned();
            let parents = data.as_ref().map_or(&[] as &[_], |data| data.parents());
            faults
                .extend(hierarchy::check_depth(uid, parents, groups, is_group, &self.limits).err());
            // Of one parent the list is taken as it is.
            if let Some(mut data) = data.filter(|_| !is_group)
                && (data.parents().len() < 2 || budget.suffices(uid, data.parents(), groups))
            {
                data.set_ancestors(groups);
                self.snapshot.rows.set(uid.index(), Some(data));
            }
        }
        faults.extend(budget.fault());
        for fault in faults {
            let (uid, problem) = fault.problem();
            self.problem(uid, problem);
        }
    }

    /// Refuses what is too large.
    fn bound(&mut self) {
        if let Err(exceeded) = self.limits.check(Limit::Entities, self.snapshot.count) {
            self.problems.push(exceeded.into());
        }
        let written: Vec<Uid> = self.touched.iter().map(|touched| touched.uid).collect();
        for uid in written {
            let Some(data) = self.data(uid) else { continue };
            for record in [data.attrs(), data.tags()] {
                let checked = Bounds::attributes(&self.limits).check(Record::Stored(record));
                if let Err(exceeded) = checked {
                    self.problem(uid, exceeded.into());
                }
            }
        }
    }
}

impl Drafted {
    /// What became of each entity, by name.
    pub(crate) fn named_changes(&self) -> Vec<(EntityUid, EntityChange)> {
        self.changes
            .iter()
            .map(|(uid, change)| (self.snapshot.names.owned_uid(*uid), *change))
            .collect()
    }

    /// Visits all that is other than before. An entity that comes or goes alters what it has, and nothing if that is
    /// nothing: conditions cannot tell it from one that is not there but by the kind of an error.
    pub(crate) fn each_altered(&self, mut visit: impl FnMut(Uid, Altered)) {
        for touched in &self.touched {
            let uid = touched.uid;
            if touched.moved(&self.snapshot) {
                visit(uid, Altered::Parents);
            }
            let before = touched.before.as_ref();
            let after = self.snapshot.rows.get(uid.index());
            let attrs = [before, after].map(|data| data.map(EntityData::attrs));
            let tags = [before, after].map(|data| data.map(EntityData::tags));
            each_difference(attrs, |name| visit(uid, Altered::Attribute(name)));
            each_difference(tags, |name| visit(uid, Altered::Tag(name)));
        }
    }
}

/// Visits the keys under which two records, or none, have different values.
fn each_difference([before, after]: [Option<&StoredRecord>; 2], mut visit: impl FnMut(Sym)) {
    let none = StoredRecord::default();
    let (before, after) = (before.unwrap_or(&none), after.unwrap_or(&none));
    for key in before.keys() {
        let same = match (before.get(*key), after.get(*key)) {
            (Some(before), Some(after)) => before.value().same(after.value()),
            _ => false,
        };
        if !same {
            visit(*key);
        }
    }
    let new = after
        .keys()
        .iter()
        .filter(|key| before.get(**key).is_none());
    new.copied().for_each(visit);
}

impl Touched {
    /// Whether its place in the hierarchy is another one.
    fn moved(&self, snapshot: &Snapshot) -> bool {
        let before = self.before.as_ref();
        let after = snapshot.rows.get(self.uid.index());
        before.map_or(&[][..], EntityData::parents) != after.map_or(&[][..], |data| data.parents())
    }

    fn change(&self, snapshot: &Snapshot) -> EntityChange {
        let after = snapshot.rows.get(self.uid.index());
        match (&self.before, after) {
            (None, None) => EntityChange::Unchanged,
            (None, Some(_)) => EntityChange::Created,
            (Some(_), None) => EntityChange::Removed,
            (Some(before), Some(after)) if before.same(after) => EntityChange::Unchanged,
            (Some(_), Some(_)) if self.whole => EntityChange::Replaced,
            (Some(_), Some(_)) => EntityChange::Changed,
        }
    }
}
