//! Ancestors that a decision has put together, by entity.

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::entity::Ancestors;
use crate::id::Uid;

/// A hash table in the decision's arena: a request may bring thousands of entities along, or ask for thousands below groups
/// that have moved.
///
/// Uids are numbers in the order in which names were met, so that no caller can make many collide.
pub(super) struct Computed<'a> {
    /// A power of two, at least half of them free; none before the first entity.
    places: Vec<'a, Option<(Uid, Ancestors<'a>)>>,
    len: usize,
}

/// Places of the first table.
const FEW: usize = 16;

impl<'a> Computed<'a> {
    #[inline]
    pub(super) fn new_in(arena: &'a Bump) -> Self {
        Self {
            places: Vec::new_in(arena),
            len: 0,
        }
    }

    pub(super) fn get(&self, uid: Uid) -> Option<Ancestors<'a>> {
        let mut at = self.place(uid)?;
        loop {
            match self.places.get(at)? {
                Some((known, ancestors)) if *known == uid => return Some(*ancestors),
                Some(_) => at = (at + 1) % self.places.len(),
                None => return None,
            }
        }
    }

    /// Adds what [`Self::get`] did not find.
    pub(super) fn insert(&mut self, uid: Uid, ancestors: Ancestors<'a>) {
        if self.len * 2 >= self.places.len() {
            self.grow();
        }
        self.put(uid, ancestors);
        self.len += 1;
    }

    pub(super) fn clear(&mut self) {
        if self.len > 0 {
            self.places.fill(None);
            self.len = 0;
        }
    }

    fn put(&mut self, uid: Uid, ancestors: Ancestors<'a>) {
        let Some(mut at) = self.place(uid) else {
            return;
        };
        while let Some(Some(_)) = self.places.get(at) {
            at = (at + 1) % self.places.len();
        }
        if let Some(place) = self.places.get_mut(at) {
            *place = Some((uid, ancestors));
        }
    }

    fn grow(&mut self) {
        let size = (self.places.len() * 2).max(FEW);
        let mut places = Vec::with_capacity_in(size, self.places.bump());
        places.resize(size, None);
        let old = std::mem::replace(&mut self.places, places);
        for (uid, ancestors) in old.into_iter().flatten() {
            self.put(uid, ancestors);
        }
    }

    /// Where to begin to look: the high bits of a product with the golden ratio, so that neighbours are spread.
    fn place(&self, uid: Uid) -> Option<usize> {
        let size = self.places.len();
        if size == 0 {
            return None;
        }
        let number = uid.index() as u64 * 2 + u64::from(uid.is_local());
        let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        Some(hash as usize % size)
    }
}
