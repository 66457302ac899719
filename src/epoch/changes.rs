//! What has changed since when: a few loads tell a grant that nothing it rests on has.
//!
//! Each thing that a decision can rest on (the parents of an entity, one of its attributes, one of its tags) is a
//! [`Key`], a keyed hash of its name. For each of so many buckets of keys there is a stamp, the number of the last epoch
//! that changed something in it. Whoever decided on epoch `e` and has kept its keys is out of date only if one of their
//! stamps is above `e`. Two keys in one bucket cost a decision that was not needed, never one that is missing.
//!
//! **Order.** A writer stamps, then stores the epoch's number in `latest` (release), then swaps the epoch, then returns to
//! its caller. A reader loads `latest` (acquire) before the stamps.
//!
//! * It reads `n`: it sees the stamps of all epochs up to `n`. If none is above `e`, what was decided on `e` holds for `n`.
//! * It reads less than `n`: then `n` is not swapped in as far as this reader can know, and the call that publishes it has
//!   not returned. Saying what holds for the epoch before is right.
//! * It sees a stamp of `n` and pins the epoch to decide again: it may get the one before `n`, as the swap comes last. It
//!   remembers the number that it decided on, which is below the stamp, so that it decides once more the next time.
//!
//! Writers are serialised by their turn, so numbers only grow. There are no stamps until somebody asks for them; that is
//! done within a turn, so that every epoch which is published later is stamped, and one that is pinned later is no older.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;

use crate::id::PolicyId;
use crate::program::{ActionScope, Policy, Program, ProgramSet, Scope};
use crate::value::arena::NameText;

/// Stamps, eight bytes each: 128 kB, which a second-level cache holds. With a thousand changes between two looks at a
/// grant that rests on twelve keys, every second look decides again for nothing.
const BUCKETS: usize = 1 << 14;

/// Something that a decision can rest on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key(u32);

/// What of an entity.
#[derive(Clone, Copy, Hash, Debug)]
pub(crate) enum Facet<'a> {
    /// Its direct parents. What is above an entity changes only with the parents of it or of something above it.
    Parents,
    Attribute(&'a str),
    Tag(&'a str),
    /// Any of its tags: for a tag whose name nobody knew when it was asked for.
    AnyTag,
}

/// What an epoch changes of the one before.
#[derive(Clone, Debug)]
pub(crate) enum Marks {
    Everything,
    Keys(Vec<Key>),
}

/// The number of the newest epoch, and stamps once somebody wants them.
#[derive(Debug)]
pub(super) struct Changes {
    latest: AtomicU64,
    watched: OnceLock<Watched>,
}

/// The stamps.
#[derive(Debug)]
pub(crate) struct Watched {
    hasher: RandomState,
    everything: AtomicU64,
    stamps: Box<[AtomicU64]>,
}

impl Changes {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            latest: AtomicU64::new(epoch),
            watched: OnceLock::new(),
        }
    }

    /// The number of the newest epoch: in force, or about to be.
    #[inline]
    pub(super) fn latest(&self) -> u64 {
        self.latest.load(Ordering::Acquire)
    }

    /// The stamps, if anybody ever wanted them.
    pub(super) fn watched(&self) -> Option<&Watched> {
        self.watched.get()
    }

    /// Begins to stamp. To be called within a writer's turn.
    pub(super) fn watch(&self) -> &Watched {
        self.watched.get_or_init(|| Watched {
            hasher: RandomState::new(),
            everything: AtomicU64::new(0),
            stamps: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// Says what the epoch changes that is swapped in next. To be called within a writer's turn.
    pub(super) fn mark(&self, epoch: u64, marks: &Marks) {
        if let Some(watched) = self.watched() {
            match marks {
                Marks::Everything => watched.everything.store(epoch, Ordering::Relaxed),
                Marks::Keys(keys) => {
                    for stamp in keys.iter().filter_map(|key| watched.stamp(*key)) {
                        stamp.store(epoch, Ordering::Relaxed);
                    }
                }
            }
        }
        self.latest.store(epoch, Ordering::Release);
    }
}

impl Watched {
    /// The key of something about an entity, by the entity's type name and id.
    pub(crate) fn key(&self, (type_name, id): (&str, &str), facet: Facet<'_>) -> Key {
        // The lower half is as good as any.
        Key(self.hasher.hash_one((type_name, id, facet)) as u32)
    }

    /// Whether something of `keys` may have changed after `epoch`. To be asked after [`Published::latest`](super::Published::latest), for
    /// which it then holds.
    pub(crate) fn may_concern(&self, keys: &[Key], epoch: u64) -> bool {
        self.everything.load(Ordering::Relaxed) > epoch
            || keys
                .iter()
                .filter_map(|key| self.stamp(*key))
                .any(|stamp| stamp.load(Ordering::Relaxed) > epoch)
    }

    fn stamp(&self, key: Key) -> Option<&AtomicU64> {
        self.stamps.get(key.0 as usize % BUCKETS)
    }

    /// What policies concern that come or go: those for which one entity of their scope is the principal, the action, the
    /// resource, or above one of them. Every decision rests on the parents of all those.
    pub(crate) fn scopes<'p>(
        &self,
        sets: [&ProgramSet; 2],
        changed: impl Iterator<Item = &'p PolicyId>,
    ) -> Marks {
        let mut keys = Vec::new();
        for id in changed {
            for layer in sets.iter().flat_map(|set| set.layers()) {
                let Some(number) = layer.program.find(id.as_str()) else {
                    continue;
                };
                let Some(policy) = layer.program.policies.get(number as usize) else {
                    continue;
                };
                if !layer.dead.contains(number) && !self.scope(&layer.program, policy, &mut keys) {
                    return Marks::Everything;
                }
            }
        }
        Marks::Keys(keys)
    }

    /// Adds the narrowest part of a scope; false when it has none.
    fn scope(&self, program: &Program, policy: &Policy, keys: &mut Vec<Key>) -> bool {
        let mut add = |uid| keys.push(self.key(program.names.uid_text(uid), Facet::Parents));
        let sides = [policy.principal, policy.resource];
        let one = sides.into_iter().find_map(|side| match side {
            Scope::Eq(uid) => Some(uid),
            _ => None,
        });
        let above = sides.into_iter().find_map(|side| match side {
            Scope::In(uid) | Scope::IsIn(_, uid) => Some(uid),
            _ => None,
        });
        match (one.or(above), policy.action) {
            (Some(uid), _) | (None, ActionScope::Eq(uid)) => add(uid),
            (None, ActionScope::In(list)) => {
                list.of(&program.action_lists).iter().copied().for_each(add)
            }
            (None, ActionScope::Any) => return false,
        }
        true
    }
}
