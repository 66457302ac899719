//! Request-scoped entities: they stand over the store for one call.
//!
//! Deciding with an overlay is deciding on the store after `Entities::upsert_entities`: an overlay entity
//! replaces the stored one whole, and its parents count for whatever is below it, stored or not. The store is
//! neither copied nor touched.

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
        self.entities
            .iter()
            .any(|entity| uids.binary_search(&entity.uid).is_ok())
    }

    /// The ancestors of `uid` with the overlay in force, sorted. `parents` gives a stored entity's direct parents,
    /// `closure` a stored group with its ancestors.
    pub(crate) fn ancestors<'s>(
        &self,
        arena: &'a Bump,
        uid: Uid,
        parents: impl Fn(Uid) -> Option<&'s [Uid]>,
        closure: impl Fn(Uid) -> Option<&'s [Uid]>,
    ) -> &'a [Uid] {
        let parents = |uid| match self.get(uid) {
            Some(entity) => entity.parents,
            None => parents(uid).unwrap_or_default(),
        };
        let mut found: Vec<'a, Uid> = Vec::new_in(arena);
        let mut open: Vec<'a, Uid> = Vec::new_in(arena);
        open.extend_from_slice_copy(parents(uid));
        while let Some(next) = open.pop() {
            let Err(at) = found.binary_search(&next) else {
                continue;
            };
            match closure(next) {
                // All of it as it is stored: `next` and what is above.
                Some(above) if !self.touches(above) => {
                    for above in above {
                        if let Err(at) = found.binary_search(above) {
                            found.insert(at, *above);
                        }
                    }
                }
                _ => {
                    found.insert(at, next);
                    open.extend_from_slice_copy(parents(next));
                }
            }
        }
        found.into_bump_slice()
    }
}
