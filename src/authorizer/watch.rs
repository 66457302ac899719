//! Telling of changes: what stands on decisions that were made learns of each new epoch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::entity::EntityChange;
use crate::epoch::{Marks, Version};
use crate::id::{EntityUid, PolicyId};

/// What an update or a replacement changed.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// These entities: by [`Authorizer::update_entities`](super::Authorizer::update_entities).
    Entities(Vec<(EntityUid, EntityChange)>),
    /// These policies and template links came, went, or were replaced: by
    /// [`Authorizer::update_policies`](super::Authorizer::update_policies).
    Policies(Vec<PolicyId>),
    /// Policies, entities or both were replaced as a whole.
    Everything,
}

/// A new epoch: what it is, and what of the one before it changes.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) version: Version,
    pub(crate) change: Arc<Change>,
    pub(crate) marks: Marks,
}

/// Who wants to be told.
pub(crate) trait Watcher: Send + Sync {
    /// Called by the thread that published, after the epoch is in force and after the writer's turn: others may have
    /// published since, and tell of it at the same time.
    fn published(&self, news: &News);
}

/// All who want to be told, for as long as they are there.
#[derive(Default)]
pub(super) struct Watchers(Mutex<Vec<Weak<dyn Watcher>>>);

impl Watchers {
    pub(super) fn add(&self, watcher: Weak<dyn Watcher>) {
        let mut known = self.lock();
        // Where nothing changes nobody is told, and those that have gone would stay.
        if known.len() == known.capacity() {
            known.retain(|watcher| watcher.strong_count() > 0);
            let room = known.len().max(4);
            known.reserve(room);
        }
        known.push(watcher);
    }

    /// Tells everybody. What there is to tell is put together only when there is somebody.
    pub(super) fn tell(&self, news: impl FnOnce() -> News) {
        let mut watchers = Vec::new();
        {
            let mut known = self.lock();
            known.retain(|watcher| watcher.strong_count() > 0);
            watchers.extend(known.iter().filter_map(Weak::upgrade));
        }
        if watchers.is_empty() {
            return;
        }
        let news = news();
        for watcher in watchers {
            // The change is made; whoever made it must learn that, whatever becomes of this.
            let _ = catch_unwind(AssertUnwindSafe(|| watcher.published(&news)));
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn Watcher>>> {
        // A list is sound whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
