//! What was wrong with a request.

use std::fmt;

use crate::id::{EntityUid, EntityUidRef};
use crate::limits::LimitExceeded;

/// A request that could not be decided; it is denied with
/// [`Outcome::InvalidRequest`](crate::Outcome::InvalidRequest).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestError(
    /// Boxed, so that the hot path, where there is no error, passes on a pointer's width.
    Box<Parts>,
);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Parts {
    part: RequestPart,
    entity: Option<EntityUid>,
    limit: Option<LimitExceeded>,
    message: String,
    /// Whether the message begins with a path that names the part.
    is_placed: bool,
}

/// The part of a request that an error is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RequestPart {
    /// The principal's uid.
    Principal,
    /// The action's uid.
    Action,
    /// The resource's uid.
    Resource,
    /// The context.
    Context,
    /// The request-scoped entities.
    Entities,
    /// An actor of the delegation, or what it adds to the context.
    Delegation,
    /// The request as a whole, which the schema does not allow.
    Request,
}

impl RequestError {
    #[cold]
    pub(crate) fn new(part: RequestPart, message: impl fmt::Display) -> Self {
        Self(Box::new(Parts {
            part,
            entity: None,
            limit: None,
            message: message.to_string(),
            is_placed: false,
        }))
    }

    /// An error in the context, whose message begins with a path of it, such as `context.device.os`.
    #[cold]
    pub(crate) fn in_context(message: impl fmt::Display) -> Self {
        let mut error = Self::new(RequestPart::Context, message);
        error.0.is_placed = true;
        error
    }

    #[cold]
    pub(crate) fn limit_of(part: RequestPart, limit: LimitExceeded) -> Self {
        let mut error = Self::new(part, limit);
        error.0.limit = Some(limit);
        error
    }

    pub(crate) fn within(mut self, entity: EntityUidRef<'_>) -> Self {
        self.0.entity = Some(entity.to_owned());
        self
    }

    /// The request-scoped entity that is wrong, or the actor, when it is one.
    pub fn entity(&self) -> Option<&EntityUid> {
        self.0.entity.as_ref()
    }

    /// Which part of the request is wrong.
    pub fn part(&self) -> RequestPart {
        self.0.part
    }

    /// The limit that was exceeded, when that is the problem.
    pub fn limit(&self) -> Option<LimitExceeded> {
        self.0.limit
    }

    /// What is wrong, with the path of the value in question where there is one.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.0.part {
            RequestPart::Principal => "principal",
            RequestPart::Action => "action",
            RequestPart::Resource => "resource",
            RequestPart::Context => "context",
            RequestPart::Entities => "request-scoped entities",
            RequestPart::Delegation => "delegation",
            RequestPart::Request => "request",
        };
        match &self.0.entity {
            None if self.0.is_placed => f.write_str(&self.0.message),
            Some(entity) => write!(f, "{part}: entity {entity}: {}", self.0.message),
            None => write!(f, "{part}: {}", self.0.message),
        }
    }
}

impl std::error::Error for RequestError {}
