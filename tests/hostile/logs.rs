//! Files of a log that somebody else has written.

use std::sync::Arc;

use duramen::evidence::log::{DurableLog, verify};
use duramen::evidence::{MemorySink, OwnedRecord};
use duramen::replay::{
    ArchivedPolicies, PolicyArchive, Reconsidered, ReplayError, Replayed, WhatIf,
};
use duramen::{Delegation, EntityUidRef};

use super::*;

/// Thousands of segments, and millions of lines that are none.
#[test]
fn logs_of_many_lines_and_segments_are_read_in_bounded_memory() {
    let _alone = alone();
    let directory = std::env::temp_dir().join(format!("duramen-hostile-{}", std::process::id()));
    let log = DurableLog::open(&directory).unwrap();
    let authorizer = Authorizer::builder().sink(log).build().unwrap();
    assert!(!authorizer.is_allowed(&asked()));
    drop(authorizer);
    let written = std::fs::read(directory.join("00000000000000000000.jsonl")).unwrap();
    for number in 1..2_000 {
        let segment = directory.join(format!("{number:020}.jsonl"));
        std::fs::write(segment, "{}\n").unwrap();
    }
    let seen = within(MB, || verify(&directory, None)).unwrap();
    assert!(seen.finding().is_some());
    assert!(within(MB, || DurableLog::open(&directory)).is_err());
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::create_dir(&directory).unwrap();
    for line in ["\n", "{}\n", "{\"chain\":{\n"] {
        let mut text = written.clone();
        text.extend(line.as_bytes().iter().cycle().take(16 * MB));
        std::fs::write(directory.join("00000000000000000000.jsonl"), text).unwrap();
        let seen = within(MB, || verify(&directory, None)).unwrap();
        assert!(seen.finding().is_some() && seen.decisions() == 1);
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Whatever the files of a log hold: pieces of itself in any order, cut anywhere, with noise between them.
#[test]
fn logs_of_any_bytes_are_read_in_bounded_memory() {
    let _alone = alone();
    let directory =
        std::env::temp_dir().join(format!("duramen-hostile-any-{}", std::process::id()));
    let log = DurableLog::open(&directory).unwrap();
    let authorizer = Authorizer::builder().sink(log).build().unwrap();
    (0..20).for_each(|_| assert!(!authorizer.is_allowed(&asked())));
    drop(authorizer);
    let segment = directory.join("00000000000000000000.jsonl");
    let written = std::fs::read(&segment).unwrap();
    let mut state = 1_u64;
    let mut below = |bound: usize| {
        // Knuth's MMIX generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let files: Vec<Vec<u8>> = (0..200)
        .map(|_| {
            let mut bytes = Vec::new();
            for _ in 0..below(8) {
                let (from, to) = (below(written.len()), below(written.len()));
                bytes.extend_from_slice(&written[from.min(to)..from.max(to)]);
                bytes.extend((0..below(20)).map(|_| below(256) as u8));
            }
            bytes
        })
        .collect();
    within(MB, || {
        for bytes in &files {
            std::fs::write(&segment, bytes).unwrap();
            let seen = verify(&directory, None).unwrap();
            assert!(seen.finding().is_some() || written.starts_with(bytes));
            let _ = DurableLog::open(&directory);
        }
    });
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Entities of a record that are in one another, more deeply than any store holds them: Cedar calls itself for each level, and
/// keeps all that is above each.
#[test]
fn records_of_deep_hierarchies_are_not_decided_again() {
    let _alone = alone();
    let directory =
        std::env::temp_dir().join(format!("duramen-hostile-deep-{}", std::process::id()));
    let sink = Arc::new(MemorySink::new(1));
    let authorizer = Authorizer::builder()
        .policies("permit(principal in U::\"0\", action, resource);")
        .entities(r#"[{ "uid": { "type": "U", "id": "u" }, "attrs": {}, "parents": [{ "type": "U", "id": "0" }] }]"#)
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    assert!(authorizer.is_allowed(&asked()));
    let archive = PolicyArchive::open(&directory).unwrap();
    let archived = archive.load(archive.keep(&authorizer).unwrap()).unwrap();
    let mut record = sink.records().pop().unwrap();
    assert!(archived.replay(&record).is_same());
    let replay_chain = |record: &mut OwnedRecord, levels: usize, last: &str| {
        let uid = |id: &str| json!({ "type": "U", "id": id });
        let ids: Vec<String> = std::iter::once("u".to_owned())
            .chain((1..levels).map(|number| format!("u{number}")))
            .chain([last.to_owned()])
            .collect();
        let entities = ids
            .windows(2)
            .map(|pair| json!({ "uid": uid(&pair[0]), "attrs": {}, "parents": [uid(&pair[1])] }));
        record.inputs.as_mut().unwrap().entities = entities.collect();
        within(512 * MB, || archived.replay(record))
    };
    // As deep as what is stored and what requests bring may be together.
    let replayed = replay_chain(&mut record, 1_200, "0");
    assert!(
        !matches!(replayed, Replayed::NotReplayable(_)),
        "{replayed:?}"
    );
    for (levels, last, what) in [
        (20_000, "0", "20000 levels"),
        (60_000, "0", "60000 levels"),
        (20_000, "u5", "its own ancestor"),
    ] {
        match replay_chain(&mut record, levels, last) {
            Replayed::NotReplayable(why) => assert!(why.to_string().contains(what), "{why}"),
            decided => panic!("{decided:?}"),
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

/// The record of a decision, and the policies that it was decided by.
fn recorded(name: &str, policies: &str, request: &Request<'_>) -> (ArchivedPolicies, OwnedRecord) {
    let directory = format!("duramen-hostile-{name}-{}", std::process::id());
    let directory = std::env::temp_dir().join(directory);
    let sink = Arc::new(MemorySink::new(1));
    let builder = Authorizer::builder().policies(policies);
    let authorizer = builder.sink(Arc::clone(&sink)).build().unwrap();
    let _ = authorizer.is_authorized(request);
    let archive = PolicyArchive::open(&directory).unwrap();
    let archived = archive.load(archive.keep(&authorizer).unwrap()).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    (archived, sink.records().pop().unwrap())
}

/// Hops of a record's delegation: each is decided for itself, on what all of them have read, and exported with all policies.
#[test]
fn records_of_long_chains_are_not_decided_again() {
    let _alone = alone();
    let actors = [EntityUidRef::new("Agent", "bot")];
    let delegation = Delegation::new(&actors);
    let policies: String = (0..100)
        .map(|number| {
            format!("permit(principal, action, resource) when {{ context.n == {number} }};")
        })
        .collect();
    let request = asked()
        .context_json(r#"{ "n": 1 }"#)
        .delegation(&delegation);
    let (archived, mut record) = recorded("hops", &policies, &request);
    let mut what_if = WhatIf::new(archived.authorizer()).unwrap();
    assert!(archived.replay(&record).is_same());
    let hops = &mut record.delegation.as_mut().unwrap().hops;
    let last = hops[1].clone();
    // As many as a request may have.
    hops.resize(1 + Limits::default().delegation_actors(), last.clone());
    assert!(archived.replay(&record).is_same());
    assert_eq!(archived.cedar_files(&record).unwrap().len(), 9);
    record.delegation.as_mut().unwrap().hops.resize(5_000, last);
    let whys = within(MB, || {
        let replayed = archived.replay(&record);
        let Replayed::NotReplayable(replayed) = replayed else {
            panic!("{replayed:?}");
        };
        let exported = archived.cedar_files(&record);
        let Err(ReplayError::NotReplayable(exported)) = exported else {
            panic!("{exported:?}");
        };
        let reconsidered = what_if.add(&record);
        let Reconsidered::NotReplayable(reconsidered) = reconsidered else {
            panic!("{reconsidered:?}");
        };
        [replayed, exported, reconsidered]
    });
    for why in whys {
        assert!(why.to_string().contains("delegation_actors"), "{why}");
    }
}

/// Many below a chain that is as long as any may be: Cedar would keep the whole chain for each of them.
#[test]
fn records_of_hierarchies_that_multiply_are_not_decided_again() {
    let _alone = alone();
    let policies = "permit(principal in U::\"0\", action, resource);";
    let (archived, mut record) = recorded("many", policies, &asked());
    let uid = |id: usize| json!({ "type": "U", "id": id.to_string() });
    let entity = |id: usize, parents: &[usize]| {
        let parents: Vec<_> = parents.iter().map(|id| uid(*id)).collect();
        json!({ "uid": uid(id), "attrs": {}, "parents": parents })
    };
    // Below a chain of a thousand: some, and as many as a log's longest line has room for.
    let mut replay = |below: usize| {
        let chain = (1..1_000).map(|id| entity(id, &[id - 1]));
        let below = (1_000..1_000 + below).map(|id| entity(id, &[999]));
        record.inputs.as_mut().unwrap().entities = chain.chain(below).collect();
        within(700 * MB, || archived.replay(&record))
    };
    let some = replay(1_000);
    assert!(!matches!(some, Replayed::NotReplayable(_)), "{some:?}");
    match replay(100_000) {
        Replayed::NotReplayable(why) => assert!(why.to_string().contains("ancestors"), "{why}"),
        decided => panic!("{decided:?}"),
    }
    // Ways up that come together again are walked once each, too.
    let layers = (0..2_000).map(|id| {
        let above = (id / 100 + 1) * 100;
        entity(id, &(above..above + 100).collect::<Vec<_>>())
    });
    record.inputs.as_mut().unwrap().entities = layers.collect();
    match within(32 * MB, || archived.replay(&record)) {
        Replayed::NotReplayable(why) => assert!(why.to_string().contains("ancestors"), "{why}"),
        decided => panic!("{decided:?}"),
    }
}

/// What other policies ask of a record is answered from what it says of all entities together, put together once.
#[test]
fn what_other_policies_ask_costs_the_record() {
    let _alone = alone();
    let entity = |id: usize| json!({ "__entity": { "type": "U", "id": id.to_string() } });
    let groups: Vec<_> = (1..3_000).map(entity).collect();
    let context = json!({ "member": entity(0), "groups": groups }).to_string();
    let policy = "permit(principal, action, resource);";
    let (_, mut record) = recorded("what-if", policy, &asked().context_json(&context));
    // All of them are in the one that is asked about, and each is not in some other.
    let uid = |id: usize| json!({ "type": "U", "id": id.to_string() });
    let entities = (1..6_000).map(|id| {
        json!({
            "uid": uid(id), "attrs": {}, "parents": [uid(id - 1)],
            "absent_parents": [uid(id + 10_000)],
        })
    });
    record.inputs.as_mut().unwrap().entities = entities.collect();
    // What the one is in is not known; what is in it, and what one of those is not in, it is not in.
    for (asks, is_known) in [
        ("U::\"x\"", false),
        ("context.groups", true),
        ("U::\"15999\"", true),
    ] {
        let policy =
            format!("permit(principal, action, resource) when {{ context.member in {asks} }};");
        let candidate = Authorizer::builder().policies(policy).build().unwrap();
        let mut what_if = WhatIf::new(&candidate).unwrap();
        let begin = Instant::now();
        let reconsidered = within(32 * MB, || what_if.add(&record));
        assert!(begin.elapsed() < Duration::from_secs(5));
        match reconsidered {
            Reconsidered::Flipped(_) if is_known => {}
            Reconsidered::Undetermined(_) if !is_known => {}
            other => panic!("{asks}: {other:?}"),
        }
    }
}
