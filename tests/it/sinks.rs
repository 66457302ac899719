//! Decision records and the sinks that take them.

mod losses;

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use cedar_policy as cedar;
use duramen::evidence::{
    DecisionRecord, DecisionSink, Delivery, FanOut, JsonLinesSink, MemorySink, NoSink, OwnedRecord,
    QueueSink, SinkError, Wants,
};
use duramen::{
    Authorizer, Builder, Decision, Effect, EntityUid, ErrorKind, Outcome, Request, Scratch,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::generate::{Tape, config, tape};
use super::oracle::{Answer, reproduction, tunings};
use super::value::record_json;
use super::written::Written;

const POLICIES: &str = r#"
    @reason("open") @ticket("T-1")
    permit(principal, action == Action::"view", resource) when { context.n > 0 };
    forbid(principal == User::"eve", action, resource);
    forbid(principal, action == Action::"fail", resource)
    when { true }
    unless { true && [1, principal.nope] == [] };
"#;

fn builder() -> Builder {
    Authorizer::builder().policies(POLICIES)
}

fn request(user: &'static str, action: &'static str) -> Request<'static> {
    Request::new(("User", user), ("Action", action), ("Doc", "d"))
        .context_json(r#"{ "n": 1, "more": [true] }"#)
}

// ---- what is recorded ----

#[test]
fn records_say_what_was_decided() {
    let sink = Arc::new(MemorySink::new(100));
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let authorizer = builder()
        .sink(Arc::clone(&sink))
        .clock(move || time)
        .build()
        .unwrap();
    let traced = request("alice", "view")
        .request_id("r-1")
        .trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    assert!(authorizer.is_allowed(&traced));
    let _ = authorizer.is_authorized(&request("eve", "view"));
    let _ = authorizer.session().is_authorized(&request("bob", "fail"));
    let bad = request("bob", "view").context_json("{");
    let _ = authorizer.is_authorized_with(&mut Scratch::new(), &bad);
    let mut prepared = authorizer.prepare(&traced).unwrap();
    let _ = authorizer.is_authorized_prepared(&mut Scratch::new(), &mut prepared);
    let records = sink.records();
    let [allowed, forbidden, failed, invalid, prepared] = records.as_slice() else {
        panic!("{records:#?}");
    };
    assert_eq!(allowed.format, 1);
    assert_eq!(allowed.instance.len(), 32);
    assert!(
        records
            .iter()
            .all(|record| record.instance == allowed.instance)
    );
    let sequence: Vec<u64> = records.iter().map(|record| record.sequence).collect();
    assert_eq!(sequence, [1, 2, 3, 4, 5]);
    assert!(records.iter().all(|record| record.lost_before == 0));
    assert_eq!(allowed.time.as_deref(), Some("2023-11-14T22:13:20.123Z"));
    assert!(allowed.engine.starts_with("duramen "));
    assert_eq!(allowed.version, authorizer.version());
    assert_eq!(allowed.request_id.as_deref(), Some("r-1"));
    let trace = allowed.trace.as_ref().unwrap();
    assert_eq!(trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(trace.span_id, "b7ad6b7169203331");
    assert_eq!(allowed.principal, EntityUid::new("User", "alice"));
    assert_eq!(allowed.action, EntityUid::new("Action", "view"));
    assert_eq!(allowed.resource, EntityUid::new("Doc", "d"));
    assert_eq!(allowed.context, Some(json!({ "n": 1, "more": [true] })));
    assert_eq!(
        (allowed.decision, allowed.outcome),
        (Decision::Allow, Outcome::Allowed)
    );
    assert_eq!(allowed.determining.len(), 1);
    assert_eq!(allowed.determining[0].id.as_str(), "policy0");
    assert_eq!(allowed.determining[0].effect, Effect::Permit);
    assert_eq!(allowed.determining[0].annotations["ticket"], "T-1");
    assert!(allowed.errors.is_empty());

    assert_eq!(forbidden.outcome, Outcome::Forbidden);
    assert_eq!(forbidden.determining[0].effect, Effect::Forbid);
    assert_eq!(forbidden.request_id, None);

    assert_eq!(failed.outcome, Outcome::NoPermit);
    assert_eq!(failed.errors.len(), 1);
    assert_eq!(failed.errors[0].id.as_str(), "policy2");
    assert_eq!(failed.errors[0].kind, ErrorKind::EntityDoesNotExist);
    // The second condition, there the right side, there the left side, there the second element.
    assert_eq!(failed.errors[0].path, "1.1.0.1");

    assert_eq!(invalid.outcome, Outcome::InvalidRequest);
    assert_eq!(invalid.context, None);
    assert!(invalid.request_error.as_ref().unwrap().contains("context"));

    let strip = |record: &OwnedRecord| {
        let mut record = record.clone();
        record.id.clear();
        (record.sequence, record.duration_ns) = (0, 0);
        record
    };
    assert_eq!(strip(prepared), strip(allowed));
}

#[test]
fn records_name_the_decision_and_what_made_it() {
    let sink = Arc::new(MemorySink::new(9));
    let authorizer = builder().sink(Arc::clone(&sink)).build().unwrap();
    for _ in 0..2 {
        let _ = authorizer.is_authorized(&request("alice", "view"));
    }
    let records = sink.records();
    for (number, record) in (1..).zip(&records) {
        assert_eq!(record.id, format!("{}-{number}", record.instance));
        assert_eq!(
            record.engine,
            concat!("duramen ", env!("CARGO_PKG_VERSION"))
        );
        // Of the cedar-policy that policies are read with.
        assert_eq!(
            record.language,
            format!("cedar {}", cedar::get_lang_version())
        );
    }
}

#[test]
fn a_sink_gets_what_it_wants() {
    struct Spy(Wants, Mutex<Vec<bool>>);
    impl DecisionSink for Spy {
        fn wants(&self) -> Wants {
            self.0
        }
        fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
            self.1.lock().unwrap().push(record.context().is_some());
            Ok(())
        }
    }
    for (wants, expected) in [
        (Wants::Nothing, vec![]),
        (Wants::Decisions, vec![false; 3]),
        (Wants::DecisionsWithInputs, vec![true; 3]),
    ] {
        let spy = Arc::new(Spy(wants, Mutex::default()));
        let authorizer = builder().sink(Arc::clone(&spy)).build().unwrap();
        let request = request("alice", "view");
        assert!(authorizer.is_allowed(&request));
        assert!(authorizer.session().is_authorized(&request).is_allowed());
        let mut prepared = authorizer.prepare(&request).unwrap();
        assert!(
            authorizer
                .session()
                .is_authorized_prepared(&mut prepared)
                .is_allowed()
        );
        assert_eq!(*spy.1.lock().unwrap(), expected, "{wants:?}");
    }
    let silent = builder().sink(NoSink).build().unwrap();
    assert!(silent.is_allowed(&request("alice", "view")));
}

#[test]
fn the_clock_is_asked_only_for_records() {
    let asked = Arc::new(AtomicU64::new(0));
    for (sink, expected) in [
        (Box::new(NoSink) as Box<dyn DecisionSink>, 0),
        (Box::new(MemorySink::new(1)), 2),
    ] {
        let counter = Arc::clone(&asked);
        counter.store(0, Ordering::Relaxed);
        let clock = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            SystemTime::UNIX_EPOCH
        };
        let authorizer = builder()
            .sink(Arc::<dyn DecisionSink>::from(sink))
            .clock(clock)
            .build()
            .unwrap();
        let _ = authorizer.is_authorized(&request("alice", "view"));
        let _ = authorizer.is_allowed(&request("alice", "view"));
        assert_eq!(asked.load(Ordering::Relaxed), expected);
    }
}

#[test]
fn a_memory_sink_keeps_the_last() {
    for (capacity, expected) in [(0, vec![]), (2, vec![4, 5]), (9, vec![1, 2, 3, 4, 5])] {
        let sink = Arc::new(MemorySink::new(capacity));
        let authorizer = builder().sink(Arc::clone(&sink)).build().unwrap();
        for _ in 0..5 {
            assert!(authorizer.is_allowed(&request("alice", "view")));
        }
        let kept: Vec<u64> = sink
            .records()
            .iter()
            .map(|record| record.sequence)
            .collect();
        assert_eq!(kept, expected);
    }
}

/// What `serde_json` makes of records.
#[derive(Default)]
struct Texts(Mutex<Vec<u8>>);

impl DecisionSink for Texts {
    fn wants(&self) -> Wants {
        Wants::DecisionsWithInputs
    }
    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        let mut texts = self.0.lock().unwrap();
        serde_json::to_writer(&mut *texts, record).unwrap();
        texts.push(b'\n');
        Ok(())
    }
}

#[test]
fn lines_read_back() {
    let writer = Written::default();
    let lines = Arc::new(JsonLinesSink::new(writer.clone()));
    let memory = Arc::new(MemorySink::new(10));
    let (to_lines, to_memory) = (
        builder().sink(Arc::clone(&lines)).build().unwrap(),
        builder().sink(Arc::clone(&memory)).build().unwrap(),
    );
    let requests = [
        request("alice\n\"\u{1F600}\u{0}", "view").request_id("a\nb"),
        request("eve", "view").trace("t", "s"),
        request("bob", "fail"),
        request("bob", "view").context_json("[1\n]"),
    ];
    for request in &requests {
        let _ = to_lines.is_authorized(request);
        let _ = to_memory.is_authorized(request);
    }
    lines.flush().unwrap();
    let same = |record: &OwnedRecord| {
        let mut record = record.clone();
        record.id.clear();
        record.instance.clear();
        record.time = None;
        record.duration_ns = 0;
        record
    };
    let read: Vec<_> = writer.records().iter().map(same).collect();
    let kept: Vec<_> = memory.records().iter().map(same).collect();
    assert_eq!(read, kept);
    assert_eq!(read.len(), 4);
    // And once more through serde.
    for record in &read {
        let text = serde_json::to_string(record).unwrap();
        assert_eq!(serde_json::from_str::<OwnedRecord>(&text).unwrap(), *record);
    }

    let writer = Written::default();
    let sink = JsonLinesSink::new(writer.clone()).without_inputs();
    let authorizer = builder().sink(sink).build().unwrap();
    assert!(authorizer.is_allowed(&requests[0]));
    assert_eq!(writer.records()[0].context, None);
}

#[test]
fn lines_of_many_threads_do_not_mix() {
    let writer = Written::default();
    let authorizer = builder()
        .sink(JsonLinesSink::new(writer.clone()))
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut session = authorizer.session();
                for _ in 0..50 {
                    assert!(session.is_allowed(&request("alice", "view")));
                }
            });
        }
    });
    let mut sequence: Vec<u64> = writer
        .records()
        .iter()
        .map(|record| record.sequence)
        .collect();
    sequence.sort_unstable();
    assert_eq!(sequence, (1..=200).collect::<Vec<u64>>());
}

/// Whether two contexts in Cedar's JSON mean the same: texts of extension values may differ.
fn cedar_says_equal(a: &Json, b: &Json) -> bool {
    let context = cedar::Context::from_json_value(json!({ "a": a, "b": b }), None).unwrap();
    let anyone: cedar::EntityUid = r#"User::"x""#.parse().unwrap();
    let request =
        cedar::Request::new(anyone.clone(), anyone.clone(), anyone, context, None).unwrap();
    let equal = "context.a == context.b".parse().unwrap();
    let entities = cedar::Entities::empty();
    cedar::eval_expression(&request, &entities, &equal).unwrap() == cedar::EvalResult::Bool(true)
}

proptest! {
    #![proptest_config(config(40))]

    /// A record's inputs are the request's: stock Cedar decides the same on them.
    #[test]
    fn recorded_contexts_are_the_requests(tape in tape()) {
        let (world, asks) = Tape::new(&tape).world();
        let Ok(oracle) = world.oracle() else { return Ok(()) };
        let sink = Arc::new(MemorySink::new(2));
        let authorizer = world.builder().sink(Arc::clone(&sink)).build().unwrap();
        for ask in &asks {
            let expected = oracle.decide(ask);
            ask.with_request(|request| drop(authorizer.is_authorized(request)));
            let record = sink.records().pop().unwrap();
            prop_assert_eq!(record.decision == Decision::Allow, matches!(expected, Answer::Decided { allowed: true, .. }));
            if expected == Answer::Invalid {
                prop_assert_eq!(record.outcome, Outcome::InvalidRequest);
                continue;
            }
            let recorded = record.context.unwrap();
            prop_assert!(
                cedar_says_equal(&recorded, &record_json(&ask.context)),
                "{}", reproduction(&world, Some(ask), &format!("recorded: {recorded}"))
            );
            if ask.overlay.is_none() {
                let mut prepared = ask.with_request(|request| authorizer.prepare(request)).unwrap();
                drop(authorizer.is_authorized_prepared(&mut Scratch::new(), &mut prepared));
                let record = sink.records().pop().unwrap();
                prop_assert_eq!(record.context.unwrap(), recorded);
            }
        }
    }

    /// A line is what `serde_json` makes of the record, byte for byte, copied in a queue or not.
    #[test]
    fn lines_are_written_as_serde_json_writes_them(tape in tape()) {
        let (world, asks) = Tape::new(&tape).world();
        if world.oracle().is_err() {
            return Ok(());
        }
        let (lines, texts) = (Written::default(), Arc::new(Texts::default()));
        let (queued_lines, queued_texts) = (Written::default(), Arc::new(Texts::default()));
        let queued = FanOut::new()
            .sink(Arc::clone(&queued_texts))
            .sink(JsonLinesSink::new(queued_lines.clone()));
        let sinks = FanOut::new()
            .sink(Arc::clone(&texts))
            .sink(JsonLinesSink::new(lines.clone()))
            .sink(QueueSink::with_delivery(queued, 16, Delivery::Block).unwrap());
        let authorizer = world.builder().sink(sinks).build().unwrap();
        for ask in &asks {
            ask.with_request(|request| {
                let request = request.request_id("\u{1f}\"\\\u{7f}é").trace("t", "s");
                drop(authorizer.is_authorized(&request));
            });
        }
        drop(authorizer);
        let texts = texts.0.lock().unwrap();
        let texts = str::from_utf8(&texts).unwrap();
        prop_assert_eq!(lines.text(), texts);
        prop_assert_eq!(queued_lines.text(), texts);
        prop_assert_eq!(&*queued_texts.0.lock().unwrap(), texts.as_bytes());
    }

    /// Where an error stands does not depend on optimisations.
    #[test]
    fn error_paths_do_not_depend_on_tuning(tape in tape()) {
        let (world, asks) = Tape::new(&tape).world();
        if world.oracle().is_err() {
            return Ok(());
        }
        let mut paths: Vec<Vec<(String, String)>> = Vec::new();
        for tuning in tunings() {
            let sink = Arc::new(MemorySink::new(100));
            let authorizer = world.builder().tuning(tuning).sink(Arc::clone(&sink)).build().unwrap();
            for ask in &asks {
                ask.with_request(|request| drop(authorizer.is_authorized(request)));
            }
            let records = sink.records();
            let errors = records.iter().flat_map(|record| &record.errors);
            paths.push(errors.map(|error| (error.id.to_string(), error.path.clone())).collect());
        }
        for other in &paths {
            prop_assert_eq!(other, &paths[0], "{}", reproduction(&world, None, "paths of errors"));
        }
    }
}

// ---- a sink that decides ----

#[test]
fn a_sink_may_decide_in_its_turn() {
    #[derive(Default)]
    struct Decides {
        authorizer: OnceLock<Authorizer>,
        depth: AtomicUsize,
        inner: Mutex<Vec<Outcome>>,
    }
    impl DecisionSink for Decides {
        fn wants(&self) -> Wants {
            Wants::DecisionsWithInputs
        }
        fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
            if self.depth.fetch_add(1, Ordering::Relaxed) < 3 {
                let authorizer = self.authorizer.get().unwrap();
                let inner = authorizer.is_authorized(&request("eve", "view"));
                self.inner.lock().unwrap().push(inner.outcome());
                // What is being recorded is untouched.
                let seen = serde_json::to_value(record).unwrap();
                assert_eq!(seen["context"], json!({ "n": 1, "more": [true] }));
                assert_eq!(record.determining().len(), 1);
            }
            self.depth.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        }
    }
    let sink = Arc::new(Decides::default());
    let authorizer = builder().sink(Arc::clone(&sink)).build().unwrap();
    assert!(sink.authorizer.set(authorizer.clone()).is_ok());
    for _ in 0..3 {
        let response = authorizer.is_authorized(&request("alice", "view"));
        assert_eq!(response.outcome(), Outcome::Allowed);
        assert_eq!(response.determining().len(), 1);
    }
    assert_eq!(*sink.inner.lock().unwrap(), vec![Outcome::Forbidden; 9]);
    // It may also replace what is decided on: the decision that is being recorded stays what it is.
    struct Swaps(OnceLock<Authorizer>);
    impl DecisionSink for Swaps {
        fn wants(&self) -> Wants {
            Wants::Decisions
        }
        fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
            let version = self.0.get().unwrap().replace_policies("").unwrap();
            assert_eq!(version.epoch(), record.version().epoch() + 1);
            Ok(())
        }
    }
    let sink = Arc::new(Swaps(OnceLock::new()));
    let authorizer = builder().sink(Arc::clone(&sink)).build().unwrap();
    assert!(sink.0.set(authorizer.clone()).is_ok());
    let response = authorizer.is_authorized(&request("alice", "view"));
    assert!(response.is_allowed());
    assert_eq!(response.version().epoch(), 1);
    assert_eq!(
        response.determining().next().unwrap().id().as_str(),
        "policy0"
    );
    drop(response);
    assert!(!authorizer.is_allowed(&request("alice", "view")));
}

/// A clock that shows what no datetime can say is told as that, and the record is read back.
#[test]
fn a_record_without_a_time_is_kept() {
    let sink = Arc::new(MemorySink::new(1));
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60))
        .sink(Arc::clone(&sink))
        .build()
        .unwrap();
    assert!(authorizer.is_allowed(&Request::new(("User", "a"), ("Action", "b"), ("Doc", "c"))));
    let record = sink.records().pop().unwrap();
    assert_eq!(record.time, None);
    assert_eq!(
        serde_json::to_value(&record).unwrap()["time"],
        serde_json::Value::Null
    );
}
