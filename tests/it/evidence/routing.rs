//! Several sinks, and sinks of some of the records.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use duramen::evidence::{
    DecisionRecord, DecisionSink, Delivery, FanOut, FilterSink, MaskSink, Masks, MemorySink,
    NoSink, QueueSink, SinkError, Wants,
};
use duramen::{Builder, Outcome};

use super::*;

/// Notes sequence, losses and whether there are inputs.
struct Notes {
    wants: Wants,
    delivery: Delivery,
    fails: AtomicBool,
    panics: AtomicBool,
    seen: Mutex<Vec<(u64, u64, bool)>>,
    flushed: AtomicBool,
}

impl Notes {
    fn new(wants: Wants, delivery: Delivery) -> Arc<Self> {
        Arc::new(Self {
            wants,
            delivery,
            fails: AtomicBool::default(),
            panics: AtomicBool::default(),
            seen: Mutex::default(),
            flushed: AtomicBool::default(),
        })
    }
}

impl DecisionSink for Notes {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn delivery(&self) -> Delivery {
        self.delivery
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        assert!(
            !self.panics.load(Ordering::SeqCst),
            "a sink that panics, on purpose"
        );
        if self.fails.load(Ordering::SeqCst) {
            return Err(SinkError::new("not now"));
        }
        let seen = (
            record.sequence(),
            record.lost_before(),
            record.context().is_some(),
        );
        self.seen.lock().unwrap().push(seen);
        Ok(())
    }

    /// Noted as a record without a number.
    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        assert!(
            !self.panics.load(Ordering::SeqCst),
            "a sink that panics, on purpose"
        );
        self.seen.lock().unwrap().push((0, lost, false));
        Ok(())
    }

    fn flush(&self) -> Result<(), SinkError> {
        self.flushed.store(true, Ordering::SeqCst);
        match self.fails.load(Ordering::SeqCst) {
            true => Err(SinkError::new("not now")),
            false => Ok(()),
        }
    }
}

/// Offers what was not kept once more, as a queue does. What comes first it loses itself.
struct OffersTwice<S>(S, AtomicBool);

impl<S: DecisionSink> DecisionSink for OffersTwice<S> {
    fn wants(&self) -> Wants {
        self.0.wants()
    }

    fn delivery(&self) -> Delivery {
        self.0.delivery()
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        if !self.1.swap(true, Ordering::SeqCst) {
            return Err(SinkError::new("lost, on purpose"));
        }
        self.0.record(record).or_else(|_| self.0.record(record))
    }
}

/// Keeps every second record that it is offered, from the second on.
struct Hesitates(Arc<Notes>, AtomicBool);

impl DecisionSink for Hesitates {
    fn wants(&self) -> Wants {
        self.0.wants()
    }

    fn delivery(&self) -> Delivery {
        Delivery::DenyIfNotKept
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        match self.1.fetch_xor(true, Ordering::SeqCst) {
            true => self.0.record(record),
            false => Err(SinkError::new("not yet")),
        }
    }
}

#[test]
fn what_is_offered_again_is_kept_once_and_tells_each_loss_once() {
    let counts = Notes::new(Wants::Decisions, Delivery::CountLoss);
    let demands = Notes::new(Wants::Decisions, Delivery::DenyIfNotKept);
    let sinks = FanOut::new()
        .sink(Arc::clone(&counts))
        .sink(Hesitates(Arc::clone(&demands), AtomicBool::default()));
    let sinks = Arc::new(sinks);
    let offers = OffersTwice(Arc::clone(&sinks), AtomicBool::default());
    let authorizer = builder().sink(offers).build().unwrap();
    for _ in 0..3 {
        let _ = authorizer.is_authorized(&request("alice"));
    }
    for sink in [&counts, &demands] {
        assert_eq!(*sink.seen.lock().unwrap(), [(2, 1, false), (3, 0, false)]);
    }
    // What was kept in the end is no loss that is known already.
    sinks.record_loss(1).unwrap();
    assert_eq!(counts.seen.lock().unwrap()[2..], [(0, 1, false)]);
}

/// Another thread hands over a large record itself while a queue waits to offer one again.
struct HandsOverBetween {
    sinks: Arc<FanOut>,
    other: OnceLock<Authorizer>,
}

impl DecisionSink for HandsOverBetween {
    fn wants(&self) -> Wants {
        self.sinks.wants()
    }

    fn delivery(&self) -> Delivery {
        self.sinks.delivery()
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        self.sinks.record(record).or_else(|_| {
            assert!(!self.other.get().unwrap().is_allowed(&request("bob")));
            self.sinks.record(record)
        })
    }
}

#[test]
fn what_is_offered_again_is_known_whatever_comes_between() {
    let counts = Notes::new(Wants::Decisions, Delivery::CountLoss);
    let demands = Notes::new(Wants::Decisions, Delivery::DenyIfNotKept);
    // Refuses two, and what is offered then is the first of them.
    let refusals = Arc::new(AtomicU64::new(2));
    struct Refuses(Arc<Notes>, Arc<AtomicU64>);
    impl DecisionSink for Refuses {
        fn wants(&self) -> Wants {
            self.0.wants()
        }

        fn delivery(&self) -> Delivery {
            self.0.delivery()
        }

        fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
            let one_less = |left: u64| left.checked_sub(1);
            let refused = self
                .1
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
            match refused {
                Ok(_) => Err(SinkError::new("not now")),
                Err(_) => self.0.record(record),
            }
        }
    }
    let sinks = FanOut::new()
        .sink(Arc::clone(&counts))
        .sink(Refuses(Arc::clone(&demands), refusals));
    let sinks = Arc::new(sinks);
    let hands_over = Arc::new(HandsOverBetween {
        sinks: Arc::clone(&sinks),
        other: OnceLock::new(),
    });
    let other = builder().sink(Arc::clone(&sinks)).build().unwrap();
    assert!(hands_over.other.set(other).is_ok());
    let authorizer = builder().sink(Arc::clone(&hands_over)).build().unwrap();
    assert!(authorizer.is_allowed(&request("alice")));
    // Both first decisions are each authorizer's first.
    let seen = |sink: &Notes| sink.seen.lock().unwrap().clone();
    assert_eq!(seen(&counts), [(1, 0, false), (1, 0, false)]);
    assert_eq!(seen(&demands), [(1, 1, false)]);
    // What was kept in the end is no loss that is known already; the other's is.
    sinks.record_loss(2).unwrap();
    assert_eq!(seen(&counts)[2..], [(0, 1, false)]);
}

/// Also where very many wait to offer one again, such as queues that share the sinks.
#[test]
fn what_many_offer_again_is_known() {
    struct Shares {
        sinks: Arc<FanOut>,
        other: Option<Authorizer>,
    }

    impl DecisionSink for Shares {
        fn wants(&self) -> Wants {
            self.sinks.wants()
        }

        fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
            let refused = self.sinks.record(record);
            if let Some(other) = &self.other {
                assert!(other.is_allowed(&request("alice")));
            }
            refused.or_else(|_| self.sinks.record(record))
        }
    }

    const MANY: u64 = 100;
    let counts = Notes::new(Wants::Decisions, Delivery::CountLoss);
    let demands = Arc::new(Losses::default());
    demands.failures.store(MANY, Ordering::SeqCst);
    let sinks = Arc::new(
        FanOut::new()
            .sink(Arc::clone(&counts))
            .sink(Demands(demands)),
    );
    let sharers = (0..MANY).fold(None, |other, _| {
        let sinks = Arc::clone(&sinks);
        Some(builder().sink(Shares { sinks, other }).build().unwrap())
    });
    assert!(sharers.unwrap().is_allowed(&request("alice")));
    // Each is its authorizer's first.
    let seen = std::mem::take(&mut *counts.seen.lock().unwrap());
    assert_eq!(seen.len() as u64, MANY);
    assert!(seen.iter().all(|seen| *seen == (1, 0, false)), "{seen:?}");
    sinks.record_loss(1).unwrap();
    assert_eq!(*counts.seen.lock().unwrap(), [(0, 1, false)]);
}

/// What it is told of, and demands its records.
struct Demands(Arc<Losses>);

impl DecisionSink for Demands {
    fn wants(&self) -> Wants {
        Wants::Decisions
    }

    fn delivery(&self) -> Delivery {
        Delivery::DenyIfNotKept
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        self.0.record(record)
    }
}

/// Behind a queue a sink that waits for room, or demands its records, is offered again what it fails at; one that refuses a
/// record for what that is, is not, and hides no other.
#[test]
fn a_queue_offers_again_what_any_sink_may_still_keep() {
    for (delivery, panicking) in [
        (Delivery::Block, Delivery::Block),
        (Delivery::Block, Delivery::CountLoss),
        (Delivery::DenyIfNotKept, Delivery::DenyIfNotKept),
        (Delivery::DenyIfNotKept, Delivery::Block),
    ] {
        let refuses = Notes::new(Wants::Decisions, panicking);
        let fails = Notes::new(Wants::Decisions, delivery);
        let keeps = Notes::new(Wants::Decisions, delivery);
        refuses.panics.store(true, Ordering::SeqCst);
        fails.fails.store(true, Ordering::SeqCst);
        let offered = Arc::new(AtomicU64::new(0));
        struct Counts(Arc<Notes>, Arc<AtomicU64>);
        impl DecisionSink for Counts {
            fn wants(&self) -> Wants {
                self.0.wants()
            }
            fn delivery(&self) -> Delivery {
                self.0.delivery()
            }
            fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
                self.1.fetch_add(1, Ordering::SeqCst);
                self.0.record(record)
            }
        }
        let sinks = FanOut::new()
            .sink(Counts(Arc::clone(&refuses), Arc::clone(&offered)))
            .sink(Arc::clone(&fails))
            .sink(Arc::clone(&keeps));
        let queue = Arc::new(QueueSink::new(sinks).unwrap());
        let authorizer = builder().sink(Arc::clone(&queue)).build().unwrap();
        assert!(authorizer.is_allowed(&request("alice")));
        std::thread::sleep(Duration::from_millis(100));
        refuses.panics.store(false, Ordering::SeqCst);
        fails.fails.store(false, Ordering::SeqCst);
        queue.flush().unwrap();
        assert!(authorizer.is_allowed(&request("alice")));
        queue.flush().unwrap();
        let seen = |sink: &Notes| sink.seen.lock().unwrap().clone();
        let what = format!("{delivery:?}, {panicking:?}");
        assert_eq!(seen(&fails), [(1, 0, false), (2, 0, false)], "{what}");
        assert_eq!(seen(&keeps), [(1, 0, false), (2, 0, false)], "{what}");
        assert_eq!(seen(&refuses), [(2, 1, false)], "{what}");
        // What it panicked at was not offered to it again.
        assert_eq!(offered.load(Ordering::SeqCst), 2, "{what}");
        assert_eq!(queue.lost(), u64::from(panicking == delivery), "{what}");
    }
}

/// Of two sinks that demand their records, the one that was added first says why.
#[test]
fn the_first_failure_is_told() {
    struct Fails(&'static str);
    impl DecisionSink for Fails {
        fn wants(&self) -> Wants {
            Wants::Decisions
        }

        fn delivery(&self) -> Delivery {
            Delivery::DenyIfNotKept
        }

        fn record(&self, _: &DecisionRecord<'_>) -> Result<(), SinkError> {
            Err(SinkError::new(self.0))
        }
    }
    struct Tells(FanOut, Mutex<Vec<String>>);
    impl DecisionSink for Tells {
        fn wants(&self) -> Wants {
            self.0.wants()
        }

        fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
            let kept = self.0.record(record);
            let why = kept.as_ref().unwrap_err().to_string();
            self.1.lock().unwrap().push(why);
            kept
        }
    }
    let sinks = FanOut::new().sink(Fails("one")).sink(Fails("other"));
    let tells = Arc::new(Tells(sinks, Mutex::default()));
    let authorizer = builder().sink(Arc::clone(&tells)).build().unwrap();
    let _ = authorizer.is_authorized(&request("alice"));
    assert_eq!(*tells.1.lock().unwrap(), ["one"]);
}

#[test]
fn sinks_in_front_of_others_hand_on_what_is_no_record() {
    let notes = || Notes::new(Wants::Decisions, Delivery::Block);
    let all = [notes(), notes(), notes(), notes()];
    let [filtered, masked, fanned, failing] = all.each_ref().map(Arc::clone);
    failing.fails.store(true, Ordering::SeqCst);
    let sinks: [Box<dyn DecisionSink>; 3] = [
        Box::new(FilterSink::new(filtered, |_: &DecisionRecord<'_>| true)),
        Box::new(MaskSink::new(masked, Masks::new()).unwrap()),
        Box::new(FanOut::new().sink(failing).sink(fanned)),
    ];
    for sink in &sinks {
        assert_eq!(sink.delivery(), Delivery::Block);
        assert_eq!(sink.wants(), Wants::Decisions);
        sink.record_loss(2).unwrap();
    }
    // The failure of one keeps nothing from the others, and is told.
    let flushed = sinks.each_ref().map(|sink| sink.flush().is_ok());
    assert_eq!(flushed, [true, true, false]);
    for notes in &all {
        assert_eq!(*notes.seen.lock().unwrap(), [(0, 2, false)]);
        assert!(notes.flushed.load(Ordering::SeqCst));
    }
}

fn builder() -> Builder {
    Authorizer::builder().policies(POLICIES)
}

#[test]
fn each_sink_has_its_own_delivery_and_losses() {
    let counts = Notes::new(Wants::Decisions, Delivery::CountLoss);
    let demands = Notes::new(Wants::DecisionsWithInputs, Delivery::DenyIfNotKept);
    let sinks = FanOut::new()
        .sink(Arc::clone(&counts))
        .sink(NoSink)
        .sink(Arc::clone(&demands));
    assert_eq!(sinks.delivery(), Delivery::DenyIfNotKept);
    let authorizer = builder().sink(sinks).build().unwrap();
    let decide = || authorizer.is_authorized(&request("alice")).outcome();
    assert_eq!(decide(), Outcome::Allowed);
    counts.fails.store(true, Ordering::SeqCst);
    assert_eq!(decide(), Outcome::Allowed);
    counts.fails.store(false, Ordering::SeqCst);
    demands.fails.store(true, Ordering::SeqCst);
    assert_eq!(decide(), Outcome::EvidenceNotKept);
    demands.fails.store(false, Ordering::SeqCst);
    counts.panics.store(true, Ordering::SeqCst);
    assert_eq!(decide(), Outcome::Allowed);
    counts.panics.store(false, Ordering::SeqCst);
    assert_eq!(decide(), Outcome::Allowed);
    assert_eq!(
        *counts.seen.lock().unwrap(),
        [(1, 0, false), (3, 1, false), (5, 1, false)]
    );
    assert_eq!(
        *demands.seen.lock().unwrap(),
        [(1, 0, true), (2, 0, true), (4, 1, true), (5, 0, true)]
    );
}

/// What is told as lost tells each sink what it lost itself, and what nobody told it of.
#[test]
fn losses_are_told_to_those_who_do_not_know_of_them() {
    let counts = Notes::new(Wants::Decisions, Delivery::CountLoss);
    let demands = Notes::new(Wants::Decisions, Delivery::DenyIfNotKept);
    let sinks = FanOut::new().sink(Arc::clone(&counts));
    let sinks = Arc::new(sinks.sink(Arc::clone(&demands)));
    let authorizer = builder().sink(Arc::clone(&sinks)).build().unwrap();
    for (sink, lost, told) in [
        // The authorizer does not count it, and says that two others were lost.
        (
            &counts,
            2,
            [vec![(0, 3, false)], vec![(1, 0, false), (0, 2, false)]],
        ),
        // It does, and tells it with another one.
        (
            &demands,
            2,
            [vec![(2, 0, false), (0, 1, false)], vec![(0, 2, false)]],
        ),
    ] {
        sink.fails.store(true, Ordering::SeqCst);
        let _ = authorizer.is_authorized(&request("alice"));
        sink.fails.store(false, Ordering::SeqCst);
        sinks.record_loss(lost).unwrap();
        let seen = [&counts, &demands].map(|sink| std::mem::take(&mut *sink.seen.lock().unwrap()));
        assert_eq!(seen, told);
    }
}

/// Two authorizers number their decisions alike.
#[test]
fn a_record_of_another_instance_is_another_one() {
    let counts = Notes::new(Wants::Decisions, Delivery::CountLoss);
    let demands = Notes::new(Wants::Decisions, Delivery::DenyIfNotKept);
    let sinks = FanOut::new().sink(Arc::clone(&counts));
    let sinks = Arc::new(sinks.sink(Arc::clone(&demands)));
    demands.fails.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let authorizer = builder().sink(Arc::clone(&sinks)).build().unwrap();
        let outcome = authorizer.is_authorized(&request("alice")).outcome();
        assert_eq!(outcome, Outcome::EvidenceNotKept);
    }
    let seen = counts.seen.lock().unwrap();
    assert_eq!(seen.iter().filter(|(number, ..)| *number == 1).count(), 2);
}

#[test]
fn no_sinks_want_nothing() {
    assert_eq!(FanOut::new().wants(), Wants::Nothing);
    assert_eq!(FanOut::new().sink(NoSink).wants(), Wants::Nothing);
    let nothing = Notes::new(Wants::Nothing, Delivery::CountLoss);
    let all = Notes::new(Wants::Decisions, Delivery::CountLoss);
    let both = FanOut::new()
        .sink(Arc::clone(&nothing))
        .sink(Arc::clone(&all));
    let authorizer = builder().sink(both).build().unwrap();
    let _ = authorizer.is_authorized(&request("alice"));
    assert_eq!(nothing.seen.lock().unwrap().len(), 0);
    assert_eq!(all.seen.lock().unwrap().len(), 1);
    let blocks = FanOut::new()
        .sink(Notes::new(Wants::Decisions, Delivery::Block))
        .sink(Notes::new(Wants::Decisions, Delivery::CountLoss));
    assert_eq!(blocks.delivery(), Delivery::Block);
    let one = FanOut::new().sink(Notes::new(Wants::Decisions, Delivery::CountLoss));
    assert_eq!(
        (one.wants(), one.delivery()),
        (Wants::Decisions, Delivery::CountLoss)
    );
}

#[test]
fn samples_have_all_denials() {
    let memory = Arc::new(MemorySink::new(1000));
    let sample = FilterSink::sample(Arc::clone(&memory), NonZeroU64::new(10).unwrap());
    let authorizer = builder().sink(sample).build().unwrap();
    for number in 0..100 {
        let user = if number % 7 == 0 { "eve" } else { "alice" };
        let _ = authorizer.is_authorized(&request(user));
    }
    let expected: Vec<u64> = (1..=100)
        .filter(|n| (n - 1) % 7 == 0 || n % 10 == 0)
        .collect();
    let kept: Vec<u64> = memory
        .records()
        .iter()
        .map(|record| record.sequence)
        .collect();
    assert_eq!(kept, expected);
}

#[test]
fn what_is_left_out_hides_no_loss() {
    let notes = Notes::new(Wants::Decisions, Delivery::CountLoss);
    let only_eve = FilterSink::new(Arc::clone(&notes), |record: &DecisionRecord<'_>| {
        record.principal().id() == "eve"
    });
    let authorizer = builder().sink(only_eve).build().unwrap();
    notes.fails.store(true, Ordering::SeqCst);
    let _ = authorizer.is_authorized(&request("eve"));
    notes.fails.store(false, Ordering::SeqCst);
    // The authorizer tells it with this record, which the sink does not get.
    let _ = authorizer.is_authorized(&request("alice"));
    let _ = authorizer.is_authorized(&request("eve"));
    assert_eq!(*notes.seen.lock().unwrap(), [(3, 1, false)]);
    // What a record told that was not kept either, the next one tells.
    notes.fails.store(true, Ordering::SeqCst);
    for user in ["eve", "alice", "eve"] {
        let _ = authorizer.is_authorized(&request(user));
    }
    notes.fails.store(false, Ordering::SeqCst);
    let _ = authorizer.is_authorized(&request("eve"));
    assert_eq!(*notes.seen.lock().unwrap(), [(3, 1, false), (7, 2, false)]);
    // A sink that panics in between has not been told.
    notes.fails.store(true, Ordering::SeqCst);
    let _ = authorizer.is_authorized(&request("eve"));
    notes.fails.store(false, Ordering::SeqCst);
    let _ = authorizer.is_authorized(&request("alice"));
    notes.panics.store(true, Ordering::SeqCst);
    let _ = authorizer.is_authorized(&request("eve"));
    notes.panics.store(false, Ordering::SeqCst);
    let _ = authorizer.is_authorized(&request("eve"));
    assert_eq!(notes.seen.lock().unwrap()[2..], [(11, 2, false)]);
    // And what no record tells any more is told at the end.
    notes.fails.store(true, Ordering::SeqCst);
    let _ = authorizer.is_authorized(&request("eve"));
    notes.fails.store(false, Ordering::SeqCst);
    let _ = authorizer.is_authorized(&request("alice"));
    drop(authorizer);
    assert_eq!(notes.seen.lock().unwrap()[3..], [(0, 1, false)]);
}

/// Fails as often as it is told to, and counts the losses that it takes.
#[derive(Default)]
struct Losses {
    failures: AtomicU64,
    told: AtomicU64,
}

impl Losses {
    fn fails(&self) -> Result<(), SinkError> {
        let less = |failures: u64| failures.checked_sub(1);
        match self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        {
            Ok(_) => Err(SinkError::new("not now")),
            Err(_) => Ok(()),
        }
    }
}

impl DecisionSink for Losses {
    fn wants(&self) -> Wants {
        Wants::Decisions
    }

    fn record(&self, _: &DecisionRecord<'_>) -> Result<(), SinkError> {
        self.fails()
    }

    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        self.fails()?;
        self.told.fetch_add(lost, Ordering::SeqCst);
        Ok(())
    }
}

/// Nor does what a filter is told of losses alone, also where that fails.
#[test]
fn losses_are_told_with_those_that_were_left_out() {
    let losses = Arc::new(Losses::default());
    let only_eve = FilterSink::new(Arc::clone(&losses), |record: &DecisionRecord<'_>| {
        record.principal().id() == "eve"
    });
    let only_eve = Arc::new(only_eve);
    let authorizer = builder().sink(Arc::clone(&only_eve)).build().unwrap();
    losses.failures.store(2, Ordering::SeqCst);
    let _ = authorizer.is_authorized(&request("eve"));
    // It tells of one loss, and is left out.
    let _ = authorizer.is_authorized(&request("alice"));
    // Whoever tells of two more learns that they are not kept; the first is still the filter's to tell.
    assert!(only_eve.record_loss(2).is_err());
    assert_eq!(losses.told.load(Ordering::SeqCst), 0);
    assert!(only_eve.record_loss(2).is_ok());
    assert_eq!(losses.told.load(Ordering::SeqCst), 3);
    assert!(only_eve.record_loss(1).is_ok());
    assert_eq!(losses.told.load(Ordering::SeqCst), 4);
}

/// A fan-out tells a sink again what it did not take, and the others nothing twice.
#[test]
fn losses_that_one_sink_does_not_take_are_told_to_it_again() {
    let (failing, other) = (Arc::new(Losses::default()), Arc::new(Losses::default()));
    let panics = Notes::new(Wants::Decisions, Delivery::CountLoss);
    panics.panics.store(true, Ordering::SeqCst);
    let told = || [&failing, &other].map(|losses| losses.told.load(Ordering::SeqCst));
    let sinks = FanOut::new()
        .sink(Arc::clone(&panics))
        .sink(Arc::clone(&failing))
        .sink(Arc::clone(&other));
    let sinks = Arc::new(sinks);
    let authorizer = builder().sink(Arc::clone(&sinks)).build().unwrap();
    failing.failures.store(2, Ordering::SeqCst);
    // Lost by one sink, which has it still to be told when the other losses are.
    let _ = authorizer.is_authorized(&request("alice"));
    assert!(sinks.record_loss(2).is_ok());
    assert_eq!(told(), [0, 2]);
    assert!(sinks.record_loss(4).is_ok());
    assert_eq!(told(), [7, 6]);
    // The last is told when nobody decides any more.
    failing.failures.store(1, Ordering::SeqCst);
    assert!(sinks.record_loss(1).is_ok());
    assert_eq!(told(), [7, 7]);
    drop((authorizer, sinks));
    assert_eq!(told(), [8, 7]);
}

/// Offers what was not kept once more, and tells of other losses in between.
struct TellsBetween(Arc<FanOut>);

impl DecisionSink for TellsBetween {
    fn wants(&self) -> Wants {
        self.0.wants()
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        self.0.record(record).or_else(|_| {
            self.0.record_loss(1)?;
            self.0.record(record)
        })
    }
}

/// What a sink was told of as lost, and is offered again all the same, is no loss that could be taken back.
#[test]
fn losses_that_were_told_are_not_taken_back() {
    let demands = Notes::new(Wants::Decisions, Delivery::DenyIfNotKept);
    let sinks = FanOut::new().sink(Hesitates(Arc::clone(&demands), AtomicBool::default()));
    let sinks = TellsBetween(Arc::new(sinks));
    let authorizer = builder().sink(sinks).build().unwrap();
    assert!(authorizer.is_allowed(&request("alice")));
    assert_eq!(*demands.seen.lock().unwrap(), [(1, 0, false)]);
}
