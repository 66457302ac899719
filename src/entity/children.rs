//! Who is below whom: what a writer has to know and decisions never ask.

use std::collections::BTreeSet;
use std::ops::Bound::Included;

use crate::id::Uid;

use super::snapshot::Snapshot;

/// The children of every entity, by parent.
///
/// Ordered sets of pairs and not a list for each parent: taking one child from a group of 100,000 is a search. Groups
/// among the children stand apart, because when a group moves its closure changes theirs, and it would take
/// milliseconds to find five groups among 100,000 members.
#[derive(Debug, Default)]
pub(crate) struct Children {
    leaves: BTreeSet<(Uid, Uid)>,
    groups: BTreeSet<(Uid, Uid)>,
    /// What was changed since the last commit, to take it back.
    undo: Vec<Edit>,
}

#[derive(Clone, Copy, Debug)]
struct Edit {
    pair: (Uid, Uid),
    among_groups: bool,
    inserted: bool,
}

impl Children {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let (mut leaves, mut groups) = (Vec::new(), Vec::new());
        for (child, data) in snapshot.iter() {
            let among = match snapshot.closure(child) {
                Some(_) => &mut groups,
                None => &mut leaves,
            };
            among.extend(data.parents().iter().map(|parent| (*parent, child)));
        }
        Self {
            leaves: leaves.into_iter().collect(),
            groups: groups.into_iter().collect(),
            undo: Vec::new(),
        }
    }

    pub(super) fn is_parent(&self, uid: Uid) -> bool {
        below(&self.groups, uid).next().is_some() || below(&self.leaves, uid).next().is_some()
    }

    pub(crate) fn of_parent(&self, uid: Uid) -> impl Iterator<Item = Uid> {
        below(&self.groups, uid).chain(below(&self.leaves, uid))
    }

    /// Those children that are parents themselves.
    pub(super) fn groups_of(&self, uid: Uid) -> impl Iterator<Item = Uid> {
        below(&self.groups, uid)
    }

    pub(super) fn insert(&mut self, parent: Uid, child: Uid) {
        self.edit((parent, child), self.is_parent(child), true);
    }

    pub(super) fn remove(&mut self, parent: Uid, child: Uid) {
        self.edit((parent, child), false, false);
        self.edit((parent, child), true, false);
    }

    /// Files `child` anew under its parents, after it may have become a parent itself or ceased to be one.
    pub(super) fn refile(&mut self, child: Uid, parents: &[Uid]) {
        let is_parent = self.is_parent(child);
        for parent in parents {
            self.edit((*parent, child), !is_parent, false);
            self.edit((*parent, child), is_parent, true);
        }
    }

    fn edit(&mut self, pair: (Uid, Uid), among_groups: bool, insert: bool) {
        let edit = Edit {
            pair,
            among_groups,
            inserted: insert,
        };
        if self.apply(edit) {
            self.undo.push(edit);
        }
    }

    fn apply(&mut self, edit: Edit) -> bool {
        let set = if edit.among_groups {
            &mut self.groups
        } else {
            &mut self.leaves
        };
        if edit.inserted {
            set.insert(edit.pair)
        } else {
            set.remove(&edit.pair)
        }
    }

    pub(crate) fn commit(&mut self) {
        self.undo.clear();
    }

    pub(crate) fn roll_back(&mut self) {
        while let Some(edit) = self.undo.pop() {
            self.apply(Edit {
                inserted: !edit.inserted,
                ..edit
            });
        }
    }
}

fn below(set: &BTreeSet<(Uid, Uid)>, parent: Uid) -> impl Iterator<Item = Uid> {
    let (first, last) = ((parent, Uid::FIRST), (parent, Uid::LAST));
    set.range((Included(first), Included(last)))
        .map(|(_, child)| *child)
}
