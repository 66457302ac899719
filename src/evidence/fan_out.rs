//! Records to several sinks, each with its own delivery class.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{DecisionRecord, DecisionSink, Delivery, SinkError, Wants};

/// Gives each record to several sinks, in the order in which they were added.
///
/// Each gets what it wants, and its delivery class holds for it alone: a sink that counts its losses does not deny, and
/// is told its own losses ([`DecisionRecord::lost_before`]), not those of others. A decision becomes a deny when a sink with
/// [`Delivery::DenyIfNotKept`] does not keep its record; the other sinks have their records then, of a decision that
/// would have been made. Behind a queue that offers again what was not kept, those sinks do not get it again. Losses that a sink
/// is told of and does not take are told to it again, with its next record or at the end.
///
/// ```
/// use duramen::evidence::{FanOut, JsonLinesSink, MemorySink};
/// use duramen::Authorizer;
///
/// let sinks = FanOut::new()
///     .sink(MemorySink::new(100))
///     .sink(JsonLinesSink::new(std::io::sink()).without_inputs());
/// let authorizer = Authorizer::builder().sink(sinks).build()?;
/// # Ok::<(), duramen::BuildError>(())
/// ```
#[derive(Default)]
pub struct FanOut {
    branches: Vec<Branch>,
    /// What whoever hands over the records counts as lost because one of the sinks did not keep it. Of the losses that
    /// records tell, these are known to the sinks that had them, and the others are not: a queue was full, for example.
    reported: AtomicU64,
    /// Whether there is one in `refused`: a look at it for each record would be a lock.
    has_refused: AtomicBool,
    refused: Mutex<VecDeque<Refused>>,
}

/// How long a record that was not kept is expected again, and how many are at most.
const EXPECTED_FOR: Duration = Duration::from_secs(10);
const MOST_EXPECTED: usize = 64;

/// A record that was not kept as it should have been. A queue offers it again before long, and deciding threads may have handed over
/// others meanwhile.
#[derive(Clone, Copy)]
struct Refused {
    at: Instant,
    instance: [u8; 32],
    sequence: u64,
    /// What was reported as lost with it.
    reported: u64,
    /// A bit for each sink that has kept it.
    kept: u64,
}

struct Branch {
    sink: Box<dyn DecisionSink>,
    wants: Wants,
    delivery: Delivery,
    /// Records that it lost and has not been told of.
    untold: AtomicU64,
}

impl FanOut {
    /// No sinks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sink.
    #[must_use]
    pub fn sink(mut self, sink: impl DecisionSink + 'static) -> Self {
        let (wants, delivery) = (sink.wants(), sink.delivery());
        // One that wants nothing is not asked again.
        if wants > Wants::Nothing {
            self.branches.push(Branch {
                sink: Box::new(sink),
                wants,
                delivery,
                untold: AtomicU64::new(0),
            });
        }
        self
    }
}

impl DecisionSink for FanOut {
    fn wants(&self) -> Wants {
        let wants = self.branches.iter().map(|branch| branch.wants);
        wants.max().unwrap_or(Wants::Nothing)
    }

    fn delivery(&self) -> Delivery {
        let demands = |delivery| {
            self.branches
                .iter()
                .any(|branch| branch.delivery == delivery)
        };
        if demands(Delivery::DenyIfNotKept) {
            Delivery::DenyIfNotKept
        } else if demands(Delivery::Block) {
            Delivery::Block
        } else {
            Delivery::CountLoss
        }
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        let before = self.refused_before(record);
        let (mut kept_by, lost) = match before {
            Some(refused) => (refused.kept, 0),
            None => (0, self.not_reported(record.lost_before)),
        };
        let mut failure = Ok(());
        for (at, branch) in self.branches.iter().enumerate() {
            // No bit is left for the 65th sink: it may get a record twice.
            let bit = u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at));
            let bit = bit.unwrap_or(0);
            if kept_by & bit != 0 {
                continue;
            }
            if before.is_some() {
                // Then it was counted as lost. Another thread may have told so since.
                let one_less = |untold: u64| untold.checked_sub(1);
                let _ = branch
                    .untold
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
            }
            let kept = branch.record(record, lost);
            if kept.is_ok() {
                kept_by |= bit;
            } else if branch.delivery == Delivery::DenyIfNotKept && failure.is_ok() {
                failure = kept;
            }
        }
        if failure.is_err() {
            self.refuse(record, kept_by);
        }
        failure
    }

    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        let lost = self.not_reported(lost);
        for branch in &self.branches {
            branch.record_loss(lost);
        }
        // What a sink did not take is told to it again. A failure would have whoever tells it do so too, to all.
        Ok(())
    }

    fn flush(&self) -> Result<(), SinkError> {
        self.each(|branch| branch.sink.flush())
    }
}

impl FanOut {
    /// Of so many losses, those that no sink knows of.
    fn not_reported(&self, lost: u64) -> u64 {
        if lost == 0 {
            return 0;
        }
        let before = self
            .reported
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reported| {
                Some(reported.saturating_sub(lost))
            });
        lost.saturating_sub(before.unwrap_or_else(|reported| reported))
    }

    /// What became of the record when it was offered before, if it was.
    fn refused_before(&self, record: &DecisionRecord<'_>) -> Option<Refused> {
        if !self.has_refused.load(Ordering::Relaxed) {
            return None;
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let same = refused.iter().position(|refused| {
            refused.sequence == record.sequence
                && refused.instance.as_slice() == record.instance.as_bytes()
        });
        let same = same.and_then(|at| refused.remove(at));
        while refused
            .front()
            .is_some_and(|oldest| oldest.at.elapsed() > EXPECTED_FOR)
        {
            refused.pop_front();
        }
        self.has_refused
            .store(!refused.is_empty(), Ordering::Relaxed);
        let same = same?;
        // Not lost after all.
        let _ = self
            .reported
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reported| {
                Some(reported.saturating_sub(same.reported))
            });
        Some(same)
    }

    #[cold]
    fn refuse(&self, record: &DecisionRecord<'_>, kept: u64) {
        let reported = record.lost_before.saturating_add(1);
        self.reported.fetch_add(reported, Ordering::Relaxed);
        let Ok(instance) = record.instance.as_bytes().try_into() else {
            return;
        };
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() == MOST_EXPECTED {
            refused.pop_front();
        }
        refused.push_back(Refused {
            at: Instant::now(),
            instance,
            sequence: record.sequence,
            reported,
            kept,
        });
        self.has_refused.store(true, Ordering::Relaxed);
    }

    /// The first failure of any, after all were called.
    fn each(&self, call: impl Fn(&Branch) -> Result<(), SinkError>) -> Result<(), SinkError> {
        let mut all = Ok(());
        for branch in &self.branches {
            let done = call(branch);
            if all.is_ok() {
                all = done;
            }
        }
        all
    }
}

impl Branch {
    /// `lost` are the losses before it that no sink counts as its own.
    fn record(&self, record: &DecisionRecord<'_>, lost: u64) -> Result<(), SinkError> {
        let untold = self.untold.swap(0, Ordering::Relaxed);
        let lost_before = untold.saturating_add(lost);
        let own = DecisionRecord {
            lost_before,
            ..record.reduced_to(self.wants)
        };
        // The panic of one must not keep the record from the others.
        let kept = catch_unwind(AssertUnwindSafe(|| self.sink.record(&own)))
            .unwrap_or_else(|_| Err(SinkError::of_this_record("the sink panicked")));
        if kept.is_err() {
            self.untold
                .fetch_add(lost_before.saturating_add(1), Ordering::Relaxed);
        }
        kept
    }

    /// What the sink does not take it is told with its next record, or at the end.
    fn record_loss(&self, lost: u64) {
        let untold = self.untold.swap(0, Ordering::Relaxed);
        let lost = untold.saturating_add(lost);
        if lost == 0 {
            return;
        }
        let told = catch_unwind(AssertUnwindSafe(|| self.sink.record_loss(lost)));
        if !matches!(told, Ok(Ok(()))) {
            self.untold.fetch_add(lost, Ordering::Relaxed);
        }
    }
}

/// What a sink lost last, and no record tells any more.
impl Drop for FanOut {
    fn drop(&mut self) {
        for branch in &self.branches {
            // Nobody is left to be told if that fails.
            branch.record_loss(0);
        }
    }
}

impl fmt::Debug for FanOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOut")
            .field("sinks", &self.branches.len())
            .finish()
    }
}
