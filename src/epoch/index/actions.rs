//! Actions: what is below groups of them, and which scopes of policies they match.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bumpalo::Bump;

use crate::entity::Snapshot;
use crate::id::Uid;

use super::super::link::{ActionTest, Row};
use super::buckets::BucketOf;

/// What is below each action group, from the stored hierarchy. Found by a walk over all entities, and so once for
/// all programs that are linked to them.
#[derive(Debug)]
pub(crate) struct ActionMembers {
    /// All stored actions, sorted.
    pub(crate) actions: Vec<Uid>,
    /// Group and member, sorted.
    pairs: Vec<(Uid, Uid)>,
}

impl ActionMembers {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let arena = Bump::new();
        let (mut actions, mut pairs) = (Vec::new(), Vec::new());
        for (uid, data) in snapshot.actions() {
            actions.push(uid);
            let ancestors = snapshot.ancestors(&arena, data).merged(&arena);
            pairs.extend(ancestors.iter().map(|above| (*above, uid)));
        }
        pairs.sort_unstable();
        Self { actions, pairs }
    }

    pub(super) fn below(&self, group: Uid) -> impl Iterator<Item = Uid> {
        let start = self.pairs.partition_point(|(above, _)| *above < group);
        self.pairs[start..]
            .iter()
            .take_while(move |(above, _)| *above == group)
            .map(|(_, member)| *member)
    }
}

/// Which of the different action tests of the policies an action passes, as a set of bits: how many actions a policy
/// lists, and how deep in groups they are, is no matter for a decision.
#[derive(Debug, Default)]
pub(crate) struct ActionSets {
    /// By action: the number of its bits plus one; 0 for actions that no policy names and that are in no group.
    bits_of: BucketOf,
    bits: Vec<u64>,
    /// How many words each action has.
    words: usize,
}

/// The sets of actions that one action is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActionBits<'i>(&'i [u64]);

/// Any action. No test has another number that is 0.
pub(super) const ANY: u32 = 0;

/// A set that has no bit: its policies are asked one by one.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// How many bits there may be for all actions together: 4 MiB, where 100,000 policies that each list other ones of 20
/// actions need 250 kB. If that is not enough, the sets that fewest policies use have none.
const BITS: usize = 1 << 25;

/// What an action has to be: one of these, or (unless exact) in one of these.
type ActionScope<'r> = (bool, &'r [Uid]);

fn scope_of<'r>(row: &'r Row, action_lists: &'r [Uid]) -> Option<ActionScope<'r>> {
    match &row.action {
        ActionTest::Any => None,
        ActionTest::Eq(uid) => Some((true, std::slice::from_ref(uid))),
        ActionTest::In(list) => Some((false, list.of(action_lists))),
    }
}

impl ActionSets {
    /// And by row the number of its set.
    pub(super) fn new(
        rows: &[Row],
        action_lists: &[Uid],
        members: &ActionMembers,
        flat: usize,
    ) -> (Self, Vec<u32>) {
        let mut uses: BTreeMap<ActionScope<'_>, usize> = BTreeMap::new();
        for scope in rows.iter().filter_map(|row| scope_of(row, action_lists)) {
            *uses.entry(scope).or_default() += 1;
        }
        let mut by_use: Vec<_> = uses.into_iter().collect();
        by_use.sort_by_key(|(_, uses)| Reverse(*uses));
        let named: BTreeSet<Uid> = by_use
            .iter()
            .flat_map(|((_, uids), _)| *uids)
            .flat_map(|uid| std::iter::once(*uid).chain(members.below(*uid)))
            .collect();
        by_use.truncate(BITS / (named.len() + 1));
        let numbers: BTreeMap<ActionScope<'_>, u32> = by_use
            .iter()
            .map(|(scope, _)| *scope)
            .zip(ANY + 1..)
            .collect();

        let mut pairs = Vec::new();
        for ((exact, uids), set) in &numbers {
            for uid in *uids {
                pairs.push((*uid, *set));
                if !exact {
                    pairs.extend(members.below(*uid).map(|member| (member, *set)));
                }
            }
        }
        pairs.sort_unstable();
        let words = numbers.len() / 64 + 1;
        // The first are those of actions that are in no set: for them there are policies for any action.
        let mut bits = vec![0; words];
        let mut actions = Vec::new();
        for sets in pairs.chunk_by(|(a, _), (b, _)| a == b) {
            actions.extend(sets.first().map(|(uid, _)| *uid));
            let start = bits.len();
            bits.resize(start + words, 0);
            for (_, set) in sets {
                bits[start + *set as usize / 64] |= 1 << (set % 64);
            }
        }
        for first in bits.iter_mut().step_by(words) {
            *first |= 1 << ANY;
        }
        let sets = Self {
            bits_of: BucketOf::new(&actions, flat),
            bits,
            words,
        };
        let set_of = |row| match scope_of(row, action_lists) {
            None => ANY,
            Some(scope) => numbers.get(&scope).copied().unwrap_or(UNKNOWN),
        };
        (sets, rows.iter().map(set_of).collect())
    }

    /// The sets that an action is in.
    #[inline]
    pub(crate) fn of(&self, action: Uid) -> ActionBits<'_> {
        let number = match action.is_local() {
            true => 0,
            false => self.bits_of.get(action) as usize,
        };
        let start = number * self.words;
        ActionBits(self.bits.get(start..start + self.words).unwrap_or_default())
    }
}

impl ActionBits<'_> {
    /// Whether the action is in a set, [`UNKNOWN`] excepted.
    #[inline]
    pub(crate) fn has(self, set: u32) -> bool {
        let word = self.0.get(set as usize / 64);
        word.is_some_and(|word| word & (1 << (set % 64)) != 0)
    }
}
