//! Loading: policies to a program, with Cedar's parser alone for scale; entities to a snapshot.

#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot start must say so"
)]
#![allow(missing_docs, reason = "criterion's macros make items without")]

use std::str::FromStr;

use criterion::{Criterion, criterion_group, criterion_main};
use duramen::{Authorizer, Policies};

fn policies(c: &mut Criterion) {
    let mut text = String::new();
    for i in 0..1_000 {
        text += &format!(
            "permit(principal in Group::\"g{i}\", action == Action::\"view\", resource is Doc)
             when {{ resource.level <= principal.level && !(context.ip.isLoopback()) }};\n"
        );
    }
    let built = Authorizer::builder()
        .policies(text.as_str())
        .build()
        .expect("the benchmark's policies are valid");
    assert_eq!(built.policy_count(), 1_000);

    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    group.bench_function("cedar_parse_1000_policies", |b| {
        b.iter(|| cedar_policy::PolicySet::from_str(&text).expect("parses"));
    });
    group.bench_function("1000_policies", |b| {
        b.iter(|| built.replace_policies(text.as_str()).expect("compiles"));
    });
    let mut links = Policies::new().text("permit(principal == ?principal, action, resource);");
    for i in 0..1_000 {
        let id = format!("u{i}");
        links = links.link(
            "policy0",
            format!("link{i}").as_str(),
            Some(("User", id.as_str()).into()),
            None,
        );
    }
    group.bench_function("1000_links", |b| {
        b.iter(|| built.replace_policies(links.clone()).expect("links"));
    });
    group.finish();
}

fn entities(c: &mut Criterion) {
    let rows: Vec<String> = (0..10_000)
        .map(|i| {
            format!(
                r#"{{"uid":{{"type":"User","id":"u{i}"}},"attrs":{{"level":{i},"name":"user {i}"}},
                    "parents":[{{"type":"Group","id":"g{}"}}]}}"#,
                i % 100
            )
        })
        .collect();
    let json = format!("[{}]", rows.join(","));
    let authorizer = Authorizer::builder().build().expect("builds");
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    group.bench_function("cedar_10000_entities", |b| {
        b.iter(|| cedar_policy::Entities::from_json_str(&json, None).expect("loads"));
    });
    group.bench_function("10000_entities", |b| {
        b.iter(|| authorizer.replace_entities(json.as_str()).expect("loads"));
    });
    assert_eq!(authorizer.entity_count(), 10_000);
    group.finish();
}

criterion_group!(benches, policies, entities);
criterion_main!(benches);
