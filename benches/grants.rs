//! A look at a grant, and an update that takes some back. `cargo run --release --example grants` prints the same, and memory,
//! beside thresholds.

#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot start must say so"
)]
#![allow(missing_docs, reason = "criterion's macros make items without")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use duramen::grant::{Grant, GrantTable};
use duramen::{Authorizer, EntityUpdate, Request};

const USERS: usize = 1_000;
/// Grants of each user.
const EACH: usize = 10;
/// Looks between two changes.
const LOOKS: usize = 100;

fn authorizer() -> Authorizer {
    let mut json = String::from(r#"[{"uid":{"type":"Group","id":"all"},"attrs":{},"parents":[]}"#);
    for user in 0..USERS {
        let _ = write!(
            json,
            r#",{{"uid":{{"type":"User","id":"u{user}"}},"attrs":{{"level":5}},"parents":[{{"type":"Group","id":"all"}}]}}"#
        );
    }
    json.push(']');
    Authorizer::builder()
        .policies(
            r#"permit(principal in Group::"all", action, resource) when { principal.level > 3 };"#,
        )
        .entities(json.as_str())
        .build()
        .expect("the benchmark's entities are valid")
}

fn request<'a>(user: &'a str, stream: &'a str) -> Request<'a> {
    Request::new(("User", user), ("Action", "watch"), ("Stream", stream))
}

fn level(user: &str, level: i64) -> EntityUpdate {
    EntityUpdate::new().set_attr(("User", user), "level", &level)
}

fn looks(c: &mut Criterion) {
    let authorizer = authorizer();
    let grant = authorizer.grant(&request("u0", "s")).expect("is allowed");
    let apply = |update| authorizer.update_entities(update).expect("is accepted");
    // The answers first.
    assert!(grant.is_current());
    apply(level("u1", 1));
    assert!(grant.is_current());
    let ended = authorizer.grant(&request("u2", "s")).expect("is allowed");
    apply(level("u2", 1));
    assert!(!ended.is_current());
    let mut group = c.benchmark_group("grants");
    group.bench_function("unchanged", |b| b.iter(|| black_box(&grant).is_current()));
    let mut round = 4;
    // Many looks between two changes, each the first of its grant: to ask the clock costs more than to look.
    let streams: Vec<String> = (0..LOOKS).map(|stream| stream.to_string()).collect();
    let grants: Vec<Grant> = streams
        .iter()
        .map(|stream| {
            authorizer
                .grant(&request("u0", stream))
                .expect("is allowed")
        })
        .collect();
    group.bench_function("unrelated", |b| {
        b.iter_custom(|iterations| {
            let mut left = usize::try_from(iterations).unwrap_or(usize::MAX);
            let mut time = Duration::ZERO;
            while left > 0 {
                round += 1;
                apply(level("u1", round));
                let looks = left.min(LOOKS);
                let begun = Instant::now();
                for grant in &grants[..looks] {
                    assert!(black_box(grant).is_current());
                }
                time += begun.elapsed();
                left -= looks;
            }
            time
        });
    });
    group.bench_function("again", |b| {
        b.iter_batched(
            || {
                round += 1;
                apply(level("u0", round));
            },
            |_| black_box(&grant).is_current(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn table(c: &mut Criterion) {
    let authorizer = authorizer();
    let table = GrantTable::new(&authorizer);
    let of = |user: &str| -> Vec<Grant> {
        let streams = (0..EACH).map(|n| format!("s{n}"));
        streams
            .map(|stream| table.grant(&request(user, &stream)).expect("is allowed"))
            .collect()
    };
    let others: Vec<Grant> = (1..USERS)
        .flat_map(|user| of(&format!("u{user}")))
        .collect();
    let revoke = || {
        let (_, revoked) = table.revoked_by(|authorizer| {
            authorizer
                .update_entities(level("u0", 1))
                .expect("is accepted")
        });
        revoked.len()
    };
    let grants = of("u0");
    assert_eq!(revoke(), EACH);
    drop(grants);
    c.bench_function("grants/ten of ten thousand", |b| {
        b.iter_batched(
            || {
                authorizer
                    .update_entities(level("u0", 5))
                    .expect("is accepted");
                of("u0")
            },
            |grants| {
                assert_eq!(revoke(), EACH);
                grants
            },
            BatchSize::PerIteration,
        );
    });
    assert!(others.iter().all(Grant::is_current));
}

criterion_group!(benches, looks, table);
criterion_main!(benches);
