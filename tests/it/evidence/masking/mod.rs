//! What is masked is nowhere in a record, what is not stays as it was, and the record says which it is.

mod again;
mod digests;
mod names;
mod paths;
mod schemas;
pub(crate) mod secrets;

use duramen::evidence::{
    DecisionSink, FanOut, JsonLinesSink, Mask, MaskSink, Masks, MemorySink, OwnedRecord, QueueSink,
};
use duramen::{Delegation, EntityUidRef};
use serde_json::{Value as Json, json};

use super::*;
use crate::written::Written;

const KEY: &[u8] = b"thirty-two bytes of a test's key";

/// Secrets wherever there can be any.
const WORLD: &str = r#"[
    { "uid": { "type": "User", "id": "ann" },
      "attrs": { "ssn": "SECRET-1", "level": 3, "address": { "street": "SECRET-2", "town": "here" } },
      "tags": { "site": "SECRET-3", "floor": "2" },
      "parents": [{ "type": "Team", "id": "blue" }] },
    { "uid": { "type": "Doc", "id": "plan" },
      "attrs": { "owner": { "__entity": { "type": "User", "id": "bob" } }, "token": "SECRET-4",
                 "versions": [{ "by": "SECRET-5", "n": 1 }, { "by": "SECRET-6", "n": 2 }] },
      "parents": [] },
    { "uid": { "type": "User", "id": "bob" }, "attrs": { "ssn": "SECRET-1", "level": 1 }, "parents": [] }
]"#;

/// Reads all of it.
const READING: &str = r#"
    permit(principal, action, resource) when {
        principal.ssn != "" && principal.level > 1 && principal.address.town == "here" && principal.getTag("site") != ""
        && principal.hasTag("floor") && principal.getTag("floor") == "2" && principal.hasTag("absent") == false
        && resource.owner.ssn != "" && resource.owner.level < 2 && resource.token != "" && resource.versions.isEmpty() == false
        && context.token != "" && context.hour < 18 && context.user.id != "" && principal in Team::"blue"
    };
"#;

const CONTEXT: &str = r#"{ "token": "SECRET-4", "hour": 9, "user": { "id": "SECRET-7", "level": 3 }, "two words": "SECRET-8", "\"so\" \\ so": "SECRET-12",
    "unread": "SECRET-9", "list": [{ "x": "SECRET-10" }, { "x": "SECRET-11", "y": 1 }] }"#;

fn masks() -> Masks {
    Masks::new().key(KEY)
}

fn asked() -> Request<'static> {
    Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan")).context_json(CONTEXT)
}

fn deciding(policies: &str, sink: impl DecisionSink + 'static) -> Authorizer {
    deciding_in(WORLD, policies, sink)
}

fn deciding_in(world: &str, policies: &str, sink: impl DecisionSink + 'static) -> Authorizer {
    Authorizer::builder()
        .policies(policies)
        .entities(world)
        .sink(sink)
        .build()
        .unwrap()
}

/// The record of the decision under masks.
fn masked(masks: Masks) -> OwnedRecord {
    let sink = Arc::new(MemorySink::new(1));
    let authorizer = deciding(READING, MaskSink::new(Arc::clone(&sink), masks).unwrap());
    assert!(authorizer.is_allowed(&asked()));
    sink.records().remove(0)
}

fn entity<'r>(record: &'r OwnedRecord, type_name: &str, id: &str) -> &'r Json {
    let uid = json!({ "type": type_name, "id": id });
    let mut entities = record.inputs.as_ref().unwrap().entities.iter();
    entities.find(|entity| entity["uid"] == uid).unwrap()
}

fn is_digest(value: &Json) -> bool {
    let digits = value
        .as_str()
        .and_then(|text| text.strip_prefix("hmac-sha256:"));
    digits.is_some_and(|digits| digits.len() == 64)
}
