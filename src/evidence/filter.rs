//! Some of the records.

use std::fmt;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::decision::Decision;

use super::{DecisionRecord, DecisionSink, Delivery, SinkError, Wants};

/// Gives a sink only those records that a condition holds for.
///
/// What is left out is not lost: no loss is counted, and no decision denied for it. So the sequence numbers that arrive
/// have holes, and only [`DecisionRecord::lost_before`] tells losses. A filter *behind* a queue spares the sink, one
/// *before* it the queue.
///
/// ```
/// use std::num::NonZeroU64;
///
/// use duramen::evidence::{DecisionRecord, FilterSink, MemorySink};
///
/// // All denials, and each hundredth of the allowed.
/// let sampled = FilterSink::sample(MemorySink::new(100), NonZeroU64::new(100).unwrap());
/// // One action.
/// let deletions = FilterSink::new(MemorySink::new(100), |record: &DecisionRecord<'_>| {
///     record.action().id() == "delete"
/// });
/// ```
pub struct FilterSink<S: DecisionSink, F = Sample> {
    sink: S,
    keep: F,
    untold: Untold,
}

/// Losses that were told with records that were left out, and that the next one has to tell.
#[derive(Debug, Default)]
pub(super) struct Untold(AtomicU64);

impl Untold {
    /// Keeps in mind what a record tells that is left out.
    pub(super) fn leave_out(&self, record: &DecisionRecord<'_>) {
        if record.lost_before() > 0 {
            self.0.fetch_add(record.lost_before(), Ordering::Relaxed);
        }
    }

    /// Hands on what tells of the losses. They stay untold where that fails.
    pub(super) fn tell(
        &self,
        hand_on: impl FnOnce(u64) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let mut told = Told {
            by: self,
            losses: self.0.swap(0, Ordering::Relaxed),
        };
        let kept = hand_on(told.losses);
        if kept.is_ok() {
            told.losses = 0;
        }
        kept
    }

    /// The same with a record, which then tells them as its own.
    pub(super) fn tell_with(
        &self,
        record: &DecisionRecord<'_>,
        hand_on: impl FnOnce(&DecisionRecord<'_>) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        self.tell(|untold| {
            hand_on(&DecisionRecord {
                lost_before: record.lost_before.saturating_add(untold),
                ..*record
            })
        })
    }
}

/// Losses that are being told: what is left of them when this is dropped is untold again, also where a sink has panicked.
struct Told<'u> {
    by: &'u Untold,
    losses: u64,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.by.0.fetch_add(self.losses, Ordering::Relaxed);
    }
}

/// A condition on records.
pub trait Filter: Send + Sync {
    /// Whether the sink is to have the record. Called by the deciding thread.
    fn keeps(&self, record: &DecisionRecord<'_>) -> bool;
}

impl<F: Fn(&DecisionRecord<'_>) -> bool + Send + Sync> Filter for F {
    fn keeps(&self, record: &DecisionRecord<'_>) -> bool {
        self(record)
    }
}

/// The condition of [`FilterSink::sample`].
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    one_in: NonZeroU64,
}

impl Filter for Sample {
    /// By number, not by chance: whoever knows the numbers that are there knows which are to be.
    fn keeps(&self, record: &DecisionRecord<'_>) -> bool {
        record.decision() == Decision::Deny || record.sequence().is_multiple_of(self.one_in.get())
    }
}

impl<S: DecisionSink> FilterSink<S> {
    /// All denials, and of the allowed decisions those whose sequence number `one_in` divides.
    pub fn sample(sink: S, one_in: NonZeroU64) -> Self {
        Self::new(sink, Sample { one_in })
    }
}

impl<S: DecisionSink, F: Filter> FilterSink<S, F> {
    /// Those that `keep` holds for.
    pub fn new(sink: S, keep: F) -> Self {
        Self {
            sink,
            keep,
            untold: Untold::default(),
        }
    }
}

impl<S: DecisionSink, F: Filter> DecisionSink for FilterSink<S, F> {
    fn wants(&self) -> Wants {
        self.sink.wants()
    }

    fn delivery(&self) -> Delivery {
        self.sink.delivery()
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        if !self.keep.keeps(record) {
            self.untold.leave_out(record);
            return Ok(());
        }
        let untold = &self.untold;
        untold.tell_with(record, |record| self.sink.record(record))
    }

    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        self.untold
            .tell(|untold| self.sink.record_loss(lost.saturating_add(untold)))
    }

    fn flush(&self) -> Result<(), SinkError> {
        self.sink.flush()
    }
}

/// What was told with records that were left out, and no record tells any more.
impl<S: DecisionSink, F> Drop for FilterSink<S, F> {
    fn drop(&mut self) {
        let untold = *self.untold.0.get_mut();
        if untold > 0 {
            // Nobody is left to be told if that fails.
            let _ = catch_unwind(AssertUnwindSafe(|| self.sink.record_loss(untold)));
        }
    }
}

impl<S: DecisionSink + fmt::Debug, F> fmt::Debug for FilterSink<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterSink")
            .field("sink", &self.sink)
            .finish_non_exhaustive()
    }
}
