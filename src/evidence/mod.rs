//! Evidence: the record of a decision, and the plug that records go to.

pub mod log;
mod record;
mod sinks;

use std::fmt;

pub use record::{ContextView, DecisionRecord, RecordedError, RecordedPolicy};
pub use sinks::{
    JsonLinesSink, MemorySink, NoSink, OwnedPolicy, OwnedPolicyError, OwnedRecord, OwnedTraceIds,
};

/// What a sink wants to be told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Wants {
    /// Nothing: decisions are made as if there were no sink.
    Nothing,
    /// A record of every decision, without its context.
    Decisions,
    /// A record of every decision with all of its context, also what no policy can observe.
    DecisionsWithInputs,
}

/// What becomes of a decision whose record a sink could not keep.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Delivery {
    /// The decision stands; the loss is counted, and the next record that is kept tells how many are missing.
    #[default]
    CountLoss,
    /// Nothing is allowed without evidence: the decision is a deny with
    /// [`Outcome::EvidenceNotKept`](crate::Outcome::EvidenceNotKept).
    DenyIfNotKept,
}

/// Where decision records go.
///
/// A sink is called by the deciding thread, inside the decision, with a record that borrows from it: what
/// should outlive the call must be copied. It may be called by many threads at once.
///
/// ```
/// use duramen::evidence::{DecisionRecord, DecisionSink, SinkError, Wants};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// /// Counts denials.
/// struct Denials(AtomicU64);
///
/// impl DecisionSink for Denials {
///     fn wants(&self) -> Wants {
///         Wants::Decisions
///     }
///
///     fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
///         if record.decision() == duramen::Decision::Deny {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait DecisionSink: Send + Sync {
    /// What the sink wants to be told. Asked once, when the authorizer is built.
    fn wants(&self) -> Wants;

    /// What becomes of a decision whose record could not be kept. Asked once, when the authorizer is built.
    fn delivery(&self) -> Delivery {
        Delivery::CountLoss
    }

    /// Takes a record.
    ///
    /// # Errors
    /// When the record could not be kept. What that means for the decision, [`DecisionSink::delivery`] says. A
    /// sink that panics counts as one that failed.
    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError>;
}

/// A shared sink is a sink: the caller keeps one handle and the authorizer the other.
impl<S: DecisionSink + ?Sized> DecisionSink for std::sync::Arc<S> {
    fn wants(&self) -> Wants {
        (**self).wants()
    }

    fn delivery(&self) -> Delivery {
        (**self).delivery()
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        (**self).record(record)
    }
}

/// A record that a sink could not keep.
#[derive(Debug)]
pub struct SinkError {
    message: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl SinkError {
    /// A failure with its reason.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            source: None,
        }
    }

    pub(crate) fn because(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            message: None,
            source: Some(Box::new(source)),
        }
    }
}

impl From<std::io::Error> for SinkError {
    fn from(source: std::io::Error) -> Self {
        Self::because(source)
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.message, &self.source) {
            (Some(message), _) => f.write_str(message),
            (None, Some(source)) => write!(f, "the record could not be written: {source}"),
            (None, None) => f.write_str("the record could not be kept"),
        }
    }
}

impl std::error::Error for SinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
