//! A record and the archive are enough to decide again, and what does not fit is told.

use std::sync::Arc;

use duramen::evidence::{MemorySink, OwnedRecord};
use duramen::replay::{
    ArchiveError, ArchivedPolicies, NotReplayableKind, PolicyArchive, ReplayError, Replayed,
    Verdict, WhatIf,
};
use duramen::{Authorizer, Decision, Effect, ErrorMode, Outcome, PolicyUpdate, Request};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

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
        let gone = PolicyUpdate::new().add("gone", "forbid(principal, action, resource);");
        authorizer.update_policies(gone).unwrap();
        let added = PolicyUpdate::new().add("added", "permit(principal, action, resource) when { context.n > 1 };");
        authorizer.update_policies(added.remove("gone")).unwrap();
        archive.keep(&authorizer).unwrap();
        for ask in &asks {
            ask.with_request(|request| { let _ = authorizer.is_allowed(request); });
        }
        for record in sink.records() {
            let policies = archive.load(record.version.policies()).unwrap();
            if let Err(difference) = as_cedars_command_line(&policies, &record) {
                prop_assert!(false, "{}", reproduction(&world, None, &format!("{record:#?}\n{difference}")));
            }
            let replayed = policies.replay(&record);
            if record.request_error.is_some() {
                prop_assert!(matches!(replayed, Replayed::NotReplayable(_)));
                continue;
            }
            prop_assert!(replayed.is_same(), "{}", reproduction(&world, None, &format!("{record:#?}\n{replayed:#?}")));
        }
    }
}

/// As many decisions as an audit may have to look at, on worlds with everything that the language has.
#[test]
#[ignore = "takes minutes: cargo test --release --test it -- --ignored --nocapture a_hundred_thousand"]
fn a_hundred_thousand_decisions_are_decided_again() {
    const DECISIONS: usize = 100_000;
    let mut runner = TestRunner::deterministic();
    let mut numbers = || tape().new_tree(&mut runner).unwrap().current();
    let (mut worlds, mut decided, mut refused) = (0, 0, 0);
    let (mut allowed, mut failed, mut policies) = (0, 0, 0);
    while decided < DECISIONS {
        let of_world = numbers();
        let (world, mut asks) = Tape::new(&of_world).world();
        for _ in 0..10 {
            let of_asks = numbers();
            let mut tape = Tape::new(&of_asks);
            asks.extend((0..4).map(|_| tape.ask()));
        }
        let sink = Arc::new(MemorySink::new(100));
        let Ok(authorizer) = world.builder().sink(Arc::clone(&sink)).build() else {
            continue;
        };
        worlds += 1;
        let directory = Scratch::new();
        let archive = PolicyArchive::open(directory.path()).unwrap();
        let kept = archive.load(archive.keep(&authorizer).unwrap()).unwrap();
        for ask in &asks {
            ask.with_request(|request| {
                let _ = authorizer.is_allowed(request);
            });
        }
        for record in sink.records() {
            // What is replayed is the line that a log has, and not what is still in memory.
            let line = serde_json::to_string(&record).unwrap();
            let record: OwnedRecord = serde_json::from_str(&line).unwrap();
            let replayed = kept.replay(&record);
            if record.request_error.is_some() {
                assert!(matches!(replayed, Replayed::NotReplayable(_)));
                refused += 1;
                continue;
            }
            let what = || reproduction(&world, None, &format!("{record:#?}\n{replayed:#?}"));
            assert!(replayed.is_same(), "{}", what());
            decided += 1;
            allowed += usize::from(record.outcome == Outcome::Allowed);
            failed += usize::from(!record.errors.is_empty());
            policies += record.determining.len();
        }
    }
    println!(
        "{decided} decisions of {worlds} worlds are the same with both engines: {allowed} allowed, {failed} with errors, \
         {policies} determining policies; {refused} requests were refused"
    );
}

/// Reads exported files as Cedar's command line does, from their texts, decides, and compares with the record.
fn as_cedars_command_line(policies: &ArchivedPolicies, record: &OwnedRecord) -> Result<(), String> {
    use cedar_policy::{Authorizer, Context, Decision, Entities, PolicySet, Request};
    /// The members that the command line's `--request-json` reads.
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct RequestJson {
        principal: String,
        action: String,
        resource: String,
        context: serde_json::Value,
    }
    let files = match policies.cedar_files(record) {
        Ok(files) => files,
        Err(_) if record.request_error.is_some() => return Ok(()),
        // Cedar's JSON has no place for calls with a wrong number of arguments.
        Err(_) if policies.policy_set().clone().to_json().is_err() => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let [files] = files.as_slice() else {
        return Err("not one request".into());
    };
    let error = |error: &dyn std::error::Error| format!("{error}\n{files:#?}");
    let set = PolicySet::from_json_str(files.policies.to_string()).map_err(|e| error(&e))?;
    let entities =
        Entities::from_json_str(&files.entities.to_string(), None).map_err(|e| error(&e))?;
    let request: RequestJson =
        serde_json::from_str(&files.request.to_string()).map_err(|e| error(&e))?;
    let uid = |text: &str| text.parse().map_err(|e| error(&e));
    let context = Context::from_json_value(request.context, None).map_err(|e| error(&e))?;
    let (principal, action) = (uid(&request.principal)?, uid(&request.action)?);
    let request = Request::new(principal, action, uid(&request.resource)?, context, None)
        .map_err(|e| error(&e))?;
    let response = Authorizer::new().is_authorized(&request, &set, &entities);
    let mut determining: Vec<String> = response
        .diagnostics()
        .reason()
        .map(ToString::to_string)
        .collect();
    let mut expected: Vec<String> = record
        .determining
        .iter()
        .map(|policy| policy.id.to_string())
        .collect();
    determining.sort();
    expected.sort();
    // A strict mode denies what the policies allow.
    let allowed = matches!(record.outcome, Outcome::Allowed | Outcome::EvaluationErrors);
    let same = (response.decision() == Decision::Allow) == allowed
        && determining == expected
        && response.diagnostics().errors().count() == record.errors.len();
    match same {
        true => Ok(()),
        false => Err(format!("{response:#?}\n{files:#?}")),
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
    let changes: [Change; 11] = [
        |record| record.outcome = Outcome::NoPermit,
        // No policy failed that a strict mode could deny for, and no ages are kept that could be too high.
        |record| (record.decision, record.outcome) = (Decision::Deny, Outcome::EvaluationErrors),
        |record| (record.decision, record.outcome) = (Decision::Deny, Outcome::StaleEntities),
        |record| record.decision = Decision::Deny,
        |record| record.determining.clear(),
        // What is said of a policy is not what it is, although it is the one.
        |record| record.determining[0].effect = Effect::Forbid,
        |record| {
            let annotations = &mut record.determining[0].annotations;
            annotations.insert("owner".to_owned(), "somebody".to_owned());
        },
        |record| record.determining[0].template = Some("template".into()),
        |record| record.determining.push(record.determining[0].clone()),
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
        let explained = policies.explain(&changed);
        assert!(
            matches!(explained, Err(ReplayError::Different { .. })),
            "change {number}"
        );
        // What a candidate is compared with is what was decided, and not two things.
        if changed.decision != changed.outcome.decision() {
            let what_if = WhatIf::new(policies.authorizer()).unwrap();
            let report = what_if.run([&changed]);
            assert_eq!(report.not_replayable, 1, "change {number}");
        }
    }
    // What nobody permits is denied for this reason alone, of a request as of a hop.
    let (policies, of_chain) = chain(
        "permit(principal is User, action, resource);",
        "[]",
        &["bot"],
    );
    let mut of_one = of_chain.clone();
    of_one.delegation = None;
    of_one.principal = duramen::EntityUid::new("Agent", "bot");
    for outcome in [
        Outcome::Forbidden,
        Outcome::EvidenceNotKept,
        Outcome::InvalidRequest,
        Outcome::DelegationExpired,
    ] {
        for record in [&of_one, &of_chain] {
            assert!(policies.replay(record).is_same());
            let mut changed = record.clone();
            changed.outcome = outcome;
            let hops = changed
                .delegation
                .iter_mut()
                .flat_map(|chain| &mut chain.hops);
            hops.skip(1).for_each(|hop| hop.outcome = Some(outcome));
            let (duramen, cedar) = verdicts(policies.replay(&changed));
            assert!(duramen != Verdict::Same && cedar != Verdict::Same);
            let explained = policies.explain(&changed);
            assert!(matches!(explained, Err(ReplayError::Different { .. })));
        }
        // The chain comes to what its first hop that is denied does.
        let mut changed = of_chain.clone();
        changed.outcome = outcome;
        assert!(!policies.replay(&changed).is_same());
    }
    let mut changed = record.clone();
    changed.inputs = None;
    let policies = archive.load(record.version.policies()).unwrap();
    assert!(
        matches!(policies.replay(&changed), Replayed::NotReplayable(reason) if reason.kind() == NotReplayableKind::NoInputs
            && reason.to_string() == "the record has no inputs: its sink wanted none")
    );
}

/// What other policies come to says nothing of a record, even where it is the same.
/// A hop that policies allow is denied all the same by a strict mode, or because something was too old: the chain comes
/// to that hop.
#[test]
fn hops_that_were_denied_although_policies_allow_them_are_decided_again() {
    let policies = r#"
        permit(principal is User, action, resource);
        permit(principal is Agent, action, resource);
        forbid(principal is Agent, action, resource) when { principal.nope };
    "#;
    let old = duramen::Freshness::new().max_age_of_type("Agent", std::time::Duration::ZERO);
    let agents = duramen::Entities::new().insert(duramen::Entity::new(("Agent", "bot")));
    type Build = Box<dyn FnOnce(duramen::Builder) -> duramen::Builder>;
    let cases: [(Build, Outcome); 3] = [
        (
            Box::new(|builder| builder.error_mode(ErrorMode::DenyOnForbidError)),
            Outcome::EvaluationErrors,
        ),
        (
            Box::new(|builder| builder.entities(agents).freshness(old)),
            Outcome::StaleEntities,
        ),
        (Box::new(|builder| builder), Outcome::Allowed),
    ];
    for (build, expected) in cases {
        let directory = Scratch::new();
        let archive = PolicyArchive::open(directory.path()).unwrap();
        let sink = Arc::new(MemorySink::new(1));
        let builder = Authorizer::builder().policies(policies);
        let authorizer = build(builder).sink(Arc::clone(&sink)).build().unwrap();
        archive.keep(&authorizer).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        let actors = [duramen::EntityUidRef::new("Agent", "bot")];
        let delegation = duramen::Delegation::new(&actors);
        let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "d"));
        let request = request.delegation(&delegation);
        assert_eq!(authorizer.is_authorized(&request).outcome(), expected);
        let record = sink.records().remove(0);
        let hops = &record.delegation.as_ref().unwrap().hops;
        assert_eq!(hops[0].outcome, Some(Outcome::Allowed));
        assert_eq!(hops[1].outcome, Some(expected));
        let policies = archive.load(record.version.policies()).unwrap();
        let replayed = policies.replay(&record);
        assert!(replayed.is_same(), "{record:#?}\n{replayed:#?}");
        assert_eq!(policies.explain(&record).unwrap().outcome, expected);

        // One that says something else of itself than of its hops.
        let mut changed = record.clone();
        changed.outcome = Outcome::Forbidden;
        assert!(matches!(
            policies.explain(&changed),
            Err(ReplayError::Different {
                recorded: Outcome::Forbidden,
                ..
            })
        ));
        // What a sink denies has no record.
        changed.outcome = Outcome::EvidenceNotKept;
        let (duramen, cedar) = verdicts(policies.replay(&changed));
        assert!(duramen != Verdict::Same && cedar != Verdict::Same);
        assert!(policies.explain(&changed).is_err());
    }
}

/// The record of a chain that was asked for by `ann`, with `actors` for her, and its policies.
fn chain(policies: &str, entities: &str, actors: &[&str]) -> (ArchivedPolicies, OwnedRecord) {
    let directory = Scratch::new();
    let archive = PolicyArchive::open(directory.path()).unwrap();
    let sink = Arc::new(MemorySink::new(1));
    let authorizer = Authorizer::builder()
        .policies(policies)
        .entities(entities)
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    let digest = archive.keep(&authorizer).unwrap();
    let actors: Vec<_> = actors
        .iter()
        .map(|id| duramen::EntityUidRef::new("Agent", id))
        .collect();
    let delegation = duramen::Delegation::new(&actors);
    let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "d"));
    let _ = authorizer.is_authorized(&request.delegation(&delegation));
    (archive.load(digest).unwrap(), sink.records().remove(0))
}

/// One policy may fail for each hop in another way, and several hops may be denied.
#[test]
fn hops_that_differ_are_decided_again() {
    let failing = r#"
        permit(principal, action, resource);
        forbid(principal, action, resource) when { principal.level + 1 == 0 };
    "#;
    let world = |largest: &str| {
        format!(
            r#"[{{ "uid": {{ "type": "Agent", "id": "{largest}" }}, "attrs": {{ "level": 9223372036854775807 }}, "parents": [] }},
                {{ "uid": {{ "type": "Agent", "id": "text" }}, "attrs": {{ "level": "x" }}, "parents": [] }}]"#
        )
    };
    for actors in [["bot", "text"], ["text", "bot"]] {
        let (policies, record) = chain(failing, &world("bot"), &actors);
        assert_eq!(record.outcome, Outcome::Allowed);
        let hops = &record.delegation.as_ref().unwrap().hops;
        let kinds: std::collections::BTreeSet<_> = hops
            .iter()
            .map(|hop| hop.errors.as_ref().unwrap()[0].kind.as_str())
            .collect();
        assert_eq!(kinds.len(), 3, "{kinds:?}");
        let replayed = policies.replay(&record);
        assert!(replayed.is_same(), "{record:#?}\n{replayed:#?}");
    }
    let denying = r#"
        @id("all") permit(principal, action, resource);
        @id("first") forbid(principal == Agent::"one", action, resource);
        @id("second") forbid(principal == Agent::"two", action, resource);
    "#;
    let (policies, record) = chain(denying, "[]", &["one", "two"]);
    assert_eq!(record.outcome, Outcome::Forbidden);
    let replayed = policies.replay(&record);
    assert!(replayed.is_same(), "{record:#?}\n{replayed:#?}");
    // The first hop is the principal, and another one is not what was asked.
    let mut changed = record.clone();
    changed.delegation.as_mut().unwrap().hops[0].principal = duramen::EntityUid::new("User", "eve");
    assert!(matches!(
        policies.replay(&changed),
        Replayed::NotReplayable(_)
    ));
    // Nor is what says of a hop that no policy was asked.
    let mut changed = record;
    changed.delegation.as_mut().unwrap().hops[2].outcome = None;
    assert!(matches!(
        policies.replay(&changed),
        Replayed::NotReplayable(_)
    ));
}

#[test]
fn a_record_is_decided_again_by_its_own_policies() {
    let directory = Scratch::new();
    let (archive, record) = decided(&directory);
    let other = Authorizer::builder().policies("permit(principal, action, resource);");
    let other = archive.keep(&other.build().unwrap()).unwrap();
    let policies = archive.load(other).unwrap();
    let digest = record.version.policies().to_string();
    let Replayed::NotReplayable(reason) = policies.replay(&record) else {
        panic!("decided again by others");
    };
    assert_eq!(reason.kind(), NotReplayableKind::OtherPolicies);
    assert!(reason.to_string().contains(&digest), "{reason}");
    assert!(policies.explain(&record).is_err());
    assert!(policies.cedar_files(&record).is_err());
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

/// What is kept can be loaded: what needs wider limits than the archive's is not kept.
#[test]
fn an_archive_keeps_what_its_limits_let_it_load() {
    let deep = format!(
        "permit(principal, action, resource) when {{ 0 < {}1{} }};",
        "(1 + ".repeat(180),
        ")".repeat(180)
    );
    let long = format!(
        "permit(principal, action, resource) when {{ true{} }};",
        " && true".repeat(3_000)
    );
    let limits = duramen::Limits::default()
        .with_expression_depth(300)
        .with_operator_chain(4_000);
    for (policy, named) in [(deep, "expression_depth"), (long, "operator_chain")] {
        let directory = Scratch::new();
        let narrow = PolicyArchive::open(directory.path()).unwrap();
        let sink = Arc::new(MemorySink::new(1));
        let build = |policy: &str| {
            let builder = Authorizer::builder().limits(limits).policies(policy);
            builder.sink(Arc::clone(&sink)).build().unwrap()
        };
        // What is within them is kept, whatever else would have been.
        narrow
            .keep(&build("permit(principal, action, resource);"))
            .unwrap();
        let authorizer = build(&policy);
        let error = narrow.keep(&authorizer).unwrap_err();
        assert!(matches!(error, ArchiveError::BeyondLimits(_)), "{error}");
        assert!(error.to_string().contains(named), "{error}");

        let wide = narrow.clone().with_limits(limits);
        let digest = wide.keep(&authorizer).unwrap();
        assert!(narrow.load(digest).is_err());
        let policies = wide.load(digest).unwrap();
        let asked = Request::new(("User", "alice"), ("Action", "view"), ("Doc", "d"));
        let _ = authorizer.is_authorized(&asked);
        let record = sink.records().remove(0);
        // On the stack of an ordinary thread.
        let replayed = std::thread::scope(|scope| {
            let replay = scope.spawn(|| policies.replay(&record));
            replay.join().unwrap()
        });
        assert!(replayed.is_same(), "{replayed:#?}");
    }
}

/// What is in a directory may have been written by anybody.
#[test]
fn an_archive_is_scanned_before_cedar_sees_it() {
    let directory = Scratch::new();
    let (archive, record) = decided(&directory);
    let digest = record.version.policies();
    let file = directory.path().join(format!("{digest}.json"));
    let nested = |open: &str, close: &str, n: usize| {
        format!(
            "permit(principal, action, resource) when {{ {}true{} }};",
            open.repeat(n),
            close.repeat(n)
        )
    };
    for text in [
        nested("(", ")", 100_000),
        nested("(", " is A in principal)", 30),
        nested("", " && true", 100_000),
    ] {
        let policy = serde_json::json!({ "id": "policy0", "text": text });
        for (policies, templates) in [(vec![policy.clone()], vec![]), (vec![], vec![policy])] {
            let document = serde_json::json!({
                "format": 1, "policies": policies, "templates": templates, "links": [],
            });
            std::fs::write(&file, document.to_string()).unwrap();
            let error = archive.load(digest).unwrap_err();
            assert!(error.to_string().contains("limited to"), "{error}");
        }
    }
}

/// What Cedar recurses over does not depend on the caller's stack, which is that of any thread here. What Cedar could not read is
/// not exported.
#[test]
fn policies_as_deep_as_the_limits_allow_are_decided_again() {
    let mut exported = Vec::new();
    for operators in [2, 55, 56, 57, 58, 59, 60, 61, 62, 950] {
        let directory = Scratch::new();
        let sink = Arc::new(MemorySink::new(10));
        let tests: Vec<String> = (0..operators)
            .map(|n| format!("context.n != {n}"))
            .collect();
        let condition = tests.join(" && ");
        let authorizer = Authorizer::builder()
            .policies(format!(
                "permit(principal, action, resource) when {{ {condition} }};"
            ))
            .sink(Arc::clone(&sink))
            .build()
            .unwrap();
        let archive = PolicyArchive::open(directory.path()).unwrap();
        let policies = archive.load(archive.keep(&authorizer).unwrap()).unwrap();
        for context in [r#"{ "n": 0 }"#, r#"{ "n": -1 }"#, "{}"] {
            let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
            let _ = authorizer.is_authorized(&request.context_json(context));
        }
        for record in sink.records() {
            assert!(policies.replay(&record).is_same());
            policies.explain(&record).unwrap();
            let is_read = match policies.cedar_files(&record) {
                Ok(files) => {
                    let text = files[0].policies.to_string();
                    serde_json::from_str::<serde_json::Value>(&text).unwrap();
                    true
                }
                Err(error) => {
                    assert!(error.to_string().contains("more deeply"), "{error}");
                    false
                }
            };
            exported.push((operators, is_read));
        }
    }
    assert!(
        exported.contains(&(55, true)) && exported.contains(&(62, false)),
        "{exported:?}"
    );
    assert!(exported.is_sorted_by_key(|(_, is_read)| !is_read));
}

/// Nor is anybody kept reading for ever by what is no file, and policies are kept in its place.
#[cfg(unix)]
#[test]
fn an_archive_reads_files_only() {
    let directory = Scratch::new();
    let (archive, record) = decided(&directory);
    let digest = record.version.policies();
    let file = directory.path().join(format!("{digest}.json"));
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/null", &file).unwrap();
    let error = archive.load(digest).unwrap_err();
    assert!(matches!(error, ArchiveError::Io { .. }), "{error}");
    let authorizer = Authorizer::builder().policies(
        r#"permit(principal in Team::"blue", action, resource) when { principal.level > 2 };"#,
    );
    assert_eq!(archive.keep(&authorizer.build().unwrap()).unwrap(), digest);
    assert!(archive.load(digest).unwrap().replay(&record).is_same());
}

/// Of where a policy was written the digest says nothing: whatever stands there, an explanation is as long as ever.
#[test]
fn places_in_an_archive_may_be_anything() {
    let directory = Scratch::new();
    let (archive, record) = decided(&directory);
    let digest = record.version.policies();
    let file = directory.path().join(format!("{digest}.json"));
    let text = std::fs::read_to_string(&file).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let policy = document["policies"][0]["text"].as_str().unwrap();
    let lines = policy.replace(" when", "\nwhen\n");
    for text in [policy.to_owned(), lines] {
        document["policies"][0]["text"] = text.into();
        for (number, byte) in [(0, 0), (100_000, 100_000), (u32::MAX, usize::MAX)] {
            document["policies"][0]["written"] =
                serde_json::json!({ "line": number, "column": number, "byte": byte });
            std::fs::write(&file, document.to_string()).unwrap();
            let explanation = archive.load(digest).unwrap().explain(&record).unwrap();
            assert!(explanation.to_string().contains("level > 2"));
            assert!(format!("{explanation:?}").len() < 10_000);
        }
    }
}

/// Whoever keeps the same at the same time, all of them have kept it, and nothing else is left of that.
#[test]
fn policies_are_kept_by_many_at_once() {
    let many = "permit(principal, action, resource) when { context.n == 1 };".repeat(30);
    let authorizer = Authorizer::builder().policies(&*many).build().unwrap();
    for _ in 0..20 {
        let directory = Scratch::new();
        let archive = PolicyArchive::open(directory.path()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| archive.keep(&authorizer).unwrap());
            }
        });
        archive.load(authorizer.version().policies()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
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

/// Whatever texts there are in policies: in ids, annotations, conditions and scopes.
#[test]
fn policies_with_any_text_are_kept() {
    let texts = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' quoted '",
        "back\\slash",
        "line\nbreak\ttab\rreturn",
        "nul\0",
        "delete\u{7f}",
        "\u{202e}turned\u{200b}\u{feff}",
        "\u{1F600} e\u{301}",
        "",
    ];
    let mut lost = Vec::new();
    for text in texts {
        let cedar: String = text.escape_debug().to_string().replace("\\'", "'");
        for policy in [
            format!("@id(\"{cedar}\") permit(principal, action, resource);"),
            format!("@id(\"p\") @owner(\"{cedar}\") permit(principal, action, resource);"),
            format!("permit(principal == User::\"{cedar}\", action, resource);"),
            format!("permit(principal, action, resource) when {{ context.x == \"{cedar}\" }};"),
            format!("permit(principal, action, resource) when {{ context[\"{cedar}\"] == 1 }};"),
        ] {
            let directory = Scratch::new();
            let policies = duramen::Policies::new()
                .text(&*policy)
                .ids_from_annotations();
            let sink = Arc::new(MemorySink::new(1));
            let builder = Authorizer::builder().policies(policies);
            let authorizer = builder.sink(Arc::clone(&sink)).build().unwrap();
            let archive = PolicyArchive::open(directory.path()).unwrap();
            let digest = archive.keep(&authorizer).unwrap();
            let request = Request::new(("User", text), ("Action", "view"), ("Doc", "plan"));
            let context = std::collections::BTreeMap::from([("x", text)]);
            let _ = authorizer.is_allowed(&request.context(&context));
            match archive.load(digest) {
                Ok(policies) => {
                    let replayed = policies.replay(&sink.records()[0]);
                    assert!(replayed.is_same(), "{policy}: {replayed:?}");
                }
                Err(error) => lost.push(format!("{policy}: {error}")),
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// Of a large set from which one was removed, it is not in the archive either.
#[test]
fn what_was_removed_is_not_kept() {
    let policies: String = (0..200)
        .map(|number| format!("permit(principal == User::\"{number}\", action, resource);\n"))
        .collect();
    let authorizer = Authorizer::builder().policies(policies).build().unwrap();
    let directory = Scratch::new();
    let archive = PolicyArchive::open(directory.path()).unwrap();
    for id in ["policy0", "policy7", "policy199"] {
        let update = PolicyUpdate::new().remove(id);
        authorizer.update_policies(update).unwrap();
        let digest = archive.keep(&authorizer).unwrap();
        let kept = archive.load(digest).unwrap();
        assert_eq!(kept.digest(), authorizer.version().policies());
        assert!(
            kept.policy_set()
                .policies()
                .all(|policy| policy.id().to_string() != id)
        );
    }
}
