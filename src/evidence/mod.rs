//! Evidence: the record of a decision, and the plug that records go to.
//!
//! | sink | does |
//! |---|---|
//! | [`log::DurableLog`] | keeps records on disk, chained by hashes that show tampering |
//! | [`JsonLinesSink`] | writes each record as a line of JSON |
//! | [`MemorySink`] | keeps the last records, for tests |
//! | [`NoSink`] | wants nothing |
//! | [`QueueSink`] | puts a queue and a thread in front of a sink |
//! | [`FanOut`] | gives records to several sinks |
//! | [`FilterSink`] | gives a sink some of the records |
//! | `TracingSink` (feature `tracing`) | emits an event for each decision |
//! | `MetricsSink` (feature `metrics`) | counts decisions, errors and losses through the `metrics` facade |
//! | `ocsf::OcsfSink` (feature `ocsf`) | writes each record as an event of the Open Cybersecurity Schema Framework |
//! | [`MaskSink`] | gives a sink records in which values are left out or replaced by keyed digests |
//!
//! Anything else is an implementation of [`DecisionSink`]. What becomes of a decision whose record cannot be kept is the
//! sink's [`Delivery`] class.

mod ages;
mod context;
mod copied;
mod delegation;
mod fan_out;
mod fields;
mod filter;
mod inputs;
mod json;
mod line;
mod list;
pub mod log;
mod mask;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "ocsf")]
pub mod ocsf;
mod owned;
mod pieces;
mod queue;
mod record;
mod sinks;
mod texts;
#[cfg(feature = "tracing")]
mod tracing;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub(crate) use ages::Ages;
pub use ages::AgesView;
pub use context::ContextView;
pub(crate) use context::{EscapedDatetime, EscapedEntity, call};
pub(crate) use delegation::{HopInputs, Hops};
pub use delegation::{RecordedDelegation, RecordedHop};
pub use fan_out::FanOut;
pub(crate) use fields::{ESCAPES, cedar_record, field_name, is_escape, written_field};
pub use filter::{Filter, FilterSink, Sample};
pub(crate) use inputs::EntityInputs;
pub use inputs::InputsView;
pub(crate) use mask::{Hidden, path_text};
pub use mask::{Mask, MaskError, MaskSink, Masks};
#[cfg(feature = "metrics")]
pub use metrics::MetricsSink;
pub use owned::{
    OwnedAges, OwnedDelegation, OwnedHop, OwnedInputs, OwnedPolicy, OwnedPolicyError, OwnedRecord,
    OwnedTraceIds,
};
pub use queue::QueueSink;
pub use record::{DecisionId, DecisionRecord, Enforced, RecordedError, RecordedPolicy};
pub use sinks::{JsonLinesSink, MemorySink, NoSink};
#[cfg(feature = "tracing")]
pub use tracing::TracingSink;

/// What a sink wants to be told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Wants {
    /// Nothing: decisions are made as if there were no sink.
    Nothing,
    /// A record of every decision, without its inputs.
    Decisions,
    /// A record of every decision with its inputs: all of its context, also what no policy can observe, and what was read of
    /// entities.
    DecisionsWithInputs,
}

/// What becomes of a decision whose record a sink could not keep.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Delivery {
    /// The decision stands; the loss is counted, and the next record that is kept tells how many are missing.
    #[default]
    CountLoss,
    /// As long as there is no room for the record, the sink keeps the deciding thread waiting. Where it has to give up, the
    /// loss is counted. Only sinks that have something to wait for do: see [`QueueSink`].
    Block,
    /// Nothing is allowed without evidence: the decision is a deny with
    /// [`Outcome::EvidenceNotKept`](crate::Outcome::EvidenceNotKept).
    DenyIfNotKept,
}

/// Where decision records go.
///
/// A sink is called by the deciding thread, inside the decision, with a record that borrows from it: what
/// should outlive the call must be copied. It may be called by many threads at once. It may use the authorizer, to decide and
/// to update: what it decides leaves records too, so it has to know when to stop.
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

    /// Takes several records, in order, and counts in `kept`, which is 0 at first, those that it has kept, from the first on: also
    /// when it fails or panics at one of them. Then the ones behind that one have not been looked at. When it returns `Ok`, all are
    /// kept.
    ///
    /// What a [`QueueSink`] calls. Sinks that can do better than one by one implement it. One that hands records on in several calls
    /// gives each a count of its own, and adds them up.
    ///
    /// # Errors
    /// When the record after those that were counted could not be kept.
    fn record_batch(
        &self,
        records: &[DecisionRecord<'_>],
        kept: &mut usize,
    ) -> Result<(), SinkError> {
        for record in records {
            self.record(record)?;
            *kept += 1;
        }
        Ok(())
    }

    /// Is told of records that were lost when there is no record any more to tell it: when the authorizer is dropped, and
    /// when what stands before the sink is.
    ///
    /// # Errors
    /// When that could not be kept. A sink that has no place for it ignores it.
    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        let _ = lost;
        Ok(())
    }

    /// Brings what was taken to where it is safe, as far as the sink can.
    ///
    /// # Errors
    /// When that is not sure.
    fn flush(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

macro_rules! handles {
    ($($(#[$doc:meta])* $handle:ident;)*) => {
        $(
            $(#[$doc])*
            impl<S: DecisionSink + ?Sized> DecisionSink for $handle<S> {
                fn wants(&self) -> Wants {
                    (**self).wants()
                }

                fn delivery(&self) -> Delivery {
                    (**self).delivery()
                }

                fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
                    (**self).record(record)
                }

                fn record_batch(
                    &self,
                    records: &[DecisionRecord<'_>],
                    kept: &mut usize,
                ) -> Result<(), SinkError> {
                    (**self).record_batch(records, kept)
                }

                fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
                    (**self).record_loss(lost)
                }

                fn flush(&self) -> Result<(), SinkError> {
                    (**self).flush()
                }
            }
        )*
    };
}

handles! {
    /// A shared sink is a sink: the caller keeps one handle and the authorizer the other.
    Arc;
    /// A sink that is chosen when the program runs.
    Box;
}

/// A record that a sink could not keep.
#[derive(Debug)]
pub struct SinkError {
    message: Cow<'static, str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    only_the_record: bool,
}

impl SinkError {
    /// A failure with its reason.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            source: None,
            only_the_record: false,
        }
    }

    /// A failure that has to do with this record alone: to try it again is no use, and others may be kept.
    pub fn of_this_record(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            only_the_record: true,
            ..Self::new(message)
        }
    }

    /// Whether the failure has to do with the record alone.
    pub fn concerns_only_the_record(&self) -> bool {
        self.only_the_record
    }

    /// The error and what it comes from, for whoever cannot have the sources themselves.
    fn with_sources(&self) -> String {
        let mut text = self.message.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    }

    pub(crate) fn because(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            source: Some(Box::new(source)),
            ..Self::new("the record could not be written")
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
        f.write_str(&self.message)
    }
}

impl std::error::Error for SinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
