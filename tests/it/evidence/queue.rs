//! The queue between deciding threads and a slow or failing sink.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use duramen::evidence::{
    DecisionRecord, DecisionSink, Delivery, FanOut, JsonLinesSink, Mask, MaskSink, Masks,
    MemorySink, OwnedRecord, QueueSink, SinkError, Wants,
};
use duramen::values::EntityRef;
use duramen::{Delegation, EntityUidRef, Freshness, Outcome, Scratch as Memory};
use proptest::prelude::*;

use super::*;
use crate::generate::{Tape, config, tape};

/// Takes, waits, fails or panics as it is told.
#[derive(Default)]
struct Moody {
    records: Mutex<Vec<(u64, u64)>>,
    losses: AtomicU64,
    flushes: AtomicU64,
    fails: AtomicBool,
    /// Panics at records whose number this divides.
    panics: AtomicU64,
    held: Mutex<bool>,
    released: Condvar,
}

impl Moody {
    fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.released.notify_all();
    }

    fn sequence(&self) -> Vec<u64> {
        let records = self.records.lock().unwrap();
        records.iter().map(|(sequence, _)| *sequence).collect()
    }

    /// Records kept and records told as lost.
    fn accounted(&self) -> u64 {
        let records = self.records.lock().unwrap();
        let told: u64 = records.iter().map(|(_, lost)| 1 + lost).sum();
        told + self.losses.load(Ordering::SeqCst)
    }
}

impl DecisionSink for Moody {
    fn wants(&self) -> Wants {
        Wants::DecisionsWithInputs
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        let mut held = self.held.lock().unwrap();
        while *held {
            // Not for ever: a test that fails meanwhile must end.
            let waited = self.released.wait_timeout(held, Duration::from_secs(5));
            let (guard, timeout) = waited.unwrap();
            held = guard;
            *held &= !timeout.timed_out();
        }
        drop(held);
        if self.fails.load(Ordering::SeqCst) {
            return Err(SinkError::new("not now"));
        }
        let panics = self.panics.load(Ordering::SeqCst);
        assert!(
            panics == 0 || !record.sequence().is_multiple_of(panics),
            "a sink that panics, on purpose"
        );
        let kept = (record.sequence(), record.lost_before());
        self.records.lock().unwrap().push(kept);
        Ok(())
    }

    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        self.losses.fetch_add(lost, Ordering::SeqCst);
        Ok(())
    }

    fn flush(&self) -> Result<(), SinkError> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn queue(capacity: usize, delivery: Delivery) -> (Arc<Moody>, Arc<QueueSink>, Authorizer) {
    let sink = Arc::new(Moody::default());
    let (queue, authorizer) = queued(Arc::clone(&sink), capacity, delivery);
    (sink, queue, authorizer)
}

/// A queue before this sink.
fn queued(
    sink: impl DecisionSink + 'static,
    capacity: usize,
    delivery: Delivery,
) -> (Arc<QueueSink>, Authorizer) {
    let queue = Arc::new(QueueSink::with_delivery(sink, capacity, delivery).unwrap());
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .sink(Arc::clone(&queue))
        .build()
        .unwrap();
    (queue, authorizer)
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn everything_arrives_in_order() {
    let (sink, queue, authorizer) = queue(2000, Delivery::CountLoss);
    for _ in 0..1000 {
        assert!(authorizer.is_allowed(&request("alice")));
    }
    queue.flush().unwrap();
    assert_eq!(sink.sequence(), (1..=1000).collect::<Vec<_>>());
    assert!(sink.flushes.load(Ordering::SeqCst) >= 1);
    // After it has fallen asleep.
    std::thread::sleep(Duration::from_millis(250));
    assert!(authorizer.is_allowed(&request("alice")));
    wait_until("a sleeping queue is woken", || {
        sink.sequence().len() == 1001
    });
    for _ in 0..10 {
        assert!(authorizer.is_allowed(&request("alice")));
    }
    // Dropping hands over the rest.
    drop((queue, authorizer));
    assert_eq!(sink.sequence().len(), 1011);
}

/// It would look by itself, but not before a tenth of a second.
#[test]
fn a_queue_that_sleeps_is_woken() {
    let (sink, _queue, authorizer) = queue(10, Delivery::CountLoss);
    let mut prompt = 0;
    for round in 1..=5 {
        // Between two of its looks.
        std::thread::sleep(Duration::from_millis(220));
        let asked = Instant::now();
        assert!(authorizer.is_allowed(&request("alice")));
        wait_until("the record arrives", || sink.sequence().len() == round);
        prompt += usize::from(asked.elapsed() < Duration::from_millis(30));
    }
    // A machine that is busy may be late now and then.
    assert!(prompt >= 3, "{prompt} of 5 arrived at once");
}

#[test]
fn a_full_queue_does_what_its_delivery_class_says() {
    for delivery in [
        Delivery::CountLoss,
        Delivery::DenyIfNotKept,
        Delivery::Block,
    ] {
        let (sink, queue, authorizer) = queue(10, delivery);
        sink.hold(true);
        let mut outcomes: Vec<Outcome> = (0..10)
            .map(|_| authorizer.is_authorized(&request("alice")).outcome())
            .collect();
        assert_eq!(outcomes, [Outcome::Allowed; 10]);
        if delivery == Delivery::Block {
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| authorizer.is_authorized(&request("alice")).outcome());
                std::thread::sleep(Duration::from_millis(30));
                assert!(!waiting.is_finished());
                sink.hold(false);
                assert_eq!(waiting.join().unwrap(), Outcome::Allowed);
            });
        } else {
            outcomes.clear();
            outcomes.extend((0..5).map(|_| authorizer.is_authorized(&request("alice")).outcome()));
            let expected = match delivery {
                Delivery::CountLoss => Outcome::Allowed,
                _ => Outcome::EvidenceNotKept,
            };
            assert_eq!(outcomes, [expected; 5]);
            sink.hold(false);
        }
        queue.flush().unwrap();
        assert!(authorizer.is_allowed(&request("alice")));
        queue.flush().unwrap();
        let last = *sink.records.lock().unwrap().last().unwrap();
        match delivery {
            Delivery::Block => assert_eq!(last, (12, 0)),
            _ => assert_eq!(last, (16, 5)),
        }
        assert_eq!(queue.lost(), 0, "it took none of those");
    }
}

#[test]
fn what_the_sink_loses_is_told_by_the_next_record() {
    let (sink, queue, authorizer) = queue(100, Delivery::CountLoss);
    sink.fails.store(true, Ordering::SeqCst);
    for _ in 0..7 {
        assert!(authorizer.is_allowed(&request("alice")));
    }
    queue.flush().unwrap();
    sink.fails.store(false, Ordering::SeqCst);
    assert!(authorizer.is_allowed(&request("alice")));
    queue.flush().unwrap();
    assert_eq!(*sink.records.lock().unwrap(), [(8, 7)]);
    assert_eq!(queue.lost(), 7);
    // Or, where none comes any more, at the end.
    sink.fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(authorizer.is_allowed(&request("alice")));
    }
    drop((queue, authorizer));
    assert_eq!(sink.losses.load(Ordering::SeqCst), 3);
}

#[test]
fn where_evidence_is_demanded_it_is_tried_until_it_is_kept() {
    for delivery in [Delivery::DenyIfNotKept, Delivery::Block] {
        let (sink, queue, authorizer) = queue(100, delivery);
        sink.fails.store(true, Ordering::SeqCst);
        assert!(authorizer.is_allowed(&request("alice")));
        if delivery == Delivery::DenyIfNotKept {
            wait_until("decisions are denies while the sink fails", || {
                !authorizer.is_allowed(&request("alice"))
            });
        } else {
            std::thread::sleep(Duration::from_millis(30));
            assert!(authorizer.is_allowed(&request("alice")));
        }
        sink.fails.store(false, Ordering::SeqCst);
        wait_until("decisions are allowed again", || {
            authorizer.is_allowed(&request("alice"))
        });
        queue.flush().unwrap();
        assert_eq!((queue.lost(), sink.sequence()[0]), (0, 1));
        let last = *sink.records.lock().unwrap().last().unwrap();
        assert_eq!(sink.accounted(), last.0);
    }
}

/// Not only once the queue is full: what it holds is in memory, and nobody knows whether it will ever be kept.
#[test]
fn a_failing_sink_denies_while_there_is_room() {
    const CAPACITY: usize = 1 << 16;
    let (sink, queue, authorizer) = queue(CAPACITY, Delivery::DenyIfNotKept);
    sink.fails.store(true, Ordering::SeqCst);
    let mut taken = 0;
    wait_until("decisions are denies", || {
        let is_allowed = authorizer.is_allowed(&request("alice"));
        taken += usize::from(is_allowed);
        !is_allowed
    });
    assert!(taken < CAPACITY, "only when it was full");
    for _ in 0..3 {
        let response = authorizer.is_authorized(&request("alice"));
        assert_eq!(response.outcome(), Outcome::EvidenceNotKept);
    }
    sink.fails.store(false, Ordering::SeqCst);
    wait_until("decisions are allowed again", || {
        authorizer.is_allowed(&request("alice"))
    });
    queue.flush().unwrap();
    assert_eq!((queue.lost(), sink.sequence().len()), (0, taken + 1));
}

#[test]
fn a_panicking_sink_loses_only_what_it_panics_at() {
    let (sink, queue, authorizer) = queue(1000, Delivery::DenyIfNotKept);
    sink.panics.store(10, Ordering::SeqCst);
    for _ in 0..95 {
        assert!(authorizer.is_allowed(&request("alice")));
    }
    queue.flush().unwrap();
    assert_eq!((sink.sequence().len(), queue.lost()), (86, 9));
    assert_eq!(sink.accounted(), 95);
}

/// Also behind a mask, which hands on what it had in hand when the sink panicked as if it had not.
#[test]
fn a_panicking_sink_behind_a_mask_loses_only_what_it_panics_at() {
    let sink = Arc::new(Moody::default());
    let masks = Masks::new().path("context.token", Mask::Drop).unwrap();
    let masked = MaskSink::new(Arc::clone(&sink), masks).unwrap();
    let (queue, authorizer) = queued(masked, 1000, Delivery::DenyIfNotKept);
    sink.panics.store(10, Ordering::SeqCst);
    // The first one holds up the others, so that they come together.
    sink.hold(true);
    for _ in 0..95 {
        assert!(authorizer.is_allowed(&request("alice")));
    }
    sink.hold(false);
    queue.flush().unwrap();
    assert_eq!((sink.sequence().len(), queue.lost()), (86, 9));
    assert_eq!(sink.accounted(), 95);
}

/// Whatever the threads do, every record is kept, or told as lost.
/// A sink behind a queue that asks the authorizer whose records it gets.
struct Asking {
    authorizer: Mutex<Option<Authorizer>>,
    queue: Mutex<Option<Arc<QueueSink>>>,
    asked: AtomicU64,
    flushed: Mutex<Vec<String>>,
}

impl DecisionSink for Asking {
    fn wants(&self) -> Wants {
        Wants::Decisions
    }

    fn record(&self, _: &DecisionRecord<'_>) -> Result<(), SinkError> {
        // The handles go before the decisions, so that with them the last of the queue may.
        let authorizer = self.authorizer.lock().unwrap().take();
        let queue = self.queue.lock().unwrap().take();
        if let Some(authorizer) = authorizer {
            for _ in 0..5 {
                let _ = authorizer.is_allowed(&request("alice"));
                self.asked.fetch_add(1, Ordering::SeqCst);
            }
        }
        if let Some(queue) = queue {
            let refused = queue.flush().unwrap_err().to_string();
            self.flushed.lock().unwrap().push(refused);
        }
        Ok(())
    }
}

#[test]
fn a_sink_that_uses_its_own_queue_does_not_wait_for_itself() {
    let asking = Arc::new(Asking {
        authorizer: Mutex::default(),
        queue: Mutex::default(),
        asked: AtomicU64::new(0),
        flushed: Mutex::default(),
    });
    let queue = QueueSink::with_delivery(Arc::clone(&asking), 1, Delivery::Block).unwrap();
    let queue = Arc::new(queue);
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .sink(Arc::clone(&queue))
        .build()
        .unwrap();
    *asking.queue.lock().unwrap() = Some(Arc::clone(&queue));
    *asking.authorizer.lock().unwrap() = Some(authorizer.clone());
    drop(queue);
    assert!(authorizer.is_allowed(&request("alice")));
    drop(authorizer);
    // The sink's thread has the last handles now, or had them: it ends without waiting for itself.
    wait_until("the sink has asked and let go", || {
        asking.asked.load(Ordering::SeqCst) == 5 && Arc::strong_count(&asking) == 1
    });
    let flushed = asking.flushed.lock().unwrap();
    assert!(flushed[0].contains("from another thread"), "{flushed:?}");
}

#[test]
fn a_flush_does_not_wait_for_ever_for_a_sink_that_fails() {
    let (sink, queue, authorizer) = queue(4, Delivery::DenyIfNotKept);
    sink.fails.store(true, Ordering::SeqCst);
    assert!(authorizer.is_allowed(&request("alice")));
    let begun = Instant::now();
    let error = queue.flush().unwrap_err().to_string();
    assert!(error.contains("tries again"), "{error}");
    assert!(begun.elapsed() >= Duration::from_secs(5));
    sink.fails.store(false, Ordering::SeqCst);
    queue.flush().unwrap();
    assert_eq!(sink.sequence(), [1]);
}

#[test]
fn a_queue_without_bound_is_refused() {
    for capacity in [(1 << 20) + 1, usize::MAX] {
        let made = QueueSink::with_delivery(MemorySink::new(1), capacity, Delivery::Block);
        let error = made.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[test]
fn losses_add_up_under_contention() {
    let (sink, queue, authorizer) = queue(64, Delivery::CountLoss);
    sink.panics.store(7, Ordering::SeqCst);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..2000).for_each(|_| assert!(authorizer.is_allowed(&request("alice"))))
            });
        }
    });
    queue.flush().unwrap();
    sink.panics.store(0, Ordering::SeqCst);
    // The last one is kept, and tells what the authorizer has not told yet.
    assert!(authorizer.is_allowed(&request("alice")));
    drop((queue, authorizer));
    assert_eq!(sink.accounted(), 8001);
}

#[test]
fn records_that_are_large_have_their_own_bound() {
    let (sink, queue, authorizer) = queue(1000, Delivery::CountLoss);
    sink.hold(true);
    let long = "x".repeat(1 << 19);
    let context = std::collections::BTreeMap::from([("long", &long)]);
    for _ in 0..200 {
        assert!(authorizer.is_allowed(&request("alice").context(&context)));
    }
    assert!(authorizer.is_allowed(&request("alice")));
    sink.hold(false);
    queue.flush().unwrap();
    let kept = sink.sequence().len();
    assert!((120..130).contains(&kept), "{kept}");
    assert_eq!(sink.accounted(), 201);
    // Room again.
    assert!(authorizer.is_allowed(&request("alice").context(&context)));
    queue.flush().unwrap();
    assert_eq!(sink.sequence().len(), kept + 1);
}

/// Where threads wait for room, they do for what large records may take, too. One that is larger than all of that waits for nothing.
#[test]
fn where_threads_wait_for_room_large_records_do() {
    let (sink, queue, authorizer) = queue(1000, Delivery::Block);
    sink.hold(true);
    let long = "x".repeat(1 << 19);
    let context = std::collections::BTreeMap::from([("long", &long)]);
    std::thread::scope(|scope| {
        let decides = scope.spawn(|| {
            for _ in 0..200 {
                assert!(authorizer.is_allowed(&request("alice").context(&context)));
            }
        });
        std::thread::sleep(Duration::from_millis(500));
        assert!(!decides.is_finished());
        sink.hold(false);
    });
    let longest = "x".repeat(65 << 20);
    assert!(authorizer.is_allowed(&request("alice").request_id(&longest)));
    queue.flush().unwrap();
    assert_eq!((sink.sequence().len(), queue.lost()), (200, 0));
    drop((queue, authorizer));
    assert_eq!(sink.accounted(), 201);
}

#[test]
fn a_log_behind_a_queue_has_everything_and_says_what_was_lost() {
    let scratch = Scratch::new();
    let log = DurableLog::options(scratch.path())
        .segment_bytes(100_000)
        .open()
        .unwrap();
    let queue = Arc::new(QueueSink::with_delivery(log, 50, Delivery::Block).unwrap());
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .sink(Arc::clone(&queue))
        .build()
        .unwrap();
    let long = "x".repeat(duramen::evidence::log::MAX_LINE_BYTES);
    let context = std::collections::BTreeMap::from([("long", EntityRef::new("User", &long))]);
    for number in 0..500 {
        let request = request("alice");
        let request = if number == 300 {
            request.context(&context)
        } else {
            request
        };
        assert!(authorizer.is_allowed(&request));
    }
    drop((queue, authorizer));
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!(
        (seen.finding(), seen.decisions(), seen.lost()),
        (None, 499, 1)
    );
}

/// What the log cannot keep is no line of it, however often it is tried. A client chooses how long a line gets: six bytes for
/// each control character, once for every hop.
#[test]
fn where_evidence_is_demanded_nothing_is_allowed_that_the_log_cannot_keep() {
    let scratch = Scratch::new();
    let log = DurableLog::open(scratch.path()).unwrap();
    let queue = Arc::new(QueueSink::new(log).unwrap());
    assert_eq!(queue.delivery(), Delivery::DenyIfNotKept);
    let authorizer = Authorizer::builder()
        .policies("permit(principal, action, resource);")
        .sink(Arc::clone(&queue))
        .build()
        .unwrap();
    let actors = [EntityUidRef::new("Agent", "bot")];
    let chain = Delegation::new(&actors);
    let context = std::collections::BTreeMap::from([("a", "\u{1}".repeat(800_000))]);
    let long = request("alice").context(&context);
    let response = authorizer.is_authorized(&long.delegation(&chain));
    assert_eq!(response.outcome(), Outcome::EvidenceNotKept);
    drop(response);
    let id = "x".repeat(duramen::evidence::log::MAX_LINE_BYTES);
    assert!(!authorizer.is_allowed(&request(&id)));
    // Large, and a line: kept when the decision is told, without waiting for the queue.
    let context = std::collections::BTreeMap::from([("a", "x".repeat(100_000))]);
    assert!(authorizer.is_allowed(&request("alice").context(&context)));
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!((seen.decisions(), queue.lost()), (1, 0));
    drop((queue, authorizer));
    assert!(verify(scratch.path(), None).unwrap().finding().is_none());
}

/// Takes the first batch when it is told to, so that the next one is long.
struct Gate {
    log: Arc<DurableLog>,
    open: Mutex<bool>,
    opened: Condvar,
}

impl DecisionSink for Gate {
    fn wants(&self) -> Wants {
        self.log.wants()
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        self.log.record(record)
    }

    fn record_batch(
        &self,
        records: &[DecisionRecord<'_>],
        kept: &mut usize,
    ) -> Result<(), SinkError> {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
        self.log.record_batch(records, kept)
    }
}

/// A mask hands records on in several calls.
#[test]
fn a_log_behind_a_mask_behind_a_queue_has_everything() {
    let scratch = Scratch::new();
    let gate = Arc::new(Gate {
        log: Arc::new(DurableLog::open(scratch.path()).unwrap()),
        open: Mutex::new(false),
        opened: Condvar::new(),
    });
    let masks = Masks::new().path("context.token", Mask::Drop).unwrap();
    let masked = MaskSink::new(Arc::clone(&gate), masks).unwrap();
    let queue = Arc::new(QueueSink::with_delivery(masked, 1000, Delivery::Block).unwrap());
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .sink(Arc::clone(&queue))
        .build()
        .unwrap();
    for _ in 0..700 {
        assert!(authorizer.is_allowed(&request("alice")));
    }
    *gate.open.lock().unwrap() = true;
    gate.opened.notify_all();
    queue.flush().unwrap();
    let seen = verify(scratch.path(), None).unwrap();
    assert_eq!(
        (seen.finding(), seen.decisions(), seen.lost()),
        (None, 700, 0)
    );
}

/// A sink that writes lines, to be read when nobody else has it any more.
type Writing = Arc<JsonLinesSink<Vec<u8>>>;

fn written(sink: Writing) -> String {
    let bytes = Arc::into_inner(sink).expect("nobody else has it");
    String::from_utf8(bytes.into_inner()).unwrap()
}

/// Every member that a record may have, as it is written without a queue.
#[test]
fn nothing_of_a_record_is_left_behind() {
    let [direct, queued] = [(); 2].map(|()| Arc::new(JsonLinesSink::new(Vec::new())));
    let queue = QueueSink::new(Arc::clone(&queued)).unwrap();
    let inner = QueueSink::new(FanOut::new().sink(queue)).unwrap();
    let sinks = FanOut::new().sink(Arc::clone(&direct)).sink(inner);
    let day = Duration::from_secs(86_400);
    let freshness = Freshness::new()
        .max_policy_age(day)
        .max_entity_age(day)
        .max_age_of_type("User", day);
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .freshness(freshness)
        .sink(sinks)
        .build()
        .unwrap();
    authorizer
        .set_shadow("forbid(principal, action, resource);")
        .unwrap();
    let view = request("alice").request_id("r").trace("t", "s");
    let actors = [EntityUidRef::new("Agent", "a")];
    let chain = Delegation::new(&actors).expires(std::time::SystemTime::now() + day);
    assert!(authorizer.is_allowed(&view.delegation(&chain)));
    assert!(!authorizer.is_allowed(&view.context_json("{")));
    let grant = authorizer.grant(&view).unwrap();
    assert!(grant.is_current_with_json("{}"));
    drop((grant, authorizer));
    let direct = written(direct);
    for member in [
        "ages",
        "request_id",
        "trace",
        "rechecks",
        "context",
        "inputs",
        "delegation",
        "enforced",
        "determining",
        "errors",
        "request_error",
    ] {
        assert!(direct.contains(&format!("\"{member}\":")), "no {member}");
    }
    assert_eq!(written(queued), direct);
}

proptest! {
    #![proptest_config(config(30))]

    /// What comes out of the queue is what went in.
    #[test]
    fn records_survive_the_queue(tape in tape()) {
        let (world, asks) = Tape::new(&tape).world();
        if world.oracle().is_err() {
            return Ok(());
        }
        let same = |record: &OwnedRecord| {
            let mut record = record.clone();
            record.id.clear();
            record.instance.clear();
            record.time = None;
            record.duration_ns = 0;
            record
        };
        let direct = Arc::new(MemorySink::new(1000));
        let queued = Arc::new(MemorySink::new(1000));
        // Two queues, so that copies are copied too.
        let inner = QueueSink::new(Arc::clone(&queued)).unwrap();
        let queue = QueueSink::with_delivery(inner, 1000, Delivery::Block).unwrap();
        let to_direct = world.builder().sink(Arc::clone(&direct)).build().unwrap();
        let to_queue = world.builder().sink(queue).build().unwrap();
        for ask in &asks {
            ask.with_request(|request| {
                for authorizer in [&to_direct, &to_queue] {
                    let request = request.request_id("r").trace("t", "s");
                    drop(authorizer.is_authorized(&request));
                    if let Ok(mut prepared) = authorizer.prepare(&request) {
                        drop(authorizer.is_authorized_prepared(&mut Memory::new(), &mut prepared));
                    }
                }
            });
        }
        drop(to_queue);
        let direct: Vec<_> = direct.records().iter().map(same).collect();
        let queued: Vec<_> = queued.records().iter().map(same).collect();
        prop_assert_eq!(direct, queued);
    }
}
