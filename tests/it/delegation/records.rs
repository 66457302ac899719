//! What records and explanations tell of a chain.

use super::*;

#[test]
fn one_record_has_the_whole_chain() {
    let memory = Arc::new(MemorySink::new(100));
    let lines = Arc::new(JsonLinesSink::new(Vec::new()));
    let bare = Arc::new(JsonLinesSink::new(Vec::new()).without_inputs());
    let behind = duramen::evidence::FanOut::new()
        .sink(Arc::clone(&lines))
        .sink(Arc::clone(&bare));
    let queue = Arc::new(QueueSink::new(behind).unwrap());
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    let seconds = Arc::new(AtomicU64::new(0));
    let clock = {
        let seconds = Arc::clone(&seconds);
        move || start + Duration::from_secs(seconds.load(Ordering::Relaxed))
    };
    let sinks = duramen::evidence::FanOut::new()
        .sink(Arc::clone(&memory))
        .sink(Arc::clone(&queue));
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .entities(ENTITIES)
        .limits(Limits::default().with_delegation_actors(3))
        .clock(clock)
        .sink(sinks)
        .build()
        .unwrap();
    let directory = Scratch::new();
    let archive = PolicyArchive::open(directory.path()).unwrap();
    archive.keep(&authorizer).unwrap();
    let ask = |actors: &[EntityUidRef<'_>]| {
        let delegation = named(actors).expires(start + Duration::from_secs(60));
        authorizer.is_authorized(&read(&delegation)).outcome()
    };
    assert_eq!(ask(&agents(["planner", "searcher"])), Outcome::Allowed);
    assert_eq!(ask(&agents(["stranger"])), Outcome::NoPermit);
    assert_eq!(ask(&agents(["shredder", "planner"])), Outcome::Forbidden);
    assert_eq!(
        ask(&agents(["planner", "planner"])),
        Outcome::DelegationCycle
    );
    assert_eq!(
        ask(&agents(["1", "2", "3", "4", "5", "6"])),
        Outcome::DelegationTooLong
    );
    seconds.store(59, Ordering::Relaxed);
    assert_eq!(ask(&agents(["planner"])), Outcome::Allowed);
    seconds.store(60, Ordering::Relaxed);
    assert_eq!(ask(&agents(["planner"])), Outcome::DelegationExpired);
    // A direct request between them leaves nothing of a chain in the queue's memory.
    let direct = Request::new(("User", "ann"), ("Action", "read"), ("Doc", "plan"));
    assert!(authorizer.is_authorized(&direct).delegation().is_none());

    let records = memory.records();
    let chain = records[0].delegation.as_ref().unwrap();
    assert_eq!(
        chain.expires.as_deref(),
        Some("1970-01-01T00:17:40.000Z"),
        "{chain:?}"
    );
    let ids: Vec<&str> = chain.hops.iter().map(|hop| hop.principal.id()).collect();
    assert_eq!(ids, ["ann", "planner", "searcher"]);
    assert_eq!(
        chain.hops[2].context.as_ref().unwrap()["via"]["__entity"]["id"],
        "planner"
    );
    assert!(chain.hops[0].context.is_none());
    assert!(records[0].context.as_ref().unwrap().get("via").is_none());
    assert_eq!(
        records[0].context.as_ref().unwrap()["actor"]["__entity"]["id"],
        "searcher"
    );
    let too_long = records[4].delegation.as_ref().unwrap();
    assert_eq!((too_long.hops.len(), too_long.left_out), (5, 2));
    assert!(records[7].delegation.is_none());

    // What went through the queue is the same.
    queue.flush().unwrap();
    drop(authorizer);
    drop(queue);
    let bytes = Arc::into_inner(lines).unwrap().into_inner();
    let queued: Vec<serde_json::Value> = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let direct: Vec<_> = records
        .iter()
        .map(|record| serde_json::to_value(record).unwrap())
        .collect();
    for (queued, direct) in queued.iter().zip(&direct) {
        assert_eq!(queued, direct);
    }
    assert_eq!(queued.len(), direct.len());

    // Who wants no inputs gets none of any hop.
    let bare = String::from_utf8(Arc::into_inner(bare).unwrap().into_inner()).unwrap();
    assert_eq!(bare.lines().count(), records.len());
    assert!(bare.contains(r#""delegation":"#));
    for member in ["inputs", "context"] {
        assert!(!bare.contains(&format!("{member:?}:")), "{bare}");
    }

    // And is decided again, or it is said why not.
    let policies = archive.load(records[0].version.policies()).unwrap();
    for (number, record) in records.iter().enumerate() {
        let replayed = policies.replay(record);
        if [3, 4, 6].contains(&number) {
            assert!(
                matches!(&replayed, Replayed::NotReplayable(why) if why.to_string().contains("no policy was asked")),
                "{replayed:?}"
            );
        } else {
            assert!(replayed.is_same(), "{number}: {replayed:?}");
        }
    }
    // Whichever hop is altered, it shows.
    for hop in 0..3 {
        let mut altered = records[0].clone();
        altered.delegation.as_mut().unwrap().hops[hop].outcome = Some(Outcome::NoPermit);
        assert!(!policies.replay(&altered).is_same(), "hop {hop}");
        let mut altered = records[0].clone();
        altered.delegation.as_mut().unwrap().hops[hop].principal =
            duramen::EntityUid::new("X", "x");
        assert!(!policies.replay(&altered).is_same(), "hop {hop}");
    }
}

/// What denies is explained, and not what the principal alone would be told.
#[test]
fn the_hop_that_denies_is_explained() {
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .entities(ENTITIES)
        .build()
        .unwrap();
    let explained = |actors: &[EntityUidRef<'_>]| {
        let delegation = named(actors);
        let request = read(&delegation);
        let explanation = authorizer.explain(&request);
        let response = authorizer.is_authorized(&request);
        let of_response = response.explain(&request);
        assert_eq!(of_response, explanation);
        assert_eq!(explanation.outcome, response.outcome());
        explanation
    };
    let explanation = explained(&agents(["shredder", "planner"]));
    assert_eq!(explanation.principal.id(), "planner");
    assert_eq!(explanation.policies[0].id.as_str(), "policy2");
    assert_eq!(explained(&agents(["planner"])).principal.id(), "ann");
    let cycle = explained(&agents(["planner", "planner"]));
    assert_eq!(cycle.outcome, Outcome::DelegationCycle);
    assert_eq!(cycle.policies, []);
}

/// Each hop of a record is explained as it is asked for, and without a wish the one that speaks for the chain.
#[test]
fn a_record_explains_the_hop_that_is_asked_for() {
    let memory = Arc::new(MemorySink::new(20));
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .entities(ENTITIES)
        .sink(Arc::clone(&memory))
        .build()
        .unwrap();
    let directory = Scratch::new();
    let archive = PolicyArchive::open(directory.path()).unwrap();
    archive.keep(&authorizer).unwrap();
    let policies = archive.load(authorizer.version().policies()).unwrap();
    for actors in [
        &agents(["planner", "searcher"]),
        &agents(["shredder", "planner"]),
        &agents(["planner", "stranger"]),
    ] {
        let delegation = named(actors);
        let request = read(&delegation);
        let response = authorizer.is_authorized(&request);
        let of_response = response.explain(&request);
        let outcomes: Vec<_> = response
            .delegation()
            .unwrap()
            .hops()
            .map(|hop| hop.outcome().unwrap())
            .collect();
        drop(response);
        let record = memory.records().pop().unwrap();
        let explanation = policies.explain(&record).unwrap();
        let parts = |explanation: &duramen::explain::Explanation| {
            let policies = explanation.policies.iter().map(|policy| policy.id.clone());
            (
                explanation.principal.clone(),
                explanation.outcome,
                policies.collect::<Vec<_>>(),
            )
        };
        assert_eq!(parts(&explanation), parts(&of_response));
        let principals = ["ann".to_owned()]
            .into_iter()
            .chain(actors.iter().map(|actor| actor.id().to_owned()));
        for (hop, (id, outcome)) in principals.zip(&outcomes).enumerate() {
            let explanation = policies.explain_hop(&record, hop).unwrap();
            assert_eq!(explanation.principal.id(), id);
            assert_eq!(explanation.outcome, *outcome);
            assert_eq!(explanation.decision, outcome.decision());
            // What the record says of a hop is held against what the hop comes to, and of that hop alone.
            let mut altered = record.clone();
            altered.delegation.as_mut().unwrap().hops[hop].determining = Some(Vec::new());
            let differs = |result| matches!(result, Err(ReplayError::Different { .. }));
            let found: Vec<_> = (0..3)
                .map(|at| differs(policies.explain_hop(&altered, at)))
                .collect();
            let determined = *outcome != Outcome::NoPermit;
            assert_eq!(found, [0, 1, 2].map(|at| at == hop && determined));
        }
        let none = policies.explain_hop(&record, 3).unwrap_err();
        assert_eq!(none, ReplayError::NoSuchHop { hops: 3 });
    }
    let direct = Request::new(("User", "ann"), ("Action", "read"), ("Doc", "plan"));
    assert!(authorizer.is_allowed(&direct));
    let record = memory.records().pop().unwrap();
    assert_eq!(policies.explain_hop(&record, 0), policies.explain(&record));
    let none = policies.explain_hop(&record, 1).unwrap_err();
    assert_eq!(none, ReplayError::NoSuchHop { hops: 1 });
    // Nobody was asked: there is nothing to explain but the outcome, which the record has.
    let twice = agents(["planner", "planner"]);
    let cycle = named(&twice);
    assert!(!authorizer.is_allowed(&read(&cycle)));
    let record = memory.records().pop().unwrap();
    assert!(matches!(
        policies.explain_hop(&record, 0),
        Err(ReplayError::NotReplayable(_))
    ));
}

/// What is masked in a record is masked in its hops, and that is the digest's.
#[test]
fn hops_are_masked() {
    let kept = Arc::new(MemorySink::new(10));
    let masks = Masks::new()
        .key(b"32 random bytes, kept elsewhere.")
        .path("context.token", Mask::Drop)
        .unwrap()
        .path("principal.secret", Mask::Digest)
        .unwrap()
        .ids("Agent");
    let authorizer = Authorizer::builder()
        .policies(
            r#"permit(principal, action, resource)
               when { principal.secret == "hush" && context.token == "let me in" };"#,
        )
        .entities(
            r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": { "secret": "hush" }, "parents": [] },
                { "uid": { "type": "Agent", "id": "planner" }, "attrs": { "secret": "hush" }, "parents": [] }]"#,
        )
        .sink(MaskSink::new(Arc::clone(&kept), masks).unwrap())
        .build()
        .unwrap();
    let actors = agents(["planner"]);
    let delegation = named(&actors);
    for _ in 0..3 {
        let request = read(&delegation).context_json(r#"{ "token": "let me in" }"#);
        assert!(authorizer.is_authorized(&request).is_allowed());
        let direct = Request::new(("User", "ann"), ("Action", "read"), ("Doc", "plan"));
        let _ = authorizer.is_authorized(&direct);
    }
    for record in kept.records().iter().step_by(2) {
        let text = serde_json::to_string(record).unwrap();
        for word in ["planner", "hush", "let me in"] {
            assert!(!text.contains(word), "{word}");
        }
        assert_eq!(record.replayable, Some(false));
        let hops = &record.delegation.as_ref().unwrap().hops;
        assert!(hops[1].principal.id().starts_with("hmac-sha256:"));
        let context = hops[1].context.as_ref().unwrap();
        assert_eq!(context["via"]["__entity"]["id"], "ann");
        assert_eq!(
            context["actor"]["__entity"]["id"],
            hops[1].principal.id(),
            "one entity, one digest"
        );
    }
    assert!(kept.records()[1].delegation.is_none());
}
