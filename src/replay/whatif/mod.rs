//! What other policies would have decided.
//!
//! A record says what a decision read, and no more. Policies that ask for something else must not be decided as if that
//! were not there: an entity whose `clearance` was never read may well have one. So each policy's reads are followed, as
//! they are for records, and held against what the record knows. A policy that asks for anything beyond may hold, not hold
//! or fail. What the others come to often settles the decision all the same (a forbid that holds denies whatever else);
//! where it does not, the record is undetermined.
//!
//! *Rejected:* evaluating with a third truth value. It settles a little more (`unknown && false`), and is a second
//! evaluator that has to be right.

mod facts;
mod report;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::authorizer::Authorizer;
use crate::compile::{CompileError, Entities, Problem};
use crate::decision::{Decision, Effect, EnforcementMode, ErrorMode, Outcome};
use crate::epoch::Epoch;
use crate::eval::{self, Findings, Reading, Scratch, What};
use crate::evidence::{OwnedPolicy, OwnedRecord, RecordedPolicy};
use crate::id::{EntityUid, PolicyId};
use crate::request::{Request, RequestError};
use crate::value::arena::NameText;

use super::decide::wide_limits;

use facts::Facts;
use report::{Flips, Unknowns};

pub use facts::{AskedFact, UnknownFact};
pub use report::{
    FilledIn, Flip, FlipCount, NotReplayable, Side, UndeterminedRecord, UnknownCount, WhatIfReport,
};

/// How many flips of each direction, and how many undetermined records, are told one by one unless said otherwise.
const SAMPLES: usize = 20;

/// How often the live store is asked for more. Each time something is answered that the next question rests on, such as
/// the owner of the folder of a document: policies that go further than this are not decided.
const ROUNDS: usize = 64;

/// Decides recorded requests with other policies, and collects what would have been decided otherwise: the blast radius of
/// a change before it is made.
///
/// Records must have inputs ([`Wants::DecisionsWithInputs`](crate::evidence::Wants::DecisionsWithInputs)). They are decided
/// on what they say was read. Where the candidate asks for something that they do not know, the record is *undetermined*,
/// unless the decision does not depend on it; see [`WhatIf::fill_in`].
///
/// ```
/// use std::sync::Arc;
/// use duramen::evidence::MemorySink;
/// use duramen::replay::WhatIf;
/// use duramen::{Authorizer, Request};
///
/// let sink = Arc::new(MemorySink::new(100));
/// let authorizer = Authorizer::builder()
///     .policies("permit(principal, action, resource) when { principal.level > 2 };")
///     .entities(r#"[{ "uid": { "type": "User", "id": "ann" }, "attrs": { "level": 3, "dept": "x" }, "parents": [] },
///                   { "uid": { "type": "User", "id": "bob" }, "attrs": { "level": 2, "dept": "x" }, "parents": [] }]"#)
///     .sink(Arc::clone(&sink))
///     .build()?;
/// for user in ["ann", "bob"] {
///     authorizer.is_allowed(&Request::new(("User", user), ("Action", "view"), ("Doc", "plan")));
/// }
///
/// let candidate = Authorizer::builder()
///     .policies("permit(principal, action, resource) when { principal.level > 1 };")
///     .build()?;
/// let report = WhatIf::new(&candidate)?.run(sink.records());
/// assert_eq!((report.same, report.newly_allowed), (1, 1));
/// assert_eq!(report.flips[0].principal.id(), "bob");
///
/// // Nobody has read the departments.
/// let candidate = Authorizer::builder()
///     .policies(r#"permit(principal, action, resource) when { principal.dept == "x" };"#)
///     .build()?;
/// let report = WhatIf::new(&candidate)?.run(sink.records());
/// assert_eq!(report.undetermined, 2);
/// let report = WhatIf::new(&candidate)?.fill_in(&authorizer).run(sink.records());
/// assert_eq!((report.newly_allowed, report.filled_in.unwrap().records), (1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct WhatIf {
    /// The candidate's policies, without schema and entities.
    epoch: Epoch,
    mode: ErrorMode,
    reading: Reading,
    live: Option<Arc<Epoch>>,
    samples: usize,
    scratch: Scratch,
    seen: Seen,
}

/// What a record comes to with the candidate's policies.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Reconsidered {
    /// The decision is the same; whether for the same reasons.
    Same {
        /// Whether outcome and determining policies are the same too; `None` where some policies are not settled.
        same_reasons: Option<bool>,
    },
    /// The decision is the other one.
    Flipped(Box<Flip>),
    /// The decision depends on something that is not known.
    Undetermined(Vec<UnknownFact>),
    /// There is nothing to decide: why, and in words.
    NotReplayable(NotReplayable, String),
    /// It is the record of a shadow decision.
    Shadow,
}

/// What was collected.
#[derive(Debug, Default)]
struct Seen {
    records: u64,
    same: u64,
    other_reasons: u64,
    newly_allowed: u64,
    newly_denied: u64,
    undetermined: u64,
    not_replayable: u64,
    shadow: u64,
    filled_in: u64,
    reasons: BTreeMap<NotReplayable, u64>,
    /// By direction.
    flips: [Vec<Flip>; 2],
    undetermined_records: Vec<UndeterminedRecord>,
    not_replayable_records: Vec<(String, String)>,
    by_policy_before: Flips,
    by_policy_after: Flips,
    by_principal: Flips,
    by_action: Flips,
    by_resource: Flips,
    unknown: Unknowns,
}

/// What the candidate's policies come to on what is known.
struct Attempt {
    after: Result<Side, ()>,
    /// Policies that ask for what is not known.
    unsettled: Vec<PolicyId>,
    /// The first that each of them asks for.
    unknown: BTreeSet<UnknownFact>,
}

impl WhatIf {
    /// Takes the policies and the error mode of an authorizer as the candidate: build it as the one that is to be
    /// enforced, schema included, so that policies are validated as they will be. Its entities are not looked at, and its
    /// schema is not: recorded requests are decided as they are.
    ///
    /// # Errors
    /// [`CompileError`] when the policies have more names than fit; none that was built has.
    pub fn new(candidate: &Authorizer) -> Result<Self, CompileError> {
        let limits = wide_limits();
        let nothing = Entities::new().load(None, &limits).map_err(Problem::new)?;
        let epoch = candidate.epoch().alone_on(nothing).map_err(Problem::new)?;
        Ok(Self {
            epoch,
            mode: candidate.error_mode(),
            reading: Reading {
                limits,
                validate: false,
                keep_inputs: false,
                context_time: None,
            },
            live: None,
            samples: SAMPLES,
            scratch: Scratch::new(),
            seen: Seen::default(),
        })
    }

    /// Answers what records do not know from the entities that `live` has in force now. They may have changed since the
    /// record was made, so the report says what it took from them ([`WhatIfReport::filled_in`], [`Flip::filled_in`]). What
    /// a record does know stands.
    #[must_use]
    pub fn fill_in(mut self, live: &Authorizer) -> Self {
        self.live = Some(live.epoch());
        self
    }

    /// How many flips of each direction, how many undetermined and how many not replayable records the report tells one by
    /// one. 20 unless said otherwise; all are counted.
    #[must_use]
    pub fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// Adds all records and gives the report.
    pub fn run<R: Borrow<OwnedRecord>>(
        mut self,
        records: impl IntoIterator<Item = R>,
    ) -> WhatIfReport {
        for record in records {
            self.add(record.borrow());
        }
        self.report()
    }

    /// Decides a record with the candidate's policies, and counts what it comes to.
    pub fn add(&mut self, record: &OwnedRecord) -> Reconsidered {
        let reconsidered = self.reconsider(record);
        self.count(record, &reconsidered);
        reconsidered
    }

    /// What the records that were added come to.
    pub fn report(&self) -> WhatIfReport {
        let seen = &self.seen;
        WhatIfReport {
            policies: self.epoch.version.policies(),
            records: seen.records,
            same: seen.same,
            other_reasons: seen.other_reasons,
            newly_allowed: seen.newly_allowed,
            newly_denied: seen.newly_denied,
            undetermined: seen.undetermined,
            not_replayable: seen.not_replayable,
            shadow: seen.shadow,
            filled_in: self.live.as_ref().map(|live| FilledIn {
                version: live.version,
                records: seen.filled_in,
            }),
            reasons: seen.reasons.clone(),
            flips: seen.flips.concat(),
            undetermined_records: seen.undetermined_records.clone(),
            not_replayable_records: seen.not_replayable_records.clone(),
            by_policy_before: seen.by_policy_before.to_list(),
            by_policy_after: seen.by_policy_after.to_list(),
            by_principal: seen.by_principal.to_list(),
            by_action: seen.by_action.to_list(),
            by_resource: seen.by_resource.to_list(),
            unknown: seen.unknown.to_list(),
        }
    }

    fn reconsider(&mut self, record: &OwnedRecord) -> Reconsidered {
        if record.mode == EnforcementMode::Shadow {
            return Reconsidered::Shadow;
        }
        if let Some(error) = &record.request_error {
            let what = format!("the request was refused: {error}");
            return Reconsidered::NotReplayable(NotReplayable::RequestRefused, what);
        }
        if record.outcome == Outcome::EvaluationErrors && self.mode == ErrorMode::Cedar {
            let what = "a strict error mode denied; the candidate has Cedar's".to_owned();
            return Reconsidered::NotReplayable(NotReplayable::StrictMode, what);
        }
        if matches!(
            record.outcome,
            Outcome::StalePolicies | Outcome::StaleEntities
        ) {
            let what = format!("{}, whatever the policies said", record.outcome);
            return Reconsidered::NotReplayable(NotReplayable::Stale, what);
        }
        if record.delegation.is_some() {
            let what =
                "somebody acts for the principal, and only whole chains are decided".to_owned();
            return Reconsidered::NotReplayable(NotReplayable::Delegated, what);
        }
        // Also where nothing is masked that the decision rested on: the candidate's may.
        if !record.masked.is_empty() {
            let what = format!("masked: {}", record.masked.join(", "));
            return Reconsidered::NotReplayable(NotReplayable::Masked, what);
        }
        let (Some(context), Some(inputs)) = (&record.context, &record.inputs) else {
            let what = "the record has no inputs: its sink wanted none".to_owned();
            return Reconsidered::NotReplayable(NotReplayable::NoInputs, what);
        };
        let decided = Facts::of(record, &inputs.entities)
            .and_then(|facts| self.decide(record, &context.to_string(), facts));
        match decided {
            Ok(reconsidered) => reconsidered,
            Err(what) => Reconsidered::NotReplayable(NotReplayable::Unreadable, what),
        }
    }

    /// Decides on what is known, and on what the live store adds to it as long as it can add something.
    fn decide(
        &mut self,
        record: &OwnedRecord,
        context: &str,
        mut facts: Facts,
    ) -> Result<Reconsidered, String> {
        let mut filled_in = Vec::new();
        let mut attempt = self.attempt(record, context, &facts)?;
        if let Some(live) = self.live.clone() {
            for _ in 0..ROUNDS {
                let before = filled_in.len();
                let unknown = std::mem::take(&mut attempt.unknown);
                filled_in.extend(
                    unknown
                        .iter()
                        .filter(|fact| facts.fill_in(fact, &live))
                        .cloned(),
                );
                if filled_in.len() == before {
                    attempt.unknown = unknown;
                    break;
                }
                attempt = self.attempt(record, context, &facts)?;
            }
        }
        self.seen.filled_in += u64::from(!filled_in.is_empty());
        let Ok(after) = attempt.after else {
            return Ok(Reconsidered::Undetermined(
                attempt.unknown.into_iter().collect(),
            ));
        };
        if after.decision == record.decision {
            let ids = |policies: &[OwnedPolicy]| -> BTreeSet<PolicyId> {
                policies.iter().map(|policy| policy.id.clone()).collect()
            };
            let same_reasons = attempt.unsettled.is_empty().then(|| {
                after.outcome == record.outcome
                    && ids(&after.determining) == ids(&record.determining)
            });
            return Ok(Reconsidered::Same { same_reasons });
        }
        Ok(Reconsidered::Flipped(Box::new(Flip {
            id: record.id.clone(),
            time: record.time.clone(),
            request_id: record.request_id.clone(),
            principal: record.principal.clone(),
            action: record.action.clone(),
            resource: record.resource.clone(),
            before: Side {
                decision: record.decision,
                outcome: record.outcome,
                determining: record.determining.clone(),
                errors: record.errors.iter().map(|error| error.id.clone()).collect(),
            },
            after,
            unsettled: attempt.unsettled,
            filled_in,
        })))
    }

    fn attempt(
        &mut self,
        record: &OwnedRecord,
        context: &str,
        facts: &Facts,
    ) -> Result<Attempt, String> {
        let entities = facts.to_json();
        let request = Request::new(&record.principal, &record.action, &record.resource)
            .context_json(context)
            .entities_json(&entities);
        self.try_attempt(&request, facts)
            .map_err(|error| error.to_string())
    }

    fn try_attempt(
        &mut self,
        request: &Request<'_>,
        facts: &Facts,
    ) -> Result<Attempt, RequestError> {
        let (epoch, mode) = (&self.epoch, self.mode);
        self.scratch.reset();
        let Scratch {
            arena,
            locals,
            findings,
            ..
        } = &mut self.scratch;
        let machine = eval::prepare(epoch, request, &self.reading, arena.bump(), locals)?;
        let names = machine.names();
        let outcome = eval::evaluate(epoch, &machine, mode, findings);
        let mut unsettled = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        let owned = |uid| {
            let (type_name, id) = names.uid_text(uid);
            EntityUid::new(type_name, id)
        };
        eval::reads_by_policy(
            epoch,
            &machine,
            &mut findings.candidates,
            &mut |policy, reads| {
                for read in reads {
                    let mut is_within = false;
                    let asked = match read.what {
                        // Scopes' alone, which are not told here; all of them are in the record.
                        What::Ancestors => continue,
                        What::Attribute(name) => {
                            AskedFact::Attribute(names.sym_text(name).to_owned())
                        }
                        What::Tag(name) => AskedFact::Tag(names.sym_text(name).to_owned()),
                        What::UnknownTag(name) => AskedFact::Tag(name.to_owned()),
                        What::Below(above) => {
                            is_within =
                                machine.ancestors(read.entity).binary_search(&above).is_ok();
                            AskedFact::Within(owned(above))
                        }
                    };
                    let fact = UnknownFact {
                        entity: owned(read.entity),
                        asked,
                    };
                    if !facts.knows(&fact, is_within) {
                        unsettled.insert(policy);
                        unknown.insert(fact);
                        // What the policy reads after that rests on a guess.
                        break;
                    }
                }
            },
        );
        let ids = unsettled.iter();
        let ids = ids.map(|policy| RecordedPolicy::new(epoch, *policy).id().clone());
        Ok(Attempt {
            unsettled: ids.collect(),
            after: settle(epoch, mode, outcome, findings, &unsettled),
            unknown,
        })
    }

    fn count(&mut self, record: &OwnedRecord, reconsidered: &Reconsidered) {
        let seen = &mut self.seen;
        seen.records += 1;
        match reconsidered {
            Reconsidered::Same { same_reasons } => {
                seen.same += 1;
                seen.other_reasons += u64::from(*same_reasons == Some(false));
            }
            Reconsidered::Flipped(flip) => {
                let is_newly_allowed = flip.after.decision == Decision::Allow;
                match is_newly_allowed {
                    true => seen.newly_allowed += 1,
                    false => seen.newly_denied += 1,
                }
                for (by, side) in [
                    (&mut seen.by_policy_before, &flip.before),
                    (&mut seen.by_policy_after, &flip.after),
                ] {
                    for policy in &side.determining {
                        by.count(policy.id.as_str(), is_newly_allowed);
                    }
                }
                for (by, uid) in [
                    (&mut seen.by_principal, &flip.principal),
                    (&mut seen.by_action, &flip.action),
                    (&mut seen.by_resource, &flip.resource),
                ] {
                    by.count(&uid.to_string(), is_newly_allowed);
                }
                let [allowed, denied] = &mut seen.flips;
                let samples = if is_newly_allowed { allowed } else { denied };
                if samples.len() < self.samples {
                    samples.push(Flip::clone(flip));
                }
            }
            Reconsidered::Undetermined(unknown) => {
                seen.undetermined += 1;
                seen.unknown.count(unknown);
                if seen.undetermined_records.len() < self.samples {
                    seen.undetermined_records.push(UndeterminedRecord {
                        id: record.id.clone(),
                        unknown: unknown.clone(),
                    });
                }
            }
            Reconsidered::NotReplayable(why, what) => {
                seen.not_replayable += 1;
                *seen.reasons.entry(*why).or_default() += 1;
                if seen.not_replayable_records.len() < self.samples {
                    seen.not_replayable_records
                        .push((record.id.clone(), what.clone()));
                }
            }
            Reconsidered::Shadow => seen.shadow += 1,
        }
    }
}

/// What the policies decide when those that are not settled may each hold, not hold or fail; an error when that leaves
/// both open.
fn settle(
    epoch: &Epoch,
    mode: ErrorMode,
    outcome: Outcome,
    findings: &Findings,
    unsettled: &BTreeSet<u32>,
) -> Result<Side, ()> {
    let settled = |policies: &[u32]| -> Vec<u32> {
        let settled = policies.iter().filter(|policy| !unsettled.contains(policy));
        settled.copied().collect()
    };
    let (permits, forbids) = (
        settled(findings.permits.in_order()),
        settled(findings.forbids.in_order()),
    );
    let errors = findings.errors(epoch).map(|(policy, _)| policy);
    let errors: Vec<u32> = errors
        .filter(|policy| !unsettled.contains(policy))
        .collect();
    let is_open = |effect| {
        unsettled
            .iter()
            .any(|policy| epoch.effect(*policy) == effect)
    };
    let is_spoiled = match mode {
        ErrorMode::Cedar => false,
        ErrorMode::DenyOnForbidError => {
            let mut errors = errors.iter();
            errors.any(|policy| epoch.effect(*policy) == Effect::Forbid)
        }
        ErrorMode::DenyOnAnyError => !errors.is_empty(),
    };
    let may_allow =
        forbids.is_empty() && !is_spoiled && (!permits.is_empty() || is_open(Effect::Permit));
    let may_deny = !forbids.is_empty()
        || is_spoiled
        || permits.is_empty()
        || is_open(Effect::Forbid)
        || (mode == ErrorMode::DenyOnAnyError && !unsettled.is_empty());
    let outcome = match (may_allow, may_deny) {
        _ if unsettled.is_empty() => outcome,
        (true, true) => return Err(()),
        (true, false) => Outcome::Allowed,
        // Where several would do, the one that the settled policies come to.
        _ if !forbids.is_empty() => Outcome::Forbidden,
        _ if permits.is_empty() => Outcome::NoPermit,
        _ => Outcome::EvaluationErrors,
    };
    let determining = if forbids.is_empty() { permits } else { forbids };
    let policy = |policy: &u32| RecordedPolicy::new(epoch, *policy);
    Ok(Side {
        decision: outcome.decision(),
        outcome,
        determining: determining
            .iter()
            .map(|number| OwnedPolicy::of(policy(number)))
            .collect(),
        errors: errors
            .iter()
            .map(|number| policy(number).id().clone())
            .collect(),
    })
}
