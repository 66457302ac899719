//! A chain of delegation: its parties in the epoch's numbers, and a request of its own for each of them.

use std::time::SystemTime;

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::decision::Outcome;
use crate::epoch::Epoch;
use crate::evidence::Hops;
use crate::id::{EntityUidRef, Uid};
use crate::limits::Limits;
use crate::request::delegation::{ChainBounds, Delegation};
use crate::request::locals::{Locals, RequestInterner, RequestNames};
use crate::request::{Request, RequestError, RequestPart};
use crate::value::arena::{self, Intern, NameText};
use crate::value::{Record, Value};

use super::machine::Resolved;
use super::resolve::{Reading, Resolver};

/// Looks up the parties of a chain, as many as may be and one more, so that a record shows what was too long.
///
/// # Errors
/// When the type name of one is none. Those before it are in `hops`.
pub(crate) fn look_up(
    epoch: &Epoch,
    request: &Request<'_>,
    delegation: &Delegation<'_>,
    reading: &Reading,
    (arena, locals): (&Bump, &mut Locals),
    hops: &mut Hops,
) -> Result<(), RequestError> {
    let mut resolver = Resolver {
        epoch,
        arena,
        reading,
        names: RequestInterner {
            shared: &epoch.snapshot.names,
            locals,
        },
    };
    let actors = delegation.actors();
    hops.begin(actors.len() + 1, delegation.bounds());
    hops.push(resolver.uid(request.principal(), RequestPart::Principal)?);
    let shown = reading.limits.delegation_actors().saturating_add(1);
    for actor in actors.iter().take(shown) {
        let uid = resolver.uid(*actor, RequestPart::Delegation);
        hops.push(uid.map_err(|error| error.within(*actor))?);
    }
    Ok(())
}

/// Why nobody is asked about a chain that was looked up, if so. The clock is asked only if the chain has a bound in time.
pub(crate) fn refusal(
    delegation: &Delegation<'_>,
    hops: &Hops,
    limits: &Limits,
    now: impl FnOnce() -> SystemTime,
) -> Option<Outcome> {
    if delegation.actors().len() > limits.delegation_actors() {
        return Some(Outcome::DelegationTooLong);
    }
    if hops.have_a_cycle() {
        return Some(Outcome::DelegationCycle);
    }
    let ChainBounds {
        not_before,
        expires,
    } = delegation.bounds();
    if not_before.is_none() && expires.is_none() {
        return None;
    }
    let now = now();
    if not_before.is_some_and(|from| now < from) {
        return Some(Outcome::DelegationNotYetValid);
    }
    // RFC 7519, section 4.1.4: on or after.
    expires
        .is_some_and(|end| now >= end)
        .then_some(Outcome::DelegationExpired)
}

/// Adds to the context what all hops know: who is acted for, and who acts.
#[cold]
pub(super) fn add_ends<'a>(
    resolver: &mut Resolver<'a, '_>,
    context: Record<'a>,
    request: &Request<'_>,
    delegation: &Delegation<'_>,
) -> Result<Record<'a>, RequestError> {
    let names = &delegation.names;
    let Some(actor) = delegation.actors().last() else {
        // Nobody acts, whatever the context says.
        for name in names.given() {
            if context.get(resolver.names.sym(name)?).is_some() {
                return Err(is_taken(name));
            }
        }
        return Ok(context);
    };
    let ends = [(names.actor, *actor), (names.subject, request.principal())];
    add(resolver, context, ends)
}

/// What each hop of a request is asked; without a delegation, what the request itself asks.
///
/// # Errors
/// When the request, or one of its hops, cannot be asked.
pub(crate) fn asked<'a>(
    epoch: &'a Epoch,
    request: &Request<'_>,
    reading: &Reading,
    (arena, locals): (&'a Bump, &mut Locals),
) -> Result<&'a [Resolved<'a>], RequestError> {
    let first = super::resolve(epoch, request, reading, arena, locals)?;
    match request.delegation {
        Some(delegation) => resolve(epoch, request, delegation, first, reading, (arena, locals)),
        None => Ok(&*arena.alloc([first])),
    }
}

/// What each hop is asked: `first`, which is what the subject is asked, and the same with each actor as the principal.
///
/// # Errors
/// When the schema does not allow it for one of them.
pub(crate) fn resolve<'a>(
    epoch: &'a Epoch,
    request: &Request<'_>,
    delegation: &Delegation<'_>,
    first: Resolved<'a>,
    reading: &Reading,
    (arena, locals): (&'a Bump, &mut Locals),
) -> Result<&'a [Resolved<'a>], RequestError> {
    let actors = delegation.actors();
    let mut resolved = Vec::with_capacity_in(actors.len() + 1, arena);
    resolved.push(first);
    let mut delegator = request.principal();
    for actor in actors {
        let mut resolver = Resolver {
            epoch,
            arena,
            reading,
            names: RequestInterner {
                shared: &epoch.snapshot.names,
                locals,
            },
        };
        let names = &delegation.names;
        let context = add(&mut resolver, first.context, [(names.delegator, delegator)])?;
        let principal = resolver.uid(*actor, RequestPart::Delegation)?;
        let hop = Resolved {
            principal,
            context,
            ..first
        };
        if reading.validate {
            let names = RequestNames {
                shared: &epoch.snapshot.names,
                locals,
            };
            epoch
                .check_request(hop.asked(), names)
                .map_err(|mismatch| {
                    RequestError::new(RequestPart::Delegation, mismatch).within(*actor)
                })?;
        }
        resolved.push(hop);
        delegator = *actor;
    }
    Ok(resolved.into_bump_slice())
}

/// The context with entities under names that it does not have yet.
fn add<'a, const N: usize>(
    resolver: &mut Resolver<'a, '_>,
    context: Record<'a>,
    attributes: [(Option<&str>, EntityUidRef<'_>); N],
) -> Result<Record<'a>, RequestError> {
    if attributes.iter().all(|(name, _)| name.is_none()) {
        return Ok(context);
    }
    let mut fields = Vec::with_capacity_in(context.len() + N, resolver.arena);
    fields.extend(context.iter());
    for (name, uid) in attributes {
        let Some(name) = name else { continue };
        let uid: Uid = resolver.uid(uid, RequestPart::Delegation)?;
        fields.push((resolver.names.sym(name)?, Value::from(uid)));
    }
    arena::record(resolver.arena, fields).map_err(|twice| {
        let names = RequestNames {
            shared: resolver.names.shared,
            locals: resolver.names.locals,
        };
        is_taken(names.sym_text(twice))
    })
}

fn is_taken(name: &str) -> RequestError {
    RequestError::new(
        RequestPart::Delegation,
        format_args!(
            "`{name}` is set by the delegation and is in the context already, or set twice; leave it out of the context, or \
             choose another name"
        ),
    )
}
