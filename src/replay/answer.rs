//! What a decision comes to: as it was recorded, as it is decided again, and of a chain.

use std::collections::{BTreeMap, BTreeSet};

use crate::decision::{Effect, Outcome};
use crate::eval::Response;
use crate::evidence::{OwnedDelegation, OwnedHop, OwnedPolicy, OwnedPolicyError, OwnedRecord};
use crate::id::PolicyId;
use crate::value::ErrorKind;

/// What a decision comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// Whether the policies allow. A strict [`ErrorMode`](crate::ErrorMode) may have denied all the same.
    pub allowed: bool,
    /// The policies that determine it.
    pub determining: BTreeSet<PolicyId>,
    /// The policies that could not be evaluated.
    pub errors: BTreeMap<PolicyId, ErrorKind>,
    /// What each hop of a delegation comes to, the principal first; empty for a request without one.
    pub hops: Vec<Self>,
}

impl Answer {
    pub(super) fn of(response: &Response<'_>) -> Result<Self, String> {
        if let Some(error) = response.request_error() {
            return Err(error.to_string());
        }
        Ok(Self {
            allowed: response.is_allowed(),
            determining: response
                .determining()
                .map(|policy| policy.id().clone())
                .collect(),
            errors: response
                .errors()
                .map(|error| (error.policy().id().clone(), error.kind()))
                .collect(),
            hops: Vec::new(),
        })
    }

    pub(super) fn recorded(record: &OwnedRecord) -> Self {
        let hops = record.delegation.iter().flat_map(|chain| &chain.hops);
        let hops = hops.map(Self::of_recorded_hop);
        Self::listed(
            Some(record.outcome),
            record.determining.iter(),
            record.errors.iter(),
            hops.collect(),
        )
    }

    pub(super) fn of_recorded_hop(hop: &OwnedHop) -> Self {
        let determining = hop.determining.iter().flatten();
        let errors = hop.errors.iter().flatten();
        Self::listed(hop.outcome, determining, errors, Vec::new())
    }

    fn listed<'r>(
        outcome: Option<Outcome>,
        determining: impl Iterator<Item = &'r OwnedPolicy> + Clone,
        errors: impl Iterator<Item = &'r OwnedPolicyError>,
        hops: Vec<Self>,
    ) -> Self {
        Self {
            // Strict modes deny what the policies allow; where data was too old, what they said is to be told from who
            // determines it. What a sink denies has no record.
            allowed: match outcome {
                Some(Outcome::Allowed | Outcome::EvaluationErrors) => true,
                Some(Outcome::StalePolicies | Outcome::StaleEntities) => {
                    let mut determining = determining.clone();
                    determining.any(|policy| policy.effect == Effect::Permit)
                }
                _ => false,
            },
            determining: determining.map(|policy| policy.id.clone()).collect(),
            errors: errors.map(|error| (error.id.clone(), error.kind)).collect(),
            hops,
        }
    }

    /// Whether this, recorded, is what the outcomes and the decision of its record can stand for. An answer has of an outcome
    /// only whether policies allow.
    pub(super) fn bears_out(&self, record: &OwnedRecord) -> bool {
        let has_ages = record.ages.is_some();
        let hops = record.delegation.iter().flat_map(|chain| &chain.hops);
        let hops = hops.map(|hop| hop.outcome.unwrap_or(Outcome::NoPermit));
        let bears_out_hops = hops
            .clone()
            .zip(&self.hops)
            .all(|(outcome, hop)| hop.bears_out_outcome(outcome, has_ages));
        let of_chain = hops.reduce(|first, next| match first {
            Outcome::Allowed => next,
            denied => denied,
        });
        record.decision == record.outcome.decision()
            && of_chain.is_none_or(|of_chain| of_chain == record.outcome)
            && bears_out_hops
            && self.bears_out_outcome(record.outcome, has_ages)
    }

    /// The same for one outcome, of a record that has ages or not.
    pub(super) fn bears_out_outcome(&self, outcome: Outcome, has_ages: bool) -> bool {
        match outcome {
            Outcome::Allowed => true,
            Outcome::Forbidden => !self.determining.is_empty(),
            Outcome::NoPermit => self.determining.is_empty(),
            // What a strict mode denies for.
            Outcome::EvaluationErrors => !self.errors.is_empty(),
            Outcome::StalePolicies | Outcome::StaleEntities => has_ages,
            // Nothing was asked of policies, or there is no record.
            Outcome::InvalidRequest
            | Outcome::EvidenceNotKept
            | Outcome::DelegationTooLong
            | Outcome::DelegationCycle
            | Outcome::DelegationNotYetValid
            | Outcome::DelegationExpired => false,
        }
    }

    /// What a chain comes to: what the first hop that is denied does, and else all hops together. Which hops were denied
    /// although the policies allow them, the record says.
    pub(super) fn of_chain(recorded: &OwnedDelegation, hops: Vec<Self>) -> Option<Self> {
        let allowed = |at: usize, hop: &Self| {
            let recorded = recorded.hops.get(at);
            hop.allowed && recorded.is_some_and(|hop| hop.outcome == Some(Outcome::Allowed))
        };
        let mut numbered = hops.iter().enumerate();
        let denied = numbered.find(|(at, hop)| !allowed(*at, hop));
        let mut answer = match denied {
            Some((_, hop)) => hop.clone(),
            None => {
                let mut all = hops.first()?.clone();
                for hop in hops.iter().skip(1) {
                    all.determining.extend(hop.determining.iter().cloned());
                    for (id, kind) in &hop.errors {
                        all.errors.entry(id.clone()).or_insert(*kind);
                    }
                }
                all
            }
        };
        answer.hops = hops;
        Some(answer)
    }
}
