//! One update of entities, by size of the store and by kind of change. `cargo run --release --example update` measures
//! what readers notice of updates.

#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot start must say so"
)]
#![allow(missing_docs, reason = "criterion's macros make items without")]

use std::fmt::Write;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use duramen::{Authorizer, Entity, EntityUpdate};

/// Users, each in one of a hundred groups.
fn authorizer(users: usize) -> Authorizer {
    let mut json = String::from(r#"[{"uid":{"type":"Group","id":"g0"},"attrs":{},"parents":[]}"#);
    for i in 0..users {
        let group = i % 100;
        let _ = write!(
            json,
            r#",{{"uid":{{"type":"User","id":"u{i}"}},"attrs":{{"level":{i}}},"parents":[{{"type":"Group","id":"g{group}"}}]}}"#
        );
    }
    json.push(']');
    Authorizer::builder()
        .policies(r#"permit(principal in Group::"top", action, resource);"#)
        .entities(json.as_str())
        .build()
        .expect("the benchmark's entities are valid")
}

fn update(c: &mut Criterion) {
    for size in [1_000, 10_000, 100_000] {
        let authorizer = authorizer(size);
        let apply = |update: EntityUpdate| authorizer.update_entities(update).expect("is accepted");
        apply(EntityUpdate::new().remove(("User", "u0")));
        let mut i = 0_usize;
        let mut next = || {
            i += 1;
            (format!("u{}", i.wrapping_mul(7_919) % size), i)
        };
        let mut group = c.benchmark_group("update");
        let id = |what: &str| BenchmarkId::new(what, size);
        group.bench_function(id("upsert"), |b| {
            b.iter(|| {
                let (id, level) = next();
                let attrs = std::collections::BTreeMap::from([("level", level)]);
                let parents = [("Group", "g1").into()];
                let user = Entity::new(("User", id.as_str())).attrs(&attrs);
                apply(EntityUpdate::new().upsert(user.parents(&parents)))
            });
        });
        group.bench_function(id("set_attr"), |b| {
            b.iter(|| {
                let (_, level) = next();
                apply(EntityUpdate::new().set_attr(("User", "u1"), "level", &level))
            });
        });
        group.bench_function(id("move_group"), |b| {
            b.iter(|| {
                let (group, top) = (("Group", "g0"), ("Group", "top"));
                apply(EntityUpdate::new().add_parent(group, top));
                apply(EntityUpdate::new().remove_parent(group, top))
            });
        });
        group.finish();
    }
}

criterion_group!(benches, update);
criterion_main!(benches);
