//! Actions: what is below groups of them, and which of them no policy tells apart.

use std::collections::BTreeMap;

use ahash::HashSet;

use crate::entity::Snapshot;
use crate::id::Uid;

use super::super::link::{ActionTest, Row};
use super::as_u32;
use super::buckets::{BucketOf, Class};

/// The stored actions and what their groups are. Found by a walk over all entities, and so once for all programs that are
/// linked to them.
///
/// Not all that is below each group, which would be at hand: 10 MB of entities can have 1,000,000,000 such pairs, and scopes
/// name few groups.
#[derive(Debug)]
pub(crate) struct ActionMembers {
    /// All stored actions, sorted.
    pub(crate) actions: Vec<Uid>,
    /// Group and child, sorted. Parents of actions are actions.
    children: Vec<(Uid, Uid)>,
}

impl ActionMembers {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let (mut actions, mut children) = (Vec::new(), Vec::new());
        for (uid, data) in snapshot.actions() {
            actions.push(uid);
            children.extend(data.parents().iter().map(|parent| (*parent, uid)));
        }
        children.sort_unstable();
        Self { actions, children }
    }

    /// All that is below a group, in no order. `None` if finding it takes more than `left` steps, which are taken off it.
    fn below(&self, group: Uid, left: &mut usize) -> Option<Vec<Uid>> {
        let mut met = HashSet::default();
        let mut found = Vec::new();
        let mut pending = vec![group];
        while let Some(group) = pending.pop() {
            let start = self.children.partition_point(|(above, _)| *above < group);
            let children = self.children.get(start..).unwrap_or_default();
            for (_, child) in children.iter().take_while(|(above, _)| *above == group) {
                *left = left.checked_sub(1)?;
                if met.insert(*child) {
                    found.push(*child);
                    pending.push(*child);
                }
            }
        }
        Some(found)
    }
}

/// Actions by what policies ask of them: actions that are in the same scopes are of one class. What is filed under an
/// entity is filed by class, so that policies for other actions are not met at all.
#[derive(Debug, Default)]
pub(crate) struct ActionClasses {
    /// By action: the number of its class.
    class_of: BucketOf,
    /// How many classes there are besides [`ANY`].
    named: usize,
}

/// The class of actions that no scope names. What is filed under it is for any action; every decision looks at it.
/// 0 is what [`BucketOf`] says of an action that it does not have.
pub(super) const ANY: u32 = 0;

/// Where to file the policies of an action scope.
pub(super) enum Places<'c> {
    /// Under each of these classes. Nothing of the action is left to test.
    Classes(&'c [u32]),
    /// Under [`ANY`], with the action left to test: it is for too many classes.
    Untold,
}

/// Classes by action scope, while an index is made.
pub(super) struct ByScope<'r> {
    action_lists: &'r [Uid],
    /// No classes for those that are too many.
    places: BTreeMap<ActionScope<'r>, Vec<u32>>,
}

/// How many actions all scopes may be for together, each scope counted once: 32 MiB while the index is made.
const MEMBERS: usize = 1 << 22;

/// How many steps from a group to what is below it may be made, to count what all scopes are for: half a second.
const STEPS: usize = 2 * MEMBERS;

/// How often policies may be filed, on average: a policy for one of twenty actions once, one for each of twenty that
/// others tell apart twenty times, at 16 bytes.
const COPIES: usize = 16;

/// What an action has to be: one of these, or (unless exact) in one of these.
type ActionScope<'r> = (bool, &'r [Uid]);

fn scope_of<'r>(row: &'r Row, action_lists: &'r [Uid]) -> Option<ActionScope<'r>> {
    match &row.action {
        ActionTest::Any => None,
        ActionTest::Eq(uid) => Some((true, std::slice::from_ref(uid))),
        ActionTest::In(list) => Some((false, list.of(action_lists))),
    }
}

impl ActionClasses {
    /// `flat`: see [`BucketOf::new`].
    pub(super) fn new<'r>(
        rows: &'r [Row],
        action_lists: &'r [Uid],
        members: &ActionMembers,
        flat: usize,
    ) -> (Self, ByScope<'r>) {
        let mut uses: BTreeMap<ActionScope<'r>, usize> = BTreeMap::new();
        for scope in rows.iter().filter_map(|row| scope_of(row, action_lists)) {
            *uses.entry(scope).or_default() += 1;
        }
        let told = with_few_members(&uses, members);
        // Which scopes each action is in. Two actions with the same scopes are of one class.
        let mut pairs: Vec<(Uid, u32)> = Vec::new();
        for ((exact, uids), scope) in told.iter().zip(0..) {
            for uid in *uids {
                pairs.push((*uid, scope));
                if !exact {
                    // As many steps as it took to count them.
                    let below = members.below(*uid, &mut STEPS.clone()).unwrap_or_default();
                    pairs.extend(below.into_iter().map(|member| (member, scope)));
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut numbers: BTreeMap<Vec<u32>, u32> = BTreeMap::new();
        let mut class_of = Vec::new();
        let mut of_scope: Vec<Vec<u32>> = vec![Vec::new(); told.len()];
        for scopes in pairs.chunk_by(|(a, _), (b, _)| a == b) {
            let next = as_u32(numbers.len()) + ANY + 1;
            let scopes_of: Vec<u32> = scopes.iter().map(|(_, scope)| *scope).collect();
            let class = *numbers.entry(scopes_of).or_insert(next);
            class_of.extend(scopes.first().map(|(uid, _)| (*uid, class)));
            if class == next {
                for (_, scope) in scopes {
                    of_scope[*scope as usize].push(class);
                }
            }
        }
        let classes = Self {
            class_of: BucketOf::new(&class_of, flat),
            named: numbers.len(),
        };
        let mut places: Vec<_> = told.into_iter().zip(of_scope).collect();
        places.sort_by_key(|(_, classes)| classes.len());
        let mut left = rows.len().saturating_mul(COPIES);
        places.retain(|(scope, classes)| {
            let copies = classes.len() * uses.get(scope).copied().unwrap_or_default();
            left = left.saturating_sub(copies);
            left > 0
        });
        let places = places.into_iter().collect();
        (
            classes,
            ByScope {
                action_lists,
                places,
            },
        )
    }

    /// How many classes there are, [`ANY`] included.
    pub(super) fn count(&self) -> usize {
        self.named + 1
    }

    /// The class of an action.
    #[inline]
    pub(crate) fn of(&self, action: Uid) -> Class {
        Class::new(match action.is_local() {
            true => ANY,
            false => self.class_of.get(action),
        })
    }
}

/// The scopes that are for few actions, as many as [`MEMBERS`] allows.
fn with_few_members<'r>(
    uses: &BTreeMap<ActionScope<'r>, usize>,
    members: &ActionMembers,
) -> Vec<ActionScope<'r>> {
    let mut steps = STEPS;
    let mut count = |(exact, uids): &ActionScope<'r>| match exact {
        true => Some(uids.len()),
        false => uids.iter().try_fold(0, |sum, uid| {
            Some(sum + 1 + members.below(*uid, &mut steps)?.len())
        }),
    };
    let scopes = uses.keys();
    let mut scopes: Vec<_> = scopes
        .filter_map(|scope| Some((count(scope)?, *scope)))
        .collect();
    scopes.sort_unstable();
    let mut left = MEMBERS;
    scopes.retain(|(count, _)| {
        left = left.saturating_sub(*count);
        left > 0
    });
    scopes.into_iter().map(|(_, scope)| scope).collect()
}

impl<'r> ByScope<'r> {
    pub(super) fn places(&self, row: &'r Row) -> Places<'_> {
        match scope_of(row, self.action_lists) {
            None => Places::Classes(&[ANY]),
            Some(scope) => match self.places.get(&scope) {
                Some(classes) => Places::Classes(classes),
                None => Places::Untold,
            },
        }
    }
}
