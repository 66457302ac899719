//! What does it cost to ask a grant whether it still holds, and to take back ten of a million? Prints each figure beside its
//! threshold, and fails when one does not hold.
//!
//! ```text
//! cargo run --release --example grants -- [--json] [--quick]
//! ```
//!
//! `--quick` keeps 100,000 grants.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that cannot be made must say so"
)]

mod memory;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use duramen::grant::{Grant, GrantTable};
use duramen::{Authorizer, Entities, Entity, EntityUpdate, Limits, Request};

/// Grants of each user.
const EACH: usize = 10;

const POLICIES: &str = r#"
permit(principal in Group::"all", action == Action::"watch", resource)
when { principal.level >= context.level && !(principal has suspended) };
forbid(principal in Group::"g7", action, resource) when { resource has secret && resource.secret };
permit(principal == User::"root", action, resource);
"#;

struct Figure {
    what: String,
    found: f64,
    threshold: f64,
    unit: &'static str,
}

impl Figure {
    fn new(what: impl Into<String>, found: f64, threshold: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            found,
            threshold,
            unit,
        }
    }

    fn holds(&self) -> bool {
        self.found <= self.threshold
    }

    fn print(&self, json: bool) {
        let Self {
            what,
            found,
            threshold,
            unit,
        } = self;
        let holds = self.holds();
        if json {
            let line = serde_json::json!({ "what": what, "found": found, "threshold": threshold, "unit": unit, "holds": holds });
            println!("{line}");
        } else {
            let failed = if holds { "" } else { "FAILED" };
            println!("{what:<64} {found:>12.2} ≤ {threshold:>10.2} {unit:<6} {failed}");
        }
    }
}

fn main() {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let grants = if has("--quick") { 100_000 } else { 1_000_000 };
    let authorizer = authorizer(grants / EACH);
    let mut figures = one(&authorizer);
    figures.extend(many(&authorizer, grants));
    for figure in &figures {
        figure.print(has("--json"));
    }
    if !figures.iter().all(Figure::holds) {
        std::process::exit(1);
    }
}

/// Users in a hundred groups below one.
fn authorizer(users: usize) -> Authorizer {
    let mut json = String::from(r#"[{"uid":{"type":"Group","id":"all"},"attrs":{},"parents":[]}"#);
    let mut entity = |type_name: &str, id: String, attrs: &str, parent: String| {
        let _ = write!(
            json,
            r#",{{"uid":{{"type":"{type_name}","id":"{id}"}},"attrs":{{{attrs}}},"parents":[{{"type":"Group","id":"{parent}"}}]}}"#
        );
    };
    for group in 0..100 {
        entity("Group", format!("g{group}"), "", "all".to_owned());
    }
    for user in 0..users {
        entity(
            "User",
            format!("u{user}"),
            r#""level":5"#,
            format!("g{}", user % 100),
        );
    }
    json.push(']');
    let authorizer = Authorizer::builder()
        .limits(Limits::default().with_input_bytes(1 << 30))
        .policies(POLICIES)
        .entities(Entities::new().json(json))
        .build()
        .unwrap_or_else(|error| panic!("{error}"));
    // What writers keep is made at the first update.
    let first = EntityUpdate::new().upsert(Entity::new(("User", "first")));
    authorizer.update_entities(first).unwrap();
    authorizer
}

/// Calls `f` with the request of a user for a stream.
fn with_request<R>(user: usize, stream: usize, f: impl FnOnce(&Request<'_>) -> R) -> R {
    let (user, stream) = (format!("u{user}"), format!("s{stream}"));
    let context = BTreeMap::from([("level", 3)]);
    let request = Request::new(
        ("User", user.as_str()),
        ("Action", "watch"),
        ("Stream", stream.as_str()),
    );
    f(&request.context(&context))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds of `runs` calls, for each.
fn nanoseconds(runs: u32, mut f: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..runs {
        f();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(runs)
}

/// One grant that is asked.
fn one(authorizer: &Authorizer) -> Vec<Figure> {
    let grant = with_request(0, 0, |request| authorizer.grant(request).unwrap());
    let unchanged = (0..31)
        .map(|_| nanoseconds(100_000, || assert!(black_box(&grant).is_current())))
        .collect();
    // Between two looks something else changes; the look alone is timed, many grants in a row, to see past the clock.
    let others: Vec<Grant> = (0..1_000)
        .map(|n| with_request(n % 90 + 1, n, |request| authorizer.grant(request).unwrap()))
        .collect();
    let unrelated = (0..101)
        .map(|round| {
            let other = EntityUpdate::new().set_attr(("User", "u99"), "level", &round);
            authorizer.update_entities(other).unwrap();
            let start = Instant::now();
            for grant in &others {
                assert!(black_box(grant).is_current());
            }
            start.elapsed().as_secs_f64() * 1e9 / others.len() as f64
        })
        .collect();
    let again = (0..101)
        .map(|round| {
            let own = EntityUpdate::new().set_attr(("User", "u0"), "level", &(5 + round % 2));
            authorizer.update_entities(own).unwrap();
            nanoseconds(1, || assert!(black_box(&grant).is_current()))
        })
        .collect();
    vec![
        Figure::new("a look, nothing changed", median(unchanged), 5.0, "ns"),
        Figure::new(
            "a look, something else changed",
            median(unrelated),
            50.0,
            "ns",
        ),
        Figure::new("a look that decides again", median(again), 10_000.0, "ns"),
    ]
}

/// A table full of grants, and updates of users who have ten each.
fn many(authorizer: &Authorizer, count: usize) -> Vec<Figure> {
    let users = count / EACH;
    let table = GrantTable::new(authorizer);
    let revocations = table.revocations();
    let before = memory::live();
    let start = Instant::now();
    let grants: Vec<Grant> = (0..count)
        .map(|n| with_request(n % users, n, |request| table.grant(request).unwrap()))
        .collect();
    let made = start.elapsed().as_secs_f64() * 1e6 / count as f64;
    let each = (memory::live() - before) as f64 / count as f64;
    let mut revoked = Vec::new();
    let mut update = Vec::new();
    for round in 0..101 {
        let user = format!("u{}", (round * 7_919 + 13) % users);
        let user = user.as_str();
        let seen = EntityUpdate::new().set_attr(("User", user), "seen", &1);
        let start = Instant::now();
        authorizer.update_entities(seen).unwrap();
        update.push(start.elapsed().as_secs_f64() * 1e6);
        let suspend = EntityUpdate::new().set_attr(("User", user), "suspended", &true);
        let start = Instant::now();
        authorizer.update_entities(suspend).unwrap();
        revoked.push(start.elapsed().as_secs_f64() * 1e6);
        let told = revocations
            .try_iter()
            .inspect(|revocation| assert_eq!(revocation.principal().id(), user));
        assert_eq!(told.count(), EACH, "of {user}");
    }
    let ended = grants.iter().filter(|grant| !grant.is_current()).count();
    assert_eq!(ended, 101 * EACH);
    let start = Instant::now();
    drop(grants);
    let dropped = start.elapsed().as_secs_f64() * 1e6 / count as f64;
    assert!(table.is_empty());
    let left = memory::live().saturating_sub(before) as f64 / count as f64;
    vec![
        Figure::new(format!("to make one of {count} grants"), made, 50.0, "µs"),
        Figure::new(
            "memory of a grant, the handle and the index included",
            each,
            1_000.0,
            "bytes",
        ),
        Figure::new(
            "an update of a user that no grant rests on",
            median(update),
            100.0,
            "µs",
        ),
        Figure::new(
            "an update that takes back the ten grants of a user",
            median(revoked),
            100.0,
            "µs",
        ),
        Figure::new("to drop a grant", dropped, 50.0, "µs"),
        Figure::new("memory of a grant that was dropped", left, 100.0, "bytes"),
    ]
}
