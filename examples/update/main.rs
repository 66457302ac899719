//! What do live updates cost, and what do readers notice of them? Prints each figure beside its threshold.
//!
//! ```text
//! cargo run --release --example update -- [--json] [--quick]
//! ```
//!
//! `--quick` measures a store of 100,000 entities, with fewer operations.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that cannot be made must say so"
)]

mod memory;
mod readers;
mod world;

use std::time::{Duration, Instant};

use duramen::{Authorizer, Entity, EntityUpdate};

/// Entities of the store that is changed without end: few, so that names are reclaimed many times.
const CHURNED: usize = 100_000;

/// One line of the report.
pub(crate) struct Figure {
    what: String,
    found: f64,
    threshold: f64,
    /// Whether more is better.
    at_least: bool,
    unit: &'static str,
}

pub(crate) fn at_most(
    what: impl Into<String>,
    found: f64,
    threshold: f64,
    unit: &'static str,
) -> Figure {
    Figure {
        what: what.into(),
        found,
        threshold,
        at_least: false,
        unit,
    }
}

impl Figure {
    fn holds(&self) -> bool {
        if self.at_least {
            self.found >= self.threshold
        } else {
            self.found <= self.threshold
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "--reader") {
        println!("{}", readers::count_alone());
        return;
    }
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let size = if has("--quick") { 100_000 } else { 1_000_000 };
    let operations = if has("--quick") { 200_000 } else { 2_000_000 };
    let mut figures = readers::two_threads();
    let started = Instant::now();
    let authorizer = world::authorizer(size);
    eprintln!("{size} entities loaded in {:.1?}", started.elapsed());
    figures.extend(upserts(&authorizer, size));
    figures.extend(groups(&authorizer));
    figures.extend(readers::while_writing(&authorizer, size));
    drop(authorizer);
    figures.extend(churn(operations));
    report(&figures, has("--json"));
}

fn report(figures: &[Figure], json: bool) {
    for figure in figures {
        let (sign, holds) = (if figure.at_least { "≥" } else { "≤" }, figure.holds());
        if json {
            println!(
                "{}",
                serde_json::json!({ "what": figure.what, "found": figure.found, "threshold": figure.threshold,
                                    "unit": figure.unit, "holds": holds })
            );
        } else {
            println!(
                "{:<64} {:>12.2} {sign} {:>10.2} {:<6} {}",
                figure.what,
                figure.found,
                figure.threshold,
                figure.unit,
                if holds { "" } else { "FAILED" }
            );
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One upsert, from typed values, of a user who is there or not.
pub(crate) fn upsert(authorizer: &Authorizer, id: &str, level: i64) {
    let attrs = [
        ("level", serde_json::json!(level)),
        ("name", serde_json::json!(id)),
    ];
    let attrs: std::collections::BTreeMap<_, _> = attrs.into_iter().collect();
    let group = format!("g{}", id.len() % world::GROUPS);
    let parents = [("Group", group.as_str()).into(), ("Group", "large").into()];
    let user = Entity::new(("User", id)).attrs(&attrs).parents(&parents);
    authorizer
        .update_entities(EntityUpdate::new().upsert(user))
        .unwrap();
}

fn upserts(authorizer: &Authorizer, size: usize) -> Vec<Figure> {
    let started = Instant::now();
    upsert(authorizer, "u0", 1);
    eprintln!("the first update took {:.1?}", started.elapsed());
    let (mut times, mut bytes) = (Vec::new(), Vec::new());
    for i in 0..20_000_usize {
        let id = match i % 4 {
            0 => format!("new{i}"),
            _ => format!("u{}", i.wrapping_mul(7_919) % (size / 2) * 2),
        };
        let level = i64::try_from(i % 100).unwrap_or(0) + 10;
        let started = Instant::now();
        let (taken, ()) = memory::allocated(|| upsert(authorizer, &id, level));
        times.push(started.elapsed().as_secs_f64() * 1e6);
        bytes.push(taken as f64 / 1000.0);
    }
    vec![
        at_most("upsert of one entity, median", median(times), 50.0, "µs"),
        at_most(
            "upsert of one entity, allocated, median",
            median(bytes),
            64.0,
            "kB",
        ),
    ]
}

fn groups(authorizer: &Authorizer) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (group, what) in [
        ("large", "new parent of a group with 100,000 members"),
        ("wide", "new parent of a group with 100 groups of 1,000"),
    ] {
        let mut times = Vec::new();
        for _ in 0..11 {
            let (uid, parent) = (("Group", group), ("Group", "moved"));
            let started = Instant::now();
            authorizer
                .update_entities(EntityUpdate::new().add_parent(uid, parent))
                .unwrap();
            times.push(started.elapsed().as_secs_f64() * 1e3);
            authorizer
                .update_entities(EntityUpdate::new().remove_parent(uid, parent))
                .unwrap();
        }
        figures.push(at_most(what, median(times), 5.0, "ms"));
    }
    figures
}

/// Memory under endless changes. Up to a third of all names may be garbage, and while they are reclaimed there are two
/// copies: at most two and a half times what was in use before. That it stays so is seen in the second half, in which it
/// must not be more than in the first; in each there are several reclaims.
fn churn(operations: usize) -> Vec<Figure> {
    let authorizer = &world::authorizer(CHURNED);
    // What only the first update makes is there before anything is counted.
    upsert(authorizer, "u0", 1);
    let mut figures = Vec::new();
    let mut measure = |what: &str, step: &mut dyn FnMut(usize)| {
        let (before, mut most) = (memory::live(), [0; 2]);
        memory::peak();
        let (started, mut slowest) = (Instant::now(), Duration::ZERO);
        for i in 0..operations {
            let began = Instant::now();
            step(i);
            slowest = slowest.max(began.elapsed());
            let most = &mut most[i * 2 / operations];
            *most = memory::peak().max(*most);
        }
        eprintln!("{operations} {what} in {:.1?}", started.elapsed());
        let [before, first, second] = [before, most[0], most[1]].map(|bytes| bytes as f64 / 1e6);
        eprintln!(
            "    {before:.1} MB before, at most {first:.1} MB in the first half and {second:.1} MB in the second, \
             {:.1} MB after; the slowest took {slowest:.1?}",
            memory::live() as f64 / 1e6
        );
        figures.push(at_most(
            format!("memory at most, by before: {what}"),
            first.max(second) / before,
            2.5,
            "×",
        ));
        figures.push(at_most(
            "    the second half by the first",
            second / first,
            1.02,
            "×",
        ));
    };
    measure("upserts and removals of the same entities", &mut |i| {
        let id = format!("same{}", i / 2 % 100);
        match i % 2 {
            0 => upsert(authorizer, &id, 1),
            _ => remove(authorizer, &id),
        }
    });
    measure(
        "upserts and removals of ever-new ids",
        &mut |i| match i % 2 {
            0 => upsert(authorizer, &format!("session-{}", i / 2), 1),
            _ => remove(authorizer, &format!("session-{}", i / 2)),
        },
    );
    let mut session = authorizer.session();
    measure("requests that name unknown ids", &mut |i| {
        let id = format!("stranger-{i}");
        let request = duramen::Request::new(
            ("User", id.as_str()),
            ("Action", "view"),
            ("Doc", id.as_str()),
        );
        assert!(!session.is_allowed(&request));
    });
    figures
}

fn remove(authorizer: &Authorizer, id: &str) {
    authorizer
        .update_entities(EntityUpdate::new().remove(("User", id)))
        .unwrap();
}
