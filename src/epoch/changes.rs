//! What has changed since when: a few loads tell a grant that nothing it rests on has.
//!
//! Each thing that a decision can rest on (the parents of an entity, one of its attributes, one of its tags) is a
//! key, a keyed hash of its name (`keys`). For each of so many buckets of keys there is a stamp, the number of the last epoch
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
//!
//! `tests/loom` compiles this file with models of what `sync` has in it and runs through all interleavings.

use super::sync::{AtomicU64, Ordering};

/// Eight bytes each: 128 kB, which a second-level cache holds. With a thousand changes between two looks at a grant that
/// rests on twelve keys, every second look decides again for nothing.
pub(super) const BUCKETS: usize = 1 << 14;

/// The number of the newest epoch: in force, or about to be.
#[derive(Debug)]
pub(super) struct Latest(AtomicU64);

/// For each bucket of keys, the last epoch that changed something in it.
#[derive(Debug)]
pub(super) struct Stamps {
    everything: AtomicU64,
    buckets: Box<[AtomicU64]>,
}

/// What an epoch changes of the one before: everything, or what is in these buckets.
pub(super) enum Touched<B> {
    Everything,
    Buckets(B),
}

impl Latest {
    pub(super) fn new(epoch: u64) -> Self {
        Self(AtomicU64::new(epoch))
    }

    #[inline]
    pub(super) fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Says what the epoch changes that is swapped in next. To be called within a writer's turn.
    pub(super) fn mark(
        &self,
        epoch: u64,
        stamps: Option<&Stamps>,
        touched: Touched<impl Iterator<Item = usize>>,
    ) {
        if let Some(stamps) = stamps {
            match touched {
                Touched::Everything => stamps.everything.store(epoch, Ordering::Relaxed),
                Touched::Buckets(buckets) => {
                    for stamp in buckets.filter_map(|bucket| stamps.buckets.get(bucket)) {
                        stamp.store(epoch, Ordering::Relaxed);
                    }
                }
            }
        }
        self.0.store(epoch, Ordering::Release);
    }
}

impl Stamps {
    pub(super) fn new(buckets: usize) -> Self {
        Self {
            everything: AtomicU64::new(0),
            buckets: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Whether something in the buckets may have changed after `epoch`. To be asked after [`Latest::load`]: it holds for
    /// what that gave.
    pub(super) fn may_concern(&self, mut buckets: impl Iterator<Item = usize>, epoch: u64) -> bool {
        self.everything.load(Ordering::Relaxed) > epoch
            || buckets.any(|bucket| {
                let stamp = self.buckets.get(bucket);
                stamp.is_some_and(|stamp| stamp.load(Ordering::Relaxed) > epoch)
            })
    }
}
