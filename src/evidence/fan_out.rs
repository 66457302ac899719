//! Records to several sinks, each with its own delivery class.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{DecisionRecord, DecisionSink, Delivery, SinkError, Wants};

/// Gives each record to several sinks, in the order in which they were added.
///
/// Each gets what it wants, and its delivery class holds for it alone: a sink that counts its losses does not deny, and
/// is told its own losses ([`DecisionRecord::lost_before`]), not those of others. A decision becomes a deny when a sink with
/// [`Delivery::DenyIfNotKept`] does not keep its record; the other sinks have their records then, of a decision that
/// would have been made. Losses that a sink is told of and does not take are told to it again, with its next record or at the end.
///
/// Behind a queue that offers again what was not kept ([`QueueSink`](super::QueueSink)), only those sinks get it again that may still
/// keep it. It does so where a sink of the strictest class of all failed, and not only at what the record is: beside one with
/// [`Delivery::DenyIfNotKept`], one with [`Delivery::Block`] counts its losses, as decisions would be denied for it otherwise. Give it
/// a queue of its own.
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
    refused: Mutex<Expected>,
}

/// How long a record that was not kept is expected again, and how many are at most. Each queue offers one again, and deciding threads
/// none of theirs; nobody says which is which. Of more than these, sinks may get the oldest twice.
const EXPECTED_FOR: Duration = Duration::from_secs(10);
const MOST_EXPECTED: usize = 4096;

/// Records that were not kept as they should have been. A queue offers one again before long, and deciding threads may have handed
/// over others meanwhile.
#[derive(Default)]
struct Expected {
    records: HashMap<Key, Refused>,
    /// When each was refused, the oldest first; also of some that were offered again since.
    order: VecDeque<(Instant, Key)>,
}

impl Expected {
    fn forget_old(&mut self) {
        while let Some((at, key)) = self.order.front() {
            let is_expected = self.records.get(key).is_some_and(|known| known.at == *at);
            if is_expected && at.elapsed() <= EXPECTED_FOR {
                break;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((at, key)) = self.order.pop_front()
            && self.records.get(&key).is_some_and(|known| known.at == at)
        {
            self.records.remove(&key);
        }
    }

    fn add(&mut self, key: Key, refused: Refused) {
        while self.records.len() >= MOST_EXPECTED || self.order.len() >= 2 * MOST_EXPECTED {
            self.forget_oldest();
        }
        self.order.push_back((refused.at, key));
        self.records.insert(key, refused);
    }
}

/// The instance and the number of a record.
type Key = ([u8; 32], u64);

fn key(record: &DecisionRecord<'_>) -> Option<Key> {
    Some((record.instance.as_bytes().try_into().ok()?, record.sequence))
}

/// What is known of such a record.
#[derive(Clone, Copy)]
struct Refused {
    at: Instant,
    /// What was reported as lost with it.
    reported: u64,
    tried: Tried,
}

/// What became of a record so far.
#[derive(Clone, Copy, Default)]
struct Tried {
    /// A bit for each sink that is not offered it again: it has kept it, or will not, because of what the record is.
    done: u64,
    /// Whether one of these has not kept it that should have.
    is_lost: bool,
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
        let (mut tried, lost) = match before {
            Some(refused) => (refused.tried, 0),
            None => (Tried::default(), self.not_reported(record.lost_before)),
        };
        let strictest = self.delivery();
        let (mut failure, mut lost_for) = (None, None);
        for (at, branch) in self.branches.iter().enumerate() {
            // No bit is left for the 65th sink: it may get a record twice.
            let bit = u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at));
            let bit = bit.unwrap_or(0);
            if tried.done & bit != 0 {
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
            let demands = branch.delivery == strictest && strictest != Delivery::CountLoss;
            match kept {
                Ok(()) => tried.done |= bit,
                Err(error) if error.concerns_only_the_record() => {
                    tried.done |= bit;
                    tried.is_lost |= demands;
                    lost_for = lost_for.or(demands.then_some(error));
                }
                Err(error) => failure = failure.or(demands.then_some(error)),
            }
        }
        // One for which it is worth being offered again, if there is one.
        let failure = failure.or(lost_for);
        let failure = failure.or_else(|| tried.is_lost.then(refused_for_good));
        match failure {
            Some(failure) => {
                self.refuse(record, tried);
                Err(failure)
            }
            None => Ok(()),
        }
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
        let key = key(record)?;
        let mut refused = self.refused();
        let same = refused.records.remove(&key);
        refused.forget_old();
        self.has_refused
            .store(!refused.records.is_empty(), Ordering::Relaxed);
        drop(refused);
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
    fn refuse(&self, record: &DecisionRecord<'_>, tried: Tried) {
        let reported = record.lost_before.saturating_add(1);
        self.reported.fetch_add(reported, Ordering::Relaxed);
        let Some(key) = key(record) else { return };
        let at = Instant::now();
        let mut refused = self.refused();
        refused.add(
            key,
            Refused {
                at,
                reported,
                tried,
            },
        );
        self.has_refused.store(true, Ordering::Relaxed);
    }

    fn refused(&self) -> MutexGuard<'_, Expected> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Of a record that was offered again for others: it is not to be once more.
#[cold]
fn refused_for_good() -> SinkError {
    SinkError::of_this_record("a sink has refused the record for what it is")
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
