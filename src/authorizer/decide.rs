//! How a decision is made, in each of the ways to ask, and what becomes of its record.
//!
//! The ways stand beside each other here: they share their parts, and differ in what a caller wants to know.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bumpalo::Bump;

use crate::decision::Outcome;
use crate::epoch::{Epoch, Errors};
use crate::eval::{self, Findings, Lease, Machine, Pin, Reading, Resolved, Response, Scratch};
use crate::evidence::{Ages, ContextView, DecisionRecord, Delivery, InputsView, Wants};
use crate::request::locals::{Locals, RequestNames};
use crate::request::{Now, Request, RequestError};

use super::delegated::Chain;
use super::shadow::Beside;
use super::timing::Started;
use super::{Authorizer, PreparedRequest};

impl Authorizer {
    /// Decides a request on a pinned epoch.
    pub(super) fn decide<'s>(
        &'s self,
        pin: Pin<'s>,
        mut lease: Lease<'s>,
        request: &Request<'_>,
    ) -> Response<'s> {
        let settings = &self.inner.settings;
        let epoch = pin.epoch();
        if !self.is_plain(epoch) || request.delegation.is_some() {
            return self.decide_with(pin, lease, request, &settings.reading, |_| {});
        }
        let scratch = lease.get_mut();
        scratch.reset();
        let findings = &mut scratch.findings;
        let arena = scratch.arena.bump();
        let read = eval::read(
            epoch,
            request,
            &settings.reading,
            arena,
            &mut scratch.locals,
        );
        let (outcome, request_error) = match read {
            Ok((resolved, names)) => {
                let machine = Machine::new(epoch, names, resolved, arena);
                let outcome = eval::evaluate(epoch, &machine, settings.error_mode, findings);
                (outcome, None)
            }
            Err(error) => (Outcome::InvalidRequest, Some(error)),
        };
        Response {
            outcome,
            sequence: None,
            pin,
            lease,
            request_error,
            now: None,
        }
    }

    /// Whether evaluating is all there is to a decision: nobody wants a record of it or to know the time, and nothing decides
    /// beside it. Every decision would ask for each of these: together they cost as much as a small policy.
    #[inline]
    fn is_plain(&self, epoch: &Epoch) -> bool {
        !self.inner.settings.asks_clock && epoch.shadow.is_none()
    }

    /// Decides a request, and lets `seen` look at what the decision was made of, the whole context included, if there is
    /// one: a request that was not understood has none. Of a chain it sees each hop, the subject's first.
    pub(crate) fn decide_seen<'s>(
        &'s self,
        request: &Request<'_>,
        seen: impl FnMut(Seen<'_, '_>),
    ) -> Response<'s> {
        let reading = Reading {
            keep_inputs: true,
            ..self.inner.settings.reading.clone()
        };
        let pin = Pin::Guard(self.inner.published.pin());
        self.decide_with(pin, Lease::pooled(), request, &reading, seen)
    }

    #[inline(never)]
    fn decide_with<'s>(
        &'s self,
        pin: Pin<'s>,
        mut lease: Lease<'s>,
        request: &Request<'_>,
        reading: &Reading,
        mut seen: impl FnMut(Seen<'_, '_>),
    ) -> Response<'s> {
        let epoch = pin.epoch();
        let scratch = lease.get_mut();
        scratch.reset();
        let started = self.started(&mut scratch.time_of_day);
        let now = self.now(started);
        let told = now.as_ref().ok().copied().flatten();
        let (made, request_error) = match request.delegation {
            Some(delegation) => {
                let chain = Chain {
                    request,
                    delegation,
                    reading,
                };
                self.decide_chain(epoch, scratch, chain, started, now, &mut seen)
            }
            None => self.decide_one(epoch, scratch, (request, reading), started, now, &mut seen),
        };
        made.response(pin, lease, request_error, told)
    }

    /// Decides a request that nobody makes for another.
    #[inline]
    fn decide_one<'a>(
        &self,
        epoch: &'a Arc<Epoch>,
        scratch: &'a mut Scratch,
        (request, reading): (&Request<'_>, &Reading),
        started: Option<Started>,
        now: Result<Option<Now<'_>>, RequestError>,
        seen: &mut impl FnMut(Seen<'_, '_>),
    ) -> (Made, Option<RequestError>) {
        let Scratch {
            arena,
            locals,
            findings,
            beside,
            ..
        } = scratch;
        let arena = arena.bump();
        let ages = self.ages(epoch, started, arena);
        match self.ask(epoch, request, reading, now, arena, locals) {
            Ok((resolved, names)) => {
                let machine = Machine::new(epoch, names, resolved, arena);
                let both = [&mut *findings, beside];
                let made = self.evaluate(epoch, &machine, request, started, ages, both);
                seen(Seen {
                    epoch,
                    machine: &machine,
                    resolved: &machine.request(),
                    names: machine.names(),
                    findings,
                    context_time: reading.context_time.as_deref(),
                    ages,
                });
                (made, None)
            }
            Err(error) => {
                let made = self.refuse(epoch, &error, request, started, ages);
                (made, Some(error))
            }
        }
    }

    /// Resolves a request, with the time in its context if it belongs there.
    #[inline]
    fn ask<'a>(
        &self,
        epoch: &'a Epoch,
        request: &Request<'_>,
        reading: &Reading,
        now: Result<Option<Now<'_>>, RequestError>,
        arena: &'a Bump,
        locals: &'a mut Locals,
    ) -> Result<(Resolved<'a>, RequestNames<'a>), RequestError> {
        match now? {
            None => eval::read(epoch, request, reading, arena, locals),
            now => eval::read(epoch, &request.at(now), reading, arena, locals),
        }
    }

    pub(super) fn decide_only(
        &self,
        pin: Pin<'_>,
        mut lease: Lease<'_>,
        request: &Request<'_>,
    ) -> bool {
        let settings = &self.inner.settings;
        let epoch = pin.epoch();
        // Where more is wanted, the short way would save too little to be worth a second way to get it wrong.
        if !self.is_plain(epoch) {
            return self.decide(pin, lease, request).is_allowed();
        }
        let scratch = lease.get_mut();
        scratch.reset();
        if let Some(delegation) = request.delegation {
            let chain = Chain {
                request,
                delegation,
                reading: &settings.reading,
            };
            return self.allows_chain(epoch, scratch, chain);
        }
        let findings = &mut scratch.findings;
        let arena = scratch.arena.bump();
        let locals = &mut scratch.locals;
        match eval::read(epoch, request, &settings.reading, arena, locals) {
            Ok((resolved, names)) => {
                let machine = Machine::new(epoch, names, resolved, arena);
                eval::evaluate_decision(epoch, &machine, settings.error_mode, findings)
            }
            Err(_) => false,
        }
    }

    pub(super) fn decide_prepared<'s>(
        &'s self,
        pin: Pin<'s>,
        mut lease: Lease<'s>,
        request: &'s mut PreparedRequest,
    ) -> Response<'s> {
        let settings = &self.inner.settings;
        let epoch = pin.epoch();
        let line = self.inner.published.line();
        if !self.is_plain(epoch) || !request.is_fresh(epoch, line) {
            return self.decide_prepared_with(pin, lease, request);
        }
        let outcome = {
            let scratch = lease.get_mut();
            scratch.reset();
            let (resolved, names) = request.resolved(epoch);
            let machine = Machine::new(epoch, names, resolved, scratch.arena.bump());
            let findings = &mut scratch.findings;
            eval::evaluate(epoch, &machine, settings.error_mode, findings)
        };
        Response {
            outcome,
            sequence: None,
            pin,
            lease,
            request_error: None,
            now: None,
        }
    }

    /// The same where the request has to be looked up again, or there is more to a decision than evaluating.
    #[inline(never)]
    fn decide_prepared_with<'s>(
        &'s self,
        pin: Pin<'s>,
        mut lease: Lease<'s>,
        request: &'s mut PreparedRequest,
    ) -> Response<'s> {
        let settings = &self.inner.settings;
        let epoch = pin.epoch();
        let scratch = lease.get_mut();
        scratch.reset();
        let started = self.started(&mut scratch.time_of_day);
        let arena = scratch.arena.bump();
        let ages = self.ages(epoch, started, arena);
        let line = self.inner.published.line();
        let now = self.now(started);
        let told = now.as_ref().ok().copied().flatten();
        let refreshed = request.refresh(epoch, line, &settings.reading);
        let request_error = refreshed.and(now).map(|now| request.set_time(now)).err();
        let borrowed = request.as_request();
        let findings = [&mut scratch.findings, &mut scratch.beside];
        let made = match &request_error {
            Some(error) => self.refuse(epoch, error, &borrowed, started, ages),
            None => {
                let (resolved, names) = request.resolved(epoch);
                let machine = Machine::new(epoch, names, resolved, arena);
                self.evaluate(epoch, &machine, &borrowed, started, ages, findings)
            }
        };
        made.response(pin, lease, request_error, told)
    }

    /// Decides what was resolved, and hands the record to the sink if it wants one.
    #[inline]
    fn evaluate<'a>(
        &self,
        epoch: &'a Arc<Epoch>,
        machine: &Machine<'a>,
        request: &Request<'_>,
        started: Option<Started>,
        ages: Option<Ages<'a>>,
        [findings, beside]: [&mut Findings; 2],
    ) -> Made {
        let mode = self.inner.settings.error_mode;
        let mut outcome = eval::evaluate(epoch, machine, mode, findings);
        if let Some(stale) = self.stale(epoch, machine, ages, findings) {
            outcome = stale;
        }
        let started = self.recorded(started);
        let made = match started {
            None => Made::unrecorded(outcome),
            Some(started) => self.keep(started, outcome, |head| {
                self.decided(head, epoch, machine, request, ages, findings)
            }),
        };
        if let Some(shadow) = &epoch.shadow {
            self.decide_beside(
                shadow,
                machine,
                request,
                Beside {
                    outcome,
                    enforced: made.outcome,
                    started,
                    ages,
                    sequence: made.sequence,
                },
                beside,
            );
        }
        made
    }

    /// The record of what was evaluated.
    #[inline]
    pub(super) fn decided<'a: 'r, 'r>(
        &self,
        head: Head<'r>,
        epoch: &'a Arc<Epoch>,
        machine: &Machine<'a>,
        request: &'r Request<'r>,
        ages: Option<Ages<'r>>,
        findings: &'r mut Findings,
    ) -> DecisionRecord<'r> {
        DecisionRecord {
            known: machine.known_uids(),
            context: self.context(machine),
            inputs: self.inputs(epoch, machine, findings),
            ages,
            determining: findings.determining(),
            errors: findings.errors(epoch),
            ..head.record(epoch, request)
        }
    }

    /// The outcome for a request that cannot be decided; the sink gets a record of it too.
    fn refuse(
        &self,
        epoch: &Arc<Epoch>,
        error: &RequestError,
        request: &Request<'_>,
        started: Option<Started>,
        ages: Option<Ages<'_>>,
    ) -> Made {
        let Some(started) = self.recorded(started) else {
            return Made::unrecorded(Outcome::InvalidRequest);
        };
        self.keep(started, Outcome::InvalidRequest, |head| DecisionRecord {
            request_error: Some(error),
            ages,
            ..head.record(epoch, request)
        })
    }

    pub(super) fn context<'a>(&self, machine: &Machine<'a>) -> Option<ContextView<'a>> {
        (self.inner.settings.wants == Wants::DecisionsWithInputs)
            .then(|| ContextView::new(machine.request().context, machine.names()))
    }

    /// What the decision read, if a sink wants that.
    #[inline]
    pub(super) fn inputs<'a>(
        &self,
        epoch: &'a Epoch,
        machine: &Machine<'a>,
        findings: &mut Findings,
    ) -> Option<InputsView<'a>> {
        (self.inner.settings.wants == Wants::DecisionsWithInputs).then(|| {
            let entities = eval::inputs(epoch, machine, &mut findings.candidates);
            InputsView::new(entities, machine.request().context, machine.names())
        })
    }

    /// Hands the record to the sink. What becomes of the decision when it is not kept, the sink has said. With the number
    /// of the record.
    pub(super) fn keep<'r>(
        &'r self,
        started: Started,
        outcome: Outcome,
        record: impl FnOnce(Head<'r>) -> DecisionRecord<'r>,
    ) -> Made {
        let (is_kept, sequence) = self.hand_over(started, outcome, record);
        let outcome = match self.inner.settings.delivery {
            Delivery::DenyIfNotKept if !is_kept && outcome == Outcome::Allowed => {
                Outcome::EvidenceNotKept
            }
            Delivery::CountLoss | Delivery::Block | Delivery::DenyIfNotKept => outcome,
        };
        Made {
            outcome,
            sequence: Some(sequence),
        }
    }

    /// Hands a record to the sink: whether it was kept, and its number.
    pub(super) fn hand_over<'r>(
        &'r self,
        started: Started,
        outcome: Outcome,
        record: impl FnOnce(Head<'r>) -> DecisionRecord<'r>,
    ) -> (bool, u64) {
        let inner = &*self.inner;
        let record = record(Head {
            instance: &inner.instance,
            sequence: inner.sequence.next(),
            lost_before: match inner.lost.load(Ordering::Relaxed) {
                // All deciding threads share it, and hardly ever is there anything to tell.
                0 => 0,
                _ => inner.lost.swap(0, Ordering::Relaxed),
            },
            time: started.time,
            duration: started.begun.elapsed(),
            outcome,
        });
        // A sink is foreign code: its panic must not take the decision, or the service, with it.
        let kept = catch_unwind(AssertUnwindSafe(|| inner.sink.record(&record).is_ok()));
        let is_kept = matches!(kept, Ok(true));
        if !is_kept {
            inner
                .lost
                .fetch_add(record.lost_before + 1, Ordering::Relaxed);
        }
        (is_kept, record.sequence)
    }
}

/// What was decided, and under which number that is recorded.
#[derive(Clone, Copy)]
pub(super) struct Made {
    pub(super) outcome: Outcome,
    pub(super) sequence: Option<u64>,
}

impl Made {
    pub(super) fn unrecorded(outcome: Outcome) -> Self {
        Self {
            outcome,
            sequence: None,
        }
    }

    #[inline]
    fn response<'s>(
        self,
        pin: Pin<'s>,
        lease: Lease<'s>,
        request_error: Option<RequestError>,
        now: Option<Now<'s>>,
    ) -> Response<'s> {
        let Self { outcome, sequence } = self;
        Response {
            outcome,
            sequence,
            pin,
            lease,
            request_error,
            now,
        }
    }
}

/// What a decision was made of, while it is there.
pub(crate) struct Seen<'d, 'a> {
    pub(crate) epoch: &'a Epoch,
    pub(crate) machine: &'d Machine<'a>,
    pub(crate) resolved: &'d Resolved<'a>,
    pub(crate) names: RequestNames<'a>,
    pub(crate) findings: &'d mut Findings,
    /// By what name the authorizer has put the time into the context.
    pub(crate) context_time: Option<&'d str>,
    /// How old the data was, where that is kept.
    pub(crate) ages: Option<Ages<'d>>,
}

/// What every record has.
pub(super) struct Head<'r> {
    instance: &'r str,
    sequence: u64,
    lost_before: u64,
    time: SystemTime,
    duration: Duration,
    outcome: Outcome,
}

impl<'r> Head<'r> {
    pub(super) fn record(
        self,
        epoch: &'r Arc<Epoch>,
        request: &'r Request<'r>,
    ) -> DecisionRecord<'r> {
        DecisionRecord {
            instance: self.instance,
            sequence: self.sequence,
            lost_before: self.lost_before,
            time: self.time,
            duration: self.duration,
            epoch,
            request,
            known: [None; 3],
            context: None,
            inputs: None,
            ages: None,
            delegation: None,
            outcome: self.outcome,
            determining: &[],
            errors: Errors::new(epoch, &[], &[]),
            request_error: None,
            masked: None,
            enforced: None,
        }
    }
}
