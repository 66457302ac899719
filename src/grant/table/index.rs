//! Which grants rest on what.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ahash::RandomState;

use crate::epoch::Key;

/// By key, the slots of the grants that rest on it.
///
/// Most keys have one grant (a document, a session), a few have all of them (a group, an action). Of a long list nothing is
/// taken out when a grant goes, as it would have to be searched: what is stale is told by asking the slot, and the list is
/// gone through when more than half of it is.
#[derive(Default)]
pub(super) struct Index {
    lists: HashMap<Key, List, RandomState>,
}

enum List {
    One(u32),
    /// Boxed: a list is rare, and an entry stays at 24 bytes.
    Many(Box<Many>),
}

struct Many {
    /// Slots, some of which may be stale or there twice.
    slots: Vec<u32>,
    /// How many are neither.
    live: usize,
}

/// An index of so many keys is not made smaller.
const SMALL: usize = 128;

/// A list of up to so many stale slots is left alone.
const SLACK: usize = 8;

impl Index {
    pub(super) fn insert(&mut self, key: Key, slot: u32) {
        match self.lists.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(List::One(slot));
            }
            Entry::Occupied(mut entry) => match entry.get_mut() {
                List::Many(many) => {
                    many.slots.push(slot);
                    many.live += 1;
                }
                List::One(other) => {
                    let slots = vec![*other, slot];
                    entry.insert(List::Many(Box::new(Many { slots, live: 2 })));
                }
            },
        }
    }

    /// Takes a slot out. `rests` says whether the grant in a slot rests on the key, that slot's no more.
    pub(super) fn remove(&mut self, key: Key, rests: impl Fn(u32) -> bool) {
        let Entry::Occupied(mut entry) = self.lists.entry(key) else {
            return;
        };
        let List::Many(many) = entry.get_mut() else {
            entry.remove();
            self.shrink();
            return;
        };
        many.live = many.live.saturating_sub(1);
        if many.live == 0 {
            entry.remove();
            self.shrink();
        } else if many.slots.len() > 2 * many.live + SLACK {
            many.slots.retain(|slot| rests(*slot));
            many.slots.sort_unstable();
            many.slots.dedup();
            many.slots.shrink_to_fit();
            many.live = many.slots.len();
        }
    }

    /// Gives memory back when most of it is empty: seldom enough that each removal pays for a bit of it.
    fn shrink(&mut self) {
        let len = self.lists.len();
        if self.lists.capacity() > 8 * len.max(SMALL) {
            self.lists.shrink_to(2 * len);
        }
    }

    /// The slots of the grants that rest on the key, some of them stale or twice.
    pub(super) fn slots(&self, key: Key) -> &[u32] {
        match self.lists.get(&key) {
            None => &[],
            Some(List::One(slot)) => std::slice::from_ref(slot),
            Some(List::Many(many)) => &many.slots,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }
}
