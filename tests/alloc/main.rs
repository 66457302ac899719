//! A decision allocates nothing once warm: counted, also what is freed.
//!
//! Every case runs a few times to warm up and then many times under the counter, which counts for each thread
//! by itself. Answers are checked in the same runs: a decision that does nothing allocates nothing either.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed assumption must fail the test"
)]

mod counting;
mod policies;
mod requests;
mod sinks;
mod updates;

use std::cell::Cell;
use std::collections::BTreeMap;

use duramen::values::{Datetime, Decimal, Duration, EntityRef, Ip};
use duramen::{
    Authorizer, Entity, EntityUid, EntityUidRef, EntityUpdate, Outcome, Request, Response, Scratch,
};
use serde::Serialize;

use counting::{Calls, calls_of};

/// Under Miri everything takes a thousand times as long.
const WARM_UP: usize = if cfg!(miri) { 3 } else { 6 };
const RUNS: usize = if cfg!(miri) { 1 } else { 40 };

#[track_caller]
fn allocates_nothing(what: &str, mut run: impl FnMut()) {
    for _ in 0..WARM_UP {
        run();
    }
    let (calls, ()) = calls_of(|| {
        for _ in 0..RUNS {
            run();
        }
    });
    assert_eq!(calls, Calls::default(), "{what}, in {RUNS} runs");
}

/// Decides in every way that there is.
#[track_caller]
fn every_way(what: &str, authorizer: &Authorizer, request: &Request<'_>, expected: Outcome) {
    let allowed = expected == Outcome::Allowed;
    let reads = |response: Response<'_>| {
        assert_eq!(response.outcome(), expected, "{what}");
        let policies = response
            .determining()
            .map(|policy| policy.id().as_str().len());
        let errors = response.errors().map(|error| error.kind() as usize);
        std::hint::black_box(policies.sum::<usize>() + errors.sum::<usize>());
    };
    allocates_nothing(&format!("{what}: pooled"), || {
        reads(authorizer.is_authorized(request));
    });
    let mut scratch = Scratch::new();
    allocates_nothing(&format!("{what}: with scratch"), || {
        reads(authorizer.is_authorized_with(&mut scratch, request));
    });
    let mut session = authorizer.session();
    allocates_nothing(&format!("{what}: session"), || {
        reads(session.is_authorized(request));
    });
    let pinned = authorizer.pin();
    allocates_nothing(&format!("{what}: pinned"), || {
        reads(pinned.is_authorized(request));
        assert_eq!(pinned.is_allowed(request), allowed, "{what}");
    });
    allocates_nothing(&format!("{what}: batch"), || {
        let mut next = 0;
        authorizer
            .pin()
            .is_authorized_batch([request; 3], |at, response| {
                assert_eq!(at, next, "{what}");
                next += 1;
                reads(response);
            });
        assert_eq!(next, 3, "{what}");
    });
    allocates_nothing(&format!("{what}: is_allowed"), || {
        assert_eq!(authorizer.is_allowed(request), allowed, "{what}");
    });
    allocates_nothing(&format!("{what}: session, is_allowed"), || {
        assert_eq!(session.is_allowed(request), allowed, "{what}");
    });
    // Requests that bring entities cannot be prepared.
    let Ok(mut prepared) = authorizer.prepare(request) else {
        return;
    };
    allocates_nothing(&format!("{what}: prepared"), || {
        reads(authorizer.is_authorized_prepared(&mut scratch, &mut prepared));
    });
    allocates_nothing(&format!("{what}: pinned, prepared"), || {
        reads(pinned.is_authorized_prepared(&mut scratch, &mut prepared));
    });
    allocates_nothing(&format!("{what}: session, prepared"), || {
        reads(session.is_authorized_prepared(&mut prepared));
    });
}

const POLICIES: &str = r#"
    permit(principal in Group::"staff", action == Action::"view", resource is Photo)
    when { resource.owner == principal || resource.shared }
    unless { context has blocked && context.blocked };

    permit(principal, action, resource)
    when { context has roles && context.roles.containsAll(["admin", "audit"]) };

    permit(principal, action in [Action::"edit", Action::"view"], resource)
    when {
        context has device && context.device has ip &&
        context.device.ip.isInRange(ip("10.0.0.0/8")) &&
        context.device.score.greaterThan(decimal("0.5")) &&
        context.device.seen.offset(duration("1d")) > datetime("2024-01-01") &&
        context.device.age < duration("2h") &&
        context.device.owner in Group::"staff" &&
        context.device.name like "lap*" &&
        {"a": [1, 2, principal.level + 1], "b": context.device.name} != {"a": []}
    };

    forbid(principal, action, resource) when { principal.level > 100 };

    forbid(principal == User::"eve", action, resource);
"#;

const ENTITIES: &str = r#"[
    { "uid": { "type": "User", "id": "alice" }, "attrs": { "level": 3 },
      "parents": [{ "type": "Group", "id": "eng" }], "tags": { "team": "core" } },
    { "uid": { "type": "User", "id": "bob" }, "attrs": { "level": 3 }, "parents": [] },
    { "uid": { "type": "Group", "id": "eng" }, "attrs": {}, "parents": [{ "type": "Group", "id": "staff" }] },
    { "uid": { "type": "Photo", "id": "p1" }, "attrs": {
        "owner": { "__entity": { "type": "User", "id": "alice" } }, "shared": false }, "parents": [] }
]"#;

fn authorizer() -> Authorizer {
    Authorizer::builder()
        .policies(POLICIES)
        .entities(ENTITIES)
        .build()
        .unwrap()
}

fn view(user: &'static str) -> Request<'static> {
    Request::new(("User", user), ("Action", "view"), ("Photo", "p1"))
}

#[derive(Serialize)]
struct Context<'a> {
    device: Device<'a>,
    roles: Vec<String>,
    numbers: [i64; 20],
    nested: BTreeMap<String, Vec<BTreeMap<String, i32>>>,
    absent: Option<&'a str>,
    other: EntityUid,
    posing: BTreeMap<&'a str, &'a str>,
    unheard_of: &'a str,
}

#[derive(Serialize)]
struct Device<'a> {
    ip: Ip<'a>,
    score: Decimal<'a>,
    seen: Datetime<'a>,
    age: Duration<'a>,
    owner: EntityRef<'a>,
    name: &'a str,
}

fn typed_context() -> Context<'static> {
    Context {
        device: Device {
            ip: Ip::new("10.1.2.3"),
            score: Decimal::new("0.75"),
            seen: Datetime::from_millis(1_704_067_200_000),
            age: Duration::new("1h30m"),
            owner: EntityRef::new("User", "alice"),
            name: "laptop",
        },
        roles: vec!["reader".to_owned(), "writer".to_owned()],
        numbers: std::array::from_fn(|i| 40 - i64::try_from(i).unwrap()),
        nested: (0..20)
            .map(|i| (format!("k{i}"), vec![BTreeMap::from([("x".to_owned(), i)])]))
            .collect(),
        absent: None,
        other: EntityUid::new("User", "nobody has heard of them"),
        posing: BTreeMap::from([("__entity", "x")]),
        unheard_of: "no policy knows the name of this field",
    }
}

const JSON_CONTEXT: &str = r#"{
    "device": {
        "ip": { "__extn": { "fn": "ip", "arg": "10.1.2.3" } },
        "score": { "__extn": { "fn": "decimal", "arg": "0.75" } },
        "seen": { "__extn": { "fn": "offset", "args": [
            { "__extn": { "fn": "datetime", "arg": "2024-01-01" } },
            { "__extn": { "fn": "duration", "arg": "1d" } } ] } },
        "age": { "__extn": { "fn": "duration", "arg": "1h30m" } },
        "owner": { "__entity": { "type": "User", "id": "alice" } },
        "name": "l\u0061pt\\op \ud83d\ude00"
    },
    "roles": ["read\"er", "writer", "\n"],
    "numbers": [9, 8, 7, 6, 5, 4, 3, 2, 1],
    "stranger": { "__entity": { "type": "Str\u0061nger", "id": "x" } },
    "unheard of": { "deep": [[[]]] }
}"#;
