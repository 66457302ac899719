//! What a record says was decided.

use std::collections::BTreeSet;

use crate::decision::{Decision, Effect, ErrorMode, Outcome};
use crate::evidence::{OwnedHop, OwnedPolicy, OwnedPolicyError, OwnedRecord};
use crate::id::PolicyId;

use super::report::Side;
use crate::replay::reason::{NotReplayable, NotReplayableKind};

/// What policies came to.
pub(super) struct Before {
    pub(super) side: Side,
    /// What the caller was told instead, where data was too old.
    pub(super) stale: Option<Outcome>,
}

impl Before {
    /// # Errors
    /// Why there is nothing that a candidate with this error mode could be compared with.
    pub(super) fn of(record: &OwnedRecord, mode: ErrorMode) -> Result<Self, NotReplayable> {
        if let Some(error) = &record.request_error {
            let what = format!("the request was refused: {error}");
            return Err(NotReplayable::new(NotReplayableKind::RequestRefused, what));
        }
        if record.decision != record.outcome.decision() {
            return Err(NotReplayable::unreadable(format!(
                "the record says {} and {}",
                record.decision, record.outcome
            )));
        }
        let hops = record
            .delegation
            .as_ref()
            .map_or(&[][..], |chain| &chain.hops);
        let mut outcomes = hops.iter().map(|hop| hop.outcome);
        if outcomes.clone().any(|outcome| outcome.is_none()) {
            return Err(NotReplayable::delegation_refused(record.outcome));
        }
        let is_strict = |outcome| outcome == Outcome::EvaluationErrors;
        if (is_strict(record.outcome) || outcomes.clone().flatten().any(is_strict))
            && mode == ErrorMode::Cedar
        {
            let what = "a strict error mode denied; the candidate has Cedar's".to_owned();
            return Err(NotReplayable::new(NotReplayableKind::StrictMode, what));
        }
        if record.context.is_none() || record.inputs.is_none() {
            return Err(NotReplayable::no_inputs());
        }
        if !is_stale(record.outcome) && !outcomes.any(|outcome| outcome.is_some_and(is_stale)) {
            let side = Side::recorded(record.outcome, &record.determining, &record.errors);
            return Ok(Self { side, stale: None });
        }
        let side = match hops {
            [] => what_policies_said(record.outcome, &record.determining, &record.errors, mode)?,
            hops => {
                let hops = hops.iter().map(|hop| of_hop(hop, mode));
                let hops = hops.collect::<Result<Vec<_>, _>>()?;
                let denied = hops.iter().find(|side| side.decision == Decision::Deny);
                denied.cloned().unwrap_or_else(|| Side::of_all(hops.iter()))
            }
        };
        let stale = is_stale(record.outcome).then_some(record.outcome);
        Ok(Self { side, stale })
    }
}

fn of_hop(hop: &OwnedHop, mode: ErrorMode) -> Result<Side, NotReplayable> {
    what_policies_said(
        hop.outcome.unwrap_or(Outcome::NoPermit),
        hop.determining.as_deref().unwrap_or_default(),
        hop.errors.as_deref().unwrap_or_default(),
        mode,
    )
}

/// Of an outcome that has to do with age, what would have been the outcome without it.
fn what_policies_said(
    outcome: Outcome,
    determining: &[OwnedPolicy],
    errors: &[OwnedPolicyError],
    mode: ErrorMode,
) -> Result<Side, NotReplayable> {
    let said = match determining.first().map(|policy| policy.effect) {
        _ if !is_stale(outcome) => outcome,
        Some(Effect::Permit) if !errors.is_empty() && mode != ErrorMode::Cedar => {
            let what =
                format!("{outcome}, and whether policies that failed denied is not recorded");
            return Err(NotReplayable::new(NotReplayableKind::Stale, what));
        }
        Some(Effect::Permit) => Outcome::Allowed,
        Some(Effect::Forbid) => Outcome::Forbidden,
        None => Outcome::NoPermit,
    };
    Ok(Side::recorded(said, determining, errors))
}

fn is_stale(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::StalePolicies | Outcome::StaleEntities)
}

impl Side {
    fn recorded(
        outcome: Outcome,
        determining: &[OwnedPolicy],
        errors: &[OwnedPolicyError],
    ) -> Self {
        Self {
            decision: outcome.decision(),
            outcome,
            determining: determining.to_vec(),
            errors: errors.iter().map(|error| error.id.clone()).collect(),
        }
    }

    /// What hops that are all allowed come to together.
    pub(super) fn of_all<'s>(hops: impl Iterator<Item = &'s Self> + Clone) -> Self {
        let mut seen = BTreeSet::new();
        let determining = hops.clone().flat_map(|hop| &hop.determining);
        let determining = determining.filter(|policy| seen.insert(policy.id.clone()));
        let determining = determining.cloned().collect();
        let errors: BTreeSet<PolicyId> = hops.flat_map(|hop| hop.errors.iter().cloned()).collect();
        Self {
            decision: Decision::Allow,
            outcome: Outcome::Allowed,
            determining,
            errors: errors.into_iter().collect(),
        }
    }
}
