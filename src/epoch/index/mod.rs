//! The scope index: which policies can match a request at all.
//!
//! Scope tests cannot fail, so a policy whose scope cannot match may be skipped without changing the decision,
//! the determining policies or the errors. Each policy is filed once, under the part of its scope that is
//! rarest: an entity that the principal or the resource must be or be below, or the actions it is for. A
//! decision asks for its principal and all of the principal's ancestors, likewise for the resource, and for its
//! action; what it gets is tested for the rest of the scope: the action by the bit of a set of actions, the other side
//! entity by entity.

mod actions;
mod buckets;

use std::collections::HashMap;

use crate::entity::Snapshot;
use crate::id::{TypeId, Uid};
use crate::schema::is_action_type;

use super::link::{ActionTest, Row, ScopeTest};
use super::values::{Grouping, ValueIndex};

use actions::ANY;

pub(crate) use actions::{ActionBits, ActionMembers, ActionSets, UNKNOWN};
pub(crate) use buckets::{Buckets, Entry, Filed};

/// The index over the rows of a linked program.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) principal: Side,
    pub(crate) resource: Side,
    /// What is for anybody and anything, or for those of a type.
    pub(crate) action: Buckets,
    pub(crate) actions: ActionSets,
    /// By type: whether it is one of actions. What is above the entities of these types only is known here.
    action_types: Vec<bool>,
    /// Policies that are filed nowhere: every decision tests them.
    pub(crate) rest: Vec<Entry>,
    /// Groups of them, by their numbers in `values`.
    pub(crate) rest_groups: Vec<u32>,
    /// What is told apart by its conditions.
    pub(crate) values: ValueIndex,
}

/// Policies by the entity that a principal or resource must be, and by the one that it must be or be below.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) exact: Buckets,
    pub(crate) within: Buckets,
}

impl Side {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.within.is_empty()
    }
}

/// What is to be filed under entities of one side.
#[derive(Default)]
struct Sorting {
    exact: Vec<(Uid, u32, Entry)>,
    within: Vec<(Uid, u32, Entry)>,
}

impl Sorting {
    /// Files a policy under an entity of its scope. Gives what is left of that side's test.
    fn file(&mut self, test: ScopeTest, actions: u32, entry: impl FnOnce(ScopeTest) -> Entry) {
        match test {
            ScopeTest::Eq(uid) => self.exact.push((uid, actions, entry(ScopeTest::Any))),
            ScopeTest::In(uid) => self.within.push((uid, actions, entry(ScopeTest::Any))),
            ScopeTest::IsIn(ty, uid) => self.within.push((uid, actions, entry(ScopeTest::Is(ty)))),
            // Has no entity; whoever files it under one has asked for that before.
            ScopeTest::Any | ScopeTest::Is(_) => {}
        }
    }

    fn finish(self, flat: usize, grouping: &mut Grouping<'_>) -> Side {
        Side {
            exact: Buckets::new(self.exact, flat, grouping),
            within: Buckets::new(self.within, flat, grouping),
        }
    }
}

impl Index {
    /// `flat` is how many uids an array by uid may have however few of them are filed.
    pub(super) fn new(
        rows: &[Row],
        action_lists: &[Uid],
        snapshot: &Snapshot,
        members: &ActionMembers,
        flat: usize,
        mut grouping: Grouping<'_>,
    ) -> Self {
        let mut principal_use = Usage::default();
        let mut resource_use = Usage::default();
        for row in rows {
            if let Some(uid) = row.principal.entity() {
                principal_use.count(uid);
            }
            if let Some(uid) = row.resource.entity() {
                resource_use.count(uid);
            }
        }
        let (actions, set_of) = ActionSets::new(rows, action_lists, members, flat);
        let (mut principal, mut resource) = (Sorting::default(), Sorting::default());
        let (mut action, mut rest) = (Vec::new(), Vec::new());
        for ((number, row), set) in (0..).zip(rows).zip(set_of) {
            let entry = |principal, resource| Entry {
                row: number,
                principal,
                resource,
            };
            let by_principal = match (row.principal.entity(), row.resource.entity()) {
                (Some(p), Some(r)) => principal_use.of(p) <= resource_use.of(r),
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => {
                    let entry = entry(row.principal, row.resource);
                    // Filed under the action itself, so that nothing of it is left to test.
                    match row.action {
                        ActionTest::Any => rest.push(entry),
                        ActionTest::Eq(uid) => action.push((uid, ANY, entry)),
                        ActionTest::In(list) => {
                            for uid in list.of(action_lists) {
                                let uids = std::iter::once(*uid).chain(members.below(*uid));
                                action.extend(uids.map(|uid| (uid, ANY, entry)));
                            }
                        }
                    }
                    continue;
                }
            };
            match by_principal {
                true => principal.file(row.principal, set, |left| entry(left, row.resource)),
                false => resource.file(row.resource, set, |left| entry(row.principal, left)),
            }
        }
        let principal = principal.finish(flat, &mut grouping);
        let resource = resource.finish(flat, &mut grouping);
        let action = Buckets::new(action, flat, &mut grouping);
        let mut single: Vec<u32> = rest.iter().map(|entry| entry.row).collect();
        let rest_groups = grouping.group(&mut single);
        rest.retain(|entry| single.binary_search(&entry.row).is_ok());
        Self {
            principal,
            resource,
            action,
            actions,
            action_types: snapshot
                .names
                .types()
                .map(|ty| is_action_type(snapshot.names.type_text(ty)))
                .collect(),
            rest,
            rest_groups,
            values: grouping.finish(),
        }
    }

    /// Whether the index finds what is filed under the groups that an action of this type is in.
    #[inline]
    pub(crate) fn covers_actions_of(&self, type_id: Option<TypeId>) -> bool {
        type_id
            .and_then(|ty| self.action_types.get(ty.index()))
            .is_some_and(|is_action| *is_action)
    }
}

impl ScopeTest {
    /// The entity that a match must be, or be below.
    pub(super) fn entity(self) -> Option<Uid> {
        match self {
            Self::Eq(uid) | Self::In(uid) | Self::IsIn(_, uid) => Some(uid),
            Self::Any | Self::Is(_) => None,
        }
    }
}

/// How often each uid is used on one side of the scopes.
#[derive(Default)]
struct Usage(HashMap<Uid, u32>);

impl Usage {
    fn count(&mut self, uid: Uid) {
        *self.0.entry(uid).or_default() += 1;
    }

    fn of(&self, uid: Uid) -> u32 {
        self.0.get(&uid).copied().unwrap_or_default()
    }
}

/// Row numbers and bucket numbers fit: policies are counted in `u32` when they are compiled.
fn as_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
