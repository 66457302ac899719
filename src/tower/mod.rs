//! A `tower` layer that authorizes HTTP requests. With the feature `tower`.
//!
//! An extractor of the host's tells from the head of a request who asks for what: principal, action, resource, context. The
//! layer decides and calls the service, or answers itself with a problem document (RFC 9457) that says no more than the host
//! lets it.
//!
//! | what happens | status |
//! |---|---|
//! | allowed | what the service says; it finds an [`Authorized`] among the request's extensions |
//! | the extractor finds nobody ([`Rejection::unauthenticated`]) | 401 |
//! | the extractor cannot make sense of the request ([`Rejection::bad_request`]) | 400 |
//! | the policies deny, an evaluation error denies | 403; 401 if a step-up may lift it and the host wants that said ([`AuthorizationLayer::challenge_step_up`]) |
//! | what the extractor asks cannot be understood, or the schema does not allow it ([`Outcome::InvalidRequest`]) | 403 |
//! | data is too old, evidence cannot be kept | 503 |
//! | the extractor fails ([`Rejection::failed`]) or panics | 500 |
//!
//! In no case but the first is the service called. An answer to what was decided and denied has a [`Denied`] among its extensions,
//! for the layers outside; an answer to what was not decided has the extractor's [`Rejection`], in an `Arc`. After a panic, of the
//! extractor or while the context is written, it has one too, whose source is the panic's message; nothing was decided then, and
//! there is no record.
//!
//! Everything is decided, `OPTIONS` as well, unless [`AuthorizationLayer::pass_preflights`] says otherwise. A `HEAD` request is
//! shown to the extractor as the `GET` that it stands for.
//!
//! Extracting is synchronous and should be cheap. What takes I/O (a session looked up in a database) belongs in a layer
//! before this one, which puts what it finds into the request's extensions.

mod asked;
mod challenge;
mod problem;
mod service;

pub use asked::{Asked, Extract, Rejection};
pub use challenge::ChallengeError;
pub use service::{Authorization, AuthorizationFuture, AuthorizationLayer, Authorized, Denied};

#[cfg(doc)]
use crate::decision::Outcome;
