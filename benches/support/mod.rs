//! What the benchmarks share: a small world, and answers that are checked before anything is timed.

#![allow(dead_code, reason = "each benchmark uses a part")]
#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot start must say so"
)]

use duramen::{Authorizer, Policies, Request, Session};

/// A schema-less document service: a user in a chain of groups, a document in a folder.
pub(crate) const ENTITIES: &str = r#"[
    { "uid": { "type": "User", "id": "alice" },
      "attrs": { "level": 5, "department": "sales", "joined": { "__extn": { "fn": "datetime", "arg": "2020-01-01" } },
                 "docs": [{ "__entity": { "type": "Doc", "id": "d1" } }, { "__entity": { "type": "Doc", "id": "d2" } }],
                 "address": { "city": "Oslo", "zip": "0150" } },
      "tags": { "stage": "gold" },
      "parents": [{ "type": "Group", "id": "g0" }] },
    { "uid": { "type": "Group", "id": "g0" }, "attrs": {}, "parents": [{ "type": "Group", "id": "g1" }] },
    { "uid": { "type": "Group", "id": "g1" }, "attrs": {}, "parents": [{ "type": "Group", "id": "g2" }] },
    { "uid": { "type": "Group", "id": "g2" }, "attrs": {}, "parents": [] },
    { "uid": { "type": "Doc", "id": "d1" },
      "attrs": { "owner": { "__entity": { "type": "User", "id": "alice" } }, "cost": { "__extn": { "fn": "decimal", "arg": "12.5" } },
                 "name": "report.pdf", "labels": ["a", "b", "c"] },
      "parents": [{ "type": "Folder", "id": "f" }] }
]"#;

/// A context in Cedar's JSON.
pub(crate) const CONTEXT: &str = r#"{ "mfa": true, "ip": { "__extn": { "fn": "ip", "arg": "10.1.2.3" } },
    "now": { "__extn": { "fn": "datetime", "arg": "2026-11-22T12:00:00Z" } }, "groups": ["on-call", "eu"] }"#;

/// The request of all benchmarks.
pub(crate) fn request() -> Request<'static> {
    Request::new(("User", "alice"), ("Action", "view"), ("Doc", "d1")).context_json(CONTEXT)
}

/// An authorizer for policies over the small world.
pub(crate) fn authorizer(policies: impl Into<Policies>) -> Authorizer {
    Authorizer::builder()
        .policies(policies)
        .entities(ENTITIES)
        .build()
        .expect("the benchmark's policies are valid")
}

/// Decides once and insists on the answer: a benchmark of wrong answers is worth nothing.
pub(crate) fn check(session: &mut Session<'_>, request: &Request<'_>, allowed: bool) {
    let response = session.is_authorized(request);
    assert_eq!(response.is_allowed(), allowed, "{response:?}");
    assert_eq!(response.errors().len(), 0, "{response:?}");
}
