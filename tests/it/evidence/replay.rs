//! A record and the archive are enough to decide again, and what does not fit is told.

use std::sync::Arc;

use duramen::evidence::{MemorySink, OwnedRecord};
use duramen::replay::{ArchiveError, PolicyArchive, Replayed, Verdict};
use duramen::{Authorizer, ErrorMode, Outcome, PolicyUpdate, Request};
use proptest::prelude::*;

use super::Scratch;
use crate::generate::{Tape, config, tape};
use crate::oracle::reproduction;

/// Duramen's verdict and Cedar's.
fn verdicts(replayed: Replayed) -> (Verdict, Verdict) {
    match replayed {
        Replayed::Decided { duramen, cedar } => (duramen, cedar),
        Replayed::NotReplayable(reason) => panic!("not replayable: {reason}"),
    }
}

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn what_was_decided_is_decided_again(numbers in tape()) {
        let mut tape = Tape::new(&numbers);
        let (world, asks) = tape.world();
        let mode = [ErrorMode::Cedar, ErrorMode::DenyOnForbidError, ErrorMode::DenyOnAnyError][tape.below(3)];
        let sink = Arc::new(MemorySink::new(100));
        let builder = world.builder().error_mode(mode).sink(Arc::clone(&sink));
        let Ok(authorizer) = builder.build() else { return Ok(()) };
        let directory = Scratch::new();
        let archive = PolicyArchive::open(directory.path()).unwrap();
        archive.keep(&authorizer).unwrap();
        for ask in &asks {
            ask.with_request(|request| { let _ = authorizer.is_allowed(request); });
        }
        // Another version, in layers, with something gone.
        let update = PolicyUpdate::new().add("added", "permit(principal, action, resource) when { context.n > 1 };");
        authorizer.update_policies(update).unwrap();
        archive.keep(&authorizer).unwrap();
        for ask in &asks {
            ask.with_request(|request| { let _ = authorizer.is_allowed(request); });
        }
        for record in sink.records() {
            let policies = archive.load(record.version.policies()).unwrap();
            let replayed = policies.replay(&record);
            if record.request_error.is_some() {
                prop_assert!(matches!(replayed, Replayed::NotReplayable(_)));
                continue;
            }
            prop_assert!(replayed.is_same(), "{}", reproduction(&world, None, &format!("{record:#?}\n{replayed:#?}")));
        }
    }
}

const ENTITIES: &str = r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": { "level": 3 },
                             "parents": [{ "type": "Team", "id": "blue" }] }]"#;

/// An authorizer, its archive and the record of one decision.
fn decided(directory: &Scratch) -> (PolicyArchive, OwnedRecord) {
    let sink = Arc::new(MemorySink::new(10));
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal in Team::"blue", action, resource) when { principal.level > 2 };"#,
        )
        .entities(ENTITIES)
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let archive = PolicyArchive::open(directory.path()).unwrap();
    archive.keep(&authorizer).unwrap();
    let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    assert!(authorizer.is_allowed(&request));
    (archive, sink.records().remove(0))
}

/// Whatever of a record is changed that the answer rests on, both engines say so.
#[test]
fn a_record_that_says_something_else_is_told() {
    let directory = Scratch::new();
    let (archive, record) = decided(&directory);
    let policies = archive.load(record.version.policies()).unwrap();
    assert_eq!(
        verdicts(policies.replay(&record)),
        (Verdict::Same, Verdict::Same)
    );
    type Change = fn(&mut OwnedRecord);
    let changes: [Change; 4] = [
        |record| record.outcome = Outcome::NoPermit,
        |record| record.determining.clear(),
        |record| record.principal = duramen::EntityUid::new("User", "eve"),
        |record| {
            for entity in &mut record.inputs.as_mut().unwrap().entities {
                entity["attrs"] = serde_json::json!({});
            }
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = record.clone();
        change(&mut changed);
        let (duramen, cedar) = verdicts(policies.replay(&changed));
        assert_ne!(duramen, Verdict::Same, "change {number}");
        assert_eq!(duramen, cedar, "change {number}");
    }
    let mut changed = record.clone();
    changed.inputs = None;
    assert!(
        matches!(policies.replay(&changed), Replayed::NotReplayable(reason) if reason.contains("no inputs"))
    );
}

#[test]
fn an_archive_gives_what_was_kept_or_nothing() {
    let directory = Scratch::new();
    let (archive, record) = decided(&directory);
    let digest = record.version.policies();
    let file = directory.path().join(format!("{digest}.json"));
    let text = std::fs::read_to_string(&file).unwrap();
    for (from, to) in [
        ("level > 2", "level > 1"),
        ("permit", "forbid"),
        ("\"format\": 1", "\"format\": 2"),
        ("}", ""),
    ] {
        assert!(text.contains(from), "{text}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
        let error = archive.load(digest).unwrap_err();
        assert!(matches!(error, ArchiveError::Unreadable { .. }), "{error}");
        assert!(error.to_string().contains(&digest.to_string()), "{error}");
    }
    // What only looks different is the same.
    std::fs::write(&file, text.replace("level > 2", "level  >  2")).unwrap();
    archive.load(digest).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(
        matches!(archive.load(digest), Err(ArchiveError::Missing(missing)) if missing == digest)
    );
}

/// Cedar's JSON is kept as the text that Cedar writes it as.
#[test]
fn policies_from_json_are_kept_too() {
    let directory = Scratch::new();
    let json = r#"{ "staticPolicies": { "open": { "effect": "permit", "principal": { "op": "All" },
        "action": { "op": "All" }, "resource": { "op": "All" }, "conditions": [] } }, "templates": {}, "templateLinks": [] }"#;
    let authorizer = Authorizer::builder()
        .policies(duramen::Policies::new().json(json))
        .build()
        .unwrap();
    let archive = PolicyArchive::open(directory.path()).unwrap();
    let digest = archive.keep(&authorizer).unwrap();
    assert_eq!(archive.load(digest).unwrap().digest(), digest);
}
