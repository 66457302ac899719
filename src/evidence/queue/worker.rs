//! The thread behind the queue: hands records to the sink, in batches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::{DecisionRecord, DecisionSink, Delivery, SinkError};
use super::slot::{SMALL, Slot};
use super::{Shared, deadline};

/// Records handed over at once.
const BATCH: usize = 256;

/// How long the worker rests when there is nothing to do, at most.
const REST: Duration = Duration::from_millis(1);

/// And at least: the queue must not run full meanwhile.
const SHORT_REST: Duration = Duration::from_micros(60);

/// After how long without a record it sleeps until it is woken: short rests would cost an idle process, waking it costs
/// deciding threads.
const AWAKE: Duration = Duration::from_millis(100);

/// How long it sleeps at most, as it may miss being woken.
const SLEEP: Duration = Duration::from_millis(100);

/// How long it waits before it tries again what failed.
const RETRY: Duration = Duration::from_millis(10);

pub(super) struct Worker {
    shared: Arc<Shared>,
    sink: Arc<dyn DecisionSink>,
    delivery: Delivery,
    batch: Vec<Slot>,
    /// Records that were lost and that no record that was kept has told of yet.
    untold: u64,
    /// How long the next rest is.
    rest: Duration,
    /// When to give up, once the queue is closed.
    gives_up: Option<Instant>,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        sink: Arc<dyn DecisionSink>,
        delivery: Delivery,
    ) -> Self {
        Self {
            shared,
            sink,
            delivery,
            batch: Vec::with_capacity(BATCH),
            untold: 0,
            rest: REST,
            gives_up: None,
        }
    }

    pub(super) fn run(mut self) {
        let mut busy = Instant::now();
        loop {
            // Looked at before the queue is: what was taken before they were asked is in it.
            let closed = self.shared.closed.load(Ordering::Acquire);
            let asked = self.shared.flushes().asked;
            let mut left = self.shared.full.len();
            let found = left;
            while left > 0 {
                let handed_over = self.hand_over_batch();
                if handed_over == 0 {
                    break;
                }
                left = left.saturating_sub(handed_over);
            }
            self.flush(asked);
            if closed && self.shared.full.is_empty() {
                break;
            }
            if found > 0 {
                busy = Instant::now();
                self.pace(found);
            } else {
                self.rest(busy);
            }
        }
        self.end();
    }

    /// Takes what waits, up to a batch, and hands it to the sink; how much it was.
    fn hand_over_batch(&mut self) -> usize {
        let mut batch = std::mem::take(&mut self.batch);
        let full = &self.shared.full;
        batch.extend(std::iter::from_fn(|| full.pop()).take(BATCH));
        self.hand_over(&batch);
        let count = batch.len();
        for mut slot in batch.drain(..) {
            let bytes = slot.bytes();
            if bytes > SMALL {
                slot.shrink();
                self.shared.large.fetch_sub(bytes, Ordering::Relaxed);
            }
            self.shared.give_back(slot);
        }
        self.batch = batch;
        if self.shared.waiting.load(Ordering::SeqCst) > 0 {
            self.shared.changed.notify_all();
        }
        count
    }

    fn hand_over(&mut self, batch: &[Slot]) {
        self.count_losses_before();
        let requests: Vec<_> = batch.iter().map(|slot| slot.request()).collect();
        let mut records: Vec<_> = batch
            .iter()
            .zip(&requests)
            .filter_map(|(slot, request)| slot.record(request))
            .collect();
        let mut rest = &mut records[..];
        while let Some(first) = rest.first_mut() {
            let own = first.lost_before;
            first.lost_before = own.saturating_add(self.untold);
            let (kept, failure) = self.offer(rest);
            if kept > 0 {
                self.untold = 0;
            }
            rest = rest.get_mut(kept..).unwrap_or_default();
            let Some(first) = rest.first_mut() else { break };
            if kept == 0 {
                first.lost_before = own;
            }
            if self.tries_again(failure.as_ref()) {
                self.shared.failing.store(true, Ordering::Relaxed);
                std::thread::park_timeout(RETRY);
                continue;
            }
            self.untold = self
                .untold
                .saturating_add(first.lost_before)
                .saturating_add(1);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            rest = rest.get_mut(1..).unwrap_or_default();
        }
        self.shared.failing.store(false, Ordering::Relaxed);
    }

    /// Offers records to the sink: how many of them, from the first on, it has kept, and what was wrong with the next.
    fn offer(&self, records: &[DecisionRecord<'_>]) -> (usize, Option<SinkError>) {
        let mut kept = 0;
        // A sink is foreign code: its panic must not take the evidence that comes after with it.
        let offered = catch_unwind(AssertUnwindSafe(|| {
            self.sink.record_batch(records, &mut kept)
        }));
        match offered {
            Ok(Ok(())) => (records.len(), None),
            Ok(Err(error)) => (kept.min(records.len()), Some(error)),
            Err(_) => {
                let error = SinkError::of_this_record("the sink panicked");
                (kept.min(records.len()), Some(error))
            }
        }
    }

    /// Whether a record that was not kept is offered again.
    fn tries_again(&mut self, failure: Option<&SinkError>) -> bool {
        if self.delivery == Delivery::CountLoss
            || failure.is_some_and(SinkError::concerns_only_the_record)
        {
            return false;
        }
        if !self.shared.closed.load(Ordering::Acquire) {
            return true;
        }
        Instant::now() < *self.gives_up.get_or_insert_with(deadline)
    }

    fn flush(&self, asked: u64) {
        if self.shared.flushes().done >= asked {
            return;
        }
        let failed = self.flush_sink().err();
        let mut flushes = self.shared.flushes();
        flushes.done = asked;
        flushes.failed = failed.map(|error| error.with_sources());
        drop(flushes);
        self.shared.changed.notify_all();
    }

    fn flush_sink(&self) -> Result<(), SinkError> {
        catch_unwind(AssertUnwindSafe(|| self.sink.flush()))
            .unwrap_or_else(|_| Err(SinkError::new("the sink panicked")))
    }

    /// Rests less where records have filled much of the queue meanwhile, and more where they have not.
    fn pace(&mut self, found: usize) {
        let capacity = self.shared.full.capacity();
        if found > capacity / 4 {
            self.rest = (self.rest / 2).max(SHORT_REST);
        } else if found < capacity / 16 {
            self.rest = (self.rest * 2).min(REST);
        }
    }

    fn rest(&self, busy: Instant) {
        if busy.elapsed() < AWAKE {
            std::thread::park_timeout(self.rest);
            return;
        }
        self.forget_epochs();
        self.shared.asleep.store(true, Ordering::SeqCst);
        if self.shared.full.is_empty() && !self.shared.closed.load(Ordering::SeqCst) {
            std::thread::park_timeout(SLEEP);
        }
        self.shared.asleep.store(false, Ordering::Relaxed);
    }

    /// Free slots let go of policies and entities: an idle queue must not keep in memory what was replaced.
    fn forget_epochs(&self) {
        for _ in 0..self.shared.free.len() {
            let Some(mut slot) = self.shared.free.pop() else {
                break;
            };
            slot.forget();
            self.shared.give_back(slot);
        }
    }

    fn count_losses_before(&mut self) {
        let lost = self.shared.lost_before.swap(0, Ordering::Relaxed);
        self.untold = self.untold.saturating_add(lost);
    }

    fn end(&mut self) {
        self.count_losses_before();
        if self.untold > 0 {
            // Nobody is left to be told if that fails.
            let _ = catch_unwind(AssertUnwindSafe(|| self.sink.record_loss(self.untold)));
        }
        let _ = self.flush_sink();
        self.shared.flushes().worker_gone = true;
        self.shared.changed.notify_all();
    }
}
