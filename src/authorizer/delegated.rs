//! Deciding a chain of delegation: each hop for itself, on one epoch, in one scratch.

use std::sync::Arc;
use std::time::SystemTime;

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::decision::Outcome;
use crate::epoch::{Compared, Epoch, Segment, Shadow};
use crate::eval::{self, Findings, Machine, Reading, Resolved, Scratch, chain};
use crate::evidence::{
    Ages, ContextView, DecisionRecord, HopInputs, Hops, InputsView, RecordedDelegation, Wants,
};
use crate::request::delegation::Delegation;
use crate::request::locals::{Locals, RequestNames};
use crate::request::{Now, Request, RequestError};

use super::Authorizer;
use super::decide::{Head, Made, Seen};
use super::shadow::Beside;
use super::timing::Started;

/// A request in which others act for the principal, and how it is read.
#[derive(Clone, Copy)]
pub(super) struct Chain<'c> {
    pub(super) request: &'c Request<'c>,
    pub(super) delegation: &'c Delegation<'c>,
    pub(super) reading: &'c Reading,
}

/// A chain whose hops were resolved.
#[derive(Clone, Copy)]
struct Asked<'r, 'a> {
    /// What is in force.
    epoch: &'a Epoch,
    hops: &'a [Resolved<'a>],
    request: &'r Request<'r>,
    names: RequestNames<'a>,
    arena: &'a Bump,
}

impl<'r, 'a: 'r> Asked<'r, 'a> {
    /// The record of what the hops came to.
    fn record(
        self,
        head: Head<'r>,
        epoch: &'r Arc<Epoch>,
        inputs: &'r [HopInputs<'r>],
        ages: Option<Ages<'r>>,
        (findings, hops): (&'r Findings, &'r Hops),
    ) -> DecisionRecord<'r> {
        let names = self.names;
        let first = inputs.first();
        DecisionRecord {
            ages,
            context: first.map(|first| ContextView::new(first.context, names)),
            inputs: first.map(|first| InputsView::new(first.entities, first.context, names)),
            delegation: RecordedDelegation::new(epoch, hops, names, inputs),
            determining: findings.determining(),
            errors: findings.errors(epoch),
            ..head.record(epoch, self.request)
        }
    }
}

/// The time of a decision.
enum Time<'n> {
    /// Nobody wanted to know it yet.
    Ask,
    /// And what the context is to have of it.
    Known(SystemTime, Result<Option<Now<'n>>, RequestError>),
}

/// Why no hop was decided.
enum Refused {
    Chain(Outcome),
    Request(RequestError),
}

impl From<RequestError> for Refused {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl Authorizer {
    /// Decides every hop, also behind one that is denied: a record shows the whole chain. `seen` looks at each.
    pub(super) fn decide_chain(
        &self,
        epoch: &Arc<Epoch>,
        scratch: &mut Scratch,
        chain: Chain<'_>,
        started: Option<Started>,
        now: Result<Option<Now<'_>>, RequestError>,
        seen: &mut dyn FnMut(Seen<'_, '_>),
    ) -> (Made, Option<RequestError>) {
        let Scratch {
            arena,
            locals,
            findings,
            hops,
            beside,
            hops_beside,
            ..
        } = scratch;
        let arena = arena.bump();
        let ages = self.ages(epoch, started, arena);
        let time = started.map_or(Time::Ask, |started| Time::Known(started.time, now));
        let asked = self.resolve_chain(epoch, (arena, locals), hops, chain, time);
        let (request, context_time) = (chain.request, chain.reading.context_time.as_deref());
        let names = RequestNames {
            shared: &epoch.snapshot.names,
            locals,
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(refused) => {
                let delegation = RecordedDelegation::new(epoch, hops, names, &[]);
                return self.refuse_chain(epoch, refused, request, delegation, (started, ages));
            }
        };
        let chain = Asked {
            epoch,
            hops: asked,
            request,
            names,
            arena,
        };
        let (outcome, inputs) = self.decide_hops(
            epoch,
            chain,
            None,
            ages,
            (findings, hops),
            &mut |machine, resolved, findings| {
                seen(Seen {
                    epoch,
                    machine,
                    resolved,
                    names,
                    findings,
                    context_time,
                    ages,
                });
            },
        );
        let recorded = self.recorded(started);
        let made = match recorded {
            None => Made::unrecorded(outcome),
            Some(started) => self.keep(started, outcome, |head| {
                chain.record(head, epoch, inputs, ages, (findings, hops))
            }),
        };
        if let Some(shadow) = &epoch.shadow {
            let enforced = Beside {
                outcome,
                enforced: made.outcome,
                started: recorded,
                ages,
                sequence: made.sequence,
            };
            hops_beside.begin_as(hops);
            self.compare(shadow, || {
                self.decide_chain_beside(shadow, chain, enforced, (beside, hops_beside))
            });
        }
        (made, None)
    }

    /// The outcome for a chain of which no hop was decided; the sink gets a record of it too.
    fn refuse_chain(
        &self,
        epoch: &Arc<Epoch>,
        refused: Refused,
        request: &Request<'_>,
        delegation: Option<RecordedDelegation<'_>>,
        (started, ages): (Option<Started>, Option<Ages<'_>>),
    ) -> (Made, Option<RequestError>) {
        let (outcome, error) = match refused {
            Refused::Chain(outcome) => (outcome, None),
            Refused::Request(error) => (Outcome::InvalidRequest, Some(error)),
        };
        let Some(started) = self.recorded(started) else {
            return (Made::unrecorded(outcome), error);
        };
        let made = self.keep(started, outcome, |head| DecisionRecord {
            ages,
            delegation,
            request_error: error.as_ref(),
            ..head.record(epoch, request)
        });
        (made, error)
    }

    /// Decides each hop, also behind one that is denied, and what they come to; with what each read, if a sink wants that.
    /// `epoch` and `segment` are those of a shadow, or else what is in force.
    fn decide_hops<'a>(
        &self,
        epoch: &'a Epoch,
        chain: Asked<'_, 'a>,
        segment: Option<&'a Segment>,
        ages: Option<Ages<'_>>,
        (findings, hops): (&mut Findings, &mut Hops),
        each: &mut dyn FnMut(&Machine<'a>, &'a Resolved<'a>, &mut Findings),
    ) -> (Outcome, &'a [HopInputs<'a>]) {
        let settings = &self.inner.settings;
        let wants_inputs = settings.wants == Wants::DecisionsWithInputs;
        let mut inputs = Vec::new_in(chain.arena);
        for (at, resolved) in chain.hops.iter().enumerate() {
            findings.clear();
            let machine = Machine::new(chain.epoch, chain.names, *resolved, chain.arena);
            let machine = match segment {
                Some(segment) => machine.on(segment),
                None => machine,
            };
            let outcome = eval::evaluate(epoch, &machine, settings.error_mode, findings);
            let stale = self.stale(epoch, &machine, ages, findings);
            let outcome = stale.unwrap_or(outcome);
            hops.decided(at, outcome, findings.determining(), findings.errors(epoch));
            each(&machine, resolved, findings);
            if wants_inputs {
                inputs.push(HopInputs {
                    context: resolved.context,
                    entities: eval::inputs(epoch, &machine, &mut findings.candidates),
                });
            }
        }
        let denied = hops.first_denied();
        let outcome = denied.map_or(Outcome::Allowed, |(_, outcome)| outcome);
        // An allowed chain rests on what every hop rests on, a denied one on what denied it.
        let (determining, errors) = hops.findings(denied.map(|(at, _)| at));
        findings.set(outcome, determining, errors);
        (outcome, inputs.into_bump_slice())
    }

    /// Decides a chain with the shadow's policies, and tells the sink when it comes to something else.
    fn decide_chain_beside<'a>(
        &self,
        shadow: &'a Shadow,
        chain: Asked<'_, 'a>,
        enforced: Beside<'a>,
        (findings, hops): (&mut Findings, &mut Hops),
    ) -> Compared {
        let epoch = &shadow.epoch;
        let Some(segment) = epoch.segments.first() else {
            return Compared::Failed;
        };
        let started = enforced.begun();
        let ages = enforced.ages;
        let (outcome, inputs) = self.decide_hops(
            epoch,
            chain,
            Some(segment),
            ages,
            (findings, hops),
            &mut |_, _, _| {},
        );
        let compared = enforced.compare(outcome);
        if let (false, Some(started), Some(told)) =
            (compared == Compared::Agreed, started, enforced.told())
        {
            // Kept or lost, the answer is what it was: the loss is counted as any other.
            self.hand_over(started, outcome, |head| DecisionRecord {
                enforced: Some(told),
                ..chain.record(head, epoch, inputs, ages, (findings, hops))
            });
        }
        compared
    }

    /// Whether every hop is allowed, and nothing else: stops at the first that is not. For authorizers that do not ask the
    /// clock for themselves.
    pub(super) fn allows_chain(
        &self,
        epoch: &Epoch,
        scratch: &mut Scratch,
        chain: Chain<'_>,
    ) -> bool {
        let Scratch {
            arena,
            locals,
            findings,
            hops,
            ..
        } = scratch;
        let arena = arena.bump();
        let asked = self.resolve_chain(epoch, (arena, locals), hops, chain, Time::Ask);
        let names = RequestNames {
            shared: &epoch.snapshot.names,
            locals,
        };
        let mode = self.inner.settings.error_mode;
        asked.is_ok_and(|asked| {
            asked.iter().all(|resolved| {
                findings.clear();
                let machine = Machine::new(epoch, names, *resolved, arena);
                eval::evaluate_decision(epoch, &machine, mode, findings)
            })
        })
    }

    /// What each hop is asked, unless the chain is one of those that nobody is asked about.
    fn resolve_chain<'a>(
        &self,
        epoch: &'a Epoch,
        (arena, locals): (&'a Bump, &mut Locals),
        hops: &mut Hops,
        asked: Chain<'_>,
        time: Time<'_>,
    ) -> Result<&'a [Resolved<'a>], Refused> {
        let Chain {
            request,
            delegation,
            reading,
        } = asked;
        chain::look_up(epoch, request, delegation, reading, (arena, locals), hops)?;
        let (known, now) = match time {
            Time::Ask => (None, Ok(None)),
            Time::Known(time, now) => (Some(time), now),
        };
        let clock = || known.unwrap_or_else(|| self.time());
        if let Some(outcome) = chain::refusal(delegation, hops, &reading.limits, clock) {
            return Err(Refused::Chain(outcome));
        }
        let request = &request.at(now?);
        let first = eval::resolve(epoch, request, reading, arena, locals)?;
        let memory = (arena, locals);
        Ok(chain::resolve(
            epoch, request, delegation, first, reading, memory,
        )?)
    }
}
