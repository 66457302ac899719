//! The stack that Cedar's recursive code runs on.
//!
//! Cedar's parser, its tree conversions and its drops do not look at the stack: past its end the
//! process aborts. Its type checker does look, and when it runs short it reports **no error**: an
//! ill-typed policy of 1,000 nested lists passes strict validation in a thread of 2 MiB. So neither
//! may depend on the stack of whoever calls us (2 MiB in a spawned thread, 8 MiB in most main
//! threads, whatever was chosen elsewhere). They run on a thread made for the load, whose stack is
//! large enough for anything that [`scan`](super::scan) lets through.
//!
//! # Measured
//!
//! cedar-policy 4.14.1, x86-64 Linux, levels that just fit into a stack of 2 MiB:
//!
//! | what | per level of | dev | release |
//! |---|---|---:|---:|
//! | `PolicySet::from_str` | brackets | 34 (59 KiB each) | 144 |
//! | | `if … else if …` | 384 | 1,152 |
//! | `Policy::to_pst` | operators | 60 (34 KiB) | 576 |
//! | `Policy::to_json` | operators | 144 (14 KiB) | 2,944 |
//! | `Policy::from_json` | operators | 18 (**114 KiB**) | 304 |
//! | strict validation | operators | 100 to 140, then it checks nothing | |
//! | drop of a policy | operators, lists | 7,424 | 25,600 |
//! | | records | 2,560 (0.8 KiB) | 10,752 |
//! | `Schema::from_cedarschema_str` | records | 136 (15 KiB) | 480 |
//! | | common types that use one another | 4,608 (0.5 KiB) | 32,768 |
//! | | entity types or actions in one another | 2,048 (1 KiB) | 3,200 |
//! | `Entities::from_json_str` | entities in one another | 1,408 (1.5 KiB) | 3,840 |
//!
//! `from_json` is the worst, and `scan` bounds what it recurses over: operators and brackets along
//! one path. (It also takes time that grows with the square of that depth: for a chain of 1,000 it
//! is 3.4 s in the release profile and 15 s in dev, all else a few milliseconds.) JSON text needs this
//! stack as much as Cedar text: the 128 levels that `serde_json` allows are some 60 operators. A crate
//! in the dev profile may be linked with a release build of Cedar and the other way round, so the
//! sizes below are those of the dev profile, doubled.

use std::cell::Cell;
use std::num::NonZero;
use std::{io, panic, thread};

use crate::limits::Limits;

use super::error::Problem;

/// For what recurses little: the thread itself, the regexes of Cedar's lexer, miette's labels.
const BASE: usize = 8 << 20;

/// Twice what the worst step takes for one operator or bracket.
const PER_OPERATOR: usize = 240 << 10;

/// Twice what the worst step takes for one declared name.
const PER_DECLARATION: usize = 2 << 10;

/// No system has room for more, and std panics on a size that it cannot round up to whole pages.
const LARGEST: usize = usize::MAX >> 2;

thread_local! {
    /// The size of this thread's stack, if it was made here.
    static STACK: Cell<usize> = const { Cell::new(0) };
}

/// Runs `f` on a thread whose stack suffices for every text within `limits`.
///
/// The stack is address space until it is touched: 242 MiB under the default limits, of which an
/// ordinary policy set touches less than one. Spawning and joining takes some 30 microseconds,
/// which is why this is done once a load and not once a policy. Trees must also be dropped in here
/// or be within the default limits; a drop of 1,000 levels takes less than 1 MiB.
///
/// On a thread that has such a stack already, `f` is just called: so a loop over policies that calls what may be called
/// alone as well can be run in here as a whole. (Nothing that recurses calls this.)
///
/// # Errors
/// When the system has no room for such a thread. Lower [`Limits::with_operator_chain`] then.
///
/// # Panics
/// Only if `f` does: its panic goes on in the caller.
pub(crate) fn with_parser_stack<T: Send>(
    limits: &Limits,
    f: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    let bytes = parser_stack_bytes(limits);
    if STACK.get() >= bytes {
        return Ok(f());
    }
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("duramen-parser".into())
            .stack_size(bytes)
            .spawn_scoped(scope, move || {
                STACK.set(bytes);
                f()
            })?;
        match worker.join() {
            Ok(value) => Ok(value),
            Err(payload) => panic::resume_unwind(payload),
        }
    })
}

/// What to say when there is no such thread.
pub(crate) fn no_thread(limits: &Limits, error: &io::Error) -> Problem {
    let mib = parser_stack_bytes(limits) >> 20;
    Problem::new(format_args!(
        "no thread to compile on, whose stack would be of {mib} MiB: {error} (the stack follows Limits::with_operator_chain, \
         with_nesting and with_declarations; lower what was raised)"
    ))
}

/// Runs `f` on parts of `items`, one for each core, and gives the results in the order of the items. Called on a
/// thread of [`with_parser_stack`]; the threads it adds have the same stack. Where the system has no more
/// threads, this one does their part.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    limits: &Limits,
    items: &[T],
    f: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    // Beyond eight the stacks' address space grows and Cedar's allocations are what is waited for.
    let workers = cores.min(8).min(items.len() / FEWEST).max(1);
    let mut parts = items.chunks(items.len().div_ceil(workers).max(1));
    let Some(first) = parts.next() else {
        return Vec::new();
    };
    let f = &f;
    thread::scope(|scope| {
        let spawned: Vec<_> = parts
            .map(|part| {
                let thread = thread::Builder::new()
                    .name("duramen-parser".into())
                    .stack_size(parser_stack_bytes(limits))
                    .spawn_scoped(scope, move || f(part));
                (part, thread)
            })
            .collect();
        let mut results = vec![f(first)];
        for (part, thread) in spawned {
            results.push(match thread.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(result)) => result,
                Ok(Err(payload)) => panic::resume_unwind(payload),
                Err(_) => f(part),
            });
        }
        results
    })
}

/// Fewer items than this, some 100 microseconds each, are not worth a thread.
const FEWEST: usize = 8;

/// Steps run one after the other, so the stack is as large as the deepest one needs, not their sum.
fn parser_stack_bytes(limits: &Limits) -> usize {
    let operators = limits
        .operator_chain()
        .max(limits.nesting())
        .saturating_mul(PER_OPERATOR);
    let declarations = limits.declarations().saturating_mul(PER_DECLARATION);
    operators
        .max(declarations)
        .saturating_add(BASE)
        .min(LARGEST)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed assumption must fail the test"
)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_follows_the_limits() {
        let limits = Limits::default();
        let default = parser_stack_bytes(&limits);
        assert!(parser_stack_bytes(&limits.with_operator_chain(2_000)) > default);
        assert!(parser_stack_bytes(&limits.with_declarations(1_000_000)) > default);
        assert_eq!(
            parser_stack_bytes(&limits.with_operator_chain(usize::MAX)),
            LARGEST
        );
    }

    #[test]
    fn runs_on_its_own_thread_and_borrows() {
        let text = String::from("abc");
        let (len, name) = with_parser_stack(&Limits::default(), || {
            (text.len(), thread::current().name().map(str::to_owned))
        })
        .unwrap();
        assert_eq!((len, name.as_deref()), (3, Some("duramen-parser")));
    }

    #[test]
    fn a_thread_with_such_a_stack_is_not_left() {
        let id = || thread::current().id();
        let limits = Limits::default();
        let deeper = limits.with_operator_chain(2_000);
        let [outer, inner, deep] = with_parser_stack(&limits, || {
            let inside = |limits| with_parser_stack(limits, id).unwrap();
            [id(), inside(&limits), inside(&deeper)]
        })
        .unwrap();
        assert_eq!(outer, inner);
        assert_ne!(outer, deep, "its stack is too small");
        assert_ne!(outer, id());
    }

    #[test]
    fn parts_are_done_in_order() {
        let items: Vec<usize> = (0..100).collect();
        let done = with_parser_stack(&Limits::default(), || {
            in_parallel(&Limits::default(), &items, <[usize]>::to_vec)
        });
        assert_eq!(done.unwrap().concat(), items);
    }

    #[test]
    fn a_stack_that_cannot_be_had_is_an_error() {
        let limits = Limits::default().with_operator_chain(usize::MAX);
        assert!(with_parser_stack(&limits, || ()).is_err());
    }

    #[test]
    #[should_panic(expected = "from inside")]
    fn a_panic_goes_on_in_the_caller() {
        let _ = with_parser_stack(&Limits::default(), || panic!("from inside"));
    }
}
