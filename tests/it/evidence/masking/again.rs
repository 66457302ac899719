//! Deciding again what was masked: a record says whether it can be.

use duramen::replay::{NotReplayableKind, PolicyArchive, Replayed};

use super::*;

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
    assert_eq!(reason.kind(), NotReplayableKind::Masked);
    assert_eq!(reason.to_string(), "masked: context.token");
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

/// Nor where a name that was read gives away what no policy has read: the name is another one then.
#[test]
fn what_is_named_by_what_is_masked_is_not_decided_again() {
    let cases = [
        (
            "principal in Team::\"blue\"",
            r#"{ "__entity": { "type": "Team", "id": "blue" } }"#,
        ),
        (
            "User::\"bob\".level < 2",
            r#"{ "__entity": { "type": "User", "id": "bob" } }"#,
        ),
        ("principal.getTag(\"site\") != \"\"", "\"site\""),
        ("principal.hasTag(\"absent\") == false", "\"absent\""),
        (
            "!(User::\"bob\" in Team::\"blue\")",
            r#"{ "__entity": { "type": "Team", "id": "blue" } }"#,
        ),
    ];
    for (reading, value) in cases {
        // What it does not name may be masked.
        for (value, is_replayable) in [(value, false), ("\"other\"", true)] {
            for mask in [Mask::Drop, Mask::Digest] {
                let directory = Scratch::new();
                let sink = Arc::new(MemorySink::new(1));
                let masks = masks().path("context.unread", mask).unwrap();
                let masking = MaskSink::new(Arc::clone(&sink), masks).unwrap();
                let policies = format!("permit(principal, action, resource) when {{ {reading} }};");
                let authorizer = deciding(&policies, masking);
                let archive = PolicyArchive::open(directory.path()).unwrap();
                let policies = archive.load(archive.keep(&authorizer).unwrap()).unwrap();
                let context = format!("{{ \"unread\": {value} }}");
                assert!(
                    authorizer.is_allowed(&asked().context_json(&context)),
                    "{reading}"
                );
                let record = sink.records().remove(0);
                assert_eq!(record.masked, ["context.unread"]);
                assert_eq!(
                    record.replayable,
                    Some(is_replayable),
                    "{reading}, {value}, {mask}"
                );
                match policies.replay(&record) {
                    Replayed::NotReplayable(reason) => {
                        assert_eq!(reason.kind(), NotReplayableKind::Masked);
                        assert!(!is_replayable, "{reading}");
                    }
                    replayed => assert!(is_replayable && replayed.is_same(), "{reading}, {mask}"),
                }
            }
        }
    }
}
