//! What grows with the number of policies, entities, groups and elements, and what does not.
//!
//! ```text
//! cargo bench --bench scale
//! cargo run --release --example performance
//! ```
//!
//! The second command puts the figures of the first into `docs/performance.md`, as tables and plots.

#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot start must say so"
)]
#![allow(missing_docs, reason = "criterion's macros make items without")]

mod entities;
mod policies;
mod sets;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, criterion_group, criterion_main};

/// There are some 150 figures: a second and a half for each.
pub(crate) fn quick(group: &mut BenchmarkGroup<'_, WallTime>) {
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
}

criterion_group!(
    benches,
    policies::policies,
    entities::entities,
    entities::hierarchy,
    sets::sets
);
criterion_main!(benches);
