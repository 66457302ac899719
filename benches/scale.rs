//! What grows with the number of policies, and what does not: deciding, loading, changing one policy.

#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot start must say so"
)]
#![allow(missing_docs, reason = "criterion's macros make items without")]

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use duramen::{Authorizer, Policies, PolicyUpdate, Request};

/// Ten policies match the request, however many there are.
const MATCHING: usize = 10;

/// Makes so many policies.
type Shape = fn(usize) -> Policies;

const COUNTS: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];

/// For one group and one document each.
fn flat(count: usize) -> Policies {
    let policy = |i: usize| {
        let group = if i < MATCHING { 0 } else { i };
        format!(
            "permit(principal in Group::\"g{group}\", action == Action::\"view\", resource == Doc::\"d{group}\");\n"
        )
    };
    Policies::new().text((0..count).map(policy).collect::<String>())
}

/// For a group and a folder, with a condition.
fn roles(count: usize) -> Policies {
    let policy = |i: usize| {
        let group = if i < MATCHING { 0 } else { i };
        format!(
            "permit(principal in Group::\"g{group}\", action in [Action::\"view\", Action::\"edit\"], resource in Folder::\"f{}\") \
             when {{ context.level >= {} }};\n",
            group % 100,
            i % 5
        )
    };
    Policies::new().text((0..count).map(policy).collect::<String>())
}

/// For everybody and everything: told apart by an attribute.
fn attributes(count: usize) -> Policies {
    let policy = |i: usize| {
        let team = if i < MATCHING { 0 } else { i };
        format!(
            "permit(principal, action == Action::\"view\", resource) \
             when {{ context has team && context.team == \"t{team}\" && context.level >= {} }};\n",
            i % 5
        )
    };
    Policies::new().text((0..count).map(policy).collect::<String>())
}

fn links(count: usize) -> Policies {
    let template = "permit(principal in ?principal, action, resource in ?resource) when { context.level >= 1 };";
    (0..count).fold(Policies::new().text(template), |policies, i| {
        let (group, folder) = match i < MATCHING {
            true => ("g0".to_owned(), "f0".to_owned()),
            false => (format!("g{i}"), format!("f{}", i % 100)),
        };
        policies.link(
            "policy0",
            format!("link{i}"),
            Some(("Group", group.as_str()).into()),
            Some(("Folder", folder.as_str()).into()),
        )
    })
}

const ENTITIES: &str = r#"[
    { "uid": { "type": "User", "id": "u" }, "attrs": {}, "parents": [{ "type": "Group", "id": "g0" }] },
    { "uid": { "type": "Doc", "id": "d0" }, "attrs": {}, "parents": [{ "type": "Folder", "id": "f0" }] }
]"#;

fn authorizer(policies: Policies) -> Authorizer {
    Authorizer::builder()
        .policies(policies)
        .entities(ENTITIES)
        .build()
        .expect("the benchmark's policies are valid")
}

fn scale(c: &mut Criterion) {
    let shapes: [(&str, Shape); 4] = [
        ("flat", flat),
        ("roles", roles),
        ("links", links),
        ("attributes", attributes),
    ];
    let request = Request::new(("User", "u"), ("Action", "view"), ("Doc", "d0"))
        .context_json(r#"{ "level": 9, "team": "t0" }"#);
    for (shape, policies) in shapes {
        let mut group = c.benchmark_group(format!("scale_{shape}"));
        group.sample_size(10);
        for count in COUNTS {
            let authorizer = authorizer(policies(count));
            let mut session = authorizer.session();
            let mut prepared = authorizer.prepare(&request).expect("a valid request");
            let determining = session
                .is_authorized_prepared(&mut prepared)
                .determining()
                .len();
            assert_eq!(determining, MATCHING);
            group.bench_function(BenchmarkId::new("decide", count), |b| {
                b.iter(|| session.is_authorized_prepared(&mut prepared).is_allowed());
            });
            group.bench_function(BenchmarkId::new("load", count), |b| {
                b.iter_batched(
                    || policies(count),
                    |policies| {
                        authorizer
                            .replace_policies(policies)
                            .expect("they are valid")
                    },
                    BatchSize::PerIteration,
                );
            });
            let text = "forbid(principal in Group::\"new\", action, resource);";
            group.bench_function(BenchmarkId::new("add_and_remove_one", count), |b| {
                b.iter(|| {
                    let update = PolicyUpdate::new().add("new", text);
                    authorizer.update_policies(update).expect("it is new");
                    let update = PolicyUpdate::new().remove("new");
                    authorizer.update_policies(update).expect("it is there")
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, scale);
criterion_main!(benches);
