//! The same files with what they really synchronize with: `std`, `arc-swap`, and, as the queue of records uses it,
//! `crossbeam-queue`. For Miri and ThreadSanitizer, which see what these do below the surface:
//!
//! ```text
//! MIRIFLAGS=-Zmiri-many-seeds=0..32 cargo +nightly miri test --manifest-path tests/loom/Cargo.toml --test real
//! RUSTFLAGS=-Zsanitizer=thread cargo +nightly test -Zbuild-std --target x86_64-unknown-linux-gnu \
//!     --manifest-path tests/loom/Cargo.toml --test real
//! ```

#[path = "../../../src/epoch/changes.rs"]
#[allow(dead_code, reason = "the crate uses all of it")]
mod changes;
#[path = "../../../src/epoch/publish.rs"]
#[allow(dead_code, reason = "the crate uses all of it")]
mod publish;

mod sync {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
    pub(super) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    pub(super) use arc_swap::{ArcSwap, Guard};
}

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use arc_swap::cache::Cache;
use crossbeam_queue::ArrayQueue;

use publish::Publication;

/// Under Miri a thousand times slower.
const ROUNDS: u64 = if cfg!(miri) { 12 } else { 20_000 };

/// Slots that each of two threads fills; they wait for each other.
const SLOTS: u64 = if cfg!(miri) { 12 } else { 2_000 };

/// A value in two places, on the heap, that counts how many of it there are.
struct World {
    halves: [Box<u64>; 2],
    alive: Arc<AtomicUsize>,
}

impl World {
    fn new(number: u64, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self {
            halves: [Box::new(number), Box::new(number)],
            alive: Arc::clone(alive),
        }
    }

    fn number(&self) -> u64 {
        assert_eq!(self.halves[0], self.halves[1], "torn");
        *self.halves[0]
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Two writers, a reader that pins, one that keeps more pins than `arc-swap` has places for, and a session's cache.
#[test]
fn worlds_are_whole_in_order_and_all_freed() {
    let alive = Arc::new(AtomicUsize::new(0));
    let publication = Publication::new(World::new(0, &alive), ());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let mut turn = publication.turn();
                    let next = turn.current().number() + 1;
                    turn.publish(World::new(next, &alive), None);
                }
            });
        }
        scope.spawn(|| {
            let mut last = 0;
            for _ in 0..ROUNDS {
                let number = publication.pin().number();
                assert!(number >= last);
                last = number;
            }
        });
        scope.spawn(|| {
            for _ in 0..ROUNDS / 10 + 1 {
                let pins: Vec<_> = (0..12).map(|_| publication.pin()).collect();
                let kept = publication.load_full();
                assert!(pins.iter().all(|pin| pin.number() <= kept.number()));
            }
        });
        scope.spawn(|| {
            let mut cache = Cache::new(publication.current());
            let mut last = 0;
            for _ in 0..ROUNDS {
                let number = cache.load().number();
                assert!(number >= last);
                last = number;
            }
        });
    });
    assert_eq!(publication.pin().number(), 2 * ROUNDS);
    publication.turn().publish(World::new(0, &alive), None);
    assert_eq!(alive.load(Ordering::Relaxed), 1);
    drop(publication);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

/// Once an update has returned, no look takes what it changed for unchanged.
#[test]
fn stamps_are_seen_by_whoever_sees_the_epoch() {
    let (latest, stamps) = (changes::Latest::new(1), changes::Stamps::new(8));
    let publication = Publication::new(1_u64, ());
    let returned = std::sync::atomic::AtomicU64::new(1);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                let mut turn = publication.turn();
                let next = *turn.current() + 1;
                let touched = changes::Touched::Buckets([next as usize % 8].into_iter());
                latest.mark(next, Some(&stamps), touched);
                turn.publish(next, None);
                drop(turn);
                returned.store(next, Ordering::Release);
            }
        });
        for bucket in 0..2 {
            let (latest, stamps, returned) = (&latest, &stamps, &returned);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let epoch = returned.load(Ordering::Acquire);
                    assert!(latest.load() >= epoch);
                    // The last epoch up to this one that changed the bucket.
                    let changed = epoch - (epoch + 8 - bucket as u64) % 8;
                    if changed > 1 {
                        assert!(stamps.may_concern(std::iter::once(bucket), changed - 1));
                    }
                }
            });
        }
    });
}

/// Boxes go round as the slots of the queue of records do: taken, filled, handed over, given back.
#[test]
fn slots_go_round_and_none_is_lost() {
    let slots = 3;
    let (free, full) = (ArrayQueue::new(slots), ArrayQueue::new(slots));
    for _ in 0..slots {
        free.push(Box::new(String::new())).unwrap();
    }
    let (left, sum) = (AtomicUsize::new(2), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 0..SLOTS {
                    let mut slot = loop {
                        match free.pop() {
                            Some(slot) => break slot,
                            None => thread::yield_now(),
                        }
                    };
                    slot.clear();
                    slot.push_str(&round.to_string());
                    full.push(slot).unwrap();
                }
                left.fetch_sub(1, Ordering::Release);
            });
        }
        scope.spawn(|| {
            loop {
                let done = left.load(Ordering::Acquire) == 0;
                while let Some(slot) = full.pop() {
                    sum.fetch_add(slot.parse::<usize>().unwrap(), Ordering::Relaxed);
                    free.push(slot).unwrap();
                }
                if done && full.is_empty() {
                    return;
                }
                thread::yield_now();
            }
        });
    });
    assert_eq!(sum.into_inner() as u64, SLOTS * (SLOTS - 1));
    assert_eq!(free.len(), slots);
}
