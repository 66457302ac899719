//! A thread's working memory, reused from call to call.

use std::cell::{OnceCell, RefCell};
use std::time::{Duration, SystemTime};

use bumpalo::Bump;

use crate::decision::Outcome;
use crate::epoch::{Epoch, Errors, Failed};
use crate::evidence::Hops;
use crate::request::locals::Locals;
use crate::stopwatch::Ticks;
use crate::value::Raise;

use super::matching::Candidate;

/// Working memory for decisions: an arena for the request's values, lists for what was found.
///
/// Once it has seen the largest request it will see, no decision allocates. One scratch serves one decision at
/// a time and any authorizer.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) arena: Arena,
    pub(crate) locals: Locals,
    pub(crate) findings: Findings,
    /// Of a request with a delegation: what was found for each hop.
    pub(crate) hops: Hops,
    /// What a shadow found, and for each hop.
    pub(crate) beside: Findings,
    pub(crate) hops_beside: Hops,
    pub(crate) time_of_day: TimeOfDay,
}

/// What the system's clock showed, and when.
///
/// A record takes the time of day when its decision begins, and reads the [`Ticks`] then and at the end. The first follows from
/// the second for as long as a record can tell apart: a clock that is set shows in all records but those of the millisecond
/// in which it is. That saves 23 ns.
#[derive(Debug, Default)]
pub(crate) struct TimeOfDay(Option<(Ticks, SystemTime)>);

impl TimeOfDay {
    /// How long the system's clock is not asked again: what records are rounded to.
    const KEPT: Duration = Duration::from_millis(1);

    /// The time of day at `now`, which is the present; `ask` asks the clock.
    #[inline]
    pub(crate) fn at(&mut self, now: Ticks, ask: impl FnOnce() -> SystemTime) -> SystemTime {
        let known = self.0.and_then(|(then, time)| {
            let since = now.since(then)?;
            time.checked_add(since).filter(|_| since < Self::KEPT)
        });
        known.unwrap_or_else(|| {
            let time = ask();
            self.0 = Some((now, time));
            time
        })
    }
}

/// What evaluating found: numbers of policies.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Policies whose scopes match.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) known: Known,
    /// Working memory of [`Findings::set`].
    pub(super) order: Vec<u32>,
    pub(crate) permits: Found,
    pub(crate) forbids: Found,
    /// Errors of single policies.
    pub(crate) errors: Vec<(u32, Raise)>,
    /// Errors that several policies have in common.
    pub(crate) failed: Vec<Failed>,
}

/// Numbers of policies, in their order for who asks: most callers ask for the decision only, and sorting sixty policies
/// takes a seventh of a decision in a large set.
#[derive(Debug, Default)]
pub(crate) struct Found {
    count: usize,
    /// In the order in which they were found; empty once they are sorted.
    found: RefCell<Vec<u32>>,
    sorted: OnceCell<Vec<u32>>,
}

impl Found {
    #[inline]
    pub(crate) fn push(&mut self, policy: u32) {
        self.count += 1;
        self.found.get_mut().push(policy);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Makes these what was found, each once. Nothing must have been found before.
    fn set(&mut self, policies: &[u32]) {
        let found = self.found.get_mut();
        found.extend_from_slice(policies);
        found.sort_unstable();
        found.dedup();
        self.count = found.len();
    }

    pub(crate) fn in_order(&self) -> &[u32] {
        self.sorted.get_or_init(|| {
            let mut found = self.found.take();
            found.sort_unstable();
            found
        })
    }

    fn clear(&mut self) {
        self.count = 0;
        if let Some(sorted) = self.sorted.take() {
            // Its memory is used again.
            self.found.replace(sorted);
        }
        self.found.get_mut().clear();
    }
}

/// What conditions that several policies share have come to in a decision: a large set has a few hundred of them, and one
/// decision meets the same in dozens of policies.
///
/// Nothing is written to begin anew: each answer says which walk over policies it is of.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By body: the number of the walk, and in the lowest bit the answer.
    answers: Vec<u32>,
    walk: u32,
}

impl Known {
    /// Begins a walk over the policies of a segment that have `bodies` shared bodies.
    #[inline]
    pub(crate) fn begin(&mut self, bodies: usize) {
        self.walk = self.walk.wrapping_add(2);
        if bodies > self.answers.len() || self.walk == 0 {
            self.clear(bodies);
        }
    }

    #[cold]
    fn clear(&mut self, bodies: usize) {
        let bodies = bodies.max(self.answers.len());
        self.answers.clear();
        self.answers.resize(bodies, 0);
        self.walk = 2;
    }

    #[inline]
    pub(crate) fn get(&self, body: u32) -> Option<bool> {
        let answer = *self.answers.get(body as usize)?;
        (answer & !1 == self.walk).then_some(answer & 1 != 0)
    }

    #[inline]
    pub(crate) fn set(&mut self, body: u32, holds: bool) {
        if let Some(answer) = self.answers.get_mut(body as usize) {
            *answer = self.walk | u32::from(holds);
        }
    }
}

/// A bump arena that settles on one chunk.
///
/// `Bump::reset` keeps only the last chunk and frees the others, so that a request larger than that chunk
/// would allocate again each time it comes. When a call needed more than one, the next begins with a single
/// chunk of what that call used in all, and the one after that allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    bump: Bump,
    /// Bytes of the chunk that the arena began the call with.
    chunk: usize,
    /// How many calls in a row have used little of a large chunk.
    small: u16,
}

impl Scratch {
    /// An empty scratch; grows to what its requests need.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes ready for the next call. What the last one left is gone.
    pub(crate) fn reset(&mut self) {
        self.arena.reset();
        self.locals.clear();
        self.findings.clear();
        self.hops.clear();
    }
}

impl Findings {
    pub(crate) fn clear(&mut self) {
        self.candidates.clear();
        self.permits.clear();
        self.forbids.clear();
        self.errors.clear();
        self.failed.clear();
    }

    /// Makes these what was found, in the order of the policies and each once: of several errors of a policy the first.
    pub(crate) fn set(&mut self, outcome: Outcome, determining: &[u32], errors: &[(u32, Raise)]) {
        self.clear();
        let policies = match outcome {
            Outcome::Forbidden => &mut self.forbids,
            _ => &mut self.permits,
        };
        policies.set(determining);
        // Sorting in place would lose which came first, and a stable sort allocates.
        let policy = |at: &u32| errors.get(*at as usize).map(|(policy, _)| *policy);
        let order = &mut self.order;
        order.extend((0..).take(errors.len()));
        order.sort_unstable_by_key(|at| (policy(at), *at));
        order.dedup_by_key(|at| policy(at));
        let errors = order.iter().filter_map(|at| errors.get(*at as usize));
        self.errors.extend(errors);
        order.clear();
    }

    /// The errors of all policies.
    pub(crate) fn errors<'a>(&'a self, epoch: &'a Epoch) -> Errors<'a> {
        Errors::new(epoch, &self.errors, &self.failed)
    }

    /// The policies that determine the decision: forbids before permits.
    pub(crate) fn determining(&self) -> &[u32] {
        if self.forbids.is_empty() {
            self.permits.in_order()
        } else {
            self.forbids.in_order()
        }
    }
}

impl Arena {
    pub(crate) fn bump(&self) -> &Bump {
        &self.bump
    }

    fn reset(&mut self) {
        let held = self.bump.allocated_bytes();
        if held > self.chunk {
            if self.chunk > 0 || held > FIRST_CHUNK {
                // The last call needed more than one chunk.
                self.bump = Bump::with_capacity(held.next_power_of_two());
            } else {
                self.bump.reset();
            }
            self.chunk = self.bump.allocated_bytes();
            self.small = 0;
        } else if held > KEPT && self.is_too_large(held) {
            *self = Self::default();
        } else {
            self.bump.reset();
        }
    }

    /// Whether what is held has not been needed for long.
    #[cold]
    fn is_too_large(&mut self, held: usize) -> bool {
        let is_small = self.bump.chunk_capacity() > held / 8 * 7;
        self.small = if is_small { self.small + 1 } else { 0 };
        self.small > PATIENCE
    }
}

/// More than this is not kept for good. A context of a megabyte takes up to 64 here: whoever sends one to each thread would
/// have them hold that memory for ever.
const KEPT: usize = 1 << 20;

/// So many calls in a row have to use less than an eighth of what is held before it is given back. Where large requests come
/// among small ones nothing is allocated; given back at the first small one, each large one would allocate anew.
const PATIENCE: u16 = 1_000;

/// A first chunk of up to this many bytes is kept as it is.
const FIRST_CHUNK: usize = 4096;

thread_local! {
    /// Scratches that the pooled calls of this thread use in turn. A list and not one: a caller may hold
    /// several responses at once, and a sink may decide in its turn.
    #[expect(clippy::vec_box, reason = "a lease takes the box out and puts it back: nothing is moved or allocated")]
    static POOL: RefCell<Vec<Box<Scratch>>> = const { RefCell::new(Vec::new()) };
}

/// More than this many responses at once on one thread, and their scratches are freed and not kept.
const POOL_SIZE: usize = 32;

/// A scratch: the thread's, given back on drop, or the caller's.
#[derive(Debug)]
pub(crate) enum Lease<'s> {
    Pooled(Option<Box<Scratch>>),
    Borrowed(&'s mut Scratch),
}

impl Lease<'_> {
    /// A scratch of this thread's pool.
    pub(crate) fn pooled() -> Self {
        // What is dropped when a thread ends may decide, after the thread's pool has gone.
        let scratch = POOL.try_with(|pool| pool.try_borrow_mut().ok()?.pop());
        Self::Pooled(Some(scratch.ok().flatten().unwrap_or_default()))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Self::Pooled(scratch) = self
            && let Some(scratch) = scratch.take()
        {
            // While the thread shuts down its pool may be gone already; then the scratch just drops.
            let _ = POOL.try_with(|pool| {
                if let Ok(mut pool) = pool.try_borrow_mut()
                    && pool.len() < POOL_SIZE
                {
                    pool.push(scratch);
                }
            });
        }
    }
}

impl Lease<'_> {
    pub(crate) fn get(&self) -> Option<&Scratch> {
        match self {
            Self::Pooled(scratch) => scratch.as_deref(),
            Self::Borrowed(scratch) => Some(scratch),
        }
    }

    pub(crate) fn get_mut(&mut self) -> &mut Scratch {
        match self {
            Self::Pooled(scratch) => scratch.get_or_insert_default(),
            Self::Borrowed(scratch) => scratch,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Ticks, TimeOfDay};

    #[test]
    fn a_clock_that_was_set_shows_within_a_millisecond() {
        let set = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let begun = Ticks::now();
        let soon = begun.later(Duration::from_micros(999));
        let mut time_of_day = TimeOfDay::default();
        let then = SystemTime::now();
        assert_eq!(time_of_day.at(begun, || then), then);
        let since = soon.since(begun).unwrap();
        assert_eq!(time_of_day.at(soon, || set), then + since);
        let late = begun.later(Duration::from_millis(1));
        assert_eq!(time_of_day.at(late, || set), set);
        // The counter of another processor may be behind.
        assert_eq!(time_of_day.at(soon, || then), then);
    }
}
