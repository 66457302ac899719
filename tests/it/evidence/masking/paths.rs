//! What a path names is masked, nothing else is, and the record says by which.

use duramen::evidence::MaskError;
use proptest::prelude::*;

use super::*;
use crate::generate::{Tape, config, tape};

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

/// What one record tells is not told of the next, which is made in the same place.
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
                // A path in the context begins with the part.
                let part = error.split([':', '.', '[']).next().unwrap();
                *error = format!("{part}: not valid; the text is masked");
            }
            record
        }).collect();
        for sink in [direct, behind, before] {
            prop_assert_eq!(sink.records(), plain.clone());
        }
    }
}
