//! The table of grants: who files a grant anew, and who looks it up.
//!
//! The store beneath is the crate's own; the table is its protocol written down once more (`src/grant/table`), with one grant
//! and no decision in it.

use super::*;

use loom::sync::Mutex;

/// What the grant's request rests on, by epoch; nothing once it is denied.
fn rests_on(epoch: u64) -> Option<usize> {
    match epoch {
        1 => Some(0),
        2 => Some(1),
        _ => None,
    }
}

#[derive(Default)]
struct Held {
    checked: u64,
    bucket: usize,
    ended: bool,
}

struct Table {
    store: Arc<Store>,
    /// The bucket that the grant is filed under.
    index: Mutex<Option<usize>>,
    held: Mutex<Held>,
    /// Whether it is looked at once more when it has been filed.
    looks_after_filing: bool,
}

impl Table {
    fn new(looks_after_filing: bool) -> Arc<Self> {
        Arc::new(Self {
            store: Store::new(),
            index: Mutex::new(None),
            held: Mutex::new(Held::default()),
            looks_after_filing,
        })
    }

    /// Decides, files, and looks again.
    fn take(&self) {
        let epoch = **self.store.publication.pin();
        let Some(bucket) = rests_on(epoch) else {
            self.held.lock().unwrap().ended = true;
            return;
        };
        *self.held.lock().unwrap() = Held {
            checked: epoch,
            bucket,
            ended: false,
        };
        self.settle(true);
    }

    /// Whether it was decided again and is current.
    fn look(&self) -> bool {
        {
            let mut held = self.held.lock().unwrap();
            let latest = self.store.latest.load();
            if held.ended || latest == held.checked {
                return false;
            }
            let bucket = std::iter::once(held.bucket);
            if !self.store.stamps.may_concern(bucket, held.checked) {
                held.checked = latest.max(held.checked);
                return false;
            }
        }
        let epoch = **self.store.publication.pin();
        let mut held = self.held.lock().unwrap();
        match rests_on(epoch) {
            _ if held.ended => return false,
            None => held.ended = true,
            Some(bucket) if epoch >= held.checked => {
                held.checked = epoch;
                held.bucket = bucket;
            }
            Some(_) => {}
        }
        !held.ended
    }

    fn settle(&self, mut again: bool) {
        while again {
            {
                let mut index = self.index.lock().unwrap();
                *index = Some(self.held.lock().unwrap().bucket);
            }
            if !self.looks_after_filing {
                return;
            }
            // What is not in force yet, its writer will look up.
            if **self.store.publication.pin() <= self.held.lock().unwrap().checked {
                return;
            }
            again = self.look();
        }
    }

    /// What the writer of a change does when it is in force.
    fn published(&self, bucket: usize) {
        let filed = *self.index.lock().unwrap();
        if filed == Some(bucket) {
            let again = self.look();
            self.settle(again);
        }
    }

    fn update(&self, bucket: usize) {
        self.store.update(bucket, false);
        self.published(bucket);
    }

    fn has_ended(&self) -> bool {
        self.held.lock().unwrap().ended
    }
}

/// A grant is taken beside the two changes that take it back; whether it has ended.
fn taken_beside_changes(table: &Arc<Table>) -> bool {
    let holder = {
        let table = Arc::clone(table);
        thread::spawn(move || table.take())
    };
    table.update(0);
    table.update(1);
    holder.join().unwrap();
    table.has_ended()
}

/// One writer finds that the grant rests on something else now, and another changes just that.
fn filed_beside_a_change(table: &Arc<Table>) -> bool {
    table.take();
    table.store.update(0, false);
    let writer = {
        let table = Arc::clone(table);
        thread::spawn(move || table.update(1))
    };
    table.published(0);
    writer.join().unwrap();
    table.has_ended()
}

#[test]
fn no_grant_of_a_table_outlives_the_change_that_takes_it_back() {
    explore(Some(3), || {
        assert!(taken_beside_changes(&Table::new(true)));
    });
    explore(Some(3), || {
        assert!(filed_beside_a_change(&Table::new(true)));
    });
}

/// Without the second look a change is missed, both ways: the check can fail.
#[test]
fn filing_without_looking_again_is_noticed() {
    for way in [taken_beside_changes, filed_beside_a_change] {
        let missed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let note = std::sync::Arc::clone(&missed);
        explore(Some(3), move || {
            if !way(&Table::new(false)) {
                note.store(true, Ordering::Relaxed);
            }
        });
        assert!(missed.load(Ordering::Relaxed));
    }
}
