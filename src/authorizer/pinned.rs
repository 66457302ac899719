//! Deciding on one epoch for as long as the caller likes.

use std::borrow::Borrow;
use std::sync::Arc;

use crate::epoch::{Epoch, Version};
use crate::eval::{Lease, Pin, Response, Scratch};
use crate::request::Request;

use super::{Authorizer, PreparedRequest};

/// The policies and entities that were in force at one moment, to decide any number of requests on.
///
/// Made by [`Authorizer::pin`]. Whatever is replaced or updated meanwhile, every answer is that of the same
/// [`version`](Pinned::version). It borrows nothing, so that it can be kept, cloned and sent; it holds what it pins in
/// memory for as long, so it should not be kept for longer than the answers are to agree.
///
/// ```
/// use duramen::{Authorizer, Request};
///
/// let authorizer = Authorizer::builder()
///     .policies(r#"permit(principal, action, resource == Photo::"p2");"#)
///     .build()?;
/// let photos = ["p1", "p2", "p3"];
/// let requests = photos.map(|id| Request::new(("User", "alice"), ("Action", "view"), ("Photo", id)));
///
/// let mut visible = Vec::new();
/// authorizer.pin().is_authorized_batch(&requests, |at, response| {
///     if response.is_allowed() {
///         visible.push(photos[at]);
///     }
/// });
/// assert_eq!(visible, ["p2"]);
/// # Ok::<(), duramen::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Pinned {
    pub(super) authorizer: Authorizer,
    pub(super) epoch: Arc<Epoch>,
}

impl Authorizer {
    /// Pins the policies and entities in force, so that several requests are decided on the same ones.
    ///
    /// Waits for nobody and allocates nothing.
    pub fn pin(&self) -> Pinned {
        Pinned {
            authorizer: self.clone(),
            epoch: self.inner.published.load_full(),
        }
    }
}

impl Pinned {
    /// The policies, schema and entities that are pinned.
    pub fn version(&self) -> Version {
        self.epoch.version
    }

    /// The authorizer, and what is pinned.
    pub(crate) fn parts(&self) -> (&Authorizer, &Arc<Epoch>) {
        (&self.authorizer, &self.epoch)
    }

    /// Decides many requests in their order and hands each response to `each`, with the request's number.
    ///
    /// As [`Authorizer::is_authorized`] for each of them, evidence included, with one lot of working memory for all. Once
    /// that is warm, nothing is allocated. A response lives until `each` returns, because the next request is decided in
    /// its memory.
    pub fn is_authorized_batch<'r, R>(
        &self,
        requests: impl IntoIterator<Item = R>,
        mut each: impl FnMut(usize, Response<'_>),
    ) where
        R: Borrow<Request<'r>>,
    {
        let mut lease = Lease::pooled();
        let scratch = lease.get_mut();
        for (at, request) in requests.into_iter().enumerate() {
            each(at, self.is_authorized_with(scratch, request.borrow()));
        }
    }

    /// Decides a request; as [`Authorizer::is_authorized`].
    pub fn is_authorized(&self, request: &Request<'_>) -> Response<'_> {
        self.authorizer
            .decide(Pin::Borrowed(&self.epoch), Lease::pooled(), request)
    }

    /// Decides a request; as [`Authorizer::is_authorized_with`].
    pub fn is_authorized_with<'s>(
        &'s self,
        scratch: &'s mut Scratch,
        request: &Request<'_>,
    ) -> Response<'s> {
        self.authorizer.decide(
            Pin::Borrowed(&self.epoch),
            Lease::Borrowed(scratch),
            request,
        )
    }

    /// Whether a request is allowed; as [`Authorizer::is_allowed`].
    #[must_use]
    pub fn is_allowed(&self, request: &Request<'_>) -> bool {
        self.authorizer
            .decide_only(Pin::Borrowed(&self.epoch), Lease::pooled(), request)
    }

    /// Decides a prepared request; as [`Authorizer::is_authorized_prepared`].
    pub fn is_authorized_prepared<'s>(
        &'s self,
        scratch: &'s mut Scratch,
        request: &'s mut PreparedRequest,
    ) -> Response<'s> {
        self.authorizer.decide_prepared(
            Pin::Borrowed(&self.epoch),
            Lease::Borrowed(scratch),
            request,
        )
    }
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinned")
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}
