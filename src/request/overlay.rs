//! Request-scoped entities: they stand over the store for one call.
//!
//! Deciding with an overlay is deciding on the store after `Entities::upsert_entities`: an overlay entity
//! replaces the stored one whole, and its parents count for whatever is below it, stored or not. The store is
//! neither copied nor touched.

use ahash::RandomState;
use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::id::Uid;
use crate::value::Record;

/// One request-scoped entity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverlayEntity<'a> {
    pub(crate) uid: Uid,
    pub(crate) attrs: Record<'a>,
    pub(crate) tags: Record<'a>,
    pub(crate) parents: &'a [Uid],
}

/// The entities of one request, sorted by uid.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overlay<'a> {
    entities: &'a [OverlayEntity<'a>],
}

impl<'a> Overlay<'a> {
    /// An overlay of `entities` in any order; a uid that occurs twice is given back.
    pub(crate) fn new(mut entities: Vec<'a, OverlayEntity<'a>>) -> Result<Self, Uid> {
        entities.sort_unstable_by_key(|entity| entity.uid);
        let twice = entities.windows(2).find_map(|pair| match pair {
            [a, b] if a.uid == b.uid => Some(a.uid),
            _ => None,
        });
        match twice {
            Some(uid) => Err(uid),
            None => Ok(Self {
                entities: entities.into_bump_slice(),
            }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    pub(crate) fn entities(&self) -> &'a [OverlayEntity<'a>] {
        self.entities
    }

    pub(crate) fn get(&self, uid: Uid) -> Option<&'a OverlayEntity<'a>> {
        let found = self
            .entities
            .binary_search_by_key(&uid, |entity| entity.uid)
            .ok()?;
        self.entities.get(found)
    }

    /// Whether any of `uids` (sorted) is an overlay entity.
    fn touches(&self, uids: &[Uid]) -> bool {
        // A group has a few above it, an overlay may be long, and the other way around.
        if uids.len() < self.entities.len() {
            return uids.iter().any(|uid| self.get(*uid).is_some());
        }
        self.entities
            .iter()
            .any(|entity| uids.binary_search(&entity.uid).is_ok())
    }

    /// The ancestors of `uid` with the overlay in force, sorted.
    pub(crate) fn ancestors(&self, arena: &'a Bump, uid: Uid, stored: &impl Above) -> &'a [Uid] {
        let mut open: Vec<'a, Uid> = Vec::new_in(arena);
        open.extend_from_slice_copy(self.parents(uid, stored));
        self.with_above(arena, open, stored)
    }

    /// All that is above any entity of the overlay, sorted.
    pub(crate) fn all_ancestors(&self, arena: &'a Bump, stored: &impl Above) -> &'a [Uid] {
        let mut open: Vec<'a, Uid> = Vec::new_in(arena);
        for entity in self.entities {
            open.extend_from_slice_copy(entity.parents);
        }
        self.with_above(arena, open, stored)
    }

    /// These and what is above them, sorted.
    fn with_above(
        &self,
        arena: &'a Bump,
        mut open: Vec<'a, Uid>,
        stored: &impl Above,
    ) -> &'a [Uid] {
        let mut met = Met::new_in(arena);
        while let Some(next) = open.pop() {
            if !met.insert(next) {
                continue;
            }
            match stored.closure(next) {
                // All of it as it is stored: `next` and what is above.
                Some(above) if !self.touches(above) => {
                    above.iter().for_each(|above| _ = met.insert(*above));
                }
                _ => open.extend_from_slice_copy(self.parents(next, stored)),
            }
        }
        met.sorted()
    }

    /// An entity of the overlay that is its own ancestor. What is stored has no cycle, so each goes through the overlay.
    ///
    /// Every entity is looked at once. Asking for the ancestors of each in turn took minutes for a thousand in a chain below
    /// forty thousand.
    pub(crate) fn cycle(&self, arena: &Bump, stored: &impl Above) -> Option<Uid> {
        match self.is_low(stored) {
            true => None,
            false => self.cycle_in_walk(arena, stored),
        }
    }

    /// Whether nothing of the overlay has an entity of it above itself, as far as a look or two at a few tell: most requests
    /// bring along what nobody is below.
    fn is_low(&self, stored: &impl Above) -> bool {
        let mut parents = self.entities.iter().flat_map(|entity| entity.parents);
        self.entities.len() <= FEW
            && parents.clone().take(FEW + 1).count() <= FEW
            && parents.all(|parent| self.is_out_of_reach(*parent, stored))
    }

    /// Whether an entity is none of the overlay's and below none of it. What is stored and nobody's parent is below the groups that
    /// are its parents.
    fn is_out_of_reach(&self, uid: Uid, stored: &impl Above) -> bool {
        let is_group = |uid| {
            let closure = stored.closure(uid);
            closure.is_some_and(|above| !self.touches(above))
        };
        let below_groups = || {
            let parents = stored.parents(uid).unwrap_or_default();
            parents.iter().all(|parent| is_group(*parent))
        };
        is_group(uid) || (self.get(uid).is_none() && below_groups())
    }

    fn cycle_in_walk(&self, arena: &Bump, stored: &impl Above) -> Option<Uid> {
        let (mut entered, mut left) = (Met::new_in(arena), Met::new_in(arena));
        // The way from an entity up, each with its parents that were not followed yet.
        let mut way: Vec<'_, (Uid, &[Uid])> = Vec::new_in(arena);
        for entity in self.entities {
            if !entity.parents.is_empty() && entered.insert(entity.uid) {
                way.push((entity.uid, entity.parents));
            }
            while let Some((uid, parents)) = way.last_mut() {
                let Some((next, rest)) = parents.split_first() else {
                    left.insert(*uid);
                    way.pop();
                    continue;
                };
                *parents = rest;
                if entered.insert(*next) {
                    match stored.closure(*next) {
                        Some(above) if !self.touches(above) => _ = left.insert(*next),
                        _ => way.push((*next, self.parents(*next, stored))),
                    }
                } else if !left.contains(*next) {
                    // It is on the way: it was entered and not left.
                    let begin = way
                        .iter()
                        .position(|(uid, _)| uid == next)
                        .unwrap_or_default();
                    let circle = way.iter().skip(begin).map(|(uid, _)| *uid);
                    return circle.filter(|uid| self.get(*uid).is_some()).min();
                }
            }
        }
        None
    }

    fn parents<'s>(&self, uid: Uid, stored: &'s impl Above) -> &'s [Uid]
    where
        'a: 's,
    {
        match self.get(uid) {
            Some(entity) => entity.parents,
            None => stored.parents(uid).unwrap_or_default(),
        }
    }
}

/// What is stored above an entity.
pub(crate) trait Above {
    /// A stored entity's direct parents.
    fn parents(&self, uid: Uid) -> Option<&[Uid]>;
    /// A stored group with its ancestors, sorted.
    fn closure(&self, uid: Uid) -> Option<&[Uid]>;
}

/// Entities that were met. Most requests bring one or two along, with a handful above them, and those are looked for one by
/// one.
struct Met<'a> {
    uids: Vec<'a, Uid>,
    /// Once there are more than [`FEW`]: where the hash of each says, or behind. At most half of the places are taken.
    places: Vec<'a, Option<Uid>>,
    hasher: Option<RandomState>,
}

/// Up to this many a walk is cheaper than a hash.
const FEW: usize = 16;

impl<'a> Met<'a> {
    fn new_in(arena: &'a Bump) -> Self {
        Self {
            uids: Vec::new_in(arena),
            places: Vec::new_in(arena),
            hasher: None,
        }
    }

    fn contains(&self, uid: Uid) -> bool {
        match self.place(uid) {
            Some(place) => self.places[place].is_some(),
            None => self.uids.contains(&uid),
        }
    }

    /// Whether it is met for the first time.
    fn insert(&mut self, uid: Uid) -> bool {
        if self.contains(uid) {
            return false;
        }
        self.uids.push(uid);
        if self.uids.len() > FEW.max(self.places.len() / 2) {
            self.spread();
        } else if let Some(place) = self.place(uid) {
            self.places[place] = Some(uid);
        }
        true
    }

    /// The place of `uid`, or the vacant one that it would get; `None` as long as there are no places.
    fn place(&self, uid: Uid) -> Option<usize> {
        let last = self.places.len().checked_sub(1)?;
        let hash = self.hasher.as_ref()?.hash_one(uid);
        // The number of places is a power of two.
        let mut place = hash as usize & last;
        while self.places[place].is_some_and(|other| other != uid) {
            place = (place + 1) & last;
        }
        Some(place)
    }

    /// Gives everything a place among four times as many.
    #[cold]
    fn spread(&mut self) {
        self.hasher.get_or_insert_with(RandomState::new);
        let places = (4 * self.uids.len()).next_power_of_two();
        self.places.clear();
        self.places.resize(places, None);
        for number in 0..self.uids.len() {
            let uid = self.uids[number];
            if let Some(place) = self.place(uid) {
                self.places[place] = Some(uid);
            }
        }
    }

    fn sorted(mut self) -> &'a [Uid] {
        self.uids.sort_unstable();
        self.uids.into_bump_slice()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed assumption must fail the test")]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const STORED: usize = 60;

    /// Stored entities: each one's parents, and what is above those that are parents.
    struct Stored {
        parents: std::vec::Vec<std::vec::Vec<Uid>>,
        closures: std::vec::Vec<Option<std::vec::Vec<Uid>>>,
    }

    impl Stored {
        /// Whoever is above has the higher number: no cycles.
        fn new(parents: &[std::vec::Vec<usize>]) -> Self {
            let above = |(own, parents): (usize, &std::vec::Vec<usize>)| {
                let above = parents.iter().map(|step| own + 1 + step);
                above.filter(|above| *above < STORED).map(uid).collect()
            };
            let parents: std::vec::Vec<std::vec::Vec<Uid>> =
                parents.iter().enumerate().map(above).collect();
            let groups: BTreeSet<Uid> = parents.iter().flatten().copied().collect();
            let mut stored = Self {
                parents,
                closures: vec![None; STORED],
            };
            for number in 0..STORED {
                if groups.contains(&uid(number)) {
                    let mut closure = one_by_one(uid(number), |of| stored.parents_of(of));
                    closure.insert(uid(number));
                    stored.closures[number] = Some(closure.into_iter().collect());
                }
            }
            stored
        }

        fn parents_of(&self, uid: Uid) -> &[Uid] {
            self.parents.get(uid.index()).map_or(&[], |parents| parents)
        }
    }

    impl Above for Stored {
        fn parents(&self, uid: Uid) -> Option<&[Uid]> {
            self.parents.get(uid.index()).map(|parents| &**parents)
        }

        fn closure(&self, uid: Uid) -> Option<&[Uid]> {
            self.closures.get(uid.index())?.as_deref()
        }
    }

    fn uid(number: usize) -> Uid {
        Uid::known(number).unwrap()
    }

    fn one_by_one<'a>(uid: Uid, parents: impl Fn(Uid) -> &'a [Uid]) -> BTreeSet<Uid> {
        let mut found = BTreeSet::new();
        let mut open = parents(uid).to_vec();
        while let Some(next) = open.pop() {
            if found.insert(next) {
                open.extend(parents(next));
            }
        }
        found
    }

    proptest! {
        /// With a store of sixty, more are met than are walked, and an overlay that few or many are below.
        #[test]
        fn ancestors_and_cycles_are_those_of_one_step_after_the_other(
            stored in vec(vec(0..STORED / 4, 0..3), STORED),
            over in vec((0..STORED + 4, vec(0..STORED + 4, 0..3)), 0..12),
        ) {
            let stored = Stored::new(&stored);
            let arena = Bump::new();
            let mut entities = Vec::new_in(&arena);
            for (number, parents) in over {
                if entities.iter().all(|entity: &OverlayEntity<'_>| entity.uid != uid(number)) {
                    entities.push(OverlayEntity {
                        uid: uid(number),
                        attrs: Record::Built(&(&[] as &[_])),
                        tags: Record::Built(&(&[] as &[_])),
                        parents: arena.alloc_slice_fill_iter(parents.into_iter().map(uid)),
                    });
                }
            }
            let overlay = Overlay::new(entities).unwrap();
            let parents = |uid| match overlay.get(uid) {
                Some(entity) => entity.parents,
                None => stored.parents_of(uid),
            };
            for number in 0..STORED + 4 {
                let expected: std::vec::Vec<Uid> =
                    one_by_one(uid(number), parents).into_iter().collect();
                prop_assert_eq!(overlay.ancestors(&arena, uid(number), &stored), expected);
            }
            let all = overlay.entities().iter().flat_map(|entity| one_by_one(entity.uid, parents));
            let all: BTreeSet<Uid> = all.collect();
            let expected: std::vec::Vec<Uid> = all.into_iter().collect();
            prop_assert_eq!(overlay.all_ancestors(&arena, &stored), expected);
            let mut own = overlay.entities().iter().map(|entity| entity.uid);
            let in_a_circle = |of: &Uid| one_by_one(*of, parents).contains(of);
            match overlay.cycle(&arena, &stored) {
                Some(found) => prop_assert!(overlay.get(found).is_some() && in_a_circle(&found)),
                None => prop_assert_eq!(own.find(in_a_circle), None),
            }
        }
    }
}
