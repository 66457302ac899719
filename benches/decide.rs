//! A decision, by language feature and by number of policies that do not matter. The request is prepared, as
//! reading it is what `benches/request.rs` measures. `cargo run --release --example compare` measures whole
//! applications against `cedar-policy`.

#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot start must say so"
)]
#![allow(missing_docs, reason = "criterion's macros make items without")]

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use support::{authorizer, check, request};

/// One condition per feature; each holds.
const FEATURES: [(&str, &str); 16] = [
    ("scope_only", "true"),
    ("attribute", "principal.level == 5"),
    ("nested_record", "principal.address.city == \"Oslo\""),
    ("has", "principal has address.city"),
    ("in_hierarchy", "principal in Group::\"g2\""),
    ("in_set", "resource in principal.docs"),
    ("contains", "resource.labels.contains(\"b\")"),
    (
        "contains_all",
        "resource.labels.containsAll([\"a\", \"c\"])",
    ),
    ("like", "resource.name like \"*.pdf\""),
    ("is", "principal is User"),
    (
        "tags",
        "principal.hasTag(\"stage\") && principal.getTag(\"stage\") == \"gold\"",
    ),
    ("arithmetic", "principal.level * 2 + 1 > 10"),
    ("if", "if context.mfa then principal.level > 1 else false"),
    ("ip", "context.ip.isInRange(ip(\"10.0.0.0/8\"))"),
    ("decimal", "resource.cost.lessThan(decimal(\"13.0\"))"),
    (
        "datetime",
        "context.now.durationSince(principal.joined) > duration(\"365d\")",
    ),
];

fn features(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide");
    for (name, condition) in FEATURES {
        let text = format!("permit(principal, action, resource) when {{ {condition} }};");
        let authorizer = authorizer(text.as_str());
        let mut session = authorizer.session();
        check(&mut session, &request(), true);
        let mut prepared = authorizer.prepare(&request()).expect("prepares");
        group.bench_function(name, |b| {
            b.iter(|| session.is_authorized_prepared(&mut prepared).is_allowed());
        });
    }
    group.finish();
}

fn unrelated_policies(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide/unrelated_policies");
    for count in [10, 1_000, 100_000] {
        let mut text = String::from("permit(principal, action == Action::\"view\", resource);");
        for i in 1..count {
            text += &format!("permit(principal == User::\"u{i}\", action, resource);");
        }
        let authorizer = authorizer(text.as_str());
        let mut session = authorizer.session();
        check(&mut session, &request(), true);
        let mut prepared = authorizer.prepare(&request()).expect("prepares");
        group.bench_function(count.to_string(), |b| {
            b.iter(|| session.is_authorized_prepared(&mut prepared).is_allowed());
        });
    }
    group.finish();
}

criterion_group!(benches, features, unrelated_policies);
criterion_main!(benches);
