//! Sinks that fail, panic and stall, in each delivery class, alone, in a fan-out and behind a queue: decisions stay what
//! they are, and every record is kept once or counted as lost.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use duramen::evidence::{
    DecisionRecord, DecisionSink, Delivery, FanOut, FilterSink, MaskSink, Masks, QueueSink,
    SinkError, Wants,
};
use duramen::{Decision, Outcome};

use super::*;

/// What a sink does instead of keeping a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Instead {
    Fail,
    Panic,
    Stall,
}

struct Unruly {
    delivery: Delivery,
    instead: Mutex<Option<Instead>>,
    behaves: Condvar,
    kept: Mutex<Vec<u64>>,
    /// As the records that were kept told it.
    lost: Mutex<u64>,
}

impl Unruly {
    fn new(delivery: Delivery, instead: Option<Instead>) -> Arc<Self> {
        Arc::new(Self {
            delivery,
            instead: Mutex::new(instead),
            behaves: Condvar::new(),
            kept: Mutex::default(),
            lost: Mutex::default(),
        })
    }

    fn behave(&self) {
        *self.instead.lock().unwrap() = None;
        self.behaves.notify_all();
    }

    /// How many of the records it has or knows to be lost.
    fn accounted(&self) -> u64 {
        let kept = self.kept.lock().unwrap();
        let distinct: BTreeSet<_> = kept.iter().collect();
        assert_eq!(distinct.len(), kept.len(), "kept twice: {kept:?}");
        kept.len() as u64 + *self.lost.lock().unwrap()
    }
}

impl DecisionSink for Unruly {
    fn wants(&self) -> Wants {
        Wants::DecisionsWithInputs
    }

    fn delivery(&self) -> Delivery {
        self.delivery
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        let mut instead = self.instead.lock().unwrap();
        while *instead == Some(Instead::Stall) {
            instead = self.behaves.wait(instead).unwrap();
        }
        let instead = {
            let now = *instead;
            drop(instead);
            now.filter(|_| record.sequence() % 3 == 0)
        };
        match instead {
            Some(Instead::Fail) => return Err(SinkError::new("not now")),
            Some(Instead::Panic) => panic!("a sink that panics, on purpose"),
            Some(Instead::Stall) | None => {}
        }
        self.kept.lock().unwrap().push(record.sequence());
        *self.lost.lock().unwrap() += record.lost_before();
        Ok(())
    }

    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        *self.lost.lock().unwrap() += lost;
        Ok(())
    }
}

/// Where the sink stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Alone,
    InFanOut,
    BehindQueue,
    QueueInFanOut,
    FanOutBehindQueue,
}

/// So small that a sink that stalls fills it.
const CAPACITY: usize = 4;

fn authorizer_with(place: Place, sink: Arc<Unruly>, other: &Arc<Unruly>) -> Authorizer {
    let delivery = sink.delivery;
    let queue = |sink: FanOut| QueueSink::with_delivery(sink, CAPACITY, delivery).unwrap();
    let alone = || FanOut::new().sink(Arc::clone(&sink));
    let both = || {
        FanOut::new()
            .sink(Arc::clone(other))
            .sink(Arc::clone(&sink))
    };
    let builder = Authorizer::builder().policies(POLICIES);
    let builder = match place {
        Place::Alone => builder.sink(Arc::clone(&sink)),
        Place::InFanOut => builder.sink(both()),
        Place::BehindQueue => {
            builder.sink(QueueSink::with_delivery(Arc::clone(&sink), CAPACITY, delivery).unwrap())
        }
        Place::QueueInFanOut => {
            builder.sink(FanOut::new().sink(Arc::clone(other)).sink(queue(alone())))
        }
        Place::FanOutBehindQueue => builder.sink(queue(both())),
    };
    builder.build().unwrap()
}

/// The decisions that are asked for, and what they are.
fn decide(authorizer: &Authorizer, number: usize) -> (Outcome, Outcome) {
    let edit = Request::new(("User", "bob"), ("Action", "edit"), ("Doc", "d"));
    let (asked, is) = match number % 4 {
        0 | 1 => (request("alice"), Outcome::Allowed),
        2 => (request("eve"), Outcome::Forbidden),
        _ => (edit, Outcome::NoPermit),
    };
    let response = authorizer.is_authorized(&asked);
    // What was found stays to be read, whatever became of the record.
    assert_eq!(response.determining().len(), usize::from(number % 4 < 3));
    (response.outcome(), is)
}

fn try_out(place: Place, delivery: Delivery, instead: Instead) {
    const DECISIONS: usize = 24;
    let what = format!("{instead:?} under {delivery:?}, {place:?}");
    let sink = Unruly::new(delivery, Some(instead));
    let other = Unruly::new(Delivery::CountLoss, None);
    let authorizer = authorizer_with(place, Arc::clone(&sink), &other);
    let mut denied = 0;
    let mut check = |(outcome, is): (Outcome, Outcome)| {
        if outcome == Outcome::EvidenceNotKept && delivery == Delivery::DenyIfNotKept {
            assert_eq!(is, Outcome::Allowed, "{what}");
            assert_eq!(outcome.decision(), Decision::Deny);
            denied += 1;
        } else {
            assert_eq!(outcome, is, "{what}");
        }
        outcome == is
    };
    std::thread::scope(|scope| {
        let deciding = scope.spawn(|| {
            let numbers = 0..DECISIONS;
            numbers
                .map(|number| decide(&authorizer, number))
                .collect::<Vec<_>>()
        });
        // Whoever waits for the sink goes on once it behaves.
        std::thread::sleep(Duration::from_millis(15));
        sink.behave();
        for decided in deciding.join().unwrap() {
            check(decided);
        }
    });
    // With the sink as it should be, decisions soon are too; a queue may have something to try again first.
    let mut total = DECISIONS as u64;
    let began = Instant::now();
    loop {
        total += 1;
        if check(decide(&authorizer, 0)) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(authorizer);
    assert_eq!(sink.accounted(), total, "{what}");
    if matches!(place, Place::InFanOut | Place::QueueInFanOut) {
        // Who stands beside it has everything.
        assert_eq!(other.kept.lock().unwrap().len() as u64, total, "{what}");
    }
    if place == Place::FanOutBehindQueue && delivery == Delivery::Block {
        assert_eq!(other.kept.lock().unwrap().len() as u64, total, "{what}");
    }
    let waits = instead == Instead::Stall && place == Place::Alone;
    if delivery == Delivery::DenyIfNotKept && place == Place::Alone && !waits {
        assert!(denied > 0, "{what}");
    }
    if delivery != Delivery::CountLoss && place == Place::BehindQueue && instead != Instead::Panic {
        // Tried again until it was kept: what was taken was not lost.
        let taken = total - denied;
        assert!(
            sink.kept.lock().unwrap().len() as u64 >= taken.min(CAPACITY as u64),
            "{what}"
        );
    }
}

#[test]
fn a_sink_that_misbehaves_changes_no_decision_and_hides_no_loss() {
    for place in [
        Place::Alone,
        Place::InFanOut,
        Place::BehindQueue,
        Place::QueueInFanOut,
        Place::FanOutBehindQueue,
    ] {
        for delivery in [
            Delivery::CountLoss,
            Delivery::Block,
            Delivery::DenyIfNotKept,
        ] {
            for instead in [Instead::Fail, Instead::Panic, Instead::Stall] {
                try_out(place, delivery, instead);
            }
        }
    }
}

/// A queue offers again what was not kept: who has kept it already must not get it twice.
#[test]
fn who_has_kept_a_record_does_not_get_it_again() {
    let sink = Unruly::new(Delivery::DenyIfNotKept, Some(Instead::Fail));
    let other = Unruly::new(Delivery::CountLoss, None);
    let authorizer = authorizer_with(Place::FanOutBehindQueue, Arc::clone(&sink), &other);
    for number in 0..3 {
        decide(&authorizer, number);
    }
    // Some attempts at the third.
    std::thread::sleep(Duration::from_millis(50));
    sink.behave();
    drop(authorizer);
    assert_eq!(*sink.kept.lock().unwrap(), [1, 2, 3]);
    assert_eq!(*other.kept.lock().unwrap(), [1, 2, 3]);
}

/// Records are masked many at a time: behind one that was not kept, no other may be.
#[test]
fn masked_records_are_kept_in_their_order() {
    const RECORDS: usize = 200;
    let sink = Unruly::new(Delivery::Block, Some(Instead::Stall));
    let masked = MaskSink::new(Arc::clone(&sink), Masks::new()).unwrap();
    let queue = QueueSink::with_delivery(masked, RECORDS, Delivery::Block).unwrap();
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .sink(queue)
        .build()
        .unwrap();
    for number in 0..RECORDS {
        decide(&authorizer, number);
    }
    *sink.instead.lock().unwrap() = Some(Instead::Fail);
    sink.behaves.notify_all();
    // Some attempts at the third.
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(*sink.kept.lock().unwrap(), [1, 2]);
    sink.behave();
    drop(authorizer);
    let all: Vec<_> = (1..=RECORDS as u64).collect();
    assert_eq!(*sink.kept.lock().unwrap(), all);
}

/// Losses that were told with records that a filter left out, and no record after them.
#[test]
fn a_filter_tells_at_its_end_what_it_could_not_tell_before() {
    let sink = Unruly::new(Delivery::CountLoss, Some(Instead::Fail));
    let filter = FilterSink::new(Arc::clone(&sink), |record: &DecisionRecord<'_>| {
        record.sequence() != 4
    });
    let authorizer = Authorizer::builder()
        .policies(POLICIES)
        .sink(filter)
        .build()
        .unwrap();
    for number in 0..4 {
        decide(&authorizer, number);
    }
    assert_eq!(*sink.kept.lock().unwrap(), [1, 2]);
    assert_eq!(*sink.lost.lock().unwrap(), 0);
    drop(authorizer);
    assert_eq!(*sink.lost.lock().unwrap(), 1);
}
