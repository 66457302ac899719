//! From the head of an HTTP request to what is asked of the authorizer.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use http::request::Parts;
use serde::Serialize;

use crate::id::{EntityUid, EntityUidRef};
use crate::request::context::WriteRecord;
use crate::request::delegation::{ChainBounds, ChainNames};
use crate::request::{Delegation, Request};

/// Tells what an HTTP request asks for. Closures do.
pub trait Extract: Send + Sync + 'static {
    /// What is asked, or why that cannot be told. A `HEAD` request comes as `GET`.
    ///
    /// # Errors
    /// [`Rejection`], which becomes the answer.
    fn extract(&self, head: &Parts) -> Result<Asked, Rejection>;
}

impl<F> Extract for F
where
    F: Fn(&Parts) -> Result<Asked, Rejection> + Send + Sync + 'static,
{
    fn extract(&self, head: &Parts) -> Result<Asked, Rejection> {
        self(head)
    }
}

/// What is asked of the authorizer: a [`Request`] that owns what it says.
pub struct Asked {
    principal: EntityUid,
    action: EntityUid,
    resource: EntityUid,
    chain: Option<Chain>,
    context: Context,
    entities: Option<String>,
    request_id: Option<String>,
    trace: Option<(String, String)>,
}

/// A [`Delegation`] that owns what it says.
struct Chain {
    actors: Vec<EntityUid>,
    bounds: ChainBounds,
    actor_as: Option<String>,
    subject_as: Option<String>,
    delegator_as: Option<String>,
}

enum Context {
    Empty,
    Typed(Box<dyn WriteRecord + Send>),
    Json(String),
}

impl Asked {
    /// With an empty context.
    pub fn new(principal: EntityUid, action: EntityUid, resource: EntityUid) -> Self {
        Self {
            principal,
            action,
            resource,
            chain: None,
            context: Context::Empty,
            entities: None,
            request_id: None,
            trace: None,
        }
    }

    /// Says that others act for the principal; as [`Request::delegation`]. What a token says of that,
    /// [`ClaimsReader`](crate::delegation::ClaimsReader) reads.
    #[must_use]
    pub fn delegation(mut self, delegation: &Delegation<'_>) -> Self {
        let names = &delegation.names;
        let owned = |name: Option<&str>| name.map(str::to_owned);
        self.chain = Some(Chain {
            actors: delegation
                .actors()
                .iter()
                .map(|uid| EntityUidRef::to_owned(*uid))
                .collect(),
            bounds: delegation.bounds(),
            actor_as: owned(names.actor),
            subject_as: owned(names.subject),
            delegator_as: owned(names.delegator),
        });
        self
    }

    /// The context; as [`Request::context`].
    #[must_use]
    pub fn context<T: Serialize + Send + Sync + 'static>(mut self, context: T) -> Self {
        self.context = Context::Typed(Box::new(context));
        self
    }

    /// The context as Cedar's JSON; as [`Request::context_json`]. It must not be what the client sent: that could say what
    /// only the service may say.
    #[must_use]
    pub fn context_json(mut self, context: impl Into<String>) -> Self {
        self.context = Context::Json(context.into());
        self
    }

    /// Entities for this request alone; as [`Request::entities_json`].
    #[must_use]
    pub fn entities_json(mut self, entities: impl Into<String>) -> Self {
        self.entities = Some(entities.into());
        self
    }

    /// The id of the request, for the decision's record.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// The ids of the trace, for the decision's record. [`TraceIds::from_traceparent`](crate::TraceIds::from_traceparent)
    /// reads them from the header.
    #[must_use]
    pub fn trace(mut self, trace_id: impl Into<String>, span_id: impl Into<String>) -> Self {
        self.trace = Some((trace_id.into(), span_id.into()));
        self
    }

    /// Who asks, once that was decided.
    pub(super) fn into_principal(self) -> EntityUid {
        self.principal
    }

    pub(super) fn with_request<R>(&self, ask: impl FnOnce(&Request<'_>) -> R) -> R {
        let Some(chain) = &self.chain else {
            return ask(&self.request());
        };
        let actors: Vec<EntityUidRef<'_>> = chain.actors.iter().map(EntityUid::as_ref).collect();
        let mut delegation = Delegation::new(&actors).within(chain.bounds);
        delegation.names = ChainNames {
            actor: chain.actor_as.as_deref(),
            subject: chain.subject_as.as_deref(),
            delegator: chain.delegator_as.as_deref(),
        };
        ask(&self.request().delegation(&delegation))
    }

    fn request(&self) -> Request<'_> {
        let mut request = Request::new(&self.principal, &self.action, &self.resource);
        match &self.context {
            Context::Empty => {}
            Context::Typed(context) => {
                request.context = crate::request::ContextSource::Typed(&**context);
            }
            Context::Json(context) => request = request.context_json(context),
        }
        if let Some(entities) = &self.entities {
            request = request.entities_json(entities);
        }
        if let Some(id) = &self.request_id {
            request = request.request_id(id);
        }
        if let Some((trace, span)) = &self.trace {
            request = request.trace(trace, span);
        }
        request
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("principal", &self.principal)
            .field("action", &self.action)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

/// Why an extractor cannot tell what is asked. The answer has it among its extensions, as `Arc<Rejection>`, for the logs of the
/// layers outside.
#[derive(Debug)]
pub struct Rejection(pub(super) Why);

#[derive(Debug)]
pub(super) enum Why {
    Unauthenticated(Cow<'static, str>),
    BadRequest(Cow<'static, str>),
    Failed(Box<dyn Error + Send + Sync>),
}

impl Rejection {
    /// Nobody is known to ask: 401, with this `WWW-Authenticate` (`Bearer`, say), as RFC 9110, section 15.5.2 demands one. In the
    /// place of a text that cannot stand in a header, `Bearer` is sent.
    pub fn unauthenticated(challenge: impl Into<Cow<'static, str>>) -> Self {
        Self(Why::Unauthenticated(challenge.into()))
    }

    /// The request makes no sense: 400, with this text for the client.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Why::BadRequest(detail.into()))
    }

    /// It could not be told, and the client has no part in that: 500. The client is not told why; the layers outside find the
    /// rejection, with this error as its source, among the answer's extensions.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Why::Failed(error.into()))
    }

    /// Foreign code panicked: a failure, with the message of the panic.
    pub(super) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let message = text.unwrap_or("without a message");
        Self::failed(format!("panicked: {message}"))
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Unauthenticated(_) => f.write_str("nobody is known to ask"),
            Why::BadRequest(detail) => f.write_str(detail),
            Why::Failed(_) => f.write_str("what is asked could not be told"),
        }
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Why::Failed(error) => Some(&**error),
            _ => None,
        }
    }
}
