//! Records to several sinks, each with its own delivery class.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{DecisionRecord, DecisionSink, Delivery, SinkError, Wants};

/// Gives each record to several sinks, in the order in which they were added.
///
/// Each gets what it wants, and its delivery class holds for it alone: a sink that counts its losses does not deny, and
/// is told its own losses ([`DecisionRecord::lost_before`]), not those of others. A decision becomes a deny when a sink with
/// [`Delivery::DenyIfNotKept`] does not keep its record; the other sinks have their records then, of a decision that
/// would have been made.
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
        let mut failure = Ok(());
        for branch in &self.branches {
            let kept = branch.record(record);
            if branch.delivery == Delivery::DenyIfNotKept && failure.is_ok() {
                failure = kept;
            }
        }
        failure
    }

    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        self.each(|branch| {
            let untold = branch.untold.swap(0, Ordering::Relaxed);
            branch.sink.record_loss(lost.saturating_add(untold))
        })
    }

    fn flush(&self) -> Result<(), SinkError> {
        self.each(|branch| branch.sink.flush())
    }
}

impl FanOut {
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
    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        // What the authorizer has lost is what one of the branches lost, and each counts its own.
        let lost_before = self.untold.swap(0, Ordering::Relaxed);
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
}

impl fmt::Debug for FanOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOut")
            .field("sinks", &self.branches.len())
            .finish()
    }
}
