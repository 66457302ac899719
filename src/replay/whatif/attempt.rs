//! What a candidate comes to where not all is known.

use std::collections::BTreeSet;

use crate::decision::{Decision, Effect, ErrorMode, Outcome};
use crate::epoch::Epoch;
use crate::eval::Findings;
use crate::evidence::{OwnedPolicy, RecordedPolicy};
use crate::id::PolicyId;

use super::facts::UnknownFact;
use super::report::Side;

/// What the candidate's policies come to on what is known.
pub(super) struct Attempt {
    /// `None` when what is not known leaves both decisions open.
    pub(super) after: Option<Side>,
    /// Policies that ask for what is not known.
    pub(super) unsettled: Vec<PolicyId>,
    /// The first that each of them asks for; where it is the scope that asks, all of that.
    pub(super) unknown: BTreeSet<UnknownFact>,
}

impl Attempt {
    /// What a chain comes to: denied where any hop is, whatever becomes of the others.
    pub(super) fn of_chain(mut hops: Vec<Self>) -> Option<Self> {
        if hops.len() < 2 {
            return hops.pop();
        }
        let known = hops.iter().filter_map(|hop| hop.after.as_ref());
        let denied = known.clone().find(|side| side.decision == Decision::Deny);
        let after = match denied {
            Some(denied) => Some(denied.clone()),
            None if known.clone().count() == hops.len() => Some(Side::of_all(known)),
            None => None,
        };
        let mut unsettled = Vec::new();
        let mut unknown = BTreeSet::new();
        for hop in hops {
            unsettled.extend(hop.unsettled);
            unknown.extend(hop.unknown);
        }
        unsettled.sort_unstable();
        unsettled.dedup();
        Some(Self {
            after,
            unsettled,
            unknown,
        })
    }
}

/// What the policies decide when those that are not settled may each hold, not hold or fail; `None` when that leaves
/// both open.
pub(super) fn settle(
    epoch: &Epoch,
    mode: ErrorMode,
    outcome: Outcome,
    findings: &Findings,
    unsettled: &BTreeSet<u32>,
) -> Option<Side> {
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
        (true, true) => return None,
        (true, false) => Outcome::Allowed,
        // Where several would do, the one that the settled policies come to.
        _ if !forbids.is_empty() => Outcome::Forbidden,
        _ if permits.is_empty() => Outcome::NoPermit,
        _ => Outcome::EvaluationErrors,
    };
    let determining = if forbids.is_empty() { permits } else { forbids };
    let policy = |policy: &u32| RecordedPolicy::new(epoch, *policy);
    Some(Side {
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
