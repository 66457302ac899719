//! Reading a request: uids, typed context, context as Cedar JSON, request-scoped entities, validation. The policy
//! is the same and small throughout.

#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot start must say so"
)]
#![allow(missing_docs, reason = "criterion's macros make items without")]

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use duramen::values::{Datetime, Ip};
use duramen::{Authorizer, Entity, Request};
use support::{CONTEXT, authorizer, check};

#[derive(serde::Serialize)]
struct Context<'a> {
    mfa: bool,
    ip: Ip<'a>,
    now: Datetime<'a>,
    groups: [&'a str; 2],
}

#[derive(serde::Serialize)]
struct Row<'a> {
    name: &'a str,
    size: i64,
}

fn requests(c: &mut Criterion) {
    let policy = "permit(principal, action, resource) unless { context has blocked };";
    let authorizer = authorizer(policy);
    let mut session = authorizer.session();
    let plain = Request::new(("User", "alice"), ("Action", "view"), ("Doc", "d1"));
    let unknown = Request::new(("User", "nobody"), ("Action", "view"), ("Doc", "none"));
    let context = Context {
        mfa: true,
        ip: Ip::new("10.1.2.3"),
        now: Datetime::new("2026-11-22T12:00:00Z"),
        groups: ["on-call", "eu"],
    };
    let row = Row {
        name: "report.pdf",
        size: 17,
    };
    let parents = [("Folder", "f").into()];
    let overlay = [Entity::new(("Doc", "d1")).attrs(&row).parents(&parents)];
    let mut group = c.benchmark_group("request");
    for (name, request) in [
        ("known_uids", plain),
        ("unknown_uids", unknown),
        ("typed_context", plain.context(&context)),
        ("json_context", plain.context_json(CONTEXT)),
        ("overlay", plain.entities(&overlay)),
    ] {
        check(&mut session, &request, true);
        group.bench_function(name, |b| {
            b.iter(|| session.is_authorized(&request).is_allowed());
        });
    }
    group.bench_function("pooled", |b| {
        b.iter(|| authorizer.is_authorized(&plain).is_allowed());
    });
    group.bench_function("decision_only", |b| b.iter(|| session.is_allowed(&plain)));

    let validating = Authorizer::builder()
        .schema_str(
            "entity User, Doc; action view appliesTo { principal: User, resource: Doc,
             context: { mfa: Bool, ip: ipaddr, now: datetime, groups: Set<String> } };",
        )
        .policies("permit(principal, action, resource);")
        .validate_requests(true)
        .build()
        .expect("the benchmark's schema is valid");
    let mut session = validating.session();
    let request = plain.context(&context);
    check(&mut session, &request, true);
    group.bench_function("typed_context_validated", |b| {
        b.iter(|| session.is_authorized(&request).is_allowed());
    });
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);
