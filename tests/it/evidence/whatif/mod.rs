//! What a candidate would have decided is what it decides on everything, or it is not said.

mod chains;
mod report;
mod unknown;
pub(crate) mod worlds;

use std::sync::Arc;

use duramen::evidence::{Mask, MaskSink, Masks, MemorySink, OwnedRecord};
use duramen::replay::{NotReplayableKind, Reconsidered, WhatIf};
use duramen::{Authorizer, Decision, Delegation, ErrorMode, Outcome, Request};

use super::{Scratch, recording};

const ENTITIES: &str = r#"[
    { "uid": { "type": "User", "id": "ann" }, "attrs": { "level": 3, "dept": "x", "boss": { "__entity": { "type": "User", "id": "bob" } } },
      "tags": { "k": 1 }, "parents": [{ "type": "Team", "id": "blue" }] },
    { "uid": { "type": "User", "id": "bob" }, "attrs": { "level": 1 }, "parents": [{ "type": "Team", "id": "red" }] },
    { "uid": { "type": "Team", "id": "red" }, "attrs": {}, "parents": [{ "type": "Org", "id": "o" }] }]"#;

/// What `ann` asks.
fn request() -> Request<'static> {
    Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"))
        .context_json(r#"{ "tag": "k", "other": "z" }"#)
}

/// What `ann`'s request comes to under `candidate` after it was decided under `enforced`.
fn reconsidered(enforced: &str, candidate: &str, is_filled: bool) -> Reconsidered {
    let (authorizer, sink) = recording(|builder| builder.policies(enforced).entities(ENTITIES));
    reconsider(&authorizer, &sink, candidate, is_filled)
}

/// What `ann`'s request comes to under `candidate` after `authorizer` has decided it, whose records go to `sink`.
fn reconsider(
    authorizer: &Authorizer,
    sink: &MemorySink,
    candidate: &str,
    is_filled: bool,
) -> Reconsidered {
    let _ = authorizer.is_allowed(&request());
    let candidate = Authorizer::builder().policies(candidate).build().unwrap();
    let mut what_if = WhatIf::new(&candidate).unwrap();
    if is_filled {
        what_if = what_if.fill_in(authorizer);
    }
    what_if.add(&sink.records()[0])
}

fn permit(when: &str) -> String {
    format!("permit(principal, action, resource) when {{ {when} }};")
}
