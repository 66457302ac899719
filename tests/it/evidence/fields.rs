//! Fields that have the names of Cedar's escapes: a record says that they were fields.

use std::sync::{Arc, Mutex};

use duramen::evidence::log::SyncPolicy;
use duramen::evidence::{
    Delivery, FanOut, JsonLinesSink, Mask, MaskSink, Masks, OwnedRecord, QueueSink,
};
use duramen::replay::{
    ArchivedPolicies, NotReplayableKind, PolicyArchive, Reconsidered, ReplayError, WhatIf,
};
use duramen::values::{Datetime, EntityRef, Ip};
use duramen::{Decision, Delegation, Entity, EntityUidRef};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::*;
use crate::generate::config;

/// What a client may send, and what only a host can make.
#[derive(Clone, Debug)]
enum Data {
    Long(i64),
    Text(&'static str),
    Set(Vec<Data>),
    Record(Vec<(&'static str, Data)>),
    Entity,
    Ip,
    /// That no constructor text says.
    Datetime,
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Long(long) => serializer.serialize_i64(*long),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Set(items) => serializer.collect_seq(items),
            Self::Record(fields) => serializer.collect_map(fields.iter().map(|(k, v)| (k, v))),
            Self::Entity => EntityRef::new("User", "alice").serialize(serializer),
            Self::Ip => Ip::new("1.2.3.4").serialize(serializer),
            Self::Datetime => Datetime::from_millis(i64::MIN).serialize(serializer),
        }
    }
}

const NAMES: [&str; 11] = [
    "__entity",
    "__extn",
    "__expr",
    "___entity",
    "____entity",
    "___extn",
    "__x",
    "x",
    "y",
    "z",
    "tags",
];

fn record(data: impl Strategy<Value = Data> + Clone) -> impl Strategy<Value = Data> {
    let fields = proptest::sample::subsequence(&NAMES[..], 0..4);
    (fields, proptest::collection::vec(data, 4))
        .prop_map(|(names, values)| Data::Record(names.into_iter().zip(values).collect()))
}

fn data() -> impl Strategy<Value = Data> {
    let poses = |name, parts: [(&'static str, &'static str); 2]| {
        let parts = parts.map(|(name, text)| (name, Data::Text(text)));
        Data::Record(vec![(name, Data::Record(parts.to_vec()))])
    };
    let leaf = prop_oneof![
        Just(Data::Long(1)),
        Just(Data::Text("1.2.3.4")),
        Just(Data::Entity),
        Just(Data::Ip),
        Just(Data::Datetime),
        Just(poses("__entity", [("type", "User"), ("id", "alice")])),
        Just(poses("___entity", [("type", "User"), ("id", "alice")])),
        Just(poses("__extn", [("fn", "ip"), ("arg", "1.2.3.4")])),
        Just(poses("__extn", [("fn", "ip"), ("arg", "what?")])),
        Just(poses("__extn", [("fn", "unknown"), ("arg", "x")])),
        Just(Data::Record(vec![("__expr", Data::Text("1 + 1"))])),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            record(inner.clone().boxed()),
            proptest::collection::vec(inner, 0..3).prop_map(Data::Set),
        ]
    })
}

/// Each tells something apart that evidence must not mix up.
fn policies() -> String {
    let mut policies = "permit(principal, action, resource);\n".to_owned();
    let owners = ["context", "resource", "context.x"];
    for owner in owners {
        for name in NAMES {
            policies += &format!(
                "permit(principal, action, resource) when {{ {owner} has \"{name}\" }};\n"
            );
            for value in [
                r#"User::"alice""#,
                r#"ip("1.2.3.4")"#,
                r#"{"__entity": {"type": "User", "id": "alice"}}"#,
                r#"{"___entity": {"type": "User", "id": "alice"}}"#,
                r#"{"__extn": {"fn": "ip", "arg": "1.2.3.4"}}"#,
            ] {
                policies += &format!(
                    "forbid(principal, action, resource) when {{ {owner}[\"{name}\"] == {value} }};\n"
                );
            }
        }
    }
    for name in NAMES {
        policies += &format!(
            "permit(principal, action, resource) when {{ resource.hasTag(\"{name}\") && resource.getTag(\"{name}\") == User::\"alice\" }};\n"
        );
    }
    policies
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Every way that a record takes, and the policies to decide it again by.
struct Ways {
    authorizer: Authorizer,
    kept: [Arc<MemorySink>; 3],
    lines: Lines,
    queue: Arc<QueueSink>,
    directory: Scratch,
    policies: ArchivedPolicies,
}

impl Ways {
    fn new() -> Self {
        let directory = Scratch::new();
        let log = DurableLog::options(directory.path().join("log")).sync(SyncPolicy::Never);
        let lines = Lines::default();
        let kept = [(); 3].map(|()| Arc::new(MemorySink::new(100)));
        let [direct, queued, masked] = &kept;
        let queue = QueueSink::with_delivery(Arc::clone(queued), 100, Delivery::Block).unwrap();
        let queue = Arc::new(queue);
        let masks = Masks::new().path("context.nothing", Mask::Drop).unwrap();
        let sinks = FanOut::new()
            .sink(Arc::clone(direct))
            .sink(JsonLinesSink::new(lines.clone()))
            .sink(Arc::clone(&queue))
            .sink(MaskSink::new(Arc::clone(masked), masks).unwrap())
            .sink(log.open().unwrap());
        let builder = Authorizer::builder().policies(&policies()[..]);
        let authorizer = builder.sink(sinks).build().unwrap();
        let archive = PolicyArchive::open(directory.path().join("policies")).unwrap();
        let policies = archive.load(archive.keep(&authorizer).unwrap()).unwrap();
        Self {
            authorizer,
            kept,
            lines,
            queue,
            directory,
            policies,
        }
    }

    /// The record that was made last, as it was kept each way.
    fn last(&self) -> Vec<OwnedRecord> {
        self.queue.flush().unwrap();
        let lines = std::mem::take(&mut *self.lines.0.lock().unwrap());
        let (_, log) = segments(&self.directory.path().join("log")).pop().unwrap();
        let read = |bytes: &[u8]| {
            let lines = bytes.split(|byte| *byte == b'\n');
            let last = lines.rev().find(|line| !line.is_empty()).unwrap();
            serde_json::from_slice(last).unwrap()
        };
        let kept = self.kept.iter().map(|sink| sink.records().pop().unwrap());
        kept.chain([read(&lines), read(&log)]).collect()
    }
}

#[test]
fn what_was_a_field_is_one_when_it_is_decided_again() {
    let ways = Ways::new();
    let actors = [EntityUidRef::new("Agent", "bot")];
    let chain = Delegation::new(&actors);
    let record = || record(data().boxed());
    let asks = (record(), record(), record(), any::<bool>());
    let mut runner = TestRunner::new(config(20));
    let tried = runner.run(&asks, |(context, attrs, tags, is_chain)| {
        let entities = [Entity::new(("Doc", "d")).attrs(&attrs).tags(&tags)];
        let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "d"))
            .context(&context)
            .entities(&entities);
        let request = match is_chain {
            true => request.delegation(&chain),
            false => request,
        };
        let response = ways.authorizer.is_authorized(&request);
        prop_assert!(response.request_error().is_none());
        drop(response);
        let records = ways.last();
        for record in &records {
            prop_assert_eq!(&record.id, &records[0].id);
            prop_assert_eq!(&record.context, &records[0].context);
            prop_assert_eq!(&record.inputs, &records[0].inputs);
            prop_assert_eq!(&record.delegation, &records[0].delegation);
        }
        let record = &records[0];
        let replayed = ways.policies.replay(record);
        prop_assert!(replayed.is_same(), "{:#?}\n{:#?}", record, replayed);
        prop_assert!(ways.policies.explain(record).is_ok());
        let mut what_if = WhatIf::new(ways.policies.authorizer()).unwrap();
        let reconsidered = what_if.add(record);
        let is_same = matches!(reconsidered, Reconsidered::Same { .. });
        prop_assert!(is_same, "{:#?}\n{:#?}", record, reconsidered);
        Ok(())
    });
    tried.unwrap();
}

/// A client sends what looks like a reference; a policy forbids what is one.
#[test]
fn data_poses_as_nothing_in_a_record() {
    let directory = Scratch::new();
    let archive = PolicyArchive::open(directory.path()).unwrap();
    let (authorizer, sink) = recording(|builder| {
        builder.policies(
            r#"permit(principal, action, resource);
               forbid(principal, action, resource) when { context.x == User::"alice" };"#,
        )
    });
    let policies = archive.load(archive.keep(&authorizer).unwrap()).unwrap();
    let posing = json!({ "x": { "__entity": { "type": "User", "id": "alice" } } });
    let ask = || Request::new(("User", "ann"), ("Action", "view"), ("Doc", "d"));
    assert!(authorizer.is_allowed(&ask().context(&posing)));
    let text = posing.to_string();
    assert!(!authorizer.is_allowed(&ask().context_json(&text)));
    assert!(authorizer.is_allowed(&ask().context(&json!({ "__expr": "1" }))));
    let [posed, meant, expr] = &sink.records()[..] else {
        panic!()
    };
    assert_eq!(
        posed.context,
        Some(json!({ "x": { "___entity": { "type": "User", "id": "alice" } } }))
    );
    assert_eq!(meant.context, Some(posing));
    assert_eq!(expr.context, Some(json!({ "___expr": "1" })));
    for record in [posed, meant, expr] {
        assert!(policies.replay(record).is_same());
        assert_eq!(policies.explain(record).unwrap().outcome, record.outcome);
    }
    // Cedar's JSON has no form for the two.
    for record in [posed, expr] {
        let Err(ReplayError::NotReplayable(reason)) = policies.cedar_files(record) else {
            panic!()
        };
        assert_eq!(reason.kind(), NotReplayableKind::Unreadable);
        assert!(reason.to_string().contains("`__entity`"), "{reason}");
    }
    assert!(policies.cedar_files(meant).is_ok());
    // What a candidate asks for is what was there.
    let candidate = Authorizer::builder()
        .policies("permit(principal, action, resource) when { context.x has __entity };")
        .build()
        .unwrap();
    let mut what_if = WhatIf::new(&candidate).unwrap();
    assert!(matches!(what_if.add(posed), Reconsidered::Same { .. }));
    // No record of ours says so.
    let mut altered = posed.clone();
    altered.context =
        Some(json!({ "x": { "__entity": { "type": "User", "id": "alice" }, "y": 1 } }));
    assert!(matches!(
        policies.replay(&altered),
        duramen::replay::Replayed::NotReplayable(_)
    ));
}

/// Attributes of those names are known to what-if by the names that they have, from a record and from the store.
#[test]
fn attributes_of_such_names_are_known_to_a_candidate() {
    let entities = r#"[{ "uid": { "type": "Doc", "id": "d" }, "attrs": { "__entity": 1, "___extn": 2 }, "parents": [] }]"#;
    for asked in ["__entity", "___extn"] {
        for (enforced, is_filled) in [
            (
                format!(
                    "permit(principal, action, resource) when {{ resource[\"{asked}\"] > 0 }};"
                ),
                false,
            ),
            ("permit(principal, action, resource);".to_owned(), true),
        ] {
            let (authorizer, sink) =
                recording(|builder| builder.policies(&enforced[..]).entities(entities));
            assert!(authorizer.is_allowed(&request("ann")));
            let record = &sink.records()[0];
            let candidate = format!(
                "permit(principal, action, resource) when {{ resource[\"{asked}\"] > 1 }};"
            );
            let candidate = Authorizer::builder()
                .policies(&candidate[..])
                .build()
                .unwrap();
            let mut what_if = WhatIf::new(&candidate).unwrap();
            if is_filled {
                what_if = what_if.fill_in(&authorizer);
            }
            let after = match what_if.add(record) {
                Reconsidered::Same { .. } => Decision::Allow,
                Reconsidered::Flipped(_) => Decision::Deny,
                other => panic!("{other:?}"),
            };
            let expected = if asked == "___extn" {
                Decision::Allow
            } else {
                Decision::Deny
            };
            assert_eq!(after, expected, "{asked}");
            // The names of attributes are no escapes in Cedar's JSON.
            let inputs = record.inputs.as_ref().unwrap().to_cedar_entities();
            let text = inputs.unwrap().to_string();
            assert_eq!(text.contains(&format!("\"{asked}\"")), !is_filled, "{text}");
        }
    }
}
