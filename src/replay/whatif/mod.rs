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
mod candidate;
mod facts;
mod report;
mod tally;
mod text;

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::authorizer::Authorizer;
use crate::compile::CompileError;
use crate::decision::EnforcementMode;
use crate::epoch::Epoch;
use crate::evidence::{Hidden, OwnedPolicy, OwnedRecord};
use crate::id::PolicyId;

use super::asked::asked;
use super::reason::{NotReplayable, NotReplayableKind};

use attempt::Attempt;
use before::Before;
use candidate::{Candidate, Question};
use facts::Facts;
use tally::Tally;

pub use facts::{AskedFact, UnknownFact};
pub use report::{FilledIn, Flip, FlipCount, Side, UndeterminedRecord, UnknownCount, WhatIfReport};

/// How many flips of each direction, and how many undetermined records, are told one by one unless said otherwise.
const SAMPLES: usize = 20;

/// How often the live store is asked for more. Each time something is answered that the next question rests on, such as
/// the owner of the folder of a document, and each attribute that a policy reads one after the other: policies that go further
/// than this are not decided.
const ROUNDS: usize = 512;

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
    candidate: Candidate,
    /// What is asked for what records do not know.
    live: Option<Arc<Epoch>>,
    tally: Tally,
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
    /// There is nothing to decide, for this reason.
    NotReplayable(NotReplayable),
    /// It is the record of a shadow decision.
    Shadow,
}

impl WhatIf {
    /// Takes the policies and the error mode of an authorizer as the candidate: build it as the one that is to be
    /// enforced, schema included, so that policies are validated as they will be. Its entities are not looked at, and its
    /// schema is not: recorded requests are decided as they are.
    ///
    /// # Errors
    /// [`CompileError`] when the policies have more names than one table holds. Those of an authorizer that was built fit.
    pub fn new(candidate: &Authorizer) -> Result<Self, CompileError> {
        Ok(Self {
            candidate: Candidate::new(candidate)?,
            live: None,
            tally: Tally::new(SAMPLES),
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
        self.tally.samples = samples;
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
        self.tally.count(record, &reconsidered);
        reconsidered
    }

    /// What the records that were added come to.
    pub fn report(&self) -> WhatIfReport {
        let live = self.live.as_ref().map(|live| live.version);
        let policies = self.candidate.epoch.version.policies();
        self.tally.report(policies, live)
    }

    fn reconsider(&mut self, record: &OwnedRecord) -> Reconsidered {
        if record.mode == EnforcementMode::Shadow {
            return Reconsidered::Shadow;
        }
        match self.try_reconsider(record) {
            Ok(reconsidered) => reconsidered,
            Err(why) => Reconsidered::NotReplayable(why),
        }
    }

    fn try_reconsider(&mut self, record: &OwnedRecord) -> Result<Reconsidered, NotReplayable> {
        let before = Before::of(record, self.candidate.mode)?;
        let hidden = hidden(record)?;
        let asked = asked(record, self.candidate.limits())?;
        let facts = Facts::of(&asked, &hidden).map_err(NotReplayable::unreadable)?;
        let asked = Question {
            record,
            before,
            hops: asked,
            hidden_context: hidden.iter().filter_map(Hidden::context).collect(),
        };
        self.decide(&asked, facts)
            .map_err(NotReplayable::unreadable)
    }

    fn decide(&mut self, asked: &Question<'_>, mut facts: Facts) -> Result<Reconsidered, String> {
        let Question { record, before, .. } = asked;
        let (attempt, filled_in) = self.attempt(asked, &mut facts)?;
        self.tally.stale += u64::from(before.stale.is_some());
        let Some(after) = attempt.after else {
            let unknown = attempt.unknown.into_iter().collect();
            return Ok(Reconsidered::Undetermined(unknown));
        };
        self.tally.filled_in += u64::from(!filled_in.is_empty());
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

    /// What the candidate comes to on what is known, and on what the live store adds to it as long as it can add something.
    /// Also gives what it has added.
    fn attempt(
        &mut self,
        asked: &Question<'_>,
        facts: &mut Facts,
    ) -> Result<(Attempt, Vec<UnknownFact>), String> {
        let mut filled_in = Vec::new();
        let mut attempt = self.candidate.attempt(asked, facts)?;
        let Some(live) = &self.live else {
            return Ok((attempt, filled_in));
        };
        for _ in 0..ROUNDS {
            let answered = attempt.unknown.iter();
            let answered = answered.filter(|fact| facts.fill_in(fact, live));
            let answered: Vec<_> = answered.cloned().collect();
            if answered.is_empty() {
                break;
            }
            filled_in.extend(answered);
            attempt = self.candidate.attempt(asked, facts)?;
        }
        Ok((attempt, filled_in))
    }
}

/// What the record says was masked. Attributes, tags and fields of the context are not known then, also where nothing is
/// masked that the decision rested on: the candidate's may.
fn hidden(record: &OwnedRecord) -> Result<Vec<Hidden>, NotReplayable> {
    let masked = || {
        let what = format!("masked: {}", record.masked.join(", "));
        NotReplayable::new(NotReplayableKind::Masked, what)
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
