//! Records as `tracing` events.

use std::fmt;

use ::tracing::level_filters::STATIC_MAX_LEVEL;
use ::tracing::{Level, event};

use crate::decision::Decision;

use super::{DecisionRecord, DecisionSink, SinkError, Wants};

/// Emits an event for each decision, through [`tracing`](::tracing). Feature `tracing`.
///
/// The event is named `duramen.decision` and has the target `duramen::decision`. Denials are as much a part of normal work
/// as what is allowed, so that both have the level `INFO` unless told otherwise.
///
/// | field | is | absent |
/// |---|---|---|
/// | `duramen.decision` | `allow` or `deny` | never |
/// | `duramen.outcome` | why; see [`Outcome::as_str`](crate::Outcome::as_str) | never |
/// | `duramen.mode` | `shadow`: the decision of a shadow, which nobody was told | in what is enforced |
/// | `duramen.principal`, `duramen.action`, `duramen.resource` | as Cedar writes them: `User::"alice"` | never |
/// | `duramen.duration_ns` | what the decision took, without the sink | never |
/// | `duramen.epoch` | [`Version::epoch`](crate::Version::epoch) | never |
/// | `duramen.policy_errors` | how many policies could not be evaluated | never |
/// | `duramen.records_lost` | how many records were lost before this one | when none were |
/// | `duramen.request_id` | the caller's id of the request | when there is none |
/// | `duramen.trace_id`, `duramen.span_id` | those of the request, which need not be those of the span that is entered | when there are none |
/// | `log.record.uid` | the decision's id, [`DecisionRecord::id`] | never |
/// | `security_rule.name` | ids of the determining policies, joined by commas | when there are none |
/// | `security_rule.version` | digest of the policies, hexadecimal | never |
/// | `error.type` | the kind of the first policy's error, or `invalid_request` | when nothing failed |
///
/// OpenTelemetry has no conventions for authorization. So the fields are in a namespace of their own, but for those that
/// its conventions have a word for: the last four. An event carries ids of entities: filter it where those must not go.
///
/// While nobody listens to its level, a decision pays for its record and a look at that. Where the level is compiled out
/// (`max_level_…`, `release_max_level_…`), the sink wants nothing.
///
/// ```
/// use duramen::evidence::TracingSink;
/// use duramen::Authorizer;
/// use tracing::Level;
///
/// let sink = TracingSink::new().allow_level(Level::DEBUG);
/// let authorizer = Authorizer::builder().sink(sink).build()?;
/// # Ok::<(), duramen::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TracingSink {
    allow: Level,
    deny: Level,
}

impl TracingSink {
    /// A sink whose events have the level `INFO`.
    pub fn new() -> Self {
        Self {
            allow: Level::INFO,
            deny: Level::INFO,
        }
    }

    /// The level of what is allowed.
    #[must_use]
    pub fn allow_level(mut self, level: Level) -> Self {
        self.allow = level;
        self
    }

    /// The level of what is denied.
    #[must_use]
    pub fn deny_level(mut self, level: Level) -> Self {
        self.deny = level;
        self
    }
}

impl Default for TracingSink {
    fn default() -> Self {
        Self::new()
    }
}

impl DecisionSink for TracingSink {
    fn wants(&self) -> Wants {
        if self.allow > STATIC_MAX_LEVEL && self.deny > STATIC_MAX_LEVEL {
            return Wants::Nothing;
        }
        Wants::Decisions
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        // The level is part of what is known of an event before it is: one for each.
        macro_rules! emit {
            ($level:ident) => {
                event!(
                    name: "duramen.decision",
                    target: "duramen::decision",
                    Level::$level,
                    duramen.decision = %record.decision(),
                    duramen.outcome = record.outcome().as_str(),
                    duramen.mode = record.enforced().map(|_| "shadow"),
                    duramen.principal = %record.principal(),
                    duramen.action = %record.action(),
                    duramen.resource = %record.resource(),
                    duramen.duration_ns = nanoseconds(record),
                    duramen.epoch = record.version().epoch(),
                    duramen.policy_errors = record.errors().len(),
                    duramen.records_lost = Some(record.lost_before()).filter(|lost| *lost > 0),
                    duramen.request_id = record.request_id(),
                    duramen.trace_id = record.trace().map(|trace| trace.trace_id()),
                    duramen.span_id = record.trace().map(|trace| trace.span_id()),
                    log.record.uid = %record.id(),
                    security_rule.name = rules(record).as_ref().map(::tracing::field::display),
                    security_rule.version = %record.version().policies(),
                    error.type = error(record),
                )
            };
        }
        let level = match record.decision() {
            Decision::Allow => self.allow,
            Decision::Deny => self.deny,
        };
        match level {
            Level::ERROR => emit!(ERROR),
            Level::WARN => emit!(WARN),
            Level::INFO => emit!(INFO),
            Level::DEBUG => emit!(DEBUG),
            Level::TRACE => emit!(TRACE),
        }
        Ok(())
    }
}

fn nanoseconds(record: &DecisionRecord<'_>) -> u64 {
    u64::try_from(record.duration().as_nanos()).unwrap_or(u64::MAX)
}

fn rules<'r>(record: &'r DecisionRecord<'r>) -> Option<Rules<'r>> {
    (record.determining().len() > 0).then_some(Rules(record))
}

fn error(record: &DecisionRecord<'_>) -> Option<&'static str> {
    if record.request_error().is_some() {
        return Some("invalid_request");
    }
    let mut errors = record.errors();
    errors.next().map(|error| error.kind().as_str())
}

/// The ids of the determining policies, joined by commas.
struct Rules<'r>(&'r DecisionRecord<'r>);

impl fmt::Display for Rules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, policy) in self.0.determining().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            fmt::Display::fmt(policy.id(), f)?;
        }
        Ok(())
    }
}
