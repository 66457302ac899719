//! Acting for others: the chain from the one whose authority is used to the one who acts, and reading it from a
//! token's claims.
//!
//! ```
//! use duramen::{Authorizer, Delegation, EntityUidRef, Outcome, Request};
//!
//! let authorizer = Authorizer::builder()
//!     .policies(r#"
//!         permit(principal == User::"ann", action, resource);
//!         permit(principal is Agent, action == Action::"read", resource)
//!         when { context.onBehalfOf is User };
//!     "#)
//!     .build()?;
//!
//! // Ann has asked her planner, which has asked a searcher, which now calls.
//! let actors = [("Agent", "planner"), ("Agent", "searcher")].map(EntityUidRef::from);
//! let delegation = Delegation::new(&actors).subject_as("onBehalfOf");
//! let as_ann = |action| Request::new(("User", "ann"), ("Action", action), ("Doc", "plan"));
//!
//! assert!(authorizer.is_authorized(&as_ann("read").delegation(&delegation)).is_allowed());
//! // She may delete, her agents may not: so nobody may who acts for her through them.
//! assert!(authorizer.is_allowed(&as_ann("delete")));
//! let delete = as_ann("delete").delegation(&delegation);
//! let response = authorizer.is_authorized(&delete);
//! assert_eq!(response.outcome(), Outcome::NoPermit);
//! let hops: Vec<_> = response.delegation().unwrap().hops().map(|hop| hop.outcome()).collect();
//! assert_eq!(hops, [Some(Outcome::Allowed), Some(Outcome::NoPermit), Some(Outcome::NoPermit)]);
//! # Ok::<(), duramen::BuildError>(())
//! ```

mod claims;

use std::time::SystemTime;

use crate::id::EntityUidRef;

pub use claims::{ClaimsError, ClaimsReader, Party, TokenClaims};

/// Who acts for the request's principal, and for how long. For [`Request::delegation`](super::Request::delegation).
///
/// The chain begins with the request's principal, the *subject*, whose authority is used; each actor acts for the one
/// before it, and the last one is the current actor. Every one of them is a *hop*: it is asked for itself whether it may
/// do the action on the resource, as if it were the principal. The request is allowed only if every hop is; so whatever
/// stands in a chain can take authority away and never add any, unless a policy asks who stands in it.
///
/// Policies see of the chain what the host names ([`actor_as`](Self::actor_as), [`subject_as`](Self::subject_as),
/// [`delegator_as`](Self::delegator_as)): attributes that are added to the context of each hop. A context that has an
/// attribute of that name already makes the request invalid, so that nobody can pretend; also where nobody acts.
///
/// That the chain is true (that the subject has delegated, that the actor is who it says) the host must have verified.
#[derive(Clone, Copy, Debug)]
pub struct Delegation<'a> {
    actors: &'a [EntityUidRef<'a>],
    not_before: Option<SystemTime>,
    expires: Option<SystemTime>,
    pub(crate) names: ChainNames<'a>,
}

/// Under which names the context has what a policy is to know of the chain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChainNames<'a> {
    pub(crate) actor: Option<&'a str>,
    pub(crate) subject: Option<&'a str>,
    pub(crate) delegator: Option<&'a str>,
}

impl<'a> ChainNames<'a> {
    /// Those that the host has named.
    pub(crate) fn given(&self) -> impl Iterator<Item = &'a str> {
        [self.actor, self.subject, self.delegator]
            .into_iter()
            .flatten()
    }
}

impl<'a> Delegation<'a> {
    /// A chain from the request's principal to the last of `actors`, each acting for the one before it.
    ///
    /// Without actors it is the request without a chain, and policies see none. How many there may be,
    /// [`Limits::delegation_actors`](crate::Limits::delegation_actors) says; a longer chain is denied with
    /// [`Outcome::DelegationTooLong`](crate::Outcome::DelegationTooLong), and one in which somebody occurs twice, the
    /// principal included, with [`Outcome::DelegationCycle`](crate::Outcome::DelegationCycle).
    pub fn new(actors: &'a [EntityUidRef<'a>]) -> Self {
        Self {
            actors,
            not_before: None,
            expires: None,
            names: ChainNames::default(),
        }
    }

    /// From this time on, by the authorizer's clock, the chain is denied with
    /// [`Outcome::DelegationExpired`](crate::Outcome::DelegationExpired).
    #[must_use]
    pub fn expires(mut self, at: SystemTime) -> Self {
        self.expires = Some(at);
        self
    }

    /// Before this time, by the authorizer's clock, the chain is denied with
    /// [`Outcome::DelegationNotYetValid`](crate::Outcome::DelegationNotYetValid).
    #[must_use]
    pub fn not_before(mut self, at: SystemTime) -> Self {
        self.not_before = Some(at);
        self
    }

    /// Names the attribute of the context that is the current actor, in every hop. So the subject's policies can say
    /// through whom it may be acted, and `context has actor` tells a delegated request from a direct one.
    #[must_use]
    pub fn actor_as(mut self, name: &'a str) -> Self {
        self.names.actor = Some(name);
        self
    }

    /// Names the attribute of the context that is the subject, the request's principal, in every hop. So an actor's
    /// policies can say for whom it may act.
    #[must_use]
    pub fn subject_as(mut self, name: &'a str) -> Self {
        self.names.subject = Some(name);
        self
    }

    /// Names the attribute of the context that is the one for whom the hop acts immediately. The subject's hop does not
    /// have it. So a policy can say which agent may call which other one.
    #[must_use]
    pub fn delegator_as(mut self, name: &'a str) -> Self {
        self.names.delegator = Some(name);
        self
    }

    /// The actors, the current one last.
    pub fn actors(&self) -> &'a [EntityUidRef<'a>] {
        self.actors
    }

    /// What every hop's context has of it, if the host has named it: who acts and who is acted for.
    pub(crate) fn ends(&self) -> [Option<&'a str>; 2] {
        match self.actors {
            [] => [None; 2],
            _ => [self.names.actor, self.names.subject],
        }
    }

    /// The chain with these bounds in place of its own.
    pub(crate) fn within(mut self, bounds: ChainBounds) -> Self {
        self.not_before = bounds.not_before;
        self.expires = bounds.expires;
        self
    }

    pub(crate) fn bounds(&self) -> ChainBounds {
        ChainBounds {
            not_before: self.not_before,
            expires: self.expires,
        }
    }
}

/// When a chain holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChainBounds {
    pub(crate) not_before: Option<SystemTime>,
    pub(crate) expires: Option<SystemTime>,
}
