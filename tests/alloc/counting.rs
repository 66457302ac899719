//! The allocator of this binary, which counts how often each thread calls it.

#![allow(
    unsafe_code,
    reason = "a global allocator cannot be written without `unsafe`"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of the allocator by one thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Calls {
    pub(crate) alloc: u64,
    pub(crate) realloc: u64,
    pub(crate) dealloc: u64,
}

thread_local! {
    static CALLS: Cell<Calls> = const { Cell::new(Calls { alloc: 0, realloc: 0, dealloc: 0 }) };
}

fn count(change: impl FnOnce(&mut Calls)) {
    // Gone while the thread ends; nothing is measured then.
    let _ = CALLS.try_with(|calls| {
        let mut now = calls.get();
        change(&mut now);
        calls.set(now);
    });
}

// SAFETY: everything is passed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|calls| calls.alloc += 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(|calls| calls.dealloc += 1);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(|calls| calls.realloc += 1);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}

pub(crate) fn calls_of<R>(run: impl FnOnce() -> R) -> (Calls, R) {
    let before = CALLS.get();
    let answer = run();
    let after = CALLS.get();
    let calls = Calls {
        alloc: after.alloc - before.alloc,
        realloc: after.realloc - before.realloc,
        dealloc: after.dealloc - before.dealloc,
    };
    (calls, answer)
}

/// A counter that counts nothing would pass everything.
#[test]
fn the_counter_counts() {
    let (calls, ()) = calls_of(|| {
        let mut list = Vec::with_capacity(1);
        list.push(1_u64);
        list.reserve_exact(100);
        drop(std::hint::black_box(list));
    });
    assert_eq!(
        calls,
        Calls {
            alloc: 1,
            realloc: 1,
            dealloc: 1
        }
    );
}
