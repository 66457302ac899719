//! Records as metrics.

use std::fmt;

use ::metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};

use crate::decision::{Decision, Effect, EnforcementMode, Outcome};
use crate::value::ErrorKind;

use super::{DecisionRecord, DecisionSink, SinkError, Wants};

/// Counts decisions, through the facade crate [`metrics`](::metrics). Feature `metrics`.
///
/// | metric | kind, unit | labels | counts |
/// |---|---|---|---|
/// | `duramen_decisions_total` | counter | `decision` (`allow`, `deny`), `outcome` (see [`Outcome::as_str`]) | decisions |
/// | `duramen_determining_policies_total` | counter | `effect` (`permit`, `forbid`) | policies that decisions rested on |
/// | `duramen_policy_errors_total` | counter | `kind` (see [`ErrorKind::as_str`]) | evaluations of policies that failed |
/// | `duramen_records_lost_total` | counter | | records that were not kept before one that was |
/// | `duramen_shadow_differences_total` | counter | `decision` (that of the shadow) | decisions that a shadow makes otherwise; they are in none of the others |
/// | `duramen_decision_duration_seconds` | histogram, seconds | | what decisions took, without the sink |
/// | `duramen_epoch` | gauge | | the version of policies and entities that the last decision was made on |
/// | `duramen_entity_revision` | gauge | | the revision of the entities that it was made on |
///
/// Labels have few values: ids of policies and entities are none, since each would be a time series of its own. For those
/// there are the records.
///
/// The metrics are registered when the sink is made, with the recorder that is there then: install the recorder first. A
/// record costs a few atomic additions, and does not allocate as far as the recorder does not.
///
/// ```
/// use duramen::evidence::{FanOut, MemorySink, MetricsSink};
/// use duramen::Authorizer;
///
/// // Metrics beside the records themselves.
/// let sinks = FanOut::new().sink(MetricsSink::new()).sink(MemorySink::new(100));
/// let authorizer = Authorizer::builder().sink(sinks).build()?;
/// # Ok::<(), duramen::BuildError>(())
/// ```
pub struct MetricsSink {
    decisions: [Counter; Outcome::ALL.len()],
    permits: Counter,
    forbids: Counter,
    errors: [Counter; ErrorKind::ALL.len()],
    lost: Counter,
    newly_allowed: Counter,
    newly_denied: Counter,
    duration: Histogram,
    epoch: Gauge,
    entity_revision: Gauge,
}

impl MetricsSink {
    /// Registers the metrics with the recorder that is installed.
    pub fn new() -> Self {
        describe();
        Self {
            decisions: Outcome::ALL.map(|outcome| {
                let decision = match outcome.decision() {
                    Decision::Allow => "allow",
                    Decision::Deny => "deny",
                };
                counter!("duramen_decisions_total", "decision" => decision, "outcome" => outcome.as_str())
            }),
            permits: counter!("duramen_determining_policies_total", "effect" => "permit"),
            forbids: counter!("duramen_determining_policies_total", "effect" => "forbid"),
            errors: ErrorKind::ALL
                .map(|kind| counter!("duramen_policy_errors_total", "kind" => kind.as_str())),
            lost: counter!("duramen_records_lost_total"),
            newly_allowed: counter!("duramen_shadow_differences_total", "decision" => "allow"),
            newly_denied: counter!("duramen_shadow_differences_total", "decision" => "deny"),
            duration: histogram!("duramen_decision_duration_seconds"),
            epoch: gauge!("duramen_epoch"),
            entity_revision: gauge!("duramen_entity_revision"),
        }
    }
}

// Counters are found by number.
const _: () = {
    let mut at = 0;
    while at < Outcome::ALL.len() {
        assert!(Outcome::ALL[at] as usize == at);
        at += 1;
    }
    let mut at = 0;
    while at < ErrorKind::ALL.len() {
        assert!(ErrorKind::ALL[at] as usize == at);
        at += 1;
    }
};

fn describe() {
    use ::metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("duramen_decisions_total", Unit::Count, "Decisions.");
    describe_counter!(
        "duramen_determining_policies_total",
        Unit::Count,
        "Policies that decisions rested on."
    );
    describe_counter!(
        "duramen_policy_errors_total",
        Unit::Count,
        "Evaluations of policies that failed."
    );
    describe_counter!(
        "duramen_records_lost_total",
        Unit::Count,
        "Decision records that were not kept."
    );
    describe_counter!(
        "duramen_shadow_differences_total",
        Unit::Count,
        "Decisions that a shadow makes otherwise."
    );
    describe_histogram!(
        "duramen_decision_duration_seconds",
        Unit::Seconds,
        "What decisions took, without the sink."
    );
    describe_gauge!(
        "duramen_epoch",
        Unit::Count,
        "The version of policies and entities of the last decision."
    );
    describe_gauge!(
        "duramen_entity_revision",
        Unit::Count,
        "The revision of the entities of the last decision."
    );
}

impl Default for MetricsSink {
    fn default() -> Self {
        Self::new()
    }
}

impl DecisionSink for MetricsSink {
    fn wants(&self) -> Wants {
        Wants::Decisions
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        if record.lost_before() > 0 {
            self.lost.increment(record.lost_before());
        }
        if record.mode() == EnforcementMode::Shadow {
            match record.decision() {
                Decision::Allow => self.newly_allowed.increment(1),
                Decision::Deny => self.newly_denied.increment(1),
            }
            return Ok(());
        }
        if let Some(decisions) = self.decisions.get(record.outcome() as usize) {
            decisions.increment(1);
        }
        for policy in record.determining() {
            match policy.effect() {
                Effect::Permit => self.permits.increment(1),
                Effect::Forbid => self.forbids.increment(1),
            }
        }
        for error in record.errors() {
            if let Some(errors) = self.errors.get(error.kind() as usize) {
                errors.increment(1);
            }
        }
        self.duration.record(record.duration());
        let version = record.version();
        self.epoch.set(version.epoch() as f64);
        self.entity_revision.set(version.entity_revision() as f64);
        Ok(())
    }

    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        self.lost.increment(lost);
        Ok(())
    }
}

impl fmt::Debug for MetricsSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsSink").finish_non_exhaustive()
    }
}
