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

mod attempt;
mod before;
mod facts;
mod report;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::authorizer::Authorizer;
use crate::compile::{CompileError, Entities, Problem};
use crate::decision::{Decision, EnforcementMode, ErrorMode};
use crate::epoch::Epoch;
use crate::eval::{self, Machine, Read, Reading, Scratch, What};
use crate::evidence::{Hidden, OwnedPolicy, OwnedRecord, RecordedPolicy};
use crate::id::PolicyId;
use crate::request::{Request, RequestError};
use crate::value::arena::NameText;

use super::decide::{Asked, asked, wide_limits};

use attempt::{Attempt, settle};
use before::Before;
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
/// on what they say was read. Where the candidate asks for something that they do not know, or that is masked, the record is
/// *undetermined*, unless the decision does not depend on it; see [`WhatIf::fill_in`]. Of a delegation each hop is decided.
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
    stale: u64,
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
            stale: seen.stale,
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
        match self.try_reconsider(record) {
            Ok(reconsidered) => reconsidered,
            Err((why, what)) => Reconsidered::NotReplayable(why, what),
        }
    }

    fn try_reconsider(
        &mut self,
        record: &OwnedRecord,
    ) -> Result<Reconsidered, (NotReplayable, String)> {
        let before = Before::of(record, self.mode)?;
        let hidden = hidden(record)?;
        let unreadable = |what| (NotReplayable::Unreadable, what);
        let asked = asked(record).map_err(unreadable)?;
        let facts = Facts::of(&asked, &hidden).map_err(unreadable)?;
        let asked = Question {
            record,
            before,
            hops: asked,
            hidden_context: hidden.iter().filter_map(Hidden::context).collect(),
        };
        self.decide(&asked, facts).map_err(unreadable)
    }

    /// Decides on what is known, and on what the live store adds to it as long as it can add something.
    fn decide(&mut self, asked: &Question<'_>, mut facts: Facts) -> Result<Reconsidered, String> {
        let Question { record, before, .. } = asked;
        let mut filled_in = Vec::new();
        let mut attempt = self.attempt(asked, &facts)?;
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
                attempt = self.attempt(asked, &facts)?;
            }
        }
        self.seen.filled_in += u64::from(!filled_in.is_empty());
        self.seen.stale += u64::from(before.stale.is_some());
        let Ok(after) = attempt.after else {
            return Ok(Reconsidered::Undetermined(
                attempt.unknown.into_iter().collect(),
            ));
        };
        if after.decision == before.side.decision {
            let ids = |policies: &[OwnedPolicy]| -> BTreeSet<PolicyId> {
                policies.iter().map(|policy| policy.id.clone()).collect()
            };
            let same_reasons = attempt.unsettled.is_empty().then(|| {
                after.outcome == before.side.outcome
                    && ids(&after.determining) == ids(&before.side.determining)
            });
            return Ok(Reconsidered::Same { same_reasons });
        }
        let actors = asked.hops.iter().skip(1);
        Ok(Reconsidered::Flipped(Box::new(Flip {
            id: record.id.clone(),
            time: record.time.clone(),
            request_id: record.request_id.clone(),
            principal: record.principal.clone(),
            action: record.action.clone(),
            resource: record.resource.clone(),
            actors: actors.map(|hop| hop.principal.to_owned()).collect(),
            stale: before.stale,
            before: before.side.clone(),
            after,
            unsettled: attempt.unsettled,
            filled_in,
        })))
    }

    /// Each hop for itself, and what they come to together.
    fn attempt(&mut self, asked: &Question<'_>, facts: &Facts) -> Result<Attempt, String> {
        let entities = facts.to_json();
        let mut hops = Vec::with_capacity(asked.hops.len());
        for hop in &asked.hops {
            let context = hop.context.to_string();
            let request = Request::new(hop.principal, hop.action, hop.resource)
                .context_json(&context)
                .entities_json(&entities);
            let attempt = self.try_attempt(&request, facts, &asked.hidden_context);
            hops.push(attempt.map_err(|error| error.to_string())?);
        }
        Attempt::of_chain(hops).ok_or_else(|| "the record has a delegation without hops".into())
    }

    fn try_attempt(
        &mut self,
        request: &Request<'_>,
        facts: &Facts,
        hidden_context: &[&str],
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
        let outcome = eval::evaluate(epoch, &machine, mode, findings);
        let mut unsettled = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        eval::reads_by_policy(
            epoch,
            &machine,
            &mut findings.candidates,
            &mut |policy, reads| {
                for read in reads {
                    let Some((fact, is_within)) = asked_fact(&machine, read) else {
                        continue;
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
        let asker = request.principal().to_owned();
        eval::sees_by_policy(
            epoch,
            &machine,
            &mut findings.candidates,
            hidden_context,
            &mut |policy, field| {
                unsettled.insert(policy);
                unknown.insert(UnknownFact {
                    entity: asker.clone(),
                    asked: AskedFact::Context(field.to_owned()),
                });
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

/// What a read asks, and whether the answer is that the entity is within another. `None` for scopes' alone, which are not
/// told here; all of them are in the record.
fn asked_fact(machine: &Machine<'_>, read: &Read<'_>) -> Option<(UnknownFact, bool)> {
    let names = machine.names();
    let mut is_within = false;
    let asked = match read.what {
        What::Ancestors => return None,
        What::Attribute(name) => AskedFact::Attribute(names.sym_text(name).to_owned()),
        What::Tag(name) => AskedFact::Tag(names.sym_text(name).to_owned()),
        What::UnknownTag(name) => AskedFact::Tag(name.to_owned()),
        What::Below(above) => {
            is_within = machine.ancestors(read.entity).binary_search(&above).is_ok();
            AskedFact::Within(names.owned_uid(above))
        }
    };
    let fact = UnknownFact {
        entity: names.owned_uid(read.entity),
        asked,
    };
    Some((fact, is_within))
}

/// What is decided again: a record, and what was asked for it.
struct Question<'r> {
    record: &'r OwnedRecord,
    before: Before,
    /// The request, or the request for each hop of its delegation.
    hops: Vec<Asked<'r>>,
    /// Fields of the context that are masked.
    hidden_context: Vec<&'r str>,
}

/// What the record says was masked. Attributes, tags and fields of the context are not known then, also where nothing is
/// masked that the decision rested on: the candidate's may.
fn hidden(record: &OwnedRecord) -> Result<Vec<Hidden>, (NotReplayable, String)> {
    let masked = || {
        let what = format!("masked: {}", record.masked.join(", "));
        (NotReplayable::Masked, what)
    };
    let hidden = record.masked.iter().map(|rule| Hidden::read(rule));
    let hidden: Option<Vec<_>> = hidden.collect();
    let hidden = hidden.ok_or_else(masked)?;
    match hidden
        .iter()
        .any(|hidden| matches!(hidden, Hidden::Ids | Hidden::Context(None)))
    {
        true => Err(masked()),
        false => Ok(hidden),
    }
}
