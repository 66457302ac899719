//! What a record does not tell: what was not read, what was masked, and what a live store can fill in of it.

use duramen::replay::AskedFact;

use super::*;

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

/// A policy reads one attribute after the other, and the live store is asked for each.
#[test]
fn what_is_filled_in_may_be_much() {
    let attributes: Vec<String> = (0..150).map(|number| format!("a{number}")).collect();
    let values: serde_json::Map<_, _> = attributes
        .iter()
        .map(|name| (name.clone(), 1.into()))
        .collect();
    let ann = serde_json::json!([{ "uid": { "type": "User", "id": "ann" }, "attrs": values, "parents": [] }]);
    let ann = ann.to_string();
    let (authorizer, sink) =
        recording(|builder| builder.policies(permit("false")).entities(ann.as_str()));
    let _ = authorizer.is_allowed(&request());
    let reads = attributes
        .iter()
        .map(|name| format!("principal.{name} == 1"));
    let reads = reads.collect::<Vec<_>>().join(" && ");
    let candidate = Authorizer::builder()
        .policies(permit(&reads))
        .build()
        .unwrap();
    let what_if = WhatIf::new(&candidate).unwrap().fill_in(&authorizer);
    let report = what_if.run(sink.records());
    assert_eq!((report.newly_allowed, report.undetermined), (1, 0));
}

/// A record that is not decided all the same is not decided on what was filled in of it.
#[test]
fn what_stays_undetermined_is_not_counted_as_filled_in() {
    let (authorizer, sink) =
        recording(|builder| builder.policies(permit("false")).entities(ENTITIES));
    let _ = authorizer.is_allowed(&request());
    let mut record = sink.records().remove(0);
    record.masked = vec!["context.tag".to_owned()];
    for (asked, undetermined) in [
        ("principal.dept == \"x\"", 0),
        ("principal.dept == \"x\" && context.tag == \"k\"", 1),
    ] {
        let candidate = Authorizer::builder().policies(permit(asked)).build();
        let what_if = WhatIf::new(&candidate.unwrap()).unwrap();
        let report = what_if.fill_in(&authorizer).run([&record]);
        assert_eq!(report.undetermined, undetermined, "{asked}");
        let filled_in = report.filled_in.unwrap().records;
        assert_eq!(filled_in, 1 - undetermined, "{asked}");
    }
}

/// What is above an entity now was not above it then where the record says so of who is below it, or where it was the other
/// way round.
#[test]
fn what_a_record_says_of_who_is_below_stands() {
    let forbid = "forbid(principal in Org::\"o\", action, resource);";
    let entities = |red: &str, org: &str| {
        format!(
            r#"[{{ "uid": {{ "type": "User", "id": "ann" }}, "attrs": {{ "boss": {{ "__entity": {{ "type": "User", "id": "bob" }} }} }},
                   "parents": [{{ "type": "Team", "id": "red" }}] }},
                {{ "uid": {{ "type": "User", "id": "bob" }}, "attrs": {{}}, "parents": [{{ "type": "Team", "id": "red" }}] }},
                {{ "uid": {{ "type": "Team", "id": "red" }}, "attrs": {{}}, "parents": [{red}] }},
                {{ "uid": {{ "type": "Org", "id": "o" }}, "attrs": {{}}, "parents": [{org}] }},
                {{ "uid": {{ "type": "Org", "id": "p" }}, "attrs": {{}}, "parents": [] }}]"#
        )
    };
    let (o, p) = (
        r#"{ "type": "Org", "id": "o" }"#,
        r#"{ "type": "Org", "id": "p" }"#,
    );
    let red = r#"{ "type": "Team", "id": "red" }"#;
    let above = "context.team in Org::\"o\"";
    for (what, user, enforced, then, now, asked) in [
        // Of the principal all that is above it is in the record.
        (
            "principal",
            "ann",
            "true",
            entities("", ""),
            entities(o, ""),
            above,
        ),
        // Of somebody else, that it is in the team and not in the organization.
        (
            "absent",
            "eve",
            "User::\"bob\" in Team::\"red\" && !(User::\"bob\" in Org::\"o\")",
            entities("", ""),
            entities(o, ""),
            above,
        ),
        // Nor in what the organization was in.
        (
            "absent above",
            "eve",
            "User::\"bob\" in Team::\"red\" && !(User::\"bob\" in Org::\"p\") && Org::\"o\" in Org::\"p\"",
            entities("", p),
            entities(o, p),
            above,
        ),
        // The organization was in the team.
        (
            "turned round",
            "eve",
            "Org::\"o\" in Team::\"red\"",
            entities("", red),
            entities(o, ""),
            above,
        ),
        // Both together would contradict the record.
        (
            "step by step",
            "eve",
            "User::\"bob\" in Team::\"red\" && !(User::\"bob\" in Org::\"p\")",
            entities("", ""),
            entities(o, p),
            "context.team in Org::\"o\" && Org::\"o\" in Org::\"p\"",
        ),
    ] {
        let (authorizer, sink) =
            recording(|builder| builder.policies(permit(enforced)).entities(then));
        let request = Request::new(("User", user), ("Action", "view"), ("Doc", "plan"));
        let context = r#"{ "team": { "__entity": { "type": "Team", "id": "red" } } }"#;
        assert!(
            authorizer.is_allowed(&request.context_json(context)),
            "{what}"
        );
        let record = sink.records().remove(0);
        authorizer.replace_entities(now.as_str()).unwrap();
        let open = "permit(principal, action, resource);";
        let candidate = format!("{open} {forbid} {}", permit(asked));
        let candidate = Authorizer::builder().policies(candidate).build().unwrap();
        let outcome = WhatIf::new(&candidate)
            .unwrap()
            .fill_in(&authorizer)
            .add(&record);
        assert!(
            matches!(outcome, Reconsidered::Same { .. }),
            "{what}: {outcome:#?}"
        );
        let candidate = Authorizer::builder().policies(permit(asked));
        let candidate = candidate.build().unwrap();
        let outcome = WhatIf::new(&candidate)
            .unwrap()
            .fill_in(&authorizer)
            .add(&record);
        assert!(
            matches!(&outcome, Reconsidered::Flipped(flip) if flip.after.decision == Decision::Deny),
            "{what}: {outcome:#?}"
        );
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

/// A scope asks who is above the principal, the action and the resource, which may be under another name.
#[test]
fn a_scope_may_match_what_is_masked() {
    let entities = r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": { "team": { "__entity": { "type": "Team", "id": "blue" } } },
                         "parents": [{ "type": "Team", "id": "blue" }] }]"#;
    let in_team = "principal in Team::\"blue\", action, resource";
    let ask = |what: Mask, candidate: &str, is_filled: bool| {
        let policies = |scope: &str| {
            let when = "when { principal.team == Team::\"blue\" }";
            let open = "permit(principal, action, resource);";
            [
                format!("permit({scope}) {when};"),
                format!("{open} forbid({scope}) {when};"),
            ]
        };
        let pairs = policies(in_team).into_iter().zip(policies(candidate));
        let outcomes = pairs.map(|(enforced, candidate)| {
            let sink = Arc::new(MemorySink::new(1));
            let masks = Masks::new().key(&[7; 32]).path("User.team", what).unwrap();
            let authorizer = Authorizer::builder()
                .policies(enforced)
                .entities(entities)
                .sink(MaskSink::new(Arc::clone(&sink), masks).unwrap())
                .build()
                .unwrap();
            reconsider(&authorizer, &sink, &candidate, is_filled)
        });
        outcomes.collect::<Vec<_>>()
    };
    for what in [Mask::Drop, Mask::Digest] {
        for scope in [
            in_team,
            "principal is User in Team::\"blue\", action, resource",
        ] {
            for outcome in ask(what, scope, false) {
                let Reconsidered::Undetermined(unknown) = outcome else {
                    panic!("{scope}: {outcome:#?}");
                };
                let above = duramen::EntityUid::new("Team", "blue");
                assert_eq!(unknown.len(), 1);
                assert_eq!(unknown[0].asked, AskedFact::Within(above));
            }
            // Who is above is asked first, and then the attribute.
            for outcome in ask(what, scope, true) {
                assert!(
                    matches!(outcome, Reconsidered::Same { .. }),
                    "{scope}: {outcome:#?}"
                );
            }
        }
        // What is above the principal says nothing of the other sides, and its type is known.
        for scope in [
            "principal in Team::\"blue\", action == Action::\"edit\", resource",
            "principal in Team::\"blue\", action in [Action::\"edit\", Action::\"all\"], resource",
            "principal in Team::\"blue\", action, resource in Folder::\"f\"",
            "principal is Agent in Team::\"blue\", action, resource",
            "principal == User::\"bob\", action, resource",
        ] {
            for outcome in ask(what, scope, false) {
                assert!(
                    matches!(&outcome, Reconsidered::Flipped(flip) if flip.unsettled.is_empty()),
                    "{scope}: {outcome:#?}"
                );
            }
        }
    }
}
