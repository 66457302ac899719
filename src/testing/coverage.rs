//! What cases try of the policies: which decided, and which conditions were met both ways.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bumpalo::Bump;
use serde::Serialize;

use crate::authorizer::Pinned;
use crate::compile::stack;
use crate::decision::{Effect, Outcome};
use crate::epoch::Epoch;
use crate::eval::{self, Fate, Machine, Response, Weighed, chain};
use crate::evidence::RecordedPolicy;
use crate::explain::{self, Clause, Condition};
use crate::id::PolicyId;
use crate::limits::Limits;
use crate::request::Request;
use crate::request::locals::{Locals, RequestNames};

/// What a run of cases tried of the policies in force. Its `Display` lists what was not.
///
/// A policy *decided* when a decision was what it says: an allow that a permit determined, or a deny with the outcome
/// [`Forbidden`](Outcome::Forbidden) that a forbid did. What a stale store or a strict mode denies, no policy decided.
///
/// A *condition* is the whole of an `unless` clause, or one of the operands of `&&` that a `when` clause is made of.
/// Conditions are evaluated as in a decision, those behind one that is not met are not, and each hop of a delegation counts
/// for itself. A condition that was never false has not been shown to keep anything out.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Coverage {
    /// All policies and links in force, in the order of the policy set.
    pub policies: Vec<PolicyCoverage>,
}

/// What was tried of one policy or link.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct PolicyCoverage {
    /// The policy's id.
    pub id: PolicyId,
    /// The id of its template, if it is a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PolicyId>,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// The file that has its text, if it was loaded from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line of its `permit` or `forbid`, from 1; for policies from JSON or a `cedar_policy::PolicySet`, in their own text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// How many requests (of a delegation, hops) its scope matched.
    pub in_scope: u64,
    /// How many of them it applied to, whether or not another outweighed it.
    pub applied: u64,
    /// In how many it could not be evaluated.
    pub failed: u64,
    /// How many decisions it determined, as a permit that allowed or a forbid that denied.
    pub decided: u64,
    /// Its conditions, in their order. Those that are constant are left out.
    pub conditions: Vec<ConditionCoverage>,
}

/// What was tried of a condition.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct ConditionCoverage {
    /// The condition, and where it is written.
    pub condition: Condition,
    /// How often the expression, as it is written, was true.
    pub was_true: u64,
    /// How often it was false.
    pub was_false: u64,
    /// How often it failed.
    pub failed: u64,
}

impl Coverage {
    /// The policies that never decided.
    pub fn never_decided(&self) -> impl Iterator<Item = &PolicyCoverage> {
        self.policies.iter().filter(|policy| policy.decided == 0)
    }

    /// The conditions that were never true or never false, each with its policy.
    pub fn one_sided(&self) -> impl Iterator<Item = (&PolicyCoverage, &ConditionCoverage)> {
        let all = self.policies.iter().flat_map(|policy| {
            let conditions = policy.conditions.iter();
            conditions.map(move |condition| (policy, condition))
        });
        all.filter(|(_, condition)| condition.was_true == 0 || condition.was_false == 0)
    }

    /// Whether each policy decided and each condition was both true and false.
    pub fn is_complete(&self) -> bool {
        self.never_decided().next().is_none() && self.one_sided().next().is_none()
    }

    /// For tests: fails with what was not tried unless the coverage [is complete](Self::is_complete).
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    #[expect(clippy::panic, reason = "an assertion for tests, and nothing else")]
    pub fn assert_complete(&self) {
        if !self.is_complete() {
            panic!("{self}");
        }
    }
}

/// Counts by a policy's number in answers.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    policies: HashMap<u32, Tally>,
    decided: HashMap<PolicyId, u64>,
}

#[derive(Debug, Default)]
struct Tally {
    in_scope: u64,
    applied: u64,
    failed: u64,
    /// How often the conjunct of this number was the first that is false, or failed.
    unmet: BTreeMap<u32, u64>,
    failures: BTreeMap<u32, u64>,
}

impl Tallies {
    /// Counts what became of each policy in a decision.
    pub(super) fn add(&mut self, pinned: &Pinned, request: &Request<'_>, response: &Response<'_>) {
        if matches!(response.outcome(), Outcome::Allowed | Outcome::Forbidden) {
            // Of a chain that is allowed, all hops; of one that is not, the hop that this is the outcome of.
            let determining = response.determining();
            let determining: HashSet<_> = determining.map(|policy| policy.id().clone()).collect();
            for policy in determining {
                *self.decided.entry(policy).or_default() += 1;
            }
        }
        if policies_were_asked(response.outcome()) {
            let _ = self.weigh(pinned, &request.at(response.now));
        }
    }

    /// `None` cannot be: the request was decided.
    fn weigh(&mut self, pinned: &Pinned, request: &Request<'_>) -> Option<()> {
        let (_, epoch) = pinned.parts();
        let reading = eval::Reading::again();
        let arena = Bump::new();
        let mut locals = Locals::default();
        let hops = chain::asked(epoch, request, &reading, (&arena, &mut locals)).ok()?;
        let names = RequestNames {
            shared: &epoch.snapshot.names,
            locals: &locals,
        };
        for hop in hops {
            let machine = Machine::new(epoch, names, *hop, &arena);
            for weighed in eval::weigh_all(epoch, &machine) {
                self.count(weighed);
            }
        }
        Some(())
    }

    fn count(&mut self, Weighed { policy, fate, .. }: Weighed) {
        let tally = self.policies.entry(policy).or_default();
        tally.in_scope += u64::from(!matches!(fate, Fate::OutOfScope(_)));
        match fate {
            Fate::Applies => tally.applied += 1,
            Fate::Unmet(number) => *tally.unmet.entry(number).or_default() += 1,
            Fate::Failed(number, _) => {
                tally.failed += 1;
                *tally.failures.entry(number).or_default() += 1;
            }
            Fate::OutOfScope(_) => {}
        }
    }

    /// The counts of all policies in force.
    pub(super) fn coverage(&self, epoch: &Arc<Epoch>) -> Coverage {
        // Each policy's text is read again, and a thread for each would take longer than reading: 30 microseconds.
        let all = || self.of_all(epoch);
        stack::with_parser_stack(&Limits::default(), all).unwrap_or_else(|_| all())
    }

    fn of_all(&self, epoch: &Arc<Epoch>) -> Coverage {
        let none = Tally::default();
        let mut policies = Vec::new();
        for number in epoch.in_force() {
            let tally = self.policies.get(&number).unwrap_or(&none);
            let policy = RecordedPolicy::new(epoch, number);
            let (conditions, source) = explain::conditions(epoch, number);
            policies.push(PolicyCoverage {
                id: policy.id().clone(),
                template: policy.template().cloned(),
                effect: policy.effect(),
                line: source.as_ref().map(|source| source.line),
                file: source.and_then(|source| source.file),
                in_scope: tally.in_scope,
                applied: tally.applied,
                failed: tally.failed,
                decided: self.decided.get(policy.id()).copied().unwrap_or_default(),
                conditions: tally.conditions(conditions),
            });
        }
        Coverage { policies }
    }
}

impl Tally {
    fn conditions(&self, conditions: Vec<Option<Condition>>) -> Vec<ConditionCoverage> {
        // Whatever comes to a conjunct passes it, fails it or is stopped there.
        let mut reached = self.in_scope;
        let mut told = Vec::with_capacity(conditions.len());
        for (condition, number) in conditions.into_iter().zip(0..) {
            let unmet = self.unmet.get(&number).copied().unwrap_or_default();
            let failed = self.failures.get(&number).copied().unwrap_or_default();
            let met = reached.saturating_sub(unmet + failed);
            reached = met;
            let Some(condition) = condition else { continue };
            // The conjunct of an `unless` is the negation of what is written.
            let (was_true, was_false) = match condition.clause {
                Clause::When => (met, unmet),
                Clause::Unless => (unmet, met),
            };
            told.push(ConditionCoverage {
                condition,
                was_true,
                was_false,
                failed,
            });
        }
        told
    }
}

fn policies_were_asked(outcome: Outcome) -> bool {
    match outcome {
        Outcome::InvalidRequest
        | Outcome::DelegationTooLong
        | Outcome::DelegationCycle
        | Outcome::DelegationNotYetValid
        | Outcome::DelegationExpired => false,
        Outcome::Allowed
        | Outcome::Forbidden
        | Outcome::NoPermit
        | Outcome::EvaluationErrors
        | Outcome::EvidenceNotKept
        | Outcome::StalePolicies
        | Outcome::StaleEntities => true,
    }
}
