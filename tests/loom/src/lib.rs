//! Publishing, and looks at grants, under a model checker: every interleaving of a few readers and writers.
//!
//! ```text
//! cargo test --release --manifest-path tests/loom/Cargo.toml
//! ```
//!
//! The files under test are the crate's own, `src/epoch/publish.rs` and `src/epoch/changes.rs`. Only what it synchronizes with is exchanged, as loom
//! knows nothing of `std` and of `arc-swap`. The model of `arc-swap` does what that crate promises and nothing else: a
//! load and a swap each happen at one moment, and when a swap has returned, every guard from before counts as a reference.
//! How `arc-swap` does so without a lock is tested there, not here.
//!
//! The table of grants and the queue of records are too large for that: `table` and `queue` model their protocols.
#![cfg(test)]

#[path = "../../../src/epoch/changes.rs"]
#[allow(dead_code, reason = "the crate uses all of it")]
mod changes;
#[path = "../../../src/epoch/publish.rs"]
#[allow(dead_code, reason = "the crate uses all of it")]
mod publish;
mod queue;
mod sync;
mod table;

use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::Arc;
use loom::thread;

use publish::Publication;

/// A world whose halves are made together, and that knows who may free it.
struct World {
    policies: u32,
    entities: u32,
    watch: Watch,
}

loom::thread_local! {
    /// Whether the model's thread is a reader.
    static READING: std::cell::Cell<bool> = std::cell::Cell::new(false);
}

/// What becomes of the worlds.
#[derive(Clone)]
struct Watch {
    freed_by_reader: Arc<loom::sync::atomic::AtomicBool>,
    alive: Arc<loom::sync::atomic::AtomicUsize>,
}

impl Watch {
    fn new() -> Self {
        Self {
            freed_by_reader: Arc::new(loom::sync::atomic::AtomicBool::new(false)),
            alive: Arc::new(loom::sync::atomic::AtomicUsize::new(0)),
        }
    }

    fn world(&self, number: u32) -> World {
        self.alive.fetch_add(1, Ordering::Relaxed);
        World {
            policies: number,
            entities: number,
            watch: self.clone(),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.watch.alive.fetch_sub(1, Ordering::Relaxed);
        if READING.with(|reading| reading.get()) {
            self.watch.freed_by_reader.store(true, Ordering::Relaxed);
        }
    }
}

/// Pins and lets go twice, as two decisions do; what it saw, in that order.
fn read_twice(publication: &Publication<World, u32>) -> [u32; 2] {
    READING.with(|reading| reading.set(true));
    let seen = [(); 2].map(|()| {
        let world = publication.pin();
        let first = (world.policies, world.entities);
        thread::yield_now();
        assert_eq!(first, (world.policies, world.entities));
        assert_eq!(world.policies, world.entities, "torn");
        world.policies
    });
    READING.with(|reading| reading.set(false));
    assert!(seen[0] <= seen[1], "a reader went back in time: {seen:?}");
    seen
}

/// Replaces the world by the one after it.
fn write(publication: &Publication<World, u32>, watch: &Watch) -> u32 {
    let mut turn = publication.turn();
    let next = turn.current().policies + 1;
    assert_eq!(*turn.state() + 1, next, "two writers at once");
    *turn.state() = next;
    turn.publish(watch.world(next), None);
    next
}

/// Runs the model; how many interleavings there were is printed and must be more than one.
fn explore(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&count);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let count = count.load(Ordering::Relaxed);
    println!("{count} interleavings");
    assert!(count > 1);
}

fn begin() -> (Arc<Publication<World, u32>>, Watch) {
    let watch = Watch::new();
    (Arc::new(Publication::new(watch.world(0), 0)), watch)
}

#[test]
fn a_reader_beside_a_writer_sees_whole_worlds_in_order_and_frees_none() {
    explore(None, || {
        let (publication, watch) = begin();
        let reader = {
            let publication = Arc::clone(&publication);
            thread::spawn(move || read_twice(&publication))
        };
        write(&publication, &watch);
        write(&publication, &watch);
        // Whoever pins after a writer has returned sees what it wrote.
        assert_eq!(publication.pin().policies, 2);
        reader.join().unwrap();
        assert!(!watch.freed_by_reader.load(Ordering::Relaxed));
        // With no reader left, the next writer frees all that were replaced.
        write(&publication, &watch);
        assert_eq!(watch.alive.load(Ordering::Relaxed), 1);
        drop(publication);
        assert_eq!(watch.alive.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn two_writers_and_a_reader() {
    explore(Some(3), || {
        let (publication, watch) = begin();
        let writer = {
            let (publication, watch) = (Arc::clone(&publication), watch.clone());
            thread::spawn(move || write(&publication, &watch))
        };
        let reader = {
            let publication = Arc::clone(&publication);
            thread::spawn(move || read_twice(&publication))
        };
        let mine = write(&publication, &watch);
        let theirs = writer.join().unwrap();
        assert_eq!(mine + theirs, 3, "one after the other");
        reader.join().unwrap();
        assert_eq!(publication.pin().policies, 2);
        assert!(!watch.freed_by_reader.load(Ordering::Relaxed));
        drop(publication);
        assert_eq!(watch.alive.load(Ordering::Relaxed), 0, "a leak");
    });
}

#[test]
fn a_session_lets_go_of_its_world_while_it_is_replaced() {
    explore(None, || {
        let (publication, watch) = begin();
        let kept = publication.load_full();
        let writer = {
            let (publication, watch) = (Arc::clone(&publication), watch.clone());
            thread::spawn(move || {
                write(&publication, &watch);
                write(&publication, &watch);
            })
        };
        assert_eq!((kept.policies, kept.entities), (0, 0));
        READING.with(|reading| reading.set(true));
        drop(kept);
        READING.with(|reading| reading.set(false));
        writer.join().unwrap();
        // The one in force, and at most the one that was kept when the last writer looked.
        assert!(watch.alive.load(Ordering::Relaxed) <= 2);
        write(&publication, &watch);
        assert_eq!(watch.alive.load(Ordering::Relaxed), 1);
        assert!(!watch.freed_by_reader.load(Ordering::Relaxed));
    });
}

/// A protocol without the list of replaced worlds is caught: the checks can fail.
#[test]
fn a_reader_that_frees_is_noticed() {
    let noticed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let note = std::sync::Arc::clone(&noticed);
    explore(None, move || {
        let watch = Watch::new();
        let cell = Arc::new(sync::ArcSwap::from_pointee(watch.world(0)));
        let reader = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                READING.with(|reading| reading.set(true));
                let world = cell.load();
                thread::yield_now();
                drop(world);
                READING.with(|reading| reading.set(false));
            })
        };
        drop(cell.swap(Arc::new(watch.world(1))));
        reader.join().unwrap();
        if watch.freed_by_reader.load(Ordering::Relaxed) {
            note.store(true, Ordering::Relaxed);
        }
    });
    assert!(noticed.load(Ordering::Relaxed));
}

/// A grant: it is allowed on epochs that are below the one that revokes it, and rests on bucket 0.
struct Grant {
    /// 0 once it has ended.
    checked: u64,
}

/// Epochs, and what each changes.
struct Store {
    latest: changes::Latest,
    stamps: changes::Stamps,
    publication: Publication<u64, ()>,
    /// The epoch whose publication has returned.
    returned: loom::sync::atomic::AtomicU64,
}

/// The epoch from which on the grant's request is denied.
const REVOKED: u64 = 3;

impl Store {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            latest: changes::Latest::new(1),
            stamps: changes::Stamps::new(2),
            publication: Publication::new(1, ()),
            returned: loom::sync::atomic::AtomicU64::new(1),
        })
    }

    /// As the crate publishes: marks, then the swap. `late` is the wrong way round.
    fn update(&self, bucket: usize, late: bool) {
        let mut turn = self.publication.turn();
        let next = *turn.current() + 1;
        let mark = || {
            let touched = changes::Touched::Buckets(std::iter::once(bucket));
            self.latest.mark(next, Some(&self.stamps), touched);
        };
        if !late {
            mark();
        }
        turn.publish(next, None);
        drop(turn);
        self.returned.store(next, Ordering::Release);
        if late {
            mark();
        }
    }

    /// As the crate looks at a grant; whether it is current.
    fn look(&self, grant: &mut Grant) -> bool {
        let latest = self.latest.load();
        if latest == grant.checked {
            return true;
        }
        if grant.checked == 0 {
            return false;
        }
        if !self.stamps.may_concern(std::iter::once(0), grant.checked) {
            grant.checked = latest.max(grant.checked);
            return true;
        }
        let epoch: u64 = **self.publication.pin();
        let allowed = epoch < REVOKED;
        grant.checked = if allowed { epoch } else { 0 };
        allowed
    }
}

/// Looks twice beside an update that does not concern the grant and one that revokes it; whether a look said that it is
/// current after the revoking update had returned.
fn is_missed(store: &Store) -> bool {
    let mut grant = Grant { checked: 1 };
    [(); 2].into_iter().any(|()| {
        let returned = store.returned.load(Ordering::Acquire);
        store.look(&mut grant) && returned >= REVOKED
    })
}

#[test]
fn no_look_misses_a_revocation_that_has_returned() {
    explore(Some(4), || {
        let store = Store::new();
        let holder = {
            let store = Arc::clone(&store);
            thread::spawn(move || assert!(!is_missed(&store)))
        };
        store.update(1, false);
        store.update(0, false);
        let mut mine = Grant { checked: 1 };
        assert!(!store.look(&mut mine));
        holder.join().unwrap();
    });
}

/// Marks that come after the swap are caught: the check can fail.
#[test]
fn marks_that_come_late_are_noticed() {
    let noticed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let note = std::sync::Arc::clone(&noticed);
    explore(Some(4), move || {
        let store = Store::new();
        let holder = {
            let store = Arc::clone(&store);
            thread::spawn(move || is_missed(&store))
        };
        store.update(1, true);
        store.update(0, true);
        if holder.join().unwrap() {
            note.store(true, Ordering::Relaxed);
        }
    });
    assert!(noticed.load(Ordering::Relaxed));
}
