//! What a candidate would have decided is what it decides on everything, or it is not said.

use std::cell::Cell;
use std::sync::Arc;

use duramen::evidence::{Mask, MaskSink, Masks, MemorySink, OwnedRecord};
use duramen::replay::{AskedFact, NotReplayable, PolicyArchive, Reconsidered, WhatIf};
use duramen::{Authorizer, Decision, Delegation, EntityUidRef, ErrorMode, Outcome, Request};
use proptest::prelude::*;

use super::{Scratch, recording};
use crate::generate::{Tape, config, tape};
use crate::oracle::{Answer, Ask, ours, reproduction, uid_ref};
use crate::value::Uid;

thread_local! {
    /// How often each thing was found, so that the property is not about nothing.
    static FOUND: Cell<[u32; 4]> = const { Cell::new([0; 4]) };
}

fn found(what: usize) {
    let mut counts = FOUND.get();
    counts[what] += 1;
    FOUND.set(counts);
}

#[test]
fn a_candidate_is_decided_as_on_all_there_is_or_not_at_all() {
    proptest!(config(60), |(numbers in tape())| {
        let mut tape = Tape::new(&numbers);
        let (mut world, asks) = tape.world();
        let (candidate, more) = tape.world();
        let mode = [ErrorMode::Cedar, ErrorMode::DenyOnForbidError, ErrorMode::DenyOnAnyError][tape.below(3)];
        let sink = Arc::new(MemorySink::new(100));
        let builder = world.builder().error_mode(mode).sink(Arc::clone(&sink));
        let Ok(enforced) = builder.build() else { return Ok(()) };
        let asks: Vec<_> = asks.into_iter().chain(more).collect();
        for ask in &asks {
            ask.with_request(|request| { let _ = enforced.is_allowed(request); });
        }
        let records = sink.records();
        let build = |policies| Authorizer::builder().error_mode(mode).policies(policies).build();
        // The policies that decided: everything is known, also what was not there.
        let mut same = WhatIf::new(&build(world.policies()).unwrap()).unwrap();
        for record in &records {
            match same.add(record) {
                Reconsidered::Same { same_reasons: Some(true) } => {}
                Reconsidered::NotReplayable(NotReplayable::RequestRefused, _) => {
                    prop_assert!(record.request_error.is_some());
                }
                other => {
                    let what = format!("{record:#?}\n{other:#?}");
                    return Err(TestCaseError::fail(reproduction(&world, None, &what)));
                }
            }
        }
        // Others.
        let Ok(tried) = build(candidate.policies()) else { return Ok(()) };
        world.policies = candidate.policies;
        world.links = candidate.links;
        let whole = world.builder().error_mode(mode).build().unwrap();
        let mut alone = WhatIf::new(&tried).unwrap();
        let mut filled = WhatIf::new(&tried).unwrap().fill_in(&enforced);
        for (record, ask) in records.iter().zip(&asks) {
            let (truth, allowed) = ask.with_request(|request| {
                let response = whole.is_authorized(request);
                (ours(&response), response.is_allowed())
            });
            let failed = |what: String| {
                Err(TestCaseError::fail(reproduction(&world, Some(ask), &format!("{record:#?}\n{what}"))))
            };
            for (what_if, is_filled) in [(&mut alone, false), (&mut filled, true)] {
                // What a request brought along and nobody read, the store cannot know.
                if is_filled && ask.overlay.is_some() {
                    continue;
                }
                let is_right = match what_if.add(record) {
                    Reconsidered::Same { same_reasons } => {
                        found(0);
                        let same = same_reasons.is_none_or(|same| !same || determines(&truth, record));
                        same && allowed == (record.decision == Decision::Allow)
                    }
                    Reconsidered::Flipped(flip) => {
                        found(1);
                        found(usize::from(is_filled) * 3);
                        let Answer::Decided { determining, errors, .. } = &truth else {
                            return failed("the request was not refused".into());
                        };
                        let policies = flip.after.determining.iter();
                        let policies: Vec<_> = policies.map(|policy| policy.id.to_string()).collect();
                        allowed == (flip.after.decision == Decision::Allow)
                            && policies.iter().all(|policy| determining.contains(policy))
                            && flip.after.errors.iter().all(|policy| errors.contains_key(policy.as_str()))
                            && (!flip.unsettled.is_empty() || policies.len() == determining.len())
                    }
                    Reconsidered::Undetermined(unknown) => {
                        found(2);
                        !is_filled && !unknown.is_empty()
                    }
                    Reconsidered::NotReplayable(why, _) => {
                        why == NotReplayable::RequestRefused && truth == Answer::Invalid
                    }
                    other => return failed(format!("{other:#?}")),
                };
                if !is_right {
                    let again = what_if.add(record);
                    return failed(format!("filled in: {is_filled}\n{again:#?}\nnot {truth:#?}"));
                }
            }
        }
    });
    // A few worlds may have nothing that is undetermined; `what_was_not_read_is_not_absent` has all kinds of that.
    let [same, flipped, _, filled] = FOUND.get();
    assert!(same > 0 && flipped > 0 && filled > 0);
}

/// A path to something that worlds and requests have.
fn masked_path(tape: &mut Tape<'_>) -> String {
    let root = tape.pick(&[
        "context",
        "context",
        "principal",
        "resource",
        "User",
        "Doc",
        "Group",
        "*",
    ]);
    let below = tape.pick(&["", "", ".tags", ".rec"]);
    let name = tape.pick(&["flag", "n", "s", "e", "set", "rec", "ip", "dt", "a", "*"]);
    format!("{root}{below}.{name}")
}

thread_local! {
    /// Flips of chains, flips of masked records, and records of which masks leave too little.
    static FOUND_BEYOND: Cell<[u32; 3]> = const { Cell::new([0; 3]) };
}

/// The same of chains of delegation and of masked records.
#[test]
fn chains_and_masked_records_are_decided_as_on_all_there_is_or_not_at_all() {
    let found = |what: usize| {
        let mut counts = FOUND_BEYOND.get();
        counts[what] += 1;
        FOUND_BEYOND.set(counts);
    };
    proptest!(config(60), |(numbers in tape())| {
        let mut tape = Tape::new(&numbers);
        let (mut world, asks) = tape.world();
        let (candidate, more) = tape.world();
        let sink = Arc::new(MemorySink::new(100));
        let is_masked = tape.chance(60);
        let builder = if is_masked {
            let mut masks = Masks::new().key(&[7; 32]);
            for _ in 0..=tape.below(3) {
                let mask = [Mask::Drop, Mask::Digest][tape.below(2)];
                masks = masks.path(&masked_path(&mut tape), mask).unwrap();
            }
            world.builder().sink(MaskSink::new(Arc::clone(&sink), masks).unwrap())
        } else {
            world.builder().sink(Arc::clone(&sink))
        };
        let Ok(enforced) = builder.build() else { return Ok(()) };
        let asks: Vec<_> = asks.into_iter().chain(more).map(|ask| {
            let actors: Vec<_> = (0..tape.below(3)).map(|_| tape.uid()).collect();
            (ask, actors)
        }).collect();
        let with_request = |(ask, actors): &(Ask, Vec<Uid>), authorizer: &Authorizer| {
            let actors: Vec<_> = actors.iter().map(uid_ref).collect();
            let delegation = Delegation::new(&actors);
            ask.with_request(|request| match actors.is_empty() {
                true => authorizer.is_authorized(request).is_allowed(),
                false => authorizer.is_authorized(&request.delegation(&delegation)).is_allowed(),
            })
        };
        for ask in &asks {
            with_request(ask, &enforced);
        }
        let records = sink.records();
        let Ok(tried) = Authorizer::builder().policies(candidate.policies()).build() else { return Ok(()) };
        world.policies = candidate.policies;
        world.links = candidate.links;
        let whole = world.builder().build().unwrap();
        let mut alone = WhatIf::new(&tried).unwrap();
        let mut filled = WhatIf::new(&tried).unwrap().fill_in(&enforced);
        for (record, asked) in records.iter().zip(&asks) {
            let allowed = with_request(asked, &whole);
            for (what_if, is_filled) in [(&mut alone, false), (&mut filled, true)] {
                if is_filled && asked.0.overlay.is_some() {
                    continue;
                }
                let again = what_if.add(record);
                let is_right = match &again {
                    Reconsidered::Same { .. } => allowed == (record.decision == Decision::Allow),
                    Reconsidered::Flipped(flip) => {
                        found(usize::from(flip.actors.is_empty()));
                        allowed == (flip.after.decision == Decision::Allow)
                    }
                    Reconsidered::Undetermined(_) => {
                        found(2);
                        !is_filled || !record.masked.is_empty()
                    }
                    Reconsidered::NotReplayable(NotReplayable::RequestRefused, _) => record.request_error.is_some(),
                    Reconsidered::NotReplayable(NotReplayable::DelegationRefused, _) => !asked.1.is_empty(),
                    Reconsidered::NotReplayable(NotReplayable::Masked, _) => record.masked.iter().any(|rule| rule == "context.*"),
                    _ => false,
                };
                if !is_right {
                    let what = format!("{record:#?}\nfilled in: {is_filled}\n{again:#?}\nnot {allowed}");
                    return Err(TestCaseError::fail(reproduction(&world, Some(&asked.0), &what)));
                }
            }
        }
    });
    // A few worlds may have nothing that masks leave undetermined; `what_is_masked_is_unknown_and_the_rest_is_not` has.
    let [of_chains, of_masked, _] = FOUND_BEYOND.get();
    assert!(of_chains > 0 && of_masked > 0, "{:?}", FOUND_BEYOND.get());
}

/// Whether the policies that determine the answer are those of the record.
fn determines(truth: &Answer, record: &OwnedRecord) -> bool {
    let Answer::Decided { determining, .. } = truth else {
        return false;
    };
    let mut recorded = record.determining.iter();
    record.determining.len() == determining.len()
        && recorded.all(|policy| determining.contains(policy.id.as_str()))
}

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
    let _ = authorizer.is_allowed(&request());
    let candidate = Authorizer::builder().policies(candidate).build().unwrap();
    let mut what_if = WhatIf::new(&candidate).unwrap();
    if is_filled {
        what_if = what_if.fill_in(&authorizer);
    }
    what_if.add(&sink.records()[0])
}

fn permit(when: &str) -> String {
    format!("permit(principal, action, resource) when {{ {when} }};")
}

/// What was not read is unknown, and what was asked for and was not there is known: each kind of thing that is read.
#[test]
fn what_was_not_read_is_not_absent() {
    // What the enforced policy reads; what the candidate asks; whether that is known then.
    for (read, asked, is_known) in [
        ("principal.level > 2", "principal.level > 1", true),
        ("principal.level > 2", "principal.dept == \"x\"", false),
        ("principal.level > 2", "principal has dept", false),
        ("principal.level > 2", "!(principal has nope)", false),
        ("principal has nope", "!(principal has nope)", true),
        ("principal has nope", "principal.nope == 1", true),
        // All ancestors of the principal are in the record, and none of anybody else's that was not asked for.
        ("true", "principal in Team::\"blue\"", true),
        ("true", "principal in Team::\"red\"", true),
        (
            "principal.boss == User::\"bob\"",
            "principal.boss in Team::\"red\"",
            false,
        ),
        (
            "principal.boss in Team::\"red\"",
            "principal.boss in Team::\"red\"",
            true,
        ),
        (
            "principal.boss in Team::\"red\"",
            "principal.boss in Team::\"blue\"",
            false,
        ),
        (
            "principal.boss in Team::\"blue\"",
            "!(principal.boss in Team::\"blue\")",
            true,
        ),
        (
            "principal.boss in [Team::\"blue\", Team::\"red\"]",
            "principal.boss in Team::\"blue\"",
            true,
        ),
        (
            "principal.boss == User::\"bob\"",
            "principal.boss in User::\"bob\"",
            true,
        ),
        (
            "principal.boss == User::\"bob\"",
            "principal.boss.level == 1",
            false,
        ),
        (
            "principal.boss.level == 1",
            "principal.boss.level == 1",
            true,
        ),
        // An entity that did not exist has nothing, whatever is asked.
        ("true", "resource has owner", true),
        ("true", "resource.hasTag(\"z\")", true),
        ("true", "resource in Folder::\"f\"", true),
        ("true", "User::\"eve\" has level", false),
        ("User::\"eve\" has level", "User::\"eve\" has dept", true),
        // Tags, also by names that only the request has.
        ("true", "principal.hasTag(\"k\")", false),
        ("principal.hasTag(\"k\")", "principal.hasTag(\"k\")", true),
        (
            "principal.hasTag(context.tag)",
            "principal.getTag(\"k\") == 1",
            true,
        ),
        ("true", "principal.hasTag(context.other)", false),
        (
            "principal.hasTag(context.other)",
            "!principal.hasTag(context.other)",
            true,
        ),
        (
            "principal.hasTag(context.other)",
            "!principal.hasTag(\"z\")",
            true,
        ),
        // What the live store has to tell, of each kind, is so and is not so.
        (
            "principal.boss.level == 1",
            "principal.boss in Team::\"blue\"",
            false,
        ),
        (
            "principal.boss.level == 1",
            "principal.boss in Org::\"o\"",
            false,
        ),
        ("true", "principal.hasTag(\"dept\")", false),
        ("true", "principal.getTag(\"k\") == 1", false),
        // The context is known whole.
        ("true", "context has tag && !(context has nope)", true),
    ] {
        let outcome = reconsidered(&permit(read), &permit(asked), false);
        let is_undetermined = matches!(outcome, Reconsidered::Undetermined(_));
        assert_eq!(
            !is_undetermined, is_known,
            "{read}, then {asked}: {outcome:#?}"
        );
        let filled = reconsidered(&permit(read), &permit(asked), true);
        // What is filled in is what the candidate is decided on where there is all of it.
        let is_allowed = |when: &str| {
            let builder = Authorizer::builder().policies(permit(when));
            let whole = builder.entities(ENTITIES).build().unwrap();
            whole.is_allowed(&request())
        };
        match &filled {
            Reconsidered::Same { .. } => assert_eq!(is_allowed(read), is_allowed(asked)),
            Reconsidered::Flipped(flip) => {
                let decision = flip.after.decision == Decision::Allow;
                assert_eq!(decision, is_allowed(asked), "{read}, then {asked}");
            }
            other => panic!("{read}, then {asked}: {other:#?}"),
        }
        if let (Reconsidered::Flipped(flip), false) = (&filled, is_known) {
            assert!(!flip.filled_in.is_empty(), "{read}, then {asked}");
        }
    }
}

/// What is not known is told: the first that each policy asks for.
#[test]
fn what_is_unknown_is_named() {
    let candidate = permit("principal.boss.level == 1");
    let Reconsidered::Undetermined(unknown) = reconsidered(&permit("false"), &candidate, false)
    else {
        panic!("determined");
    };
    assert_eq!(unknown.len(), 1);
    assert_eq!(unknown[0].asked, AskedFact::Attribute("boss".into()));
    assert_eq!(unknown[0].to_string(), "attribute `boss` of User::\"ann\"");
    // The live store answers one after the other.
    let Reconsidered::Flipped(flip) = reconsidered(&permit("false"), &candidate, true) else {
        panic!("not flipped");
    };
    assert_eq!(flip.filled_in.len(), 2, "{:?}", flip.filled_in);
}

/// A live store is asked for what it can know: not for what was masked in the context, and of an entity that it has no more
/// it says nothing.
#[test]
fn what_no_store_knows_is_not_filled_in() {
    let sink = Arc::new(MemorySink::new(1));
    let masks = Masks::new().path("context.tag", Mask::Drop).unwrap();
    let enforced = Authorizer::builder()
        .policies(permit("resource.owner.level == 1"))
        .entities(
            r#"[{ "uid": { "type": "Doc", "id": "plan" }, "attrs": { "owner": { "__entity": { "type": "User", "id": "bob" } } }, "parents": [] },
                { "uid": { "type": "User", "id": "bob" }, "attrs": { "level": 1, "dept": "x" }, "parents": [] }]"#,
        )
        .sink(MaskSink::new(Arc::clone(&sink), masks).unwrap())
        .build()
        .unwrap();
    assert!(enforced.is_allowed(&request()));
    let record = sink.records().remove(0);
    // `bob` is gone, and `ann` has never been there. Nor need a record say so of her.
    enforced.replace_entities("[]").unwrap();
    let mut bare = record.clone();
    bare.inputs.as_mut().unwrap().entities.clear();
    for (asked, fact) in [
        (
            "resource.owner.dept == \"x\"",
            AskedFact::Attribute("dept".into()),
        ),
        ("resource.owner.hasTag(\"t\")", AskedFact::Tag("t".into())),
        ("context.tag == \"k\"", AskedFact::Context("tag".into())),
        ("!(context has tag)", AskedFact::Context("tag".into())),
    ] {
        let candidate = Authorizer::builder().policies(permit(asked));
        let candidate = candidate.build().unwrap();
        let of_context = matches!(fact, AskedFact::Context(_));
        for record in [Some(&record), of_context.then_some(&bare)]
            .into_iter()
            .flatten()
        {
            let mut filled = WhatIf::new(&candidate).unwrap().fill_in(&enforced);
            match filled.add(record) {
                Reconsidered::Undetermined(unknown) => {
                    assert!(unknown.iter().any(|unknown| unknown.asked == fact));
                }
                other => panic!("{asked}: {other:#?}"),
            }
        }
    }
}

/// A policy that asks for the unknown does not matter where the others decide.
#[test]
fn what_cannot_matter_is_not_waited_for() {
    let open = "permit(principal, action, resource);";
    let closed = "forbid(principal, action, resource);";
    let unknown = permit("principal.dept == \"x\"");
    let unknown_forbid = unknown.replacen("permit", "forbid", 1);
    let decided = |candidate: String, expected: Option<Decision>| {
        let outcome = reconsidered(&permit("false"), &candidate, false);
        let decision = match &outcome {
            Reconsidered::Same { same_reasons: None } => Some(Decision::Deny),
            Reconsidered::Flipped(flip) => {
                assert_eq!(flip.unsettled.len(), 1);
                Some(flip.after.decision)
            }
            Reconsidered::Undetermined(_) => None,
            other => panic!("{other:#?}"),
        };
        assert_eq!(decision, expected, "{candidate}");
    };
    decided(format!("{open}{unknown}"), Some(Decision::Allow));
    decided(format!("{closed}{unknown}"), Some(Decision::Deny));
    decided(format!("{closed}{unknown_forbid}"), Some(Decision::Deny));
    decided(unknown_forbid.clone(), Some(Decision::Deny));
    decided(format!("{open}{unknown_forbid}"), None);
    decided(unknown, None);
}

/// Records that there is nothing to decide of are counted by their reasons, and shadows' are left out.
#[test]
fn nothing_is_skipped_without_a_word() {
    let (authorizer, sink) = recording(|builder| {
        builder
        .policies("permit(principal, action, resource); forbid(principal, action, resource) when { principal.nope };")
        .error_mode(ErrorMode::DenyOnForbidError)
    });
    authorizer
        .set_shadow("permit(principal, action, resource);")
        .unwrap();
    let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    assert!(!authorizer.is_allowed(&request));
    assert!(!authorizer.is_allowed(&request.context_json("{")));
    let mut records = sink.records();
    assert_eq!(records.len(), 3);
    let mut without = records[0].clone();
    without.inputs = None;
    without.outcome = duramen::Outcome::NoPermit;
    let mut odd = without.clone();
    odd.inputs = records[0].inputs.clone();
    odd.inputs.as_mut().unwrap().entities[0]["attrs"] = 1.into();
    let mut masked = without.clone();
    masked.inputs = records[0].inputs.clone();
    masked.masked.push("id(User)".into());
    masked.replayable = Some(false);
    let mut any_field = masked.clone();
    any_field.masked = vec!["context.*".into()];
    records.extend([without, odd, masked, any_field]);
    let candidate = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .build()
        .unwrap();
    let report = WhatIf::new(&candidate).unwrap().samples(2).run(&records);
    assert_eq!(
        (report.records, report.shadow, report.not_replayable),
        (7, 1, 6)
    );
    assert_eq!(report.not_replayable_records.len(), 2);
    let reasons: Vec<_> = report.reasons.into_iter().collect();
    assert_eq!(
        reasons,
        [
            (NotReplayable::RequestRefused, 1),
            (NotReplayable::NoInputs, 1),
            (NotReplayable::StrictMode, 1),
            (NotReplayable::Masked, 2),
            (NotReplayable::Unreadable, 1),
        ]
    );
}

/// Of what was denied because data was too old, what policies said is compared.
#[test]
fn stale_records_are_compared_by_what_policies_said() {
    let (authorizer, sink) = recording(|builder| {
        builder.policies("permit(principal, action, resource) when { context.n > 1 };")
    });
    for n in ["1", "2", "\"\""] {
        let context = format!(r#"{{ "n": {n} }}"#);
        let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
        let _ = authorizer.is_allowed(&request.context_json(&context));
    }
    let mut records = sink.records();
    for record in &mut records {
        (record.outcome, record.decision) = (Outcome::StaleEntities, Decision::Deny);
    }
    let what_if = |policies: &str, mode, records: &[OwnedRecord]| {
        let candidate = Authorizer::builder().policies(policies).error_mode(mode);
        WhatIf::new(&candidate.build().unwrap())
            .unwrap()
            .run(records)
    };
    let open = "permit(principal, action, resource);";
    let report = what_if(open, ErrorMode::Cedar, &records);
    assert_eq!((report.newly_allowed, report.same, report.stale), (2, 1, 3));
    assert_eq!(report.flips[0].stale, Some(Outcome::StaleEntities));
    assert_eq!(report.flips[0].before.outcome, Outcome::NoPermit);
    let closed = "forbid(principal, action, resource);";
    let report = what_if(closed, ErrorMode::Cedar, &records);
    assert_eq!((report.newly_denied, report.same), (1, 2));
    assert_eq!(report.flips[0].before.outcome, Outcome::Allowed);
    // A policy that failed may have denied, under a strict mode.
    let mut unclear = records[1].clone();
    unclear.errors = records[2].errors.clone();
    assert_eq!(unclear.errors.len(), 1);
    let report = what_if(open, ErrorMode::DenyOnAnyError, &[unclear]);
    assert_eq!(report.reasons[&NotReplayable::Stale], 1);
    // The digest of the policies that forbade says the same.
    records[0].determining = what_forbids();
    let report = what_if(open, ErrorMode::Cedar, &records[..1]);
    assert_eq!(report.flips[0].before.outcome, Outcome::Forbidden);
}

/// The determining policies of a decision that a forbid made.
fn what_forbids() -> Vec<duramen::evidence::OwnedPolicy> {
    let (authorizer, sink) =
        recording(|builder| builder.policies("forbid(principal, action, resource);"));
    let _ = authorizer.is_allowed(&Request::new(("User", "a"), ("Action", "b"), ("Doc", "c")));
    sink.records().remove(0).determining
}

/// Each hop is decided for itself; the chain flips where the hop that denied it, or the last that allowed it, does.
#[test]
fn chains_are_decided_hop_by_hop() {
    let (authorizer, sink) = recording(|builder| {
        builder
            .policies(
                r#"permit(principal == User::"ann", action, resource);
               permit(principal == Agent::"bot", action, resource) when { context.ok };"#,
            )
            .entities(ENTITIES)
    });
    let actors = [EntityUidRef::new("Agent", "bot")];
    let delegation = Delegation::new(&actors);
    let asked = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    for ok in ["true", "false"] {
        let context = format!(r#"{{ "ok": {ok} }}"#);
        let _ = authorizer.is_allowed(&asked.context_json(&context).delegation(&delegation));
    }
    // Nobody is asked about a chain that goes in a circle.
    let circle = [EntityUidRef::new("User", "ann")];
    let circle = Delegation::new(&circle);
    let _ = authorizer.is_allowed(&asked.delegation(&circle));
    let what_if = |policies: &str| {
        let candidate = Authorizer::builder().policies(policies).build().unwrap();
        WhatIf::new(&candidate).unwrap().run(sink.records())
    };
    let report = what_if("permit(principal, action, resource);");
    assert_eq!((report.newly_allowed, report.same), (1, 1));
    assert_eq!(report.reasons[&NotReplayable::DelegationRefused], 1);
    assert_eq!(report.flips[0].principal.id(), "ann");
    assert_eq!(report.flips[0].actors[0].id(), "bot");
    let report = what_if(r#"permit(principal == User::"ann", action, resource);"#);
    assert_eq!((report.newly_denied, report.same), (1, 1));
    assert_eq!(report.flips[0].after.outcome, Outcome::NoPermit);
    // What one hop does not tell is not waited for where another is denied.
    let unknown =
        r#"permit(principal == User::"ann", action, resource) when { principal.level > 3 };"#;
    let report = what_if(unknown);
    assert_eq!((report.newly_denied, report.undetermined), (1, 0));
    let bot = r#"permit(principal == Agent::"bot", action, resource);"#;
    let report = what_if(&format!("{unknown} {bot}"));
    assert_eq!(
        (
            report.newly_allowed + report.newly_denied,
            report.undetermined
        ),
        (0, 2)
    );
}

/// What is masked is unknown, and nothing else is.
#[test]
fn what_is_masked_is_unknown_and_the_rest_is_not() {
    let context = r#"{ "token": "t", "n": 1 }"#;
    for (mask, asked, is_known) in [
        ("User.level", "principal.level > 1", false),
        ("*.level", "principal has level", false),
        ("principal.level", "principal.level > 1", false),
        ("Team.level", "principal.level > 1", true),
        ("User.dept", "principal.level > 1", true),
        ("User.tags.k", "principal.hasTag(\"k\")", false),
        ("User.tags", "principal.hasTag(\"k\")", false),
        ("User.tags.z", "principal.hasTag(\"k\")", true),
        ("context.token", "context.token == \"t\"", false),
        ("context.token", "context has token", false),
        ("context.token", "context == {}", false),
        ("context.token", "context.n == 1", true),
    ] {
        for what in [Mask::Drop, Mask::Digest] {
            let sink = Arc::new(MemorySink::new(1));
            let masks = Masks::new().key(&[7; 32]).path(mask, what).unwrap();
            let authorizer = Authorizer::builder()
                .policies(permit(
                    "principal.level > 2 && principal.hasTag(\"k\") && principal has dept",
                ))
                .entities(ENTITIES)
                .sink(MaskSink::new(Arc::clone(&sink), masks).unwrap())
                .build()
                .unwrap();
            let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
            let _ = authorizer.is_allowed(&request.context_json(context));
            let candidate = Authorizer::builder()
                .policies(permit(asked))
                .build()
                .unwrap();
            let outcome = WhatIf::new(&candidate).unwrap().add(&sink.records()[0]);
            let is_determined = matches!(
                outcome,
                Reconsidered::Same { .. } | Reconsidered::Flipped(_)
            );
            assert_eq!(
                is_determined, is_known,
                "{mask}, then {asked}: {outcome:#?}"
            );
            if !is_known {
                assert!(
                    matches!(outcome, Reconsidered::Undetermined(_)),
                    "{outcome:#?}"
                );
            }
        }
    }
}

/// What was asked for and was not there is masked with its name; and who is above somebody may be under another name.
#[test]
fn what_is_absent_or_above_may_be_masked_too() {
    let candidate = |asked: &str| {
        Authorizer::builder()
            .policies(permit(asked))
            .build()
            .unwrap()
    };
    let is_undetermined = |record: &OwnedRecord, asked: &str| {
        let outcome = WhatIf::new(&candidate(asked)).unwrap().add(record);
        matches!(outcome, Reconsidered::Undetermined(_))
    };
    let (authorizer, sink) = recording(|builder| {
        builder
            .policies(permit("principal has nope || principal.hasTag(\"z\")"))
            .entities(ENTITIES)
    });
    let _ = authorizer.is_allowed(&Request::new(
        ("User", "ann"),
        ("Action", "view"),
        ("Doc", "plan"),
    ));
    let record = sink.records().remove(0);
    let (attribute, tag) = ("principal has nope", "principal.hasTag(\"z\")");
    let above = "principal in Team::\"blue\"";
    for asked in [attribute, tag, above] {
        assert!(!is_undetermined(&record, asked), "{asked}");
    }
    let masked_by = |rule: &str| {
        let mut record = record.clone();
        record.masked = vec![rule.to_owned()];
        record
    };
    assert!(is_undetermined(&masked_by("User.nope"), attribute));
    assert!(!is_undetermined(&masked_by("User.nope"), tag));
    assert!(is_undetermined(&masked_by("User.*"), attribute));
    assert!(is_undetermined(&masked_by("User.*"), tag));
    assert!(is_undetermined(&masked_by("User.tags.z"), tag));
    assert!(!is_undetermined(&masked_by("User.tags.z"), attribute));
    // What is masked of teams is known of users.
    assert!(!is_undetermined(&masked_by("Team.nope"), attribute));
    assert!(!is_undetermined(&masked_by("Team.tags.z"), tag));
    for instead in ["masked:1", "hmac-sha256:0123"] {
        let mut renamed = masked_by("User.team");
        for entity in &mut renamed.inputs.as_mut().unwrap().entities {
            if entity["uid"]["id"] == "ann" {
                entity["parents"][0]["id"] = instead.into();
            }
        }
        assert!(is_undetermined(&renamed, above), "{instead}");
    }
}

/// Who is the principal of one hop has all ancestors in the record, whatever another hop has asked of them.
#[test]
fn what_one_hop_knows_of_an_entity_another_does_not_forget() {
    let (authorizer, sink) = recording(|builder| {
        builder
            .policies(
                r#"permit(principal is User, action, resource);
                   permit(principal is Agent, action, resource) when { !(User::"ann" in Team::"red") };"#,
            )
            .entities(ENTITIES)
    });
    let actors = [EntityUidRef::new("Agent", "bot")];
    let delegation = Delegation::new(&actors);
    assert!(authorizer.is_allowed(&request().delegation(&delegation)));
    let record = sink.records().remove(0);
    let hops = &record.delegation.as_ref().unwrap().hops;
    let mut read = hops[1].inputs.as_ref().unwrap().entities.iter();
    assert!(read.any(|entity| entity["uid"]["id"] == "ann"), "{hops:#?}");
    let candidate = Authorizer::builder()
        .policies(
            r#"permit(principal is Agent, action, resource);
               permit(principal is User, action, resource) when { !(principal in Team::"green") };"#,
        )
        .build()
        .unwrap();
    let outcome = WhatIf::new(&candidate).unwrap().add(&record);
    assert!(matches!(outcome, Reconsidered::Same { .. }), "{outcome:#?}");
}

/// A strict mode that denied behind a hop that was denied anyway is noticed as well.
#[test]
fn a_strict_hop_is_not_compared_with_cedars_mode() {
    let (authorizer, sink) = recording(|builder| {
        builder
        .policies("permit(principal == Agent::\"bot\", action, resource); forbid(principal == Agent::\"bot\", action, resource) when { context.nope };")
        .error_mode(ErrorMode::DenyOnAnyError)
    });
    let actors = [EntityUidRef::new("Agent", "bot")];
    let delegation = Delegation::new(&actors);
    let asked = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    let _ = authorizer.is_allowed(&asked.delegation(&delegation));
    let candidate = Authorizer::builder().policies("permit(principal, action, resource);");
    let report = WhatIf::new(&candidate.build().unwrap())
        .unwrap()
        .run(sink.records());
    assert_eq!(report.reasons.get(&NotReplayable::StrictMode), Some(&1));
}

/// The report adds up, its lists are bounded, and what is newly allowed comes first.
#[test]
fn the_report_is_sorted_and_bounded() {
    let (authorizer, sink) = recording(|builder| {
        builder
            .policies(r#"@id("odd") permit(principal, action, resource) when { context.n < 5 };"#)
    });
    for n in 0..12 {
        let context = format!(r#"{{ "n": {n} }}"#);
        let user = if n % 2 == 0 { "ann" } else { "bob" };
        let request = Request::new(("User", user), ("Action", "view"), ("Doc", "plan"));
        let _ = authorizer.is_allowed(&request.context_json(&context));
    }
    let candidate = Authorizer::builder()
        .policies(
            r#"permit(principal, action, resource) when { context.n >= 3 && context.n < 10 };
               forbid(principal == User::"bob", action, resource) when { context.n == 4 };"#,
        )
        .build()
        .unwrap();
    let report = WhatIf::new(&candidate)
        .unwrap()
        .samples(2)
        .run(sink.records());
    assert_eq!(report.policies, candidate.version().policies());
    assert_eq!(
        (report.newly_allowed, report.newly_denied, report.same),
        (5, 3, 4)
    );
    // 3 and 4 are allowed as before, by another policy; 10 and 11 are denied as before.
    assert_eq!(report.other_reasons, 0, "both are called policy0");
    let decisions: Vec<_> = report
        .flips
        .iter()
        .map(|flip| flip.after.decision)
        .collect();
    assert_eq!(
        decisions,
        [
            Decision::Allow,
            Decision::Allow,
            Decision::Deny,
            Decision::Deny
        ]
    );
    let by = &report.by_principal;
    assert_eq!(by.len(), 2);
    assert_eq!(by[0].name.as_deref(), Some("User::\"bob\""));
    assert_eq!((by[0].newly_allowed, by[0].newly_denied), (3, 1));
    assert_eq!(report.by_policy_after[0].newly_allowed, 5);
    assert_eq!(report.by_policy_before[0].newly_denied, 3);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["flips"][0]["before"]["decision"], "deny");
    assert_eq!(json["filled_in"], serde_json::Value::Null);
}

/// A shadow's difference is a record like any other: kept with its policies, and decided again.
#[test]
fn shadow_records_are_decided_again() {
    let directory = Scratch::new();
    let archive = PolicyArchive::open(directory.path()).unwrap();
    let (authorizer, sink) = recording(|builder| {
        builder
            .policies("permit(principal, action, resource) when { principal.level > 2 };")
            .entities(ENTITIES)
    });
    authorizer
        .set_shadow("permit(principal, action, resource) when { principal.boss.level > 2 };")
        .unwrap();
    archive.keep(&authorizer).unwrap();
    let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    assert!(authorizer.is_allowed(&request));
    let records = sink.records();
    assert_eq!(records.len(), 2);
    assert_ne!(records[0].version.policies(), records[1].version.policies());
    for record in records {
        let policies = archive.load(record.version.policies()).unwrap();
        assert!(policies.replay(&record).is_same(), "{record:#?}");
    }
}
