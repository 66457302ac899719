//! When a record is not kept.

use super::*;

/// Keeps or fails as it is told.
struct Moody {
    delivery: Delivery,
    fails: AtomicBool,
    kept: Mutex<Vec<(u64, u64)>>,
}

impl Moody {
    fn new(delivery: Delivery) -> Arc<Self> {
        Arc::new(Self {
            delivery,
            fails: AtomicBool::new(false),
            kept: Mutex::default(),
        })
    }
}

impl DecisionSink for Moody {
    fn wants(&self) -> Wants {
        Wants::Decisions
    }
    fn delivery(&self) -> Delivery {
        self.delivery
    }
    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(SinkError::new("the disk is full"));
        }
        let kept = (record.sequence(), record.lost_before());
        self.kept.lock().unwrap().push(kept);
        Ok(())
    }
}

#[test]
fn losses_are_counted() {
    let sink = Moody::new(Delivery::CountLoss);
    let authorizer = builder().sink(Arc::clone(&sink)).build().unwrap();
    let decide = |times: usize| {
        for _ in 0..times {
            // The decision stands.
            assert!(authorizer.is_allowed(&request("alice", "view")));
        }
    };
    decide(2);
    sink.fails.store(true, Ordering::Relaxed);
    decide(3);
    sink.fails.store(false, Ordering::Relaxed);
    decide(2);
    sink.fails.store(true, Ordering::Relaxed);
    decide(1);
    sink.fails.store(false, Ordering::Relaxed);
    decide(1);
    let kept = sink.kept.lock().unwrap().clone();
    assert_eq!(kept, [(1, 0), (2, 0), (6, 3), (7, 0), (9, 1)]);
}

#[test]
fn nothing_is_allowed_without_evidence_where_that_is_demanded() {
    let sink = Moody::new(Delivery::DenyIfNotKept);
    let authorizer = builder().sink(Arc::clone(&sink)).build().unwrap();
    let mut session = authorizer.session();
    let mut prepared = authorizer.prepare(&request("alice", "view")).unwrap();
    let mut expect = |alice: Outcome| {
        let outcome = |user, action| authorizer.is_authorized(&request(user, action)).outcome();
        assert_eq!(outcome("alice", "view"), alice);
        // What is denied anyway keeps its reason.
        assert_eq!(outcome("eve", "view"), Outcome::Forbidden);
        assert_eq!(outcome("bob", "edit"), Outcome::NoPermit);
        let bad = request("alice", "view").context_json("{");
        assert_eq!(
            authorizer.is_authorized(&bad).outcome(),
            Outcome::InvalidRequest
        );
        let allowed = alice == Outcome::Allowed;
        assert_eq!(authorizer.is_allowed(&request("alice", "view")), allowed);
        assert_eq!(session.is_allowed(&request("alice", "view")), allowed);
        assert_eq!(
            session.is_authorized_prepared(&mut prepared).outcome(),
            alice
        );
    };
    expect(Outcome::Allowed);
    sink.fails.store(true, Ordering::Relaxed);
    expect(Outcome::EvidenceNotKept);
    sink.fails.store(false, Ordering::Relaxed);
    expect(Outcome::Allowed);
    assert_eq!(sink.kept.lock().unwrap()[7], (15, 7));
}

#[test]
fn a_panicking_sink_is_a_failing_one() {
    struct Panics(Delivery);
    impl DecisionSink for Panics {
        fn wants(&self) -> Wants {
            Wants::DecisionsWithInputs
        }
        fn delivery(&self) -> Delivery {
            self.0
        }
        fn record(&self, _: &DecisionRecord<'_>) -> Result<(), SinkError> {
            panic!("a sink that panics, on purpose");
        }
    }
    for (delivery, expected) in [
        (Delivery::CountLoss, Outcome::Allowed),
        (Delivery::DenyIfNotKept, Outcome::EvidenceNotKept),
    ] {
        let authorizer = builder().sink(Panics(delivery)).build().unwrap();
        for _ in 0..3 {
            let response = authorizer.is_authorized(&request("alice", "view"));
            assert_eq!(response.outcome(), expected);
        }
    }
    // A writer that panics once leaves the sink usable, and its record counts as lost.
    struct Once(Written, bool);
    impl Write for Once {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(
                std::mem::replace(&mut self.1, true),
                "a writer that panics, on purpose"
            );
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let writer = Written::default();
    let sink = JsonLinesSink::new(Once(writer.clone(), false));
    let authorizer = builder().sink(sink).build().unwrap();
    assert!(authorizer.is_allowed(&request("alice", "view")));
    assert!(authorizer.is_allowed(&request("alice", "view")));
    let records = writer.records();
    assert_eq!(
        (records.len(), records[0].sequence, records[0].lost_before),
        (1, 2, 1)
    );
}

#[test]
fn a_writer_that_fails_is_a_loss() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    struct Deny<S>(S);
    impl<S: DecisionSink> DecisionSink for Deny<S> {
        fn wants(&self) -> Wants {
            self.0.wants()
        }
        fn delivery(&self) -> Delivery {
            Delivery::DenyIfNotKept
        }
        fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
            self.0.record(record)
        }
    }
    let authorizer = builder().sink(JsonLinesSink::new(Full)).build().unwrap();
    assert!(authorizer.is_allowed(&request("alice", "view")));
    let authorizer = builder()
        .sink(Deny(JsonLinesSink::new(Full)))
        .build()
        .unwrap();
    assert!(!authorizer.is_allowed(&request("alice", "view")));
}

/// Every record is either kept or told as lost by a later one, whatever the threads do.
#[test]
fn losses_add_up_under_contention() {
    struct Sometimes {
        calls: AtomicUsize,
        accounted: AtomicU64,
    }
    impl DecisionSink for Sometimes {
        fn wants(&self) -> Wants {
            Wants::Decisions
        }
        fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
            if !self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
                return Err(SinkError::new("not this time"));
            }
            self.accounted
                .fetch_add(1 + record.lost_before(), Ordering::Relaxed);
            Ok(())
        }
    }
    let sink = Arc::new(Sometimes {
        calls: AtomicUsize::new(0),
        accounted: AtomicU64::new(0),
    });
    let authorizer = builder().sink(Arc::clone(&sink)).build().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    assert!(authorizer.is_allowed(&request("alice", "view")));
                }
            });
        }
    });
    // The last one is kept, and tells what is missing.
    sink.calls.store(0, Ordering::Relaxed);
    assert!(authorizer.is_allowed(&request("alice", "view")));
    assert_eq!(sink.accounted.load(Ordering::Relaxed), 1001);
}
