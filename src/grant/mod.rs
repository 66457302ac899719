//! Grants: allowed decisions that are taken back when what they rest on changes.
//!
//! A decision is true at the moment it is made. A stream, a lease, a job or a tool session goes on afterwards. A [`Grant`] is
//! an allowed decision that can be asked, at any moment and nearly for free, whether it would be made again:
//!
//! ```
//! use duramen::{Authorizer, EntityUpdate, Request};
//!
//! let authorizer = Authorizer::builder()
//!     .policies(r#"permit(principal, action, resource) unless { principal.suspended };"#)
//!     .entities(r#"[{ "uid": { "type": "User", "id": "alice" }, "attrs": { "suspended": false }, "parents": [] }]"#)
//!     .build()?;
//! let watch = Request::new(("User", "alice"), ("Action", "watch"), ("Stream", "s1"));
//! let grant = authorizer.grant(&watch).expect("she may");
//! assert!(grant.is_current());
//!
//! authorizer.update_entities(EntityUpdate::new().set_attr(("User", "alice"), "suspended", &true))?;
//! assert!(!grant.is_current());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where nobody asks for a while (a socket that is written to by others, a lease), a [`GrantTable`] tells holders as soon as
//! their grants are taken back.
//!
//! **What a grant promises.** Once a call that changes policies or entities has returned, no grant that its change takes back
//! says that it is current. A grant ends once and for good: when it expires, or when a look at it decides its request again
//! and that is denied. What is allowed again later takes a new grant. A change that took the grant back and was itself taken
//! back before anybody looked (holder or table) leaves no trace.
//!
//! **What a look costs.** Nothing has changed: two loads. Something has that the grant does not rest on: a few loads more for
//! each thing that it does (the parents of its principal, action and resource and of everything above them; the attributes
//! and tags that conditions read, there or not). Otherwise the request is decided again, and the record of that names the
//! decision that the grant was made from ([`DecisionRecord::rechecks`](crate::evidence::DecisionRecord::rechecks)). So it is at
//! each look where time alone can have changed the decision: where a policy in its scope may look at the time
//! ([`Builder::context_time`](crate::Builder::context_time)), and while data is older than its bound
//! ([`Builder::freshness`](crate::Builder::freshness)). As no update tells of that, [`GrantTable::sweep`] looks.
//!
//! A grant keeps the request, with the whole context and the request's own entities, and no policies or entities of the
//! store: it holds no old epoch in memory. It keeps the authorizer alive.

mod basis;
mod revocation;
mod standing;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::authorizer::Authorizer;
use crate::eval::Response;
use crate::id::{EntityUid, EntityUidRef};
use crate::request::{ContextSource, Request};

pub use crate::authorizer::Change;
pub use revocation::{GrantId, Revocation, RevocationReason};
pub use table::GrantTable;

use standing::{Callback, Looked, News, Standing};
use table::Place;

/// An allowed decision that can be asked whether it would be made again. See the [module](self).
///
/// Only an allow makes one: [`Authorizer::grant`] and [`GrantTable::grant`]. It is asked through a shared reference, by any
/// number of threads. Dropped, it is forgotten.
#[must_use = "a grant that is dropped is forgotten"]
pub struct Grant {
    standing: Arc<Standing>,
    /// Where it is in a table.
    place: Option<Place>,
}

impl Authorizer {
    /// Decides a request and keeps what it takes to do so again.
    ///
    /// Of a request with a [`Delegation`](crate::Delegation) it keeps the chain: the grant is taken back when the reasons of
    /// any hop change so that the hop is denied, and when the chain expires.
    ///
    /// The first grant of an authorizer waits for the update at work, if there is one. After that none does.
    ///
    /// # Errors
    /// The response, if the request is not allowed.
    pub fn grant(&self, request: &Request<'_>) -> Result<Grant, Box<Response<'_>>> {
        let standing = Standing::grant(self, request, None)?;
        Ok(Grant::alone(standing))
    }

    /// [`Authorizer::grant`] for a time. Afterwards the grant is not current, whatever else is.
    ///
    /// The time counts by the authorizer's clock ([`Builder::clock`](crate::Builder::clock)) and by the machine's monotonic
    /// one, and the first of them that is there ends the grant: a clock that is set back lengthens nothing. What depends on
    /// the time through a context, and not through a change of entities, should have such an end.
    ///
    /// # Errors
    /// The response, if the request is not allowed.
    pub fn grant_for(
        &self,
        request: &Request<'_>,
        lifetime: Duration,
    ) -> Result<Grant, Box<Response<'_>>> {
        let standing = Standing::grant(self, request, Some(lifetime))?;
        Ok(Grant::alone(standing))
    }
}

impl Grant {
    fn alone(standing: Standing) -> Self {
        Self {
            standing: Arc::new(standing),
            place: None,
        }
    }

    /// Whether the request of the grant would be allowed now, by the policies and entities in force.
    ///
    /// False for good once it was false. Allocates nothing unless the request has to be decided again.
    #[inline]
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.standing.is_unchanged() || self.look(None)
    }

    /// Whether the request of the grant would be allowed now, with this context in place of the one that it had. If so, the
    /// grant has this context from now on; if not, it has ended.
    ///
    /// For what changes without any update: a step-up that was made, a network that was left. Always decides.
    #[must_use]
    pub fn is_current_with<T: Serialize + Sync>(&self, context: &T) -> bool {
        self.look(Some(ContextSource::Typed(context)))
    }

    /// [`Grant::is_current_with`], with the context as [`Request::context_json`] takes it.
    #[must_use]
    pub fn is_current_with_json(&self, context: &str) -> bool {
        self.look(Some(ContextSource::Json(context)))
    }

    #[cold]
    #[inline(never)]
    fn look(&self, fresh: Option<ContextSource<'_>>) -> bool {
        let looked = self.standing.look(fresh);
        match &self.place {
            Some(place) => place.settle(&self.standing, looked).is_none(),
            None => match looked {
                Looked::Current { .. } => true,
                Looked::Over { revocation, news } => {
                    if let Some(News(callback)) = news {
                        call(callback, &revocation);
                    }
                    false
                }
            },
        }
    }

    /// Has `callback` called once when the grant ends; at once if it has. In place of one that was given before.
    ///
    /// It is called by the thread that finds the grant over: the one that made the change, if the grant is in a
    /// [`GrantTable`], else one that asks [`Grant::is_current`]. No lock is held, so that it may call anything here. Changes that
    /// it makes are made, and told of, before it returns: where each ends another grant, by hundreds, hand them to another
    /// thread, for the sake of this one's stack. A panic of it goes no further.
    pub fn on_revoked(&self, callback: impl FnOnce(&Revocation) + Send + 'static) {
        if let Some((callback, revocation)) = self.standing.on_revoked(Box::new(callback)) {
            call(Some(callback), &revocation);
        }
    }

    /// The name of the grant.
    pub fn id(&self) -> GrantId {
        self.standing.id
    }

    /// Whose grant it is.
    pub fn principal(&self) -> EntityUid {
        self.standing.basis().principal().to_owned()
    }

    /// Who acts for them, the current actor last; nobody unless the request had a [`Delegation`](crate::Delegation).
    pub fn actors(&self) -> Vec<EntityUid> {
        let basis = self.standing.basis();
        basis
            .actors()
            .into_iter()
            .map(EntityUidRef::to_owned)
            .collect()
    }

    /// What it lets them do.
    pub fn action(&self) -> EntityUid {
        self.standing.basis().action().to_owned()
    }

    /// What it lets them do that to.
    pub fn resource(&self) -> EntityUid {
        self.standing.basis().resource().to_owned()
    }

    /// What policies ask for before the grant is made use of: [`Response::step_up`] of the last decision on it. Policies that
    /// are changed may ask for more.
    pub fn step_up(&self) -> Vec<String> {
        self.standing
            .step_up()
            .into_iter()
            .map(String::from)
            .collect()
    }

    /// The number of the record of the decision that the grant was made from, if a sink wants records.
    pub fn sequence(&self) -> Option<u64> {
        self.standing.sequence()
    }

    /// Why the grant has ended, if anybody has found that it has. Does not look by itself.
    pub fn revocation(&self) -> Option<Arc<Revocation>> {
        self.standing.revocation()
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("id", &self.standing.id)
            .field("request", &self.standing.basis())
            .field("revocation", &self.standing.revocation())
            .finish_non_exhaustive()
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            place.forget(&self.standing);
        }
    }
}

/// A callback is foreign code: its panic must not take the thread with it that found the grant over.
fn call(callback: Option<Callback>, revocation: &Revocation) {
    if let Some(callback) = callback {
        let _ = catch_unwind(AssertUnwindSafe(|| callback(revocation)));
    }
}
