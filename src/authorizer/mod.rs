//! The front door: build an authorizer, ask it, replace what it decides on.
//!
//! Long, because the ways to decide stand beside each other here: they share their parts, and differ in what a caller wants
//! to know. What each part does is in modules of its own.

mod builder;
mod delegated;
mod masks;
mod pinned;
mod prepared;
mod search;
mod session;
mod shadow;
#[cfg(test)]
mod tests;
mod timing;
mod update;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use bumpalo::Bump;
use cedar_policy as cedar;

use delegated::Chain;
use watch::Watchers;

use crate::compile::load::Options;
use crate::compile::{CompileError, Entities, EntitiesUpdated, EntityUpdate, Policies, Problem};
use crate::decision::{ErrorMode, Outcome};
use crate::entity::EntityError;
use crate::epoch::{
    EntitiesChanged, Epoch, Errors, Marks, Parts, Published, Sequence, Shadow, Stamps, Updated,
    Version, Watched,
};
use crate::eval::{self, Findings, Lease, Machine, Pin, Reading, Resolved, Response, Scratch};
use crate::evidence::{
    Ages, ContextView, DecisionRecord, DecisionSink, Delivery, InputsView, Wants,
};
use crate::program::ProgramSet;
use crate::request::locals::{Locals, RequestNames};
use crate::request::{Now, Request, RequestError};
use crate::schema::SchemaModel;

pub use builder::{BuildError, Builder, Tuning};
pub use pinned::Pinned;
pub use prepared::PreparedRequest;
pub use search::Found;
pub use session::Session;
pub use shadow::ShadowCounts;
pub(crate) use timing::DeniedByTime;
use timing::Started;
pub use update::PolicyChanges;
pub use watch::Change;
pub(crate) use watch::{News, Watcher};

/// Decides requests on policies and entities that can be replaced while it does.
///
/// Cheap to clone; clones are the same authorizer. Decisions never wait: not for each other, not for a
/// replacement.
///
/// ```
/// use duramen::{Authorizer, Request};
///
/// let authorizer = Authorizer::builder()
///     .policies(r#"permit(principal, action == Action::"view", resource) when { context.mfa };"#)
///     .build()?;
///
/// let request = Request::new(("User", "alice"), ("Action", "view"), ("Photo", "vacation.jpg"))
///     .context_json(r#"{ "mfa": true }"#);
/// let response = authorizer.is_authorized(&request);
/// assert!(response.is_allowed());
/// assert_eq!(response.determining().next().unwrap().id().as_str(), "policy0");
/// # Ok::<(), duramen::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Authorizer {
    inner: Arc<Inner>,
}

struct Inner {
    published: Published,
    settings: Settings,
    /// The schema as `cedar_policy` has it, for validating policies that come later; `None` also where policies
    /// are not validated.
    schema: Option<cedar::Schema>,
    warnings: Vec<Problem>,
    sink: Box<dyn DecisionSink>,
    /// 32 hexadecimal digits.
    instance: String,
    sequence: Sequence,
    watchers: Watchers,
    /// Records that were not kept since the last one that was.
    lost: AtomicU64,
}

/// What was settled when the authorizer was built.
struct Settings {
    reading: Reading,
    error_mode: ErrorMode,
    wants: Wants,
    delivery: Delivery,
    clock: Clock,
    /// Whether anybody wants to know what time it is: a record, the context, or who bounds the age of data.
    asks_clock: bool,
    keeps_ages: bool,
    tuning: Tuning,
}

/// Where the time of a record comes from.
enum Clock {
    System,
    Given(Box<dyn Fn() -> SystemTime + Send + Sync>),
}

impl Clock {
    #[inline]
    fn now(&self) -> SystemTime {
        match self {
            Self::System => SystemTime::now(),
            Self::Given(clock) => clock(),
        }
    }
}

impl Authorizer {
    /// Begins an authorizer.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Decides a request, with working memory of this thread's pool.
    ///
    /// Once the pool is warm nothing is allocated. For a hot loop, [`Authorizer::session`] is faster still.
    pub fn is_authorized(&self, request: &Request<'_>) -> Response<'_> {
        self.decide(
            Pin::Guard(self.inner.published.pin()),
            Lease::pooled(),
            request,
        )
    }

    /// Decides a request, with the caller's working memory.
    pub fn is_authorized_with<'s>(
        &'s self,
        scratch: &'s mut Scratch,
        request: &Request<'_>,
    ) -> Response<'s> {
        self.decide(
            Pin::Guard(self.inner.published.pin()),
            Lease::Borrowed(scratch),
            request,
        )
    }

    /// Whether a request is allowed: the decision alone, which may stop early.
    ///
    /// The same decision as [`Authorizer::is_authorized`]. A sink that wants records gets them: then
    /// everything is evaluated.
    #[must_use]
    pub fn is_allowed(&self, request: &Request<'_>) -> bool {
        let pin = Pin::Guard(self.inner.published.pin());
        self.decide_only(pin, Lease::pooled(), request)
    }

    /// A session: working memory and the epoch kept between calls. For hot loops; one a thread.
    pub fn session(&self) -> Session<'_> {
        Session::new(self)
    }

    /// Reads a request once, to decide it many times.
    ///
    /// Uids are looked up and the context is copied now. When policies or entities are replaced, the next
    /// decision looks up again.
    ///
    /// # Errors
    /// [`RequestError`] when the request cannot be understood. Request-scoped entities and
    /// delegations cannot be prepared.
    pub fn prepare(&self, request: &Request<'_>) -> Result<PreparedRequest, RequestError> {
        PreparedRequest::new(self, &self.inner.published.load_full(), request)
    }

    /// Decides a prepared request.
    pub fn is_authorized_prepared<'s>(
        &'s self,
        scratch: &'s mut Scratch,
        request: &'s mut PreparedRequest,
    ) -> Response<'s> {
        let pin = Pin::Guard(self.inner.published.pin());
        self.decide_prepared(pin, Lease::Borrowed(scratch), request)
    }

    /// Replaces the policies. Decisions that have begun end on the old ones.
    ///
    /// # Errors
    /// [`CompileError`] with all problems; the policies in force stay.
    pub fn replace_policies(&self, policies: impl Into<Policies>) -> Result<Version, CompileError> {
        let policies = policies.into();
        let at = self.loading(policies.as_of);
        let compiled = builder::compile_policies(&policies, &self.options())?;
        let policies = ProgramSet::new(compiled.program).map_err(Problem::new)?;
        let stamp = |stamps: Stamps| stamps.with_policies(at);
        self.replace(stamp, |parts| parts.policies = policies)
            .map_err(|full| Problem::new(full).into())
    }

    /// Replaces the entities, all of them. Decisions that have begun end on the old ones.
    ///
    /// # Errors
    /// [`EntityError`] with all problems; the entities in force stay.
    pub fn replace_entities(&self, entities: impl Into<Entities>) -> Result<Version, EntityError> {
        let entities = entities.into();
        let at = self.loading(entities.as_of);
        let schema = self.inner.published.load_full().schema.clone();
        let limits = &self.inner.settings.reading.limits;
        let snapshot = entities.load(schema.as_deref(), limits)?;
        let stamp = |stamps: Stamps| stamps.with_entities(at);
        self.replace(stamp, |parts| {
            parts.linked.clear();
            parts.snapshot = snapshot;
            parts.entity_revision += 1;
        })
        .map_err(|full| crate::entity::EntityProblem::new(full).into())
    }

    /// Replaces policies and entities together: no decision sees one without the other.
    ///
    /// # Errors
    /// [`BuildError`] with all problems of both; what is in force stays.
    pub fn replace_all(
        &self,
        policies: impl Into<Policies>,
        entities: impl Into<Entities>,
    ) -> Result<Version, BuildError> {
        let inner = &self.inner;
        let limits = &inner.settings.reading.limits;
        let schema = inner.published.load_full().schema.clone();
        let (policies, entities) = (policies.into(), entities.into());
        let stamp = {
            let (policies, entities) = (self.loading(policies.as_of), self.loading(entities.as_of));
            move |stamps: Stamps| stamps.with_policies(policies).with_entities(entities)
        };
        let compiled = builder::compile_policies(&policies, &self.options());
        let snapshot = entities.load(schema.as_deref(), limits);
        let (compiled, snapshot) = builder::both(compiled, snapshot)?;
        let full = |full| BuildError::from(CompileError::from(Problem::new(full)));
        let policies = ProgramSet::new(compiled.program).map_err(full)?;
        self.replace(stamp, |parts| {
            parts.policies = policies;
            parts.linked.clear();
            parts.snapshot = snapshot;
            parts.entity_revision += 1;
        })
        .map_err(full)
    }

    /// Changes some of the entities: everything that `update` says, or nothing. Decisions that have begun end on the
    /// old ones.
    ///
    /// Costs what the change costs and not what the store holds. Only the first update after entities were loaded
    /// looks at all of them once. With a schema, each changed entity is validated as `cedar-policy` validates upserts,
    /// as it is at the end of the update. Actions that the schema declares cannot be altered.
    ///
    /// # Errors
    /// [`EntityError`] with all problems, among them cycles in the hierarchy and exceeded limits; the entities in
    /// force stay.
    pub fn update_entities(&self, update: EntityUpdate) -> Result<EntitiesUpdated, EntityError> {
        let settings = &self.inner.settings;
        let updated = settings.keeps_ages.then(|| Updated {
            at: self.loading(update.as_of),
            confirms: !update.out_of_band,
        });
        let changed = self.inner.published.update_entities(
            &settings.reading.limits,
            updated,
            |epoch, draft| update.apply(draft, epoch.schema.as_deref()),
        )?;
        let EntitiesChanged {
            version,
            changes,
            marks,
        } = changed;
        if let Some(marks) = marks {
            self.inner.watchers.tell(|| News {
                version,
                change: Arc::new(Change::Entities(changes.clone())),
                marks,
            });
        }
        Ok(EntitiesUpdated::new(version, changes))
    }

    fn replace(
        &self,
        stamp: impl FnOnce(Stamps) -> Stamps,
        change: impl FnOnce(&mut Parts),
    ) -> Result<Version, crate::value::arena::TableFull> {
        let (version, marks) = self.inner.published.replace(|current, _| {
            let mut parts = self.parts(current);
            parts.stamps = parts.stamps.map(stamp);
            change(&mut parts);
            let next = Epoch::new(parts, current.version.epoch() + 1)?;
            Ok((next, Marks::Everything))
        })?;
        self.inner.watchers.tell(|| News {
            version,
            change: Arc::new(Change::Everything),
            marks,
        });
        Ok(version)
    }

    /// What the next epoch is made of if nothing changes.
    fn parts(&self, current: &Epoch) -> Parts {
        Parts {
            policies: current.policies.clone(),
            linked: current.linked(),
            snapshot: current.snapshot.clone(),
            schema: current.schema.clone(),
            entity_revision: current.version.entity_revision(),
            stamps: current.stamps.clone(),
            indexing: self.inner.settings.tuning.indexing(),
            shadow: current.shadow.as_ref().map(Shadow::parts),
        }
    }

    /// How policies are compiled.
    fn options(&self) -> Options<'_> {
        let inner = &self.inner;
        let settings = &inner.settings;
        settings
            .tuning
            .options(inner.schema.as_ref(), &settings.reading.limits)
    }

    /// The policies, schema and entities in force.
    pub fn version(&self) -> Version {
        self.inner.published.pin().version
    }

    /// What Cedar found odd about the schema and its validator about the policies when the authorizer was built.
    pub fn warnings(&self) -> &[Problem] {
        &self.inner.warnings
    }

    /// How many policies are in force, links included and templates not.
    pub fn policy_count(&self) -> usize {
        self.inner.published.pin().policies.len()
    }

    /// What evaluation errors do to a decision.
    pub(crate) fn error_mode(&self) -> ErrorMode {
        self.inner.settings.error_mode
    }

    /// What is in force.
    pub(crate) fn epoch(&self) -> Arc<Epoch> {
        self.inner.published.load_full()
    }

    /// How requests are read and what errors do to an answer.
    pub(crate) fn reading(&self) -> (&Reading, ErrorMode) {
        let settings = &self.inner.settings;
        (&settings.reading, settings.error_mode)
    }

    /// How many entities are in force, actions included.
    pub fn entity_count(&self) -> usize {
        self.inner.published.pin().snapshot.len()
    }

    /// Decides a request on a pinned epoch.
    fn decide<'s>(
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

    /// What has changed since when.
    pub(crate) fn watch(&self) -> &Watched {
        self.inner.published.watch()
    }

    /// The number of the newest epoch.
    #[inline]
    pub(crate) fn latest(&self) -> u64 {
        self.inner.published.latest()
    }

    /// Has `watcher` told of every epoch from now on.
    pub(crate) fn tell(&self, watcher: Weak<dyn Watcher>) {
        self.inner.watchers.add(watcher);
    }

    /// Whether decisions may come out otherwise with nothing but time gone by: it is in every context, or data may become
    /// too old.
    #[inline]
    pub(crate) fn depends_on_time(&self) -> bool {
        let settings = &self.inner.settings;
        settings.keeps_ages || settings.reading.context_time.is_some()
    }

    /// The time by the authorizer's clock.
    pub(crate) fn time(&self) -> SystemTime {
        self.inner.settings.clock.now()
    }

    fn decide_only(&self, pin: Pin<'_>, mut lease: Lease<'_>, request: &Request<'_>) -> bool {
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

    fn decide_prepared<'s>(
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
    fn decided<'a: 'r, 'r>(
        &self,
        head: Head<'r>,
        epoch: &'a Arc<Epoch>,
        machine: &Machine<'a>,
        request: &'r Request<'r>,
        ages: Option<Ages<'r>>,
        findings: &'r mut Findings,
    ) -> DecisionRecord<'r> {
        DecisionRecord {
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

    fn context<'a>(&self, machine: &Machine<'a>) -> Option<ContextView<'a>> {
        (self.inner.settings.wants == Wants::DecisionsWithInputs)
            .then(|| ContextView::new(machine.request().context, machine.names()))
    }

    /// What the decision read, if a sink wants that.
    #[inline]
    fn inputs<'a>(
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
    fn keep<'r>(
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
    fn hand_over<'r>(
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
            duration: started.instant.elapsed(),
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

impl Drop for Inner {
    /// No record will tell of the last losses any more.
    fn drop(&mut self) {
        let lost = *self.lost.get_mut();
        if lost > 0 {
            // Nobody is left to be told if that fails.
            let _ = catch_unwind(AssertUnwindSafe(|| self.sink.record_loss(lost)));
        }
    }
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorizer")
            .field("instance", &self.inner.instance)
            .field("version", &self.version())
            .field("policies", &self.policy_count())
            .field("entities", &self.entity_count())
            .finish_non_exhaustive()
    }
}

/// What was decided, and under which number that is recorded.
#[derive(Clone, Copy)]
struct Made {
    outcome: Outcome,
    sequence: Option<u64>,
}

impl Made {
    fn unrecorded(outcome: Outcome) -> Self {
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

/// The decision that a shadow decides beside.
#[derive(Clone, Copy)]
struct Beside<'a> {
    /// What was decided, whatever became of the record.
    outcome: Outcome,
    started: Option<Started>,
    ages: Option<Ages<'a>>,
    /// The number of its record.
    sequence: Option<u64>,
}

/// What every record has.
struct Head<'r> {
    instance: &'r str,
    sequence: u64,
    lost_before: u64,
    time: SystemTime,
    duration: Duration,
    outcome: Outcome,
}

impl<'r> Head<'r> {
    fn record(self, epoch: &'r Arc<Epoch>, request: &'r Request<'r>) -> DecisionRecord<'r> {
        DecisionRecord {
            instance: self.instance,
            sequence: self.sequence,
            lost_before: self.lost_before,
            time: self.time,
            duration: self.duration,
            epoch,
            request,
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

/// The schema in both forms.
struct BuiltSchema {
    cedar: cedar::Schema,
    model: Arc<SchemaModel>,
    warnings: Vec<Problem>,
}
