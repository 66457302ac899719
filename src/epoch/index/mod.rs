//! The scope index: which policies can match a request at all.
//!
//! Scope tests cannot fail, so a policy whose scope cannot match may be skipped without changing the decision,
//! the determining policies or the errors. Each policy is filed once, under the part of its scope that is
//! rarest: an entity that the principal or the resource must be or be below, or the actions it is for. A
//! decision asks for its principal and all of the principal's ancestors, likewise for the resource, and for its
//! action; what it gets is for the class of actions that the action is of, and is tested for the other side.

mod actions;
mod buckets;
mod by_class;
mod lists;

use std::collections::HashMap;

use crate::id::{TypeId, Uid};
use crate::names::Names;
use crate::program::{Program, Span};
use crate::schema::is_action_type;

use super::link::{Row, ScopeTest};
use super::values::{Grouping, ValueIndex};

use actions::{ANY, ByScope, Places};

pub(crate) use actions::{ActionClasses, ActionMembers};
pub(crate) use buckets::{Buckets, Class, Entry, Filed, Left, What};
pub(crate) use by_class::ByClass;
pub(crate) use lists::Lists;

/// The index over the rows of a linked program.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) principal: Side,
    pub(crate) resource: Side,
    /// What is for anybody and anything, or for those of a type.
    pub(crate) by_class: ByClass,
    pub(crate) actions: ActionClasses,
    /// All policies, where these are few for each action. Nothing is filed anywhere else then.
    pub(crate) lists: Option<Lists>,
    /// By type: whether it is one of actions. What is above the entities of these types only is known here.
    action_types: Vec<bool>,
    /// What is told apart by its conditions.
    pub(crate) values: ValueIndex,
    /// By number: the bodies that several policies share ([`What::shared_body`]).
    pub(crate) shared: Vec<SharedBody>,
}

/// A body that several policies share. With its steps, so that no row is read for them: those of a large set are in no cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedBody {
    /// The row of one of the policies.
    pub(crate) row: u32,
    pub(crate) steps: Span,
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
    /// Files a policy under an entity of its scope, for each class of actions that it is for.
    fn file(&mut self, test: ScopeTest, classes: &[u32], entry: Entry) {
        let (list, uid) = match test {
            ScopeTest::Eq(uid) => (&mut self.exact, uid),
            ScopeTest::In(uid) | ScopeTest::IsIn(_, uid) => (&mut self.within, uid),
            // Has no entity; whoever files it under one has asked for that before.
            ScopeTest::Any | ScopeTest::Is(_) => return,
        };
        list.extend(classes.iter().map(|class| (uid, *class, entry)));
    }

    fn finish(self, classes: usize, flat: usize, grouping: &mut Grouping<'_>) -> Side {
        Side {
            exact: Buckets::new(self.exact, classes, flat, grouping),
            within: Buckets::new(self.within, classes, flat, grouping),
        }
    }
}

/// Policies by the part of their scope that each is to be filed under.
#[derive(Default)]
struct Sorted {
    principal: Sorting,
    resource: Sorting,
    /// By class.
    action: Vec<(u32, Entry)>,
}

impl Sorted {
    /// Each under the rarer entity of principal and resource, or else under the classes of its actions alone.
    fn of(of: Indexed<'_>, shared: &Shared<'_>, by_scope: &ByScope<'_>) -> Self {
        let mut sorted = Self::default();
        let principals = Usage::of_side(of.rows, |row| row.principal);
        let resources = Usage::of_side(of.rows, |row| row.resource);
        for (number, row) in (0..).zip(of.rows) {
            let what = What::new(row, shared.of(number));
            let by_principal = match (row.principal.entity(), row.resource.entity()) {
                (Some(p), Some(r)) => principals.of(p) <= resources.of(r),
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => {
                    let entry = |what| Entry::new(number, what, row.principal, row.resource);
                    let (classes, entry) = classes_of(by_scope, row, what, entry);
                    let filed = classes.iter().map(|class| (*class, entry));
                    sorted.action.extend(filed);
                    continue;
                }
            };
            let (left_of_principal, left_of_resource) = match by_principal {
                true => (left_of(row.principal), row.resource),
                false => (row.principal, left_of(row.resource)),
            };
            let entry = |what| Entry::new(number, what, left_of_principal, left_of_resource);
            let (classes, entry) = classes_of(by_scope, row, what, entry);
            match by_principal {
                true => sorted.principal.file(row.principal, classes, entry),
                false => sorted.resource.file(row.resource, classes, entry),
            }
        }
        sorted
    }
}

/// What is left of a side's test for what is filed under the side's entity.
fn left_of(test: ScopeTest) -> ScopeTest {
    match test {
        ScopeTest::IsIn(ty, _) => ScopeTest::Is(ty),
        _ => ScopeTest::Any,
    }
}

/// Bodies that several policies share, numbered.
struct Shared<'p> {
    program: &'p Program,
    /// By body.
    number_of: Vec<Option<u32>>,
    /// By number: one of the policies.
    policies: Vec<u32>,
}

impl<'p> Shared<'p> {
    fn new(program: &'p Program) -> Self {
        let mut policies_of = vec![(0_u32, 0_u32); program.bodies.len()];
        for (policy, number) in program.policies.iter().zip(0..) {
            if let Some(found) = policies_of.get_mut(policy.body as usize) {
                *found = (found.0 + 1, number);
            }
        }
        let mut policies = Vec::new();
        let number_of = policies_of.into_iter().map(|(count, policy)| {
            (count > 1).then(|| {
                policies.push(policy);
                as_u32(policies.len() - 1)
            })
        });
        Self {
            program,
            number_of: number_of.collect(),
            policies,
        }
    }

    fn bodies(&self, rows: &[Row]) -> Vec<SharedBody> {
        let body = |row: &u32| {
            let steps = rows.get(*row as usize).map(|row| row.steps);
            SharedBody {
                row: *row,
                steps: steps.unwrap_or_default(),
            }
        };
        self.policies.iter().map(body).collect()
    }

    /// The number of a policy's body, unless it is the policy's own.
    fn of(&self, policy: u32) -> Option<u32> {
        let body = self.program.policies.get(policy as usize)?.body;
        *self.number_of.get(body as usize)?
    }
}

/// What an index is over.
#[derive(Clone, Copy)]
pub(super) struct Indexed<'r> {
    pub(super) program: &'r Program,
    pub(super) rows: &'r [Row],
    pub(super) action_lists: &'r [Uid],
    pub(super) members: &'r ActionMembers,
    /// How many uids an array by uid may have however few of them are filed.
    pub(super) flat: usize,
}

impl Index {
    /// `names` are those of the snapshot.
    pub(super) fn new(
        of: Indexed<'_>,
        names: &Names,
        short_lists: bool,
        mut grouping: Grouping<'_>,
    ) -> Self {
        let Indexed { rows, flat, .. } = of;
        let (actions, by_scope) = ActionClasses::new(rows, of.action_lists, of.members, flat);
        let shared = Shared::new(of.program);
        let whole = |(number, row)| {
            let what = What::new(row, shared.of(number));
            let entry = |what| Entry::new(number, what, row.principal, row.resource);
            classes_of(&by_scope, row, what, entry)
        };
        let lists = match short_lists {
            true => Lists::new(actions.count(), (0..).zip(rows).map(whole)),
            false => None,
        };
        let is_action = |ty| is_action_type(names.type_text(ty));
        let index = Self {
            actions,
            action_types: names.types().map(is_action).collect(),
            shared: shared.bodies(rows),
            ..Self::default()
        };
        if lists.is_some() {
            return Self { lists, ..index };
        }
        let sorted = Sorted::of(of, &shared, &by_scope);
        let classes = index.actions.count();
        let principal = sorted.principal.finish(classes, flat, &mut grouping);
        let resource = sorted.resource.finish(classes, flat, &mut grouping);
        let by_class = ByClass::new(sorted.action, &mut grouping);
        Self {
            principal,
            resource,
            by_class,
            values: grouping.finish(),
            ..index
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

impl Entry {
    /// With what is left to test of the two sides.
    fn new(row: u32, what: What, principal: ScopeTest, resource: ScopeTest) -> Self {
        let (sides, what) = match (Left::of(principal), Left::of(resource)) {
            (Some(principal), Some(resource)) => ((principal, resource), what),
            _ => ((Left::NOTHING, Left::NOTHING), what.in_full()),
        };
        let what = match principal {
            ScopeTest::Eq(_) => what.with_exact_principal(),
            _ => what,
        };
        let what = match resource {
            ScopeTest::Eq(_) => what.with_exact_resource(),
            _ => what,
        };
        Self {
            row,
            principal: sides.0,
            resource: sides.1,
            what,
        }
    }

    /// Whether anything is left to test.
    fn is_tested(&self) -> bool {
        let sides = [self.principal, self.resource];
        sides != [Left::NOTHING; 2] || self.what.is_in_full()
    }
}

impl Left {
    /// `None` if it does not fit: one of fifty policies of the sets that this was made for.
    fn of(test: ScopeTest) -> Option<Self> {
        match test {
            ScopeTest::Any => Some(Self::NOTHING),
            ScopeTest::Is(ty) => Some(Self::of_type(ty)),
            ScopeTest::Eq(uid) | ScopeTest::In(uid) => Self::of_entity(uid),
            ScopeTest::IsIn(..) => None,
        }
    }
}

/// The classes to file a policy under, and the entry to file.
fn classes_of<'c>(
    by_scope: &'c ByScope<'c>,
    row: &'c Row,
    what: What,
    entry: impl FnOnce(What) -> Entry,
) -> (&'c [u32], Entry) {
    match by_scope.places(row) {
        Places::Classes(classes) => (classes, entry(what)),
        Places::Untold => (&[ANY], entry(what.in_full())),
    }
}

/// How often each uid is used on one side of the scopes.
#[derive(Default)]
struct Usage(HashMap<Uid, u32>);

impl Usage {
    fn of_side(rows: &[Row], side: impl Fn(&Row) -> ScopeTest) -> Self {
        let mut usage = Self::default();
        for uid in rows.iter().filter_map(|row| side(row).entity()) {
            *usage.0.entry(uid).or_default() += 1;
        }
        usage
    }

    fn of(&self, uid: Uid) -> u32 {
        self.0.get(&uid).copied().unwrap_or_default()
    }
}

/// Row numbers and bucket numbers fit: policies are counted in `u32` when they are compiled.
fn as_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
