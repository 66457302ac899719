//! What is above an entity, as decisions ask for it.

use std::sync::Arc;

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::id::Uid;

/// An entity's ancestors: one list, or the closures of its parents one after the other where a group among them has
/// moved.
///
/// Those are not merged. Merging the two lists of twenty that a leaf of a deep hierarchy has takes 2,800 instructions,
/// as many as the rest of the decision; most decisions ask for fewer than five ancestors by name.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ancestors<'a> {
    /// Sorted, as all lists are. Most entities have no other.
    first: &'a [Uid],
    /// Those of further parents. An ancestor may be in several lists.
    more: &'a [&'a [Uid]],
    signature: Signature,
}

/// The list that an entity keeps.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    uids: Uids,
    signature: Signature,
}

const _: () = assert!(size_of::<List>() == 24, "a row is half a cache line");

/// One or two stand in the row itself: what is behind a pointer is a load from far memory for most entities of a large store, and
/// a tenth of a decision.
#[derive(Clone, Debug)]
enum Uids {
    /// In order; one is there twice.
    Few([Uid; 2]),
    Many(Arc<[Uid]>),
}

impl Default for Uids {
    fn default() -> Self {
        Self::Many(Arc::default())
    }
}

impl List {
    /// A sorted list without duplicates.
    pub(super) fn new(list: &Arc<[Uid]>, signature: Signature) -> Self {
        let uids = match **list {
            [one] => Uids::Few([one, one]),
            [one, other] => Uids::Few([one, other]),
            _ => Uids::Many(Arc::clone(list)),
        };
        Self { uids, signature }
    }

    #[inline]
    pub(super) fn signature(&self) -> Signature {
        self.signature
    }

    #[inline]
    pub(super) fn ancestors(&self) -> Ancestors<'_> {
        let list = match &self.uids {
            Uids::Few(two) => {
                let [one, other] = two;
                // A sum, and nothing to guess.
                two.get(..1 + usize::from(one != other)).unwrap_or_default()
            }
            Uids::Many(list) => list,
        };
        Ancestors::of_closure(list, self.signature)
    }
}

/// A list of ancestors as a set of 64 bits: what is not in the set is not in the list.
///
/// Most of what decisions ask for is not there. Of a list of ten, six in seven of those questions end here, after
/// four instructions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signature(u64);

impl Signature {
    pub(super) fn of(uids: &[Uid]) -> Self {
        Self(uids.iter().fold(0, |bits, uid| bits | Self::bit(*uid)))
    }

    /// Whether the lists may have something in common.
    #[inline]
    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn insert(&mut self, uid: Uid) {
        self.0 |= Self::bit(uid);
    }

    #[inline]
    fn bit(uid: Uid) -> u64 {
        1 << (uid.index() % 64)
    }
}

impl<'a> Ancestors<'a> {
    /// One sorted list.
    pub(crate) fn of(list: &'a [Uid]) -> Self {
        Self::of_closure(list, Signature::of(list))
    }

    #[inline]
    pub(super) fn of_closure(list: &'a [Uid], signature: Signature) -> Self {
        Self {
            first: list,
            more: &[],
            signature,
        }
    }

    /// Several closures.
    pub(super) fn of_each(
        arena: &'a Bump,
        mut closures: impl ExactSizeIterator<Item = (&'a [Uid], Signature)>,
    ) -> Self {
        let (first, mut signature) = closures.next().unwrap_or_default();
        let more = arena.alloc_slice_fill_iter(closures.map(|(list, bits)| {
            signature.0 |= bits.0;
            list
        }));
        Self {
            first,
            more,
            signature,
        }
    }

    #[inline]
    pub(crate) fn contains(self, uid: Uid) -> bool {
        self.signature.0 & Signature::bit(uid) != 0 && self.lists_contain(uid)
    }

    #[inline(never)]
    fn lists_contain(self, uid: Uid) -> bool {
        contains(self.first, uid) || self.more.iter().any(|list| contains(list, uid))
    }

    pub(crate) fn is_empty(self) -> bool {
        self.first.is_empty() && self.more.is_empty()
    }

    /// How many there are, those counted twice that are in two lists.
    #[inline]
    pub(crate) fn at_most(self) -> usize {
        self.first.len() + self.more.iter().map(|list| list.len()).sum::<usize>()
    }

    /// Whether `found` holds for one of them; some may be asked about twice.
    pub(crate) fn any(self, mut found: impl FnMut(Uid) -> bool) -> bool {
        let mut any = |list: &[Uid]| list.iter().any(|uid| found(*uid));
        any(self.first) || self.more.iter().any(|list| any(list))
    }

    /// All of them, if they are one list of at most so many.
    #[inline(always)]
    pub(crate) fn few(self, most: usize) -> Option<&'a [Uid]> {
        (self.more.is_empty() && self.first.len() <= most).then_some(self.first)
    }

    /// Calls `visit` once for each ancestor that is `wanted`.
    #[inline(always)]
    pub(crate) fn each(self, wanted: impl Fn(Uid) -> bool, mut visit: impl FnMut(Uid)) {
        let mut lists = self.more.iter();
        let mut list = self.first;
        let mut met = 0;
        loop {
            for uid in list {
                // Few are wanted, so whether one was met before is asked only then.
                if wanted(*uid) && !(met > 0 && self.met(*uid, met)) {
                    visit(*uid);
                }
            }
            let Some(next) = lists.next() else { return };
            list = next;
            met += 1;
        }
    }

    /// Whether one of the first `lists` lists has `uid`.
    #[inline(never)]
    fn met(self, uid: Uid, lists: usize) -> bool {
        contains(self.first, uid)
            || self
                .more
                .iter()
                .take(lists - 1)
                .any(|list| contains(list, uid))
    }

    /// All of them in one list, sorted.
    pub(crate) fn merged(self, arena: &'a Bump) -> &'a [Uid] {
        if self.more.is_empty() {
            return self.first;
        }
        let mut merged = Vec::with_capacity_in(self.at_most(), arena);
        merged.extend_from_slice_copy(self.first);
        for list in self.more {
            merged.extend_from_slice_copy(list);
        }
        merged.sort_unstable();
        merged.dedup();
        merged.into_bump_slice()
    }
}

/// Whether a sorted list has `uid`. Short lists are walked: one or two cache lines, and no branch to mispredict.
#[inline]
fn contains(uids: &[Uid], uid: Uid) -> bool {
    if uids.len() <= 16 {
        uids.contains(&uid)
    } else {
        uids.binary_search(&uid).is_ok()
    }
}
