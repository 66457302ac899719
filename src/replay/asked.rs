//! What a record says was asked: the request, or each hop of its delegation.

use serde_json::Value as Json;

use crate::evidence::{OwnedInputs, OwnedRecord};
use crate::id::EntityUidRef;
use crate::limits::{Limit, Limits};
use crate::request::Request;

use super::reason::NotReplayable;
use super::recorded::{Fields, RecordedEntity};

/// One question that a record has the answer to.
pub(super) struct Asked<'r> {
    pub(super) principal: EntityUidRef<'r>,
    pub(super) action: EntityUidRef<'r>,
    pub(super) resource: EntityUidRef<'r>,
    pub(super) context: &'r Json,
    pub(super) inputs: &'r OwnedInputs,
}

impl Asked<'_> {
    /// # Errors
    /// When what was read of entities is not in the form of a record.
    pub(super) fn with_request<R>(
        &self,
        ask: impl FnOnce(&Request<'_>) -> R,
    ) -> Result<R, NotReplayable> {
        let context = Fields::of(self.context).map_err(NotReplayable::unreadable)?;
        let entities = RecordedEntity::all(self.inputs).map_err(NotReplayable::unreadable)?;
        let entities: Vec<_> = entities.iter().map(RecordedEntity::typed).collect();
        let request = Request::new(self.principal, self.action, self.resource)
            .context(&context)
            .entities(&entities);
        Ok(ask(&request))
    }
}

/// What was asked: the request, or the request for each hop of its delegation.
///
/// # Errors
/// Also when more act than in a request under these limits: each hop is decided for itself, on what was read for all of them.
pub(super) fn asked<'r>(
    record: &'r OwnedRecord,
    limits: &Limits,
) -> Result<Vec<Asked<'r>>, NotReplayable> {
    let hops = record
        .delegation
        .as_ref()
        .map(|delegation| &delegation.hops);
    if let Some(hops) = hops {
        if hops.iter().any(|hop| hop.outcome.is_none()) {
            return Err(NotReplayable::delegation_refused(record.outcome));
        }
        let actors = hops.len().saturating_sub(1);
        let checked = limits.check(Limit::DelegationActors, actors);
        checked.map_err(|error| NotReplayable::unreadable(error.to_string()))?;
        if hops.first().map(|hop| &hop.principal) != Some(&record.principal) {
            let what = "the first hop of the delegation is not the principal";
            return Err(NotReplayable::unreadable(what));
        }
    }
    let first = (&record.principal, &record.context, &record.inputs);
    let actors = hops.into_iter().flatten().skip(1);
    let actors = actors.map(|hop| (&hop.principal, &hop.context, &hop.inputs));
    let asked = std::iter::once(first).chain(actors);
    let asked = asked.map(|(principal, context, inputs)| {
        let (Some(context), Some(inputs)) = (context, inputs) else {
            return Err(NotReplayable::no_inputs());
        };
        Ok(Asked {
            principal: principal.as_ref(),
            action: record.action.as_ref(),
            resource: record.resource.as_ref(),
            context,
            inputs,
        })
    });
    asked.collect()
}
