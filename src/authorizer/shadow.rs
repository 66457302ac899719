//! Policies that decide beside those in force, and whose answers nobody is told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::compile::{CompileError, Policies, Problem};
use crate::decision::Outcome;
use crate::epoch::{Compared, Epoch, Marks, Shadow, ShadowParts, Tally, Version};
use crate::eval::{self, Findings, Machine};
use crate::evidence::{Ages, DecisionRecord, Enforced};
use crate::program::ProgramSet;
use crate::request::Request;
use crate::stopwatch::Ticks;
use crate::value::arena::TableFull;

use super::{Authorizer, Started, builder};

/// The decision that a shadow decides beside.
#[derive(Clone, Copy)]
pub(super) struct Beside<'a> {
    /// What was decided, whatever became of the record.
    pub(super) outcome: Outcome,
    /// What the caller is told: a deny, if the record was to be kept and was not.
    pub(super) enforced: Outcome,
    pub(super) started: Option<Started>,
    pub(super) ages: Option<Ages<'a>>,
    /// The number of its record.
    pub(super) sequence: Option<u64>,
}

/// How the decisions of a shadow compare with those that were enforced, since it was set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ShadowCounts {
    /// The version of the shadow: its policies, with the schema and the entities in force.
    pub version: Version,
    /// Decisions on which both agree.
    pub agreed: u64,
    /// Requests that were denied and that the shadow would have allowed.
    pub newly_allowed: u64,
    /// Requests that were allowed and that the shadow would have denied.
    pub newly_denied: u64,
    /// Decisions that the shadow did not come to, because it panicked: a defect of this crate.
    pub failed: u64,
}

impl ShadowCounts {
    /// Decisions on which the two differ.
    pub fn differences(&self) -> u64 {
        self.newly_allowed + self.newly_denied
    }

    fn of(shadow: &Shadow) -> Self {
        Self {
            version: shadow.epoch.version,
            agreed: shadow.tally.of(Compared::Agreed),
            newly_allowed: shadow.tally.of(Compared::NewlyAllowed),
            newly_denied: shadow.tally.of(Compared::NewlyDenied),
            failed: shadow.tally.of(Compared::Failed),
        }
    }
}

impl Authorizer {
    /// Lets other policies decide beside those in force: on every request from now on, on the same entities, under the
    /// same schema and error mode. **Callers are told nothing of it**: where the two decide differently, the sink gets a
    /// record with the mode [`EnforcementMode::Shadow`](crate::EnforcementMode::Shadow) that names the decision that was
    /// enforced, and [`Authorizer::shadow`] counts.
    ///
    /// A request costs a second evaluation then (and [`Authorizer::is_allowed`] all of the first one); nothing is
    /// allocated once warm. What a shadow decides changes no answer: not its errors, not a record of its that is not
    /// kept, whatever the sink's [`Delivery`](crate::evidence::Delivery). A sink that lets decisions wait
    /// ([`Delivery::Block`](crate::evidence::Delivery::Block)) lets them wait for the shadow's records too.
    ///
    /// What it takes can make an allow a deny in two cases, and never the reverse. Its records fill a queue together with the
    /// others, and under [`Delivery::DenyIfNotKept`](crate::evidence::Delivery::DenyIfNotKept) a full queue denies. And fields of
    /// a typed context that nothing but the shadow looks at count for the limits of a context, as if policies in force did.
    ///
    /// Of a delegation, the shadow decides each hop; a chain that is refused, nobody is asked about.
    ///
    /// A shadow that was set before is replaced, and counting begins anew. Replacing and updating what is in force leaves
    /// the shadow's policies as they are; entities are always those in force. It counts as an epoch of its own in
    /// [`Authorizer::version`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use duramen::evidence::MemorySink;
    /// use duramen::{Authorizer, Decision, EnforcementMode, Request};
    ///
    /// let sink = Arc::new(MemorySink::new(100));
    /// let authorizer = Authorizer::builder()
    ///     .policies("permit(principal, action, resource);")
    ///     .sink(Arc::clone(&sink))
    ///     .build()?;
    /// authorizer.set_shadow(r#"permit(principal, action, resource) unless { principal == User::"eve" };"#)?;
    ///
    /// let view = |user| Request::new(("User", user), ("Action", "view"), ("Photo", "p1"));
    /// assert!(authorizer.is_authorized(&view("ann")).is_allowed());
    /// assert!(authorizer.is_authorized(&view("eve")).is_allowed());
    ///
    /// let counts = authorizer.shadow().unwrap();
    /// assert_eq!((counts.agreed, counts.newly_denied), (1, 1));
    /// let difference = sink.records().pop().unwrap();
    /// assert_eq!(difference.mode, EnforcementMode::Shadow);
    /// assert_eq!(difference.decision, Decision::Deny);
    /// assert_eq!(difference.enforced.unwrap().decision, Decision::Allow);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`CompileError`] with all problems, as for [`Authorizer::replace_policies`]. The shadow stays what it was, and so
    /// does what is in force.
    pub fn set_shadow(&self, policies: impl Into<Policies>) -> Result<Version, CompileError> {
        let compiled = builder::compile_policies(&policies.into(), &self.options())?;
        let policies = ProgramSet::new(compiled.program).map_err(Problem::new)?;
        let shadow = ShadowParts {
            policies,
            tally: Arc::new(Tally::default()),
        };
        let changed = self.change_shadow(Some(shadow));
        let (version, _) = changed.map_err(Problem::new)?;
        Ok(version)
    }

    /// Ends the shadow, if there is one. Gives what it came to; decisions that have begun may still be added to that.
    pub fn clear_shadow(&self) -> Option<ShadowCounts> {
        self.shadow()?;
        // Nothing new is linked, so that no table can be full.
        let (_, ended) = self.change_shadow(None).ok()?;
        ended
    }

    /// Gives what the shadow before came to. Nothing that is enforced changes: whoever watches for that has nothing to look at.
    fn change_shadow(
        &self,
        shadow: Option<ShadowParts>,
    ) -> Result<(Version, Option<ShadowCounts>), TableFull> {
        let mut ended = None;
        let replaced = self.inner.published.replace(|current, _| {
            ended = current.shadow.as_ref().map(ShadowCounts::of);
            let mut parts = self.parts(current);
            parts.shadow = shadow;
            let next = Epoch::new(parts, current.version.epoch() + 1)?;
            Ok((next, Marks::Keys(Vec::new())))
        });
        replaced.map(|(version, _)| (version, ended))
    }

    /// How the shadow's decisions compare with those that were enforced; `None` when there is no shadow.
    pub fn shadow(&self) -> Option<ShadowCounts> {
        let pin = self.inner.published.pin();
        pin.shadow.as_ref().map(ShadowCounts::of)
    }

    /// Decides with the shadow's policies what has been decided, and tells the sink when it comes to something else.
    #[inline(never)]
    pub(super) fn decide_beside<'a>(
        &self,
        shadow: &'a Shadow,
        machine: &Machine<'a>,
        request: &Request<'_>,
        enforced: Beside<'a>,
        findings: &mut Findings,
    ) {
        self.compare(shadow, || {
            self.try_decide_beside(shadow, machine, request, enforced, findings)
        });
    }

    pub(super) fn compare(&self, shadow: &Shadow, decide: impl FnOnce() -> Compared) {
        // A shadow is an experiment: not even a defect in how its policies are evaluated may come to the caller.
        let compared = catch_unwind(AssertUnwindSafe(decide));
        shadow.tally.count(compared.unwrap_or(Compared::Failed));
    }

    fn try_decide_beside<'a>(
        &self,
        shadow: &'a Shadow,
        machine: &Machine<'a>,
        request: &Request<'_>,
        enforced: Beside<'a>,
        findings: &mut Findings,
    ) -> Compared {
        let epoch = &shadow.epoch;
        let Some(segment) = epoch.segments.first() else {
            return Compared::Failed;
        };
        let started = enforced.begun();
        let machine = machine.on(segment);
        findings.clear();
        let mut outcome = eval::evaluate(epoch, &machine, self.inner.settings.error_mode, findings);
        if let Some(stale) = self.stale(epoch, &machine, enforced.ages, findings) {
            outcome = stale;
        }
        let compared = enforced.compare(outcome);
        if let (false, Some(started), Some(told)) =
            (compared == Compared::Agreed, started, enforced.told())
        {
            // Kept or lost, the answer is what it was: the loss is counted as any other.
            self.hand_over(started, outcome, |head| DecisionRecord {
                enforced: Some(told),
                ..self.decided(head, epoch, &machine, request, enforced.ages, findings)
            });
        }
        compared
    }
}

impl Beside<'_> {
    /// When the shadow begins, if there may be a record of it.
    pub(super) fn begun(&self) -> Option<Started> {
        self.started.map(|started| Started {
            begun: Ticks::now(),
            ..started
        })
    }

    /// How the shadow's outcome compares.
    pub(super) fn compare(&self, outcome: Outcome) -> Compared {
        match (
            self.outcome == Outcome::Allowed,
            outcome == Outcome::Allowed,
        ) {
            (false, true) => Compared::NewlyAllowed,
            (true, false) => Compared::NewlyDenied,
            _ => Compared::Agreed,
        }
    }

    /// What a record of the shadow's says of it; `None` when it was not recorded itself.
    pub(super) fn told(&self) -> Option<Enforced> {
        Some(Enforced {
            sequence: self.sequence?,
            decision: self.enforced.decision(),
            outcome: self.enforced,
        })
    }
}
