//! What is masked is nowhere in a record, what is not stays as it was, and the record says which it is.

use std::io::Write;
use std::sync::Mutex;

use duramen::evidence::{
    DecisionSink, FanOut, JsonLinesSink, Mask, MaskError, MaskSink, Masks, MemorySink, OwnedRecord,
    QueueSink,
};
use duramen::replay::{AskedFact, PolicyArchive, Reconsidered, Replayed, WhatIf};
use duramen::{Delegation, EntityUidRef};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::generate::{Tape, config, tape};

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

/// A queue behind masks copies what they say with the record.
#[test]
fn what_masks_say_goes_through_a_queue() {
    for (mask, is_replayable) in [("User.ssn", false), ("context.unread", true)] {
        let sink = Arc::new(MemorySink::new(1));
        let queue = Arc::new(QueueSink::new(Arc::clone(&sink)).unwrap());
        let masks = masks().path(mask, Mask::Drop).unwrap();
        let masking = MaskSink::new(Arc::clone(&queue), masks).unwrap();
        assert!(deciding(READING, masking).is_allowed(&asked()));
        queue.flush().unwrap();
        let record = sink.records().remove(0);
        assert_eq!(record.masked, [mask]);
        assert_eq!(record.replayable, Some(is_replayable), "{mask}");
    }
}

#[test]
fn paths_lead_to_what_they_name() {
    let record = masked(
        masks()
            .path("context.token", Mask::Drop)
            .and_then(|masks| masks.path("context.user.id", Mask::Digest))
            .and_then(|masks| masks.path("context[\"two words\"]", Mask::Drop))
            .and_then(|masks| masks.path(r#"context["\"so\" \\ so"]"#, Mask::Drop))
            .and_then(|masks| masks.path("context.list.x", Mask::Drop))
            .and_then(|masks| masks.path("principal.address.*", Mask::Digest))
            .and_then(|masks| masks.path("principal.address.town", Mask::Keep))
            .and_then(|masks| masks.path("User.ssn", Mask::Digest))
            .and_then(|masks| masks.path("User.tags.site", Mask::Drop))
            .and_then(|masks| masks.path("*.versions.by", Mask::Digest))
            .and_then(|masks| masks.path("resource.token", Mask::Digest))
            .and_then(|masks| masks.path("Nobody.level", Mask::Drop))
            .unwrap(),
    );
    let context = record.context.as_ref().unwrap();
    assert_eq!(context.get("token"), None);
    assert_eq!(context.get("two words"), None);
    assert_eq!(context.get(r#""so" \ so"#), None);
    assert!(is_digest(&context["user"]["id"]));
    assert_eq!(context["user"]["level"], 3);
    assert_eq!(context["list"], json!([{}, { "y": 1 }]));
    assert_eq!(context["unread"], "SECRET-9");

    let ann = entity(&record, "User", "ann");
    assert!(is_digest(&ann["attrs"]["ssn"]));
    assert!(is_digest(&ann["attrs"]["address"]["street"]));
    assert_eq!(ann["attrs"]["address"]["town"], "here");
    assert_eq!(ann["attrs"]["level"], 3);
    assert_eq!(ann["tags"], json!({ "floor": "2" }));
    assert_eq!(ann["absent_tags"], json!(["absent"]));
    // Bob is no principal, but a user.
    let bob = entity(&record, "User", "bob");
    assert_eq!(bob["attrs"]["ssn"], ann["attrs"]["ssn"]);
    let plan = entity(&record, "Doc", "plan");
    assert!(is_digest(&plan["attrs"]["token"]));
    assert!(is_digest(&plan["attrs"]["versions"][0]["by"]));
    assert_eq!(plan["attrs"]["versions"][1]["n"], 2);

    let mut rules: Vec<_> = record.masked.iter().map(String::as_str).collect();
    rules.sort_unstable();
    let expected = [
        "*.versions.by",
        "User.ssn",
        "User.tags.site",
        "context.list.x",
        "context.token",
        "context.user.id",
        r#"context["\"so\" \\ so"]"#,
        "context[\"two words\"]",
        "principal.address.*",
        "resource.token",
    ];
    assert_eq!(rules, expected);
    assert_eq!(record.replayable, Some(false));
}

/// The same value has the same digest wherever it stands, in whatever order its parts are, and another under another key.
#[test]
fn digests_join() {
    let digests = |key: &[u8]| {
        let masks = Masks::new()
            .key(key)
            .path("context.token", Mask::Digest)
            .unwrap();
        masked(masks.path("*.token", Mask::Digest).unwrap())
    };
    let record = digests(KEY);
    let token = &record.context.as_ref().unwrap()["token"];
    assert!(is_digest(token));
    assert_eq!(token, &entity(&record, "Doc", "plan")["attrs"]["token"]);
    assert_ne!(
        token,
        &digests(b"another key of this test").context.unwrap()["token"]
    );

    // HMAC-SHA-256 over the value in Cedar's syntax, as docs/evidence.md has it.
    let text = r#"{ "s": "a", "n": 1, "set": [1, "a", { "x": 1, "y": 2 }], "same": [{ "y": 2, "x": 1 }, "a", 1, 1] }"#;
    let sink = Arc::new(MemorySink::new(1));
    let all = masks().path("context.*", Mask::Digest).unwrap();
    let authorizer = deciding("", MaskSink::new(Arc::clone(&sink), all).unwrap());
    assert!(!authorizer.is_allowed(&asked().context_json(text)));
    let context = sink.records().remove(0).context.unwrap();
    let expected = "hmac-sha256:fd122d1ba14485300a658f075a3e78e24453178758ca4234c54f372b40dfc6a4";
    assert_eq!(context["s"], expected);
    assert_eq!(context["set"], context["same"]);
    assert_ne!(context["s"], context["n"]);
}

/// Ids are masked everywhere at once, so that the record holds together.
/// HMAC-SHA-256, RFC 2104, for keys of up to a block.
fn hmac(parts: &[&[u8]]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let pad = |with: u8| {
        let mut block = [with; 64];
        KEY.iter().zip(&mut block).for_each(|(key, to)| *to ^= key);
        block
    };
    let mut inner = Sha256::new_with_prefix(pad(0x36));
    parts.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new_with_prefix(pad(0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// What docs/evidence.md says, computed by itself.
#[test]
fn digests_are_over_what_is_documented() {
    let text = |text: &str| hmac(&[text.as_bytes()]);
    let of_parts = |kind: &[u8], mut parts: Vec<[u8; 32]>| {
        parts.sort_unstable();
        let parts = parts.iter().map(|part| &part[..]);
        hmac(&std::iter::once(kind).chain(parts).collect::<Vec<_>>())
    };
    let member = |name: &str, value: [u8; 32]| hmac(&[name.as_bytes(), &value]);
    let record = of_parts(
        b"{",
        vec![
            member("\"x\"", text("1")),
            member("\"y\"", text("\"a\"")),
            member("\"z\"", text("true")),
        ],
    );
    let numbers = (0..9).map(|n| text(&n.to_string())).collect();
    let cases = [
        ("text", json!("a \"b\""), text("\"a \\\"b\\\"\"")),
        ("long", json!(-42), text("-42")),
        (
            "entity",
            json!({ "__entity": { "type": "User", "id": "ann" } }),
            text("User::\"ann\""),
        ),
        (
            "datetime",
            json!({ "__extn": { "fn": "datetime", "arg": "1970-01-02" } }),
            text("datetime(86400000)"),
        ),
        (
            "decimal",
            json!({ "__extn": { "fn": "decimal", "arg": "1.50" } }),
            text("decimal(\"1.5000\")"),
        ),
        ("record", json!({ "z": true, "y": "a", "x": 1 }), record),
        (
            "numbers",
            json!([8, 1, 2, 3, 4, 5, 6, 7, 0, 1]),
            of_parts(b"[", numbers),
        ),
        (
            "set",
            json!([{ "x": 1, "y": "a", "z": true }, 1]),
            of_parts(b"[", vec![record, text("1")]),
        ),
        ("none", json!([]), of_parts(b"[", Vec::new())),
    ];
    let context: Json = cases
        .iter()
        .map(|(name, value, _)| ((*name).to_owned(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let sink = Arc::new(MemorySink::new(1));
    let all = masks().path("context.*", Mask::Digest).unwrap();
    let authorizer = deciding("", MaskSink::new(Arc::clone(&sink), all).unwrap());
    let _ = authorizer.is_authorized(&asked().context_json(&context.to_string()));
    let seen = sink.records().remove(0).context.unwrap();
    for (name, _, digest) in cases {
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(seen[name], format!("hmac-sha256:{digits}"), "{name}");
    }
}

/// Nor is what one record has told of the next, which is made in the same place.
#[test]
fn each_record_says_what_is_masked_in_it() {
    let sink = Arc::new(MemorySink::new(2));
    let masks = masks()
        .path("context.token", Mask::Drop)
        .unwrap()
        .ids("Agent");
    let masked = MaskSink::new(Arc::clone(&sink), masks).unwrap();
    let policies = "permit(principal, action, resource);";
    let authorizer = deciding(policies, masked);
    let actors = [EntityUidRef::new("Agent", "bot")];
    let delegation = Delegation::new(&actors);
    let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    let first = request.context_json(r#"{ "token": "SECRET" }"#);
    assert!(authorizer.is_allowed(&first.delegation(&delegation)));
    assert!(authorizer.is_allowed(&request));
    let [first, second] = &sink.records()[..] else {
        panic!("two records");
    };
    assert_eq!(first.masked, ["context.token", "id(Agent)"]);
    let hop = &first.delegation.as_ref().unwrap().hops[1];
    assert!(is_digest(&json!(hop.principal.id())), "{hop:?}");
    assert!(!serde_json::to_string(first).unwrap().contains("bot"));
    assert_eq!(second.masked, [""; 0]);
    assert_eq!(second.replayable, None);
}

/// Nor what masked sets and records hold.
#[test]
fn what_is_in_masked_values_is_not_named() {
    let policies = r#"
        permit(principal, action, resource) when {
            User::"bob".level < 2 && !(context.all == [1]) && !(context.one == 1)
        };
    "#;
    let bob = r#"{ "__entity": { "type": "User", "id": "bob" } }"#;
    for (masked, context) in [
        ("all", format!(r#"{{ "all": [1, {bob}], "one": 2 }}"#)),
        (
            "one",
            format!(r#"{{ "all": [], "one": {{ "by": [{bob}], "n": 1 }} }}"#),
        ),
    ] {
        for mask in [Mask::Drop, Mask::Digest] {
            let sink = Arc::new(MemorySink::new(1));
            let masks = masks().path(&format!("context.{masked}"), mask).unwrap();
            let authorizer = deciding(policies, MaskSink::new(Arc::clone(&sink), masks).unwrap());
            assert!(authorizer.is_allowed(&asked().context_json(&context)));
            let text = serde_json::to_string(&sink.records()[0]).unwrap();
            assert!(!text.contains("\"bob\""), "{text}");
        }
    }
}

/// Where all tags are masked, what they refer to is not named either.
#[test]
fn what_masked_tags_refer_to_is_not_named() {
    let world = r#"[
        { "uid": { "type": "User", "id": "ann" }, "attrs": {}, "parents": [],
          "tags": { "boss": { "__entity": { "type": "User", "id": "bob" } } } },
        { "uid": { "type": "User", "id": "bob" }, "attrs": { "level": 1 }, "parents": [] }
    ]"#;
    for mask in [Mask::Drop, Mask::Digest] {
        let sink = Arc::new(MemorySink::new(1));
        let masks = masks().path("User.tags", mask).unwrap();
        let authorizer = deciding_in(
            world,
            r#"permit(principal, action, resource) when { principal.getTag("boss").level < 2 };"#,
            MaskSink::new(Arc::clone(&sink), masks).unwrap(),
        );
        assert!(authorizer.is_allowed(&asked().context_json("{}")));
        let record = sink.records().remove(0);
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains("\"bob\""), "{text}");
        assert_eq!(record.masked, ["User.tags"]);
        assert_eq!(record.replayable, Some(false));
        // Where a digest stands for the value, it names the entity too.
        let entities = &record.inputs.as_ref().unwrap().entities;
        let read = entities.iter().find(|entity| entity["attrs"]["level"] == 1);
        let is_named = is_digest(&read.unwrap()["uid"]["id"]);
        assert_eq!(is_named, mask == Mask::Digest, "{text}");
    }
}

/// A text that is masked names no tag, and an entity that is masked nobody that somebody is in, also where those are masked
/// by digests themselves.
#[test]
fn masked_values_name_no_tags_and_no_ancestors() {
    let policies = r#"
        permit(principal, action, resource) when {
            principal in context.team && principal.getTag(context.site) != "" && principal.hasTag("floor")
        };
    "#;
    let context = r#"{ "team": { "__entity": { "type": "Team", "id": "blue" } }, "site": "site" }"#;
    for tags in ["User.tags", "User.tags.*", "Nobody.tags"] {
        for mask in [Mask::Drop, Mask::Digest] {
            let sink = Arc::new(MemorySink::new(1));
            let masks = masks().path("context.*", mask).unwrap();
            let masks = masks.path(tags, Mask::Digest).unwrap();
            let authorizer = deciding(policies, MaskSink::new(Arc::clone(&sink), masks).unwrap());
            assert!(authorizer.is_allowed(&asked().context_json(context)));
            let record = sink.records().remove(0);
            let text = serde_json::to_string(&record).unwrap();
            for name in ["\"blue\"", "\"site\""] {
                assert_eq!(
                    text.matches(name).count(),
                    usize::from(name == "\"site\"" && mask == Mask::Digest),
                    "{tags}, {mask}, {name}: {text}"
                );
            }
            let ann = entity(&record, "User", "ann");
            assert_eq!(ann["parents"].as_array().unwrap().len(), 1, "{text}");
            assert_eq!(ann["tags"].as_object().unwrap().len(), 2, "{text}");
        }
    }
}

/// Values of other types, and names that are nobody's, stay, though they read like masked ones.
#[test]
fn what_only_reads_like_a_masked_value_stays() {
    let world = r#"[
        { "uid": { "type": "User", "id": "ann" }, "attrs": { "level": 3, "town": "here" },
          "tags": { "floor": { "town": "there" }, "site": "x" }, "parents": [{ "type": "Team", "id": "blue" }] },
        { "uid": { "type": "Doc", "id": "plan" }, "attrs": { "town": "elsewhere" }, "parents": [] }
    ]"#;
    let policies = r#"
        permit(principal, action, resource) when {
            principal.town == "here" && principal.level > 2 && principal.getTag("floor").town == "there"
            && principal.getTag("site") == "x" && resource.town == "elsewhere" && principal in Team::"blue"
        };
    "#;
    let context = r#"{ "team": "blue", "name": "town", "site": { "__entity": { "type": "Team", "id": "site" } } }"#;
    for mask in [Mask::Drop, Mask::Digest] {
        let sink = Arc::new(MemorySink::new(1));
        let masks = masks().path("context.*", mask).unwrap();
        let authorizer = deciding_in(
            world,
            policies,
            MaskSink::new(Arc::clone(&sink), masks).unwrap(),
        );
        assert!(authorizer.is_allowed(&asked().context_json(context)));
        let record = sink.records().remove(0);
        let ann = entity(&record, "User", "ann");
        assert_eq!(ann["parents"], json!([{ "type": "Team", "id": "blue" }]));
        assert_eq!(ann["attrs"], json!({ "level": 3, "town": "here" }));
        assert_eq!(
            ann["tags"],
            json!({ "floor": { "town": "there" }, "site": "x" })
        );
        assert_eq!(
            entity(&record, "Doc", "plan")["attrs"],
            json!({ "town": "elsewhere" })
        );
    }
}

/// An action has attributes like any entity.
#[test]
fn attributes_of_actions_are_masked() {
    let world = r#"[{ "uid": { "type": "Action", "id": "view" }, "attrs": { "secret": "SECRET-1", "level": 1 }, "parents": [] }]"#;
    let policies =
        "permit(principal, action, resource) when { action.secret != \"\" && action.level == 1 };";
    for path in ["action.secret", "Action.secret", "*.secret"] {
        let sink = Arc::new(MemorySink::new(1));
        let masks = masks().path(path, Mask::Drop).unwrap();
        let masks = masks.path("principal.level", Mask::Drop).unwrap();
        let authorizer = deciding_in(
            world,
            policies,
            MaskSink::new(Arc::clone(&sink), masks).unwrap(),
        );
        assert!(authorizer.is_allowed(&asked().context_json("{}")));
        let record = sink.records().remove(0);
        assert_eq!(
            entity(&record, "Action", "view")["attrs"],
            json!({ "level": 1 })
        );
        assert_eq!(record.masked, [path]);
    }
}

#[test]
fn ids_are_masked_wherever_they_stand() {
    let record = masked(masks().ids("User"));
    let ann = record.principal.id().to_owned();
    assert!(is_digest(&json!(ann)));
    assert_eq!(entity(&record, "User", &ann)["attrs"]["level"], 3);
    let owner = &entity(&record, "Doc", "plan")["attrs"]["owner"]["__entity"]["id"];
    assert!(is_digest(owner));
    assert_eq!(
        entity(&record, "User", owner.as_str().unwrap())["attrs"]["level"],
        1
    );
    assert_eq!(record.masked, ["id(User)"]);
    assert_eq!(record.replayable, Some(false));
    assert_eq!(record.resource.id(), "plan");

    let record = masked(masks().ids("*"));
    assert!(is_digest(&json!(record.resource.id())));
    assert_eq!(record.action.id(), "view");
    let parents = &entity(&record, "User", &ann)["parents"];
    assert!(is_digest(&parents[0]["id"]));
}

/// Bytes that many sinks write to.
#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// No sink behind the masks gets anything of what they mask, on whichever side of a queue they stand.
#[test]
fn nothing_that_is_masked_gets_through() {
    let all = |mask| {
        let masks = masks().path("context.*", mask).unwrap();
        masks.path("*.*", mask).unwrap().ids("User")
    };
    for mask in [Mask::Drop, Mask::Digest] {
        let directory = Scratch::new();
        let (before, behind, plain) = (Bytes::default(), Bytes::default(), Bytes::default());
        let log = Arc::new(DurableLog::options(directory.path()).open().unwrap());
        let sinks = FanOut::new()
            .sink(
                MaskSink::new(
                    QueueSink::new(JsonLinesSink::new(before.clone())).unwrap(),
                    all(mask),
                )
                .unwrap(),
            )
            .sink(
                QueueSink::new(
                    MaskSink::new(JsonLinesSink::new(behind.clone()), all(mask)).unwrap(),
                )
                .unwrap(),
            )
            .sink(MaskSink::new(Arc::clone(&log), all(mask)).unwrap())
            .sink(JsonLinesSink::new(plain.clone()));
        let authorizer = deciding(READING, sinks);
        assert!(authorizer.is_allowed(&asked()));
        // A request whose error quotes what it brought.
        let wrong =
            asked().context_json(r#"{ "x": { "__entity": { "type": "SECRET-12", "id": "x" } } }"#);
        assert!(!authorizer.is_allowed(&wrong));
        let wrong = Request::new(
            ("User", "SECRET-13"),
            ("Action", "view"),
            ("SECRET 14", "x"),
        );
        assert!(!authorizer.is_allowed(&wrong));
        drop(authorizer);
        let text = |bytes: &Bytes| String::from_utf8(bytes.0.lock().unwrap().clone()).unwrap();
        let log = String::from_utf8(lines(&segments(directory.path())).concat()).unwrap();
        let plain = text(&plain);
        for secret in [
            "SECRET-1\"",
            "SECRET-4",
            "SECRET-11",
            "SECRET-12",
            "SECRET 14",
        ] {
            assert!(
                plain.contains(secret),
                "{secret} is in no record to begin with: {plain}"
            );
        }
        for text in [text(&before), text(&behind), log] {
            assert_eq!(
                text.lines()
                    .filter(|line| line.contains("\"decision\""))
                    .count(),
                3,
                "{text}"
            );
            // The type of the last request's resource is what the request is about.
            let text = text.replace("\"type\":\"SECRET 14\"", "");
            assert!(!text.contains("SECRET"), "{mask:?}: {text}");
            assert!(
                !text.contains("\"ann\"") && !text.contains("\"bob\""),
                "{text}"
            );
        }
    }
}

/// The digest of the inputs is over what the record has, so that nothing can be tried against it.
#[test]
fn the_digest_of_inputs_is_over_what_is_left() {
    let directory = Scratch::new();
    let log = Arc::new(DurableLog::options(directory.path()).open().unwrap());
    let masks = masks().path("*.ssn", Mask::Drop).unwrap();
    let masked = Bytes::default();
    let sinks = FanOut::new()
        .sink(MaskSink::new(JsonLinesSink::new(masked.clone()), masks).unwrap())
        .sink(Arc::clone(&log));
    let authorizer = deciding(READING, sinks);
    assert!(authorizer.is_allowed(&asked()));
    let text = String::from_utf8(masked.0.lock().unwrap().clone()).unwrap();
    let part = |from: &str, to: &str| {
        let start = text.find(from).unwrap() + from.len();
        &text[start..start + text[start..].find(to).unwrap()]
    };
    let context = part("\"context\":", ",\"inputs\":");
    let entities = part("\"entities\":", ",\"digest\":");
    let digest = part("\"digest\":\"", "\"");
    assert_eq!(digest, sha256(&format!("{context}{entities}")));
}

fn sha256(text: &str) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What no policy can have read may be masked, and the record is decided again all the same.
#[test]
fn a_record_says_whether_it_can_be_decided_again() {
    let directory = Scratch::new();
    let sink = Arc::new(MemorySink::new(10));
    let one = |path| {
        MaskSink::new(
            Arc::clone(&sink),
            Masks::new().path(path, Mask::Drop).unwrap(),
        )
        .unwrap()
    };
    let sinks = FanOut::new()
        .sink(one("context.unread"))
        .sink(one("context.token"))
        .sink(one("Nobody.ssn"))
        .sink(
            MaskSink::new(
                Arc::clone(&sink),
                Masks::new()
                    .path("context.token", Mask::Drop)
                    .and_then(|masks| masks.path("context.unread", Mask::Drop))
                    .unwrap(),
            )
            .unwrap(),
        );
    let authorizer = deciding(READING, sinks);
    let archive = PolicyArchive::open(directory.path()).unwrap();
    let policies = archive.load(archive.keep(&authorizer).unwrap()).unwrap();
    assert!(authorizer.is_allowed(&asked()));
    let records = sink.records();
    assert_eq!(records[0].masked, ["context.unread"]);
    assert_eq!(records[0].replayable, Some(true));
    assert!(policies.replay(&records[0]).is_same());
    let Replayed::NotReplayable(reason) = policies.replay(&records[1]) else {
        panic!("decided again without what was read");
    };
    assert_eq!(reason, "masked: context.token");
    assert!(policies.explain(&records[1]).is_err());
    assert!(records[2].masked.is_empty());
    assert_eq!(records[2].replayable, None);
    // One that was read is enough, whatever else is masked.
    assert_eq!(records[3].masked, ["context.token", "context.unread"]);
    assert_eq!(records[3].replayable, Some(false));
}

/// A policy that looks at the context as a whole reads all of it, also what it has no name for.
#[test]
fn who_compares_the_context_reads_all_of_it() {
    let policies = [
        (
            "permit(principal, action, resource) when { context.hour < 18 };",
            true,
        ),
        (
            "permit(principal, action, resource) when { context != {} };",
            false,
        ),
        (
            "permit(principal, action, resource); forbid(principal, action, resource) when { principal.address == context };",
            false,
        ),
    ];
    for (policies, is_replayable) in policies {
        for path in ["context.unread", "context[\"two words\"]", "context.list.y"] {
            let sink = Arc::new(MemorySink::new(1));
            let masks = Masks::new().path(path, Mask::Drop).unwrap();
            let masking = MaskSink::new(Arc::clone(&sink), masks).unwrap();
            assert!(deciding(policies, masking).is_allowed(&asked()));
            let record = sink.records().remove(0);
            assert_eq!(record.masked, [path]);
            assert_eq!(record.replayable, Some(is_replayable), "{policies}, {path}");
        }
    }
}

/// Who is read of by way of a masked value is not named either, nor what was asked for by it.
#[test]
fn names_do_not_give_masked_values_away() {
    let policies = r#"
        permit(principal, action, resource) when {
            context.reviewer.level < 2 && !(context.reviewer in Team::"blue") && resource.owner.level < 2
            && principal.hasTag(context.site) && principal.getTag(context.site) != "" && principal.hasTag(context.nowhere) == false
        };
    "#;
    let context = r#"{ "reviewer": { "__entity": { "type": "User", "id": "bob" } }, "site": "site", "nowhere": "SECRET-X" }"#;
    let record = |masks| {
        let sink = Arc::new(MemorySink::new(1));
        let authorizer = deciding(policies, MaskSink::new(Arc::clone(&sink), masks).unwrap());
        let request = asked().context_json(context);
        let response = authorizer.is_authorized(&request);
        assert!(response.is_allowed(), "{}", response.explain(&request));
        drop(response);
        sink.records().remove(0)
    };
    let all = |mask| {
        let masks = masks().path("context.*", mask).unwrap();
        masks.path("resource.owner", mask).unwrap()
    };
    for mask in [Mask::Drop, Mask::Digest] {
        let record = record(all(mask));
        let text = serde_json::to_string(&record).unwrap();
        for name in ["\"bob\"", "SECRET-X"] {
            assert!(!text.contains(name), "{mask:?}, {name}: {text}");
        }
        let ann = entity(&record, "User", "ann");
        assert_eq!(ann["tags"].get("site"), None, "{text}");
        if let Some(absent) = ann["absent_tags"][0].as_str() {
            assert!(absent.starts_with("masked:"), "{text}");
        }
        // One entity by whichever way, with what was read of it.
        let entities = &record.inputs.as_ref().unwrap().entities;
        let read = entities
            .iter()
            .filter(|entity| entity["attrs"].get("level").is_some());
        assert_eq!(read.count(), 1, "{text}");
    }
    // Whom the request names is named.
    let itself = r#"{ "reviewer": { "__entity": { "type": "User", "id": "ann" } } }"#;
    let sink = Arc::new(MemorySink::new(1));
    let masks = Masks::new().path("context.*", Mask::Drop).unwrap();
    let policies = "permit(principal, action, resource) when { context.reviewer.level > 2 };";
    let authorizer = deciding(policies, MaskSink::new(Arc::clone(&sink), masks).unwrap());
    assert!(authorizer.is_allowed(&asked().context_json(itself)));
    assert_eq!(
        entity(&sink.records()[0], "User", "ann")["attrs"]["level"],
        3
    );
}

/// Whichever comes first, the entity or the value that refers to it; and under the same digest as everywhere, where there
/// is one.
#[test]
fn names_of_what_was_read_before_do_not_give_masked_values_away() {
    let world = r#"[
        { "uid": { "type": "User", "id": "ann" },
          "attrs": { "friend": { "__entity": { "type": "User", "id": "eve" } } }, "parents": [] },
        { "uid": { "type": "User", "id": "eve" },
          "attrs": { "boss": { "__entity": { "type": "User", "id": "bob" } } }, "parents": [] },
        { "uid": { "type": "User", "id": "bob" }, "attrs": { "level": 1 }, "parents": [] }
    ]"#;
    let policies = r#"
        permit(principal, action, resource) when {
            User::"bob".level < 2 && principal.friend.boss.level < 2
        };
    "#;
    let record = |masks| {
        let sink = Arc::new(MemorySink::new(1));
        let authorizer = deciding_in(
            world,
            policies,
            MaskSink::new(Arc::clone(&sink), masks).unwrap(),
        );
        assert!(authorizer.is_allowed(&asked()));
        sink.records().remove(0)
    };
    // Who has the level that was read.
    let read = |record: &OwnedRecord| {
        let mut entities = record.inputs.as_ref().unwrap().entities.iter();
        let entity = entities.find(|entity| entity["attrs"]["level"] == 1);
        entity.unwrap()["uid"]["id"].as_str().unwrap().to_owned()
    };
    let boss = |mask| masks().path("User.boss", mask).unwrap();
    assert_eq!(read(&record(Masks::new())), "bob");
    assert!(read(&record(boss(Mask::Drop))).starts_with("masked:"));
    let digest = read(&record(boss(Mask::Digest)));
    assert!(is_digest(&json!(digest)), "{digest}");
    // Ids that are masked everywhere stay the same.
    for mask in [Mask::Drop, Mask::Digest] {
        assert_eq!(read(&record(boss(mask).ids("User"))), digest);
    }
}

/// Nor in what an actor was decided on, whichever comes first, the entity or the value that refers to it.
#[test]
fn names_do_not_give_masked_values_of_an_actor_away() {
    let world = r#"[
        { "uid": { "type": "User", "id": "bob" }, "attrs": { "level": 1 }, "parents": [] },
        { "uid": { "type": "Doc", "id": "plan" },
          "attrs": { "owner": { "__entity": { "type": "User", "id": "bob" } }, "keeper": { "__entity": { "type": "User", "id": "eve" } } },
          "parents": [] },
        { "uid": { "type": "User", "id": "eve" }, "attrs": { "level": 1 }, "parents": [] }
    ]"#;
    let policies = r#"
        permit(principal == User::"ann", action, resource);
        permit(principal == Agent::"bot", action, resource) when { resource.owner.level < 2 && resource.keeper.level < 2 };
    "#;
    for mask in [Mask::Drop, Mask::Digest] {
        let sink = Arc::new(MemorySink::new(1));
        let masks = masks().path("resource.*", mask).unwrap();
        let authorizer = deciding_in(
            world,
            policies,
            MaskSink::new(Arc::clone(&sink), masks).unwrap(),
        );
        let actors = [EntityUidRef::from(("Agent", "bot"))];
        let delegation = Delegation::new(&actors);
        assert!(authorizer.is_allowed(&asked().delegation(&delegation)));
        let record = sink.records().remove(0);
        let hop = &record.delegation.as_ref().unwrap().hops[1];
        let entities = &hop.inputs.as_ref().unwrap().entities;
        let read = entities
            .iter()
            .filter(|entity| entity["attrs"]["level"] == 1);
        assert_eq!(read.count(), 2, "{entities:?}");
        let text = serde_json::to_string(&record).unwrap();
        for name in ["\"bob\"", "\"eve\""] {
            assert!(!text.contains(name), "{mask:?}, {name}: {text}");
        }
        assert_eq!(record.masked, ["resource.*"]);
        assert_eq!(record.replayable, Some(false));
    }
}

#[test]
fn schemas_say_what_to_mask() {
    let schema = r#"
            @mask("drop") type Secret = String;
            entity Team;
            @mask("digest") entity User in [Team] { ssn: Secret, level: Long, address: { street: Secret, town: String } }
                tags String;
            entity Doc { owner: User, token: Secret, versions: Set<{ @mask("digest") by: String, n: Long }> };
            action view appliesTo {
                principal: User, resource: Doc,
                context: { @mask("digest") token: Secret, hour: Long, user: { @mask("drop") id: String, level: Long } },
            };
        "#;
    let masks = masks().schema_str(schema).unwrap();
    // What a schema annotates is in it.
    let masks = masks.checked_against(schema).unwrap();
    let record = masked(masks);
    let context = record.context.as_ref().unwrap();
    // An attribute's own annotation counts, not that of its type.
    assert!(is_digest(&context["token"]));
    assert_eq!(context["user"], json!({ "level": 3 }));
    let ann = entity(&record, "User", record.principal.id());
    assert_eq!(
        ann["attrs"],
        json!({ "level": 3, "address": { "town": "here" } })
    );
    let plan = entity(&record, "Doc", "plan");
    assert_eq!(plan["attrs"].get("token"), None);
    assert!(is_digest(&plan["attrs"]["versions"][0]["by"]));

    for (schema, what) in [
        (
            "entity User { @mask(\"hash\") ssn: String };",
            "@mask must say",
        ),
        ("entity User { @mask ssn: String };", "@mask must say"),
        ("@mask(\"drop\") entity User;", "must say \"digest\""),
        ("entity", "error parsing"),
    ] {
        let error = Masks::new().schema_str(schema).unwrap_err().to_string();
        assert!(error.contains(what), "{schema}: {error}");
    }
}

#[test]
fn masks_that_lead_nowhere_in_a_schema_are_refused_when_asked() {
    let schema = r#"
        namespace Shop {
            entity Team;
            entity User in [Team] { "two words": String, address: { street: String } } tags { site: String };
            entity Doc { versions: Set<{ by: String }>, tags: Set<String> };
            entity Alone { note: String };
            action view appliesTo { principal: User, resource: Doc, context: { token?: String } };
            action edit appliesTo { principal: User, resource: Doc, context: { user: { id: String } } };
        }
    "#;
    let path = |path: &str| Masks::new().path(path, Mask::Drop).unwrap();
    for fits in [
        "context.token",
        "context.user.id",
        "context.*.id",
        "context.*",
        "principal[\"two words\"]",
        "principal.address.street",
        "principal.tags",
        "principal.tags.north",
        "principal.tags.north.site",
        "Shop::User.tags.*.site",
        "resource.versions.by",
        "resource.tags",
        "Shop::Doc.*",
        "Shop::Alone.note",
        "*.note",
        "*.*.street",
    ] {
        assert!(path(fits).checked_against(schema).is_ok(), "{fits}");
    }
    for lost in [
        "contxt.token",
        "context.tokn",
        "context.user.name",
        "context.token.more",
        "User.address",
        "Shop::Usr.address",
        "principal.note",
        "principal.address.town",
        "principal.tags.north.sight",
        "principal.tags.north.site.more",
        "resource.versions.n",
        "resource.address",
        "resource.tags.site",
        "Shop::Team.*",
        "*.nothing",
        "action.name",
    ] {
        let error = path(lost).checked_against(schema).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("the path `{lost}` masks nothing")),
            "{error}"
        );
    }
    for fits in ["*", "Shop::Team", "Shop::Action"] {
        assert!(
            Masks::new().ids(fits).checked_against(schema).is_ok(),
            "{fits}"
        );
    }
    for lost in ["Team", "Action", "Shop::Teem"] {
        let error = Masks::new()
            .ids(lost)
            .checked_against(schema)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(&format!("the ids of `{lost}` are not masked")),
            "{error}"
        );
    }
    // All of them are told.
    let both = path("a.b").path("context.x", Mask::Drop).unwrap();
    let error = both.checked_against(schema).unwrap_err();
    assert_eq!(error.problems().len(), 2);
    assert!(Masks::new().checked_against("entity").is_err());
}

/// Names of attributes that a path must not take for something else.
const NAMES: [&str; 16] = [
    "",
    "\\",
    "\"",
    "\\\"",
    ".",
    "a.b",
    "]",
    "[\"x\"]",
    "*",
    "tags",
    "id(User)",
    "two words",
    "it's",
    "ünï",
    "a\nb\0",
    "context",
];

/// Annotations, paths, what a record says of them, and what is unknown for it, agree on names that are any text.
#[test]
fn names_are_any_text() {
    let quoted = |name: &str| format!("\"{}\"", name.escape_default());
    let all_of = |each: &dyn Fn(&str) -> String, with: &str| NAMES.map(each).join(with);
    let reading = |name: &str| {
        let name = quoted(name);
        format!(
            "principal[{name}] == \"v\" && principal.deep[{name}] == \"v\" && context[{name}] == \"v\""
        )
    };
    let policy = |when: &str| format!("permit(principal, action, resource) when {{ {when} }};");
    let values: serde_json::Map<_, _> = NAMES
        .map(|name| (name.to_owned(), json!("v")))
        .into_iter()
        .collect();
    let mut attrs = values.clone();
    attrs.insert("deep".into(), Json::Object(values.clone()));
    let world = json!([{ "uid": { "type": "User", "id": "ann" }, "attrs": attrs, "parents": [] }])
        .to_string();
    let context = Json::Object(values).to_string();
    let request =
        Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan")).context_json(&context);
    let record_under = |masks: Masks| {
        let sink = Arc::new(MemorySink::new(1));
        let masked = MaskSink::new(Arc::clone(&sink), masks).unwrap();
        let authorizer = deciding_in(&world, &policy(&all_of(&reading, " && ")), masked);
        assert!(authorizer.is_allowed(&request));
        sink.records().remove(0)
    };
    let candidates: Vec<_> = NAMES
        .iter()
        .flat_map(|own| {
            [
                ("principal", AskedFact::Attribute((*own).into())),
                ("context", AskedFact::Context((*own).into())),
            ]
            .map(|(of, fact)| {
                let when = format!("{of}[{}] == \"v\"", quoted(own));
                let candidate = Authorizer::builder().policies(policy(&when));
                (*own, fact, candidate.build().unwrap())
            })
        })
        .collect();
    for name in NAMES {
        for mask in ["drop", "digest"] {
            let attributes = all_of(
                &|own| {
                    let mask = if own == name {
                        format!("@mask(\"{mask}\")")
                    } else {
                        String::new()
                    };
                    format!("{mask} {}: String", quoted(own))
                },
                ", ",
            );
            let schema = format!(
                "entity Doc; entity User {{ deep: {{ {attributes} }}, {attributes} }}; \
                 action view appliesTo {{ principal: User, resource: Doc, context: {{ {attributes} }} }};"
            );
            let record = record_under(masks().schema_str(&schema).unwrap());
            let attrs = &entity(&record, "User", "ann")["attrs"];
            for values in [record.context.as_ref().unwrap(), attrs, &attrs["deep"]] {
                for own in NAMES {
                    let value = values.get(own);
                    match mask {
                        _ if own != name => {
                            assert_eq!(value, Some(&json!("v")), "{name:?}, {own:?}")
                        }
                        "drop" => assert_eq!(value, None, "{name:?}"),
                        _ => assert!(is_digest(value.unwrap()), "{name:?}"),
                    }
                }
            }
            // What the record says of it is what would mask it again.
            assert_eq!(record.masked.len(), 3, "{:?}", record.masked);
            let mut again = masks();
            for path in &record.masked {
                let mask = if mask == "drop" {
                    Mask::Drop
                } else {
                    Mask::Digest
                };
                again = again.path(path, mask).unwrap();
            }
            let again = record_under(again);
            assert_eq!(
                (&again.context, &again.inputs),
                (&record.context, &record.inputs)
            );
            // And what is unknown for it.
            for (own, fact, candidate) in &candidates {
                match WhatIf::new(candidate).unwrap().add(&record) {
                    Reconsidered::Undetermined(unknown) => {
                        assert_eq!(*own, name);
                        assert!(
                            unknown.iter().any(|unknown| unknown.asked == *fact),
                            "{unknown:?}"
                        );
                    }
                    Reconsidered::Same { .. } => assert_ne!(*own, name, "{fact:?}"),
                    other => panic!("{fact:?}: {other:?}"),
                }
            }
        }
    }
}

/// A path that begins with the name of a variable is about the variable, and an entity type may have that name.
#[test]
fn types_with_the_names_of_variables_are_not_masked_by_mistake() {
    for name in ["context", "principal", "action", "resource"] {
        let schema = |mask: &str| {
            format!("entity Doc; @mask(\"digest\") entity {name} {{ {mask} ssn: String }};")
        };
        let error = masks()
            .schema_str(&schema("@mask(\"drop\")"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("entity type {name} has the name of a variable")),
            "{error}"
        );
        // Ids are masked by types alone.
        assert!(masks().schema_str(&schema("")).is_ok());
        // In a namespace it is another name.
        let schema = format!("namespace N {{ {} }}", schema("@mask(\"drop\")"));
        assert!(masks().schema_str(&schema).is_ok());
    }
}

#[test]
fn what_is_wrong_with_masks_is_told() {
    for path in [
        "",
        "context",
        "a b.c",
        "context.",
        "context.a b",
        "context[a]",
        "context[\"a\"",
        "context[\"a",
        "1.a",
        "User.*x",
    ] {
        let error = Masks::new().path(path, Mask::Drop).unwrap_err();
        assert!(matches!(error, MaskError::Path { .. }), "{path}");
    }
    let sink = || Arc::new(MemorySink::new(1));
    let digest = Masks::new().path("User.ssn", Mask::Digest).unwrap();
    assert_eq!(
        MaskSink::new(sink(), digest.clone()).err(),
        Some(MaskError::NoKey)
    );
    assert_eq!(
        MaskSink::new(sink(), Masks::new().ids("User")).err(),
        Some(MaskError::NoKey)
    );
    assert_eq!(
        MaskSink::new(sink(), digest.clone().key(&[7; 15])).err(),
        Some(MaskError::ShortKey)
    );
    assert!(MaskSink::new(sink(), digest.key(&[7; 16])).is_ok());
    assert!(
        !format!("{:?}", masks()).contains("104"),
        "the key is shown"
    );
}

proptest! {
    #![proptest_config(config(30))]

    /// Masks that mask nothing change nothing, whatever there is in a record and on whichever side of a queue.
    #[test]
    fn what_is_not_masked_stays(numbers in tape()) {
        let mut tape = Tape::new(&numbers);
        let (world, asks) = tape.world();
        let [plain, direct, behind, before] = [(); 4].map(|()| Arc::new(MemorySink::new(100)));
        let masks = || Masks::new()
            .path("context.*.nope", Mask::Drop).unwrap()
            .path("*.*.*", Mask::Keep).unwrap()
            .path("context.*", Mask::Keep).unwrap();
        let sinks = FanOut::new()
            .sink(Arc::clone(&plain))
            .sink(MaskSink::new(Arc::clone(&direct), masks()).unwrap())
            .sink(MaskSink::new(QueueSink::new(Arc::clone(&behind)).unwrap(), masks()).unwrap())
            .sink(QueueSink::new(MaskSink::new(Arc::clone(&before), masks()).unwrap()).unwrap());
        let Ok(authorizer) = world.builder().sink(sinks).build() else { return Ok(()) };
        for ask in &asks {
            ask.with_request(|request| { let _ = authorizer.is_allowed(request); });
        }
        drop(authorizer);
        let plain: Vec<_> = plain.records().into_iter().map(|mut record| {
            if let Some(error) = &mut record.request_error {
                let part = error.split(": ").next().unwrap();
                *error = format!("{part}: not valid; the text is masked");
            }
            record
        }).collect();
        for sink in [direct, behind, before] {
            prop_assert_eq!(sink.records(), plain.clone());
        }
    }
}
