//! A session: what a hot loop keeps between calls.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use crate::epoch::Epoch;
use crate::eval::{Lease, Pin, Response, Scratch};
use crate::request::Request;

use super::{Authorizer, PreparedRequest};

/// Working memory and the epoch, kept between calls: the fastest way to decide, for one thread.
///
/// Each call looks whether the epoch has been replaced, which costs one load, and decides on the one in force.
/// Between calls the session holds on to the epoch of its last call: a session that idles keeps old entities in
/// memory.
///
/// ```
/// # use duramen::{Authorizer, Request};
/// # let authorizer = Authorizer::builder().build()?;
/// let mut session = authorizer.session();
/// for user in ["alice", "bob"] {
///     let request = Request::new(("User", user), ("Action", "view"), ("Photo", "p1"));
///     assert!(!session.is_authorized(&request).is_allowed());
/// }
/// # Ok::<(), duramen::BuildError>(())
/// ```
pub struct Session<'a> {
    authorizer: &'a Authorizer,
    epoch: Cache<&'a ArcSwap<Epoch>, Arc<Epoch>>,
    scratch: Scratch,
}

impl<'a> Session<'a> {
    pub(super) fn new(authorizer: &'a Authorizer) -> Self {
        Self {
            authorizer,
            epoch: Cache::new(authorizer.inner.published.current()),
            scratch: Scratch::new(),
        }
    }

    /// Decides a request; as [`Authorizer::is_authorized`].
    pub fn is_authorized(&mut self, request: &Request<'_>) -> Response<'_> {
        self.authorizer.decide(
            Pin::Borrowed(self.epoch.load()),
            Lease::Borrowed(&mut self.scratch),
            request,
        )
    }

    /// Whether a request is allowed; as [`Authorizer::is_allowed`].
    #[must_use]
    pub fn is_allowed(&mut self, request: &Request<'_>) -> bool {
        self.authorizer.decide_only(
            Pin::Borrowed(self.epoch.load()),
            Lease::Borrowed(&mut self.scratch),
            request,
        )
    }

    /// Decides a prepared request; as [`Authorizer::is_authorized_prepared`].
    pub fn is_authorized_prepared<'s>(
        &'s mut self,
        request: &'s mut PreparedRequest,
    ) -> Response<'s> {
        self.authorizer.decide_prepared(
            Pin::Borrowed(self.epoch.load()),
            Lease::Borrowed(&mut self.scratch),
            request,
        )
    }
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("authorizer", self.authorizer)
            .finish_non_exhaustive()
    }
}
