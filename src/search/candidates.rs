//! Where candidates come from.

use std::collections::HashSet;

use bumpalo::Bump;

use crate::entity::{EntityData, Snapshot};
use crate::epoch::Epoch;
use crate::eval::Machine;
use crate::id::Uid;

use super::plan::{Extent, Plan};

/// The candidates of a search, in the order of their numbers.
#[derive(Debug)]
pub(crate) enum Candidates {
    None,
    /// Everything in the store.
    Store {
        /// All of the type are allowed.
        untested: bool,
    },
    /// Single entities, and what is directly below these groups.
    Below {
        ones: Vec<Uid>,
        groups: Vec<Uid>,
        /// All of the type that are below the groups are allowed.
        untested: bool,
    },
}

/// How far a search may go before it is asked again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) results: usize,
    pub(crate) entities: usize,
}

/// How far it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// The first entity that was not looked at; `None` when all were.
    pub(crate) next: Option<Uid>,
    pub(crate) entities: usize,
}

/// From this many groups on, merging their members costs as much as looking at everything.
const MANY_GROUPS: usize = 4096;

/// Conditions may build sets and records: when the candidates so far have left this many bytes, the search stops for
/// the arena to be emptied.
const ARENA: usize = 1 << 20;

impl Candidates {
    pub(crate) fn new(plan: &Plan, snapshot: &Snapshot) -> Self {
        match plan.extent() {
            Extent::Nobody => Self::None,
            Extent::Everybody => Self::Store { untested: true },
            Extent::Each => Self::Store { untested: false },
            Extent::Below => match groups_below(plan, snapshot) {
                Some(groups) => Self::Below {
                    ones: plan.ones().collect(),
                    groups,
                    untested: plan.is_certain(),
                },
                None => Self::Store { untested: false },
            },
        }
    }

    /// Looks at candidates from `first` on and adds those that are allowed to `found`.
    pub(crate) fn search<'a>(
        &self,
        plan: &mut Plan,
        machines: &mut [Machine<'a>],
        epoch: &'a Epoch,
        first: Uid,
        bounds: Bounds,
        found: &mut Vec<Uid>,
    ) -> Progress {
        let mut walk = Walk {
            full: found.len().saturating_add(bounds.results),
            found,
            entities: 0,
            most: bounds.entities,
        };
        let snapshot = &epoch.snapshot;
        let type_id = Some(plan.type_id);
        let is_of_type = |uid: Uid| snapshot.names.type_of(uid) == type_id;
        let arena = machines.first().map(Machine::arena);
        let used = || arena.map_or(0, Bump::allocated_bytes);
        let full = used().saturating_add(ARENA);
        let mut allows = |uid: Uid, data: &'a EntityData| {
            is_of_type(uid) && plan.allows(machines, epoch, uid, data)
        };
        let next = match self {
            Self::None => None,
            Self::Store { untested: true } => {
                let store = snapshot.iter_from(first).map(|(uid, _)| (uid, ()));
                walk.over(store, |uid, ()| Some(is_of_type(uid)))
            }
            Self::Store { untested: false } => {
                let store = snapshot.iter_from(first);
                walk.over(store, |uid, data| {
                    (used() <= full).then(|| allows(uid, data))
                })
            }
            Self::Below {
                ones,
                groups,
                untested,
            } => {
                let members = groups
                    .iter()
                    .map(|group| snapshot.members().of_group(*group));
                let merged = Merged::new(std::iter::once(&ones[..]).chain(members), first);
                walk.over(merged, |uid, is_one| {
                    // The first list is that of single entities; in the others are stored ones alone.
                    if *untested && !is_one {
                        return Some(is_of_type(uid));
                    }
                    let data = snapshot.entity(uid);
                    (used() <= full).then(|| data.is_some_and(|data| allows(uid, data)))
                })
            }
        };
        Progress {
            next,
            entities: walk.entities,
        }
    }
}

/// A walk over candidates that stops at its bounds.
struct Walk<'f> {
    found: &'f mut Vec<Uid>,
    /// As many results as there may be.
    full: usize,
    entities: usize,
    most: usize,
}

impl Walk<'_> {
    /// Where it stopped, if not at the end. `is_allowed` gives `None` to stop before a candidate.
    #[inline(always)]
    fn over<T>(
        &mut self,
        candidates: impl Iterator<Item = (Uid, T)>,
        mut is_allowed: impl FnMut(Uid, T) -> Option<bool>,
    ) -> Option<Uid> {
        for (uid, with) in candidates {
            if self.found.len() == self.full || self.entities == self.most {
                return Some(uid);
            }
            match is_allowed(uid, with) {
                None => return Some(uid),
                Some(true) => self.found.push(uid),
                Some(false) => {}
            }
            self.entities += 1;
        }
        None
    }
}

/// The groups that permit what is below them, with all groups below those; `None` when there is so much below them that
/// looking at everything is as good.
fn groups_below(plan: &Plan, snapshot: &Snapshot) -> Option<Vec<Uid>> {
    let mut groups: Vec<Uid> = plan.permitting_groups().collect();
    if groups.is_empty() {
        return Some(groups);
    }
    let members = snapshot.members();
    let mut seen: HashSet<Uid> = groups.iter().copied().collect();
    let (mut entities, mut at) = (0, 0);
    while let Some(group) = groups.get(at).copied() {
        entities += members.of_group(group).len();
        if groups.len() > MANY_GROUPS || entities > snapshot.len() / 4 {
            return None;
        }
        groups.extend(members.groups_of(group).filter(|below| seen.insert(*below)));
        at += 1;
    }
    Some(groups)
}

/// Sorted lists as one, each entity once.
///
/// A stretch of numbers at a time, with a bit for each that is in a list. *Rejected:* a heap of the lists' heads, which
/// costs a thousand lists ten steps an entity, and sorting what is in all of them, which the first page would wait for.
struct Merged<'l> {
    /// What of each list is behind the stretch; none is empty.
    rest: Vec<Rest<'l>>,
    /// Bits of what is in the first list, and of what is in the others.
    bits: Vec<(u64, u64)>,
    /// The number that the first bit stands for.
    start: usize,
    /// The first word that has bits left, or a word before it.
    at: usize,
}

struct Rest<'l> {
    is_first: bool,
    list: &'l [Uid],
}

/// The words of a stretch: two of them fit into the nearest cache.
const WORDS: usize = 1 << 10;

impl<'l> Merged<'l> {
    /// From `first` on.
    fn new(lists: impl Iterator<Item = &'l [Uid]>, first: Uid) -> Self {
        let rest = lists.enumerate().map(|(number, list)| {
            let start = list.partition_point(|uid| *uid < first);
            Rest {
                is_first: number == 0,
                list: list.get(start..).unwrap_or_default(),
            }
        });
        Self {
            rest: rest.filter(|rest| !rest.list.is_empty()).collect(),
            bits: vec![(0, 0); WORDS],
            start: 0,
            at: WORDS,
        }
    }

    /// Goes on to the next stretch that has something.
    fn advance(&mut self) -> Option<()> {
        let heads = self.rest.iter().filter_map(|rest| rest.list.first());
        let size = WORDS * 64;
        self.start = heads.min()?.index() / size * size;
        self.at = 0;
        let Self {
            rest, bits, start, ..
        } = self;
        rest.retain_mut(|Rest { is_first, list }| {
            while let Some((uid, behind)) = list.split_first()
                && let Some((first, others)) = bits.get_mut((uid.index() - *start) / 64)
            {
                let word = if *is_first { first } else { others };
                *word |= 1 << (uid.index() % 64);
                *list = behind;
            }
            !list.is_empty()
        });
        Some(())
    }
}

impl Iterator for Merged<'_> {
    /// The entity, and whether it is in the first list.
    type Item = (Uid, bool);

    #[inline]
    fn next(&mut self) -> Option<(Uid, bool)> {
        loop {
            let Some((first, others)) = self.bits.get_mut(self.at) else {
                self.advance()?;
                continue;
            };
            let all = *first | *others;
            if all == 0 {
                self.at += 1;
                continue;
            }
            let bit = all & all.wrapping_neg();
            let is_first = *first & bit != 0;
            *first &= !bit;
            *others &= !bit;
            let uid = Uid::known(self.start + self.at * 64 + bit.trailing_zeros() as usize)?;
            return Some((uid, is_first));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_merged_from_a_place_on() {
        let lists: [&[usize]; 5] = [
            &[3, 64, 200_000],
            &[0, 3, 5, 65_535, 65_536, 1_000_000],
            &[],
            &[1, 5, 127, 128, 65_536, 1_000_001],
            &[2],
        ];
        let uid = |number: &usize| Uid::known(*number).unwrap();
        let lists = lists.map(|list| list.iter().map(uid).collect::<Vec<_>>());
        for first in [0, 1, 4, 64, 65_536, 200_000, 200_001, 2_000_000] {
            let lists = || lists.iter().map(|list| &list[..]);
            let mut wanted: Vec<_> = lists()
                .flatten()
                .filter(|uid| uid.index() >= first)
                .map(|uid| (*uid, lists().next().unwrap().contains(uid)))
                .collect();
            wanted.sort_unstable();
            wanted.dedup();
            let merged = Merged::new(lists(), uid(&first));
            assert_eq!(merged.collect::<Vec<_>>(), wanted);
        }
    }
}
