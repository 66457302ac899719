//! Publishing: one value in force, which readers pin without waiting and writers replace one after the other.
//!
//! `tests/loom` compiles this file with models of what `sync` has in it and runs through all interleavings.

use super::sync::{Arc, ArcSwap, Guard, Mutex, MutexGuard, PoisonError};

/// A value in force, and the lock that serialises its replacement. `W` is what writers keep from turn to turn.
#[derive(Debug)]
pub(super) struct Publication<T, W> {
    current: ArcSwap<T>,
    writer: Mutex<Writer<T, W>>,
}

#[derive(Debug)]
struct Writer<T, W> {
    /// Values that were replaced and that somebody may still be reading. They are dropped here, by a writer, so that
    /// no reader ever pays for freeing one.
    retired: Vec<Arc<T>>,
    state: W,
}

/// A writer's turn: others wait until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'p, T, W> {
    current: &'p ArcSwap<T>,
    writer: MutexGuard<'p, Writer<T, W>>,
}

impl<T, W> Publication<T, W> {
    pub(super) fn new(value: T, state: W) -> Self {
        Self {
            current: ArcSwap::from_pointee(value),
            writer: Mutex::new(Writer {
                retired: Vec::new(),
                state,
            }),
        }
    }

    /// Pins the value in force: wait-free, whatever writers do.
    #[inline]
    pub(super) fn pin(&self) -> Guard<Arc<T>> {
        self.current.load()
    }

    pub(super) fn load_full(&self) -> Arc<T> {
        self.current.load_full()
    }

    pub(super) fn current(&self) -> &ArcSwap<T> {
        &self.current
    }

    /// Waits for the writers before.
    pub(super) fn turn(&self) -> Turn<'_, T, W> {
        Turn {
            current: &self.current,
            // A writer that panicked has published nothing: the state behind a poisoned lock is sound.
            writer: self.writer.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl<T, W> Turn<'_, T, W> {
    /// The value in force, which stays in force until this turn publishes.
    pub(super) fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    pub(super) fn state(&mut self) -> &mut W {
        &mut self.writer.state
    }

    /// Puts a value in force, and frees those replaced ones that nobody reads any more. `beside` is what the replaced value
    /// has of this kind in it, which others may go on to hold by itself.
    ///
    /// Once a value has been swapped out nobody can come to it, so a count of one, the list's own, is final. Before the
    /// swap returns it has counted every reader that pinned without counting itself, so the count is not too low either.
    pub(super) fn publish(&mut self, next: T, beside: Option<Arc<T>>) {
        let old = self.current.swap(Arc::new(next));
        let retired = &mut self.writer.retired;
        retired.push(old);
        // Behind the value that it is in, which must be freed for its count to come to one.
        retired.extend(beside);
        retired.retain(|value| Arc::strong_count(value) > 1);
    }
}
