//! What a record says was read is enough to decide again, and all of it was read.

use std::sync::{Arc, Mutex};

use cedar_policy as cedar;
use duramen::evidence::{JsonLinesSink, MemorySink, OwnedRecord, QueueSink};
use duramen::{Authorizer, Request};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::super::generate::{Tape, config, tape};
use super::super::many::of_bytes;
use super::super::oracle::{Answer, Oracle, World, answer, ours, reproduction};
use super::super::written::Written;

/// The answer of stock Cedar to what the record says, with the policies of `oracle` and no entities but the record's.
fn replayed(record: &OwnedRecord, oracle: &Oracle) -> Answer {
    let inputs = record.inputs.as_ref().unwrap();
    let entities: Vec<Json> = inputs
        .entities
        .iter()
        .filter(|entity| entity.get("missing").is_none())
        .map(|entity| {
            let member = |name: &str| entity.get(name).cloned().unwrap_or_else(|| json!({}));
            json!({
                "uid": member("uid"),
                "attrs": member("attrs"),
                "tags": member("tags"),
                "parents": member("parents"),
            })
        })
        .collect();
    let entities = cedar::Entities::from_json_value(Json::from(entities), None).unwrap();
    let uid = |uid: &duramen::EntityUid| {
        cedar::EntityUid::from_type_name_and_id(
            uid.type_name().parse().unwrap(),
            cedar::EntityId::new(uid.id()),
        )
    };
    let context = record.context.clone().unwrap();
    let request = cedar::Request::new(
        uid(&record.principal),
        uid(&record.action),
        uid(&record.resource),
        cedar::Context::from_json_value(context, None).unwrap(),
        None,
    );
    let response =
        cedar::Authorizer::new().is_authorized(&request.unwrap(), &oracle.set, &entities);
    answer(&response)
}

fn check(world: &World, oracle: &Oracle, tape: &mut Tape<'_>) -> Result<(), TestCaseError> {
    let memory = Arc::new(MemorySink::new(100));
    let queued = Arc::new(MemorySink::new(100));
    let queue = QueueSink::new(Arc::clone(&queued)).unwrap();
    let direct = world.builder().sink(Arc::clone(&memory)).build().unwrap();
    let queueing = world.builder().sink(queue).build().unwrap();
    let asks: Vec<_> = (0..8).map(|_| tape.ask()).collect();
    let mut answers = Vec::new();
    for ask in &asks {
        let found = ask.with_request(|request| ours(&direct.is_authorized(request)));
        let _ = ask.with_request(|request| queueing.is_authorized(request).is_allowed());
        if found != Answer::Invalid {
            answers.push((ask, found));
        }
    }
    drop(queueing);
    let decided = |records: Vec<OwnedRecord>| -> Vec<OwnedRecord> {
        let valid = records
            .into_iter()
            .filter(|record| record.request_error.is_none());
        valid.collect()
    };
    let (records, copies) = (decided(memory.records()), decided(queued.records()));
    prop_assert_eq!(records.len(), answers.len());
    prop_assert_eq!(copies.len(), answers.len());
    for ((record, copy), (ask, expected)) in records.iter().zip(&copies).zip(&answers) {
        prop_assert_eq!(&record.context, &copy.context);
        prop_assert_eq!(&record.inputs, &copy.inputs);
        let again = replayed(record, oracle);
        if again != *expected {
            let what = format!(
                "decided {expected:#?}, replayed {again:#?} from {:#?}",
                record.inputs
            );
            return Err(TestCaseError::fail(reproduction(world, Some(ask), &what)));
        }
    }
    Ok(())
}

/// The records of a world made from bytes.
pub(crate) fn records_agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (_, numbers, _) = of_bytes(bytes);
    let mut tape = Tape::new(&numbers);
    let (world, _) = tape.world();
    match world.oracle() {
        Ok(oracle) => check(&world, &oracle, &mut tape),
        Err(_) => Ok(()),
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn a_record_is_enough_to_decide_again(numbers in tape()) {
        let bytes = [&[0], &numbers.to_bytes()[..]].concat();
        records_agree(&bytes)?;
    }
}

/// The digest is of the texts as they stand in the line, straight from the decision and by way of the queue.
#[test]
fn the_digest_is_of_the_text() {
    let lines = Written::default();
    let sink = || JsonLinesSink::new(lines.clone());
    let policies = r#"permit(principal, action, resource)
        when { principal.dept == "x" && resource has owner && context.n > 1 && principal in Group::"g" };"#;
    let entities = r#"[{ "uid": { "type": "User", "id": "u" }, "attrs": { "dept": "x", "other": 1 },
                         "parents": [{ "type": "Group", "id": "g" }] }]"#;
    for queued in [false, true] {
        let builder = Authorizer::builder().policies(policies).entities(entities);
        let builder = match queued {
            true => builder.sink(QueueSink::new(sink()).unwrap()),
            false => builder.sink(sink()),
        };
        let request = Request::new(("User", "u"), ("Action", "a"), ("Doc", "d"));
        let request = request.context_json(r#"{ "n": 3, "unread": "\"" }"#);
        assert!(!builder.build().unwrap().is_allowed(&request));
    }
    let text = lines.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let (_, rest) = line.split_once("\"context\":").unwrap();
        let (context, rest) = rest.split_once(",\"inputs\":{\"entities\":").unwrap();
        let (entities, rest) = rest.split_once(",\"digest\":\"").unwrap();
        let mut hash = Sha256::new();
        hash.update(context);
        hash.update(entities);
        let digest: String = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(rest.starts_with(&digest), "{line}");
        assert!(entities.contains(r#""attrs":{"dept":"x"}"#), "{entities}");
        assert!(entities.contains(r#""missing":true"#), "{entities}");
        assert!(entities.contains(r#""absent":["owner"]"#), "{entities}");
        assert!(
            !entities.contains("other"),
            "what was not read is not there: {entities}"
        );
    }
}

/// Also where nobody has heard of any tag that was asked for.
#[test]
fn tags_that_only_the_request_names_are_told_as_absent() {
    let memory = Arc::new(MemorySink::new(10));
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource) unless { principal.hasTag(context.tag) };")
        .entities(r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": {}, "parents": [] }]"#)
        .sink(Arc::clone(&memory))
        .build()
        .unwrap();
    let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    assert!(authorizer.is_allowed(&request.context_json(r#"{ "tag": "nowhere else" }"#)));
    let records = memory.records();
    let entities = &records[0].inputs.as_ref().unwrap().entities;
    let ann = entities.iter().find(|entity| entity["uid"]["id"] == "ann");
    assert_eq!(ann.unwrap()["absent_tags"], json!(["nowhere else"]));
}

/// Directly, and behind a queue.
#[test]
fn what_is_not_above_is_told() {
    let memory = Arc::new(MemorySink::new(10));
    let queue = Arc::new(QueueSink::new(Arc::clone(&memory)).unwrap());
    let authorizer = |sink: Arc<dyn duramen::evidence::DecisionSink>| {
        Authorizer::builder()
            .policies(
                r#"permit(principal, action, resource) unless { resource.owner in Team::"red" };"#,
            )
            .entities(
                r#"[{ "uid": { "type": "Doc", "id": "plan" }, "parents": [],
                      "attrs": { "owner": { "__entity": { "type": "User", "id": "bob" } } } },
                    { "uid": { "type": "User", "id": "bob" }, "attrs": {}, "parents": [] }]"#,
            )
            .sink(sink)
            .build()
            .unwrap()
    };
    let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
    assert!(authorizer(Arc::clone(&memory) as _).is_allowed(&request));
    assert!(authorizer(Arc::clone(&queue) as _).is_allowed(&request));
    duramen::evidence::DecisionSink::flush(&queue).unwrap();
    let records = memory.records();
    assert_eq!(records.len(), 2);
    for record in records {
        let entities = &record.inputs.as_ref().unwrap().entities;
        let bob = entities.iter().find(|entity| entity["uid"]["id"] == "bob");
        let red = json!([{ "type": "Team", "id": "red" }]);
        assert_eq!(bob.unwrap()["absent_parents"], red);
    }
}

/// Notes inputs as serde has them, beside those of the record's line.
struct AsSerde(Mutex<Vec<(Json, Json)>>);

impl duramen::evidence::DecisionSink for AsSerde {
    fn wants(&self) -> duramen::evidence::Wants {
        duramen::evidence::Wants::DecisionsWithInputs
    }

    fn record(
        &self,
        record: &duramen::evidence::DecisionRecord<'_>,
    ) -> Result<(), duramen::evidence::SinkError> {
        let serde = serde_json::to_value(record.inputs().unwrap()).unwrap();
        let lines = JsonLinesSink::new(Vec::new());
        duramen::evidence::DecisionSink::record(&lines, record)?;
        let line: Json = serde_json::from_slice(&lines.into_inner()).unwrap();
        let pair = (serde, line["inputs"].clone());
        self.0.lock().unwrap().push(pair);
        Ok(())
    }
}

/// What was not there, with serde and in lines, directly and behind a queue.
#[test]
fn what_was_absent_is_the_same_with_serde() {
    let seen = Arc::new(AsSerde(Mutex::default()));
    let queue = Arc::new(QueueSink::new(Arc::clone(&seen)).unwrap());
    let sinks: [Arc<dyn duramen::evidence::DecisionSink>; 2] =
        [Arc::clone(&seen) as _, Arc::clone(&queue) as _];
    for sink in sinks {
        let authorizer = Authorizer::builder()
            .policies(
                r#"permit(principal, action, resource) unless {
                    principal.hasTag(context.tag) || resource.owner in Team::"red"
                };"#,
            )
            .entities(
                r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": {}, "parents": [] },
                    { "uid": { "type": "Doc", "id": "plan" }, "parents": [],
                      "attrs": { "owner": { "__entity": { "type": "User", "id": "bob" } } } },
                    { "uid": { "type": "User", "id": "bob" }, "attrs": {}, "parents": [] }]"#,
            )
            .sink(sink)
            .build()
            .unwrap();
        let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
        assert!(authorizer.is_allowed(&request.context_json(r#"{ "tag": "nowhere" }"#)));
    }
    duramen::evidence::DecisionSink::flush(&queue).unwrap();
    let seen = seen.0.lock().unwrap();
    assert_eq!(seen.len(), 2);
    for (serde, line) in &*seen {
        assert_eq!(serde, line);
        let text = line.to_string();
        assert!(
            text.contains("absent_parents") && text.contains("absent_tags"),
            "{text}"
        );
    }
}

/// The deepest context and the deepest attribute that there can be, of a hop of a delegation, with an extension value at the end:
/// what is written is read, and decided again.
#[test]
fn what_is_recorded_can_be_read_however_deep_it_is() {
    let limits = duramen::Limits::default()
        .with_context_depth(usize::MAX)
        .with_attribute_depth(usize::MAX);
    let value = r#"{"__extn":{"fn":"ip","arg":"10.0.0.1"}}"#;
    let nested = |levels: usize| format!("{}{value}{}", "[".repeat(levels), "]".repeat(levels));
    let policies =
        "permit(principal, action, resource) when { context.a == resource.a || context has a };";
    let mut deepest = 0;
    for levels in 60..130 {
        let sink = Arc::new(MemorySink::new(1));
        let entities = format!(
            r#"[{{"uid":{{"type":"Doc","id":"d"}},"attrs":{{"a":{}}},"parents":[]}}]"#,
            nested(levels)
        );
        let built = Authorizer::builder()
            .policies(policies)
            .limits(limits)
            .entities(entities.as_str())
            .sink(Arc::clone(&sink))
            .build();
        let Ok(authorizer) = built else { break };
        let context = format!(r#"{{"a":{}}}"#, nested(levels));
        let actors = [duramen::EntityUidRef::new("Agent", "bot")];
        let chain = duramen::Delegation::new(&actors);
        let request = Request::new(("User", "u"), ("Action", "view"), ("Doc", "d"));
        let request = request.context_json(&context).delegation(&chain);
        if !authorizer.is_allowed(&request) {
            break;
        }
        assert_eq!(sink.records().len(), 1, "{levels}");
        deepest = levels;
    }
    assert!(deepest > 90, "{deepest}");
}
