//! Input that is made to take time, memory or the stack: it ends in an error that names the bound, or costs no more than
//! its size. `docs/security.md` has the table of what was tried; `cargo test --test hostile -- --nocapture` prints what each
//! took.
//!
//! Memory is what the allocator counts, so this is a binary of its own whose tests run one by one. Times are bounded so far
//! above what is needed that a busy machine passes, and far below what the attack would cost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed assumption must fail the test"
)]

mod foreign;
mod hierarchies;
mod logs;
#[path = "../../examples/update/memory.rs"]
#[allow(dead_code, reason = "shared with `update`; each uses a part")]
mod memory;
mod requests;
mod texts;

use std::fmt::Write;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use duramen::{
    Authorizer, Entities, Entity, EntityUid, Limit, Limits, Outcome, OwnedResponse, Request,
};
use memory::{live, peak};
use serde_json::json;

const LONG: Duration = Duration::from_secs(60);

const KB: usize = 1 << 10;
const MB: usize = 1 << 20;

/// What is counted is counted for all threads: each test holds this from its first line on.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What it comes to, on a thread of its own, which has no memory yet to work in and Rust's usual stack: in time, and in no
/// more than so many bytes at once beyond those in use before.
#[track_caller]
fn within<R: Send>(bytes: usize, run: impl FnOnce() -> R + Send) -> R {
    let caller = Location::caller();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            peak();
            let (before, begin) = (live(), Instant::now());
            let result = run();
            (result, peak().saturating_sub(before), begin.elapsed())
        });
        let (result, taken, time) = thread.join().unwrap();
        let (took, may_take) = (taken / KB, bytes / KB);
        println!("{caller}: {took} kB of {may_take} kB, {time:?}");
        assert!(
            taken <= bytes,
            "{taken} bytes at once, {bytes} is the bound"
        );
        assert!(time < LONG, "{time:?}");
        result
    })
}

fn asked() -> Request<'static> {
    Request::new(("U", "u"), ("Action", "a"), ("R", "r"))
}

fn decide(authorizer: &Authorizer, context: &str) -> OwnedResponse {
    let request = asked().context_json(context);
    authorizer.is_authorized(&request).to_owned()
}
