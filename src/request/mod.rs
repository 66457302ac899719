//! Requests: who wants to do what to what, and under which circumstances.

pub(crate) mod context;
pub mod delegation;
mod error;
pub(crate) mod locals;
pub(crate) mod overlay;
pub(crate) mod serialize;
#[cfg(test)]
mod tests;
pub mod values;

use serde::Serialize;

use crate::ext::Datetime;
use crate::id::EntityUidRef;

use context::WriteRecord;
pub use delegation::Delegation;
pub use error::{RequestError, RequestPart};

/// An authorization request, borrowed from the caller.
///
/// ```
/// use duramen::{EntityUidRef, Request};
///
/// #[derive(serde::Serialize)]
/// struct Context<'a> { mfa: bool, device: &'a str }
///
/// let context = Context { mfa: true, device: "laptop" };
/// let request = Request::new(("User", "alice"), ("Action", "view"), ("Photo", "vacation.jpg"))
///     .context(&context);
/// assert_eq!(request.principal(), EntityUidRef::from(("User", "alice")));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    principal: EntityUidRef<'a>,
    action: EntityUidRef<'a>,
    resource: EntityUidRef<'a>,
    pub(crate) context: ContextSource<'a>,
    pub(crate) entities: EntitySource<'a>,
    pub(crate) delegation: Option<&'a Delegation<'a>>,
    request_id: Option<&'a str>,
    trace: Option<TraceIds<'a>>,
    /// What the authorizer adds to the context.
    pub(crate) now: Option<Now<'a>>,
    /// The number of the decision that this one makes again, of the same authorizer. Set for grants alone.
    pub(crate) rechecks: Option<u64>,
}

/// The time, and the name by which policies know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now<'a> {
    pub(crate) name: &'a str,
    pub(crate) time: Datetime,
}

/// Where a request's context comes from.
#[derive(Clone, Copy)]
pub(crate) enum ContextSource<'a> {
    Empty,
    Typed(&'a dyn WriteRecord),
    Json(&'a str),
}

/// Where request-scoped entities come from.
#[derive(Clone, Copy)]
pub(crate) enum EntitySource<'a> {
    None,
    Typed(&'a [Entity<'a>]),
    Json(&'a str),
}

/// The ids of a distributed trace, carried into the decision's record and never looked at otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct TraceIds<'a> {
    trace_id: &'a str,
    span_id: &'a str,
}

impl<'a> TraceIds<'a> {
    /// The ids in a `traceparent` header of W3C Trace Context, section 3.2; `None` for one that is not valid: the standard
    /// wants it ignored whole, with its `tracestate`.
    ///
    /// Of versions that are not known yet, the 55 characters count that version 00 has. The span id is the header's
    /// `parent-id`: the span of the caller.
    ///
    /// ```
    /// use duramen::TraceIds;
    ///
    /// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let ids = TraceIds::from_traceparent(header).unwrap();
    /// assert_eq!(ids.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    /// assert_eq!(ids.span_id(), "00f067aa0ba902b7");
    /// assert!(TraceIds::from_traceparent("00-0-0-01").is_none());
    /// ```
    pub fn from_traceparent(header: &'a str) -> Option<Self> {
        let (known, rest) = header.split_at_checked(55)?;
        let mut fields = known.split('-');
        let mut field = |len: usize| {
            let field = fields.next()?;
            let hexadecimal = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            (field.len() == len && field.bytes().all(hexadecimal)).then_some(field)
        };
        let (version, trace_id, span_id, _flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        let later = version != "00" && rest.starts_with('-');
        let zero = |id: &str| id.bytes().all(|byte| byte == b'0');
        let valid = version != "ff" && (rest.is_empty() || later);
        (valid && !zero(trace_id) && !zero(span_id)).then_some(Self { trace_id, span_id })
    }

    /// The trace id (32 lower-case hexadecimal digits in W3C Trace Context).
    pub fn trace_id(&self) -> &'a str {
        self.trace_id
    }

    /// The span id (16 lower-case hexadecimal digits in W3C Trace Context).
    pub fn span_id(&self) -> &'a str {
        self.span_id
    }
}

impl<'a> Request<'a> {
    /// A request with an empty context. Uids are pairs of type name and id.
    pub fn new(
        principal: impl Into<EntityUidRef<'a>>,
        action: impl Into<EntityUidRef<'a>>,
        resource: impl Into<EntityUidRef<'a>>,
    ) -> Self {
        Self {
            principal: principal.into(),
            action: action.into(),
            resource: resource.into(),
            context: ContextSource::Empty,
            entities: EntitySource::None,
            delegation: None,
            request_id: None,
            trace: None,
            now: None,
            rechecks: None,
        }
    }

    /// The context: any struct or map that serde can serialize.
    ///
    /// Structs and string-keyed maps are records, sequences are sets, a `None` field is an absent attribute.
    /// [`values`] has wrappers for what serde has no word for: entity references, IP addresses, decimals,
    /// datetimes, durations. What Cedar has no value for (floats, nulls, integers beyond 64-bit signed,
    /// duplicate keys) makes the decision a deny with [`Outcome::InvalidRequest`](crate::Outcome), and
    /// [`RequestError`] names the path.
    ///
    /// Fields that no policy can observe are checked, too, keys that are there twice among them. That they are too large counts where
    /// they are kept: for a sink that wants inputs, validation, the time in the context, a grant, or a prepared request; and
    /// where the name is known, because entities, a shadow or policies of before have it.
    ///
    /// Nothing that is serialized here is read as one of Cedar's JSON escapes: a field that is called
    /// `__entity` is just that, in a `serde_json::Value` too. For Cedar JSON there is [`Request::context_json`].
    #[must_use]
    pub fn context<T: Serialize + Sync>(mut self, context: &'a T) -> Self {
        self.context = ContextSource::Typed(context);
        self
    }

    /// The context as a JSON object in Cedar's JSON format, escapes (`__entity`, `__extn`) included; with a
    /// schema also its implicit forms. Duplicate keys are refused (`cedar-policy` takes the last).
    #[must_use]
    pub fn context_json(mut self, context: &'a str) -> Self {
        self.context = ContextSource::Json(context);
        self
    }

    /// Entities for this request alone, such as the row that was just read from the database.
    ///
    /// The decision is the one on the stored entities after an upsert of these: each replaces a stored entity
    /// of the same uid whole, and its parents count for everything below it. The store does not change.
    #[must_use]
    pub fn entities(mut self, entities: &'a [Entity<'a>]) -> Self {
        self.entities = EntitySource::Typed(entities);
        self
    }

    /// [`Request::entities`], as a JSON array in Cedar's entity format.
    #[must_use]
    pub fn entities_json(mut self, entities: &'a str) -> Self {
        self.entities = EntitySource::Json(entities);
        self
    }

    /// Says that others act for the principal. Then the request is allowed only if each of them may do the action on the
    /// resource, too: see [`Delegation`].
    ///
    /// All hops are decided on the same policies and entities, and leave one record.
    #[must_use]
    pub fn delegation(mut self, delegation: &'a Delegation<'a>) -> Self {
        self.delegation = Some(delegation);
        self
    }

    /// The caller's id of the request, for the decision's record.
    #[must_use]
    pub fn request_id(mut self, id: &'a str) -> Self {
        self.request_id = Some(id);
        self
    }

    /// The ids of the trace that the request belongs to, for the decision's record.
    #[must_use]
    pub fn trace(mut self, trace_id: &'a str, span_id: &'a str) -> Self {
        self.trace = Some(TraceIds { trace_id, span_id });
        self
    }

    /// The ids of the trace, from a `traceparent` header as [`TraceIds::from_traceparent`] reads it. One that is not valid
    /// is ignored.
    #[must_use]
    pub fn traceparent(mut self, header: &'a str) -> Self {
        self.trace = TraceIds::from_traceparent(header).or(self.trace);
        self
    }

    /// Who asks.
    pub fn principal(&self) -> EntityUidRef<'a> {
        self.principal
    }

    /// What they want to do.
    pub fn action(&self) -> EntityUidRef<'a> {
        self.action
    }

    /// What they want to do it to.
    pub fn resource(&self) -> EntityUidRef<'a> {
        self.resource
    }

    /// The request with the time in its context.
    pub(crate) fn at<'b>(self, now: Option<Now<'b>>) -> Request<'b>
    where
        'a: 'b,
    {
        Request { now, ..self }
    }

    pub(crate) fn id(&self) -> Option<&'a str> {
        self.request_id
    }

    pub(crate) fn trace_ids(&self) -> Option<TraceIds<'a>> {
        self.trace
    }
}

/// An entity with its data: for one request ([`Request::entities`]) or for the store
/// ([`Entities`](crate::Entities)).
#[derive(Clone, Copy, Debug)]
pub struct Entity<'a> {
    pub(crate) uid: EntityUidRef<'a>,
    pub(crate) attrs: Option<Typed<'a>>,
    pub(crate) tags: Option<Typed<'a>>,
    pub(crate) parents: &'a [EntityUidRef<'a>],
}

/// A borrowed serializable record.
#[derive(Clone, Copy)]
pub(crate) struct Typed<'a>(pub(crate) &'a dyn WriteRecord);

impl<'a> Entity<'a> {
    /// An entity without attributes, tags and parents.
    pub fn new(uid: impl Into<EntityUidRef<'a>>) -> Self {
        Self {
            uid: uid.into(),
            attrs: None,
            tags: None,
            parents: &[],
        }
    }

    /// The attributes: a struct or map, read as [`Request::context`] reads one.
    #[must_use]
    pub fn attrs<T: Serialize + Sync>(mut self, attrs: &'a T) -> Self {
        self.attrs = Some(Typed(attrs));
        self
    }

    /// The tags: a struct or map, read as [`Request::context`] reads one.
    #[must_use]
    pub fn tags<T: Serialize + Sync>(mut self, tags: &'a T) -> Self {
        self.tags = Some(Typed(tags));
        self
    }

    /// The direct parents.
    #[must_use]
    pub fn parents(mut self, parents: &'a [EntityUidRef<'a>]) -> Self {
        self.parents = parents;
        self
    }
}

impl std::fmt::Debug for ContextSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("{}"),
            Self::Typed(_) => f.write_str("(typed)"),
            Self::Json(text) => f.write_str(text),
        }
    }
}

impl std::fmt::Debug for EntitySource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("[]"),
            Self::Typed(entities) => f.debug_list().entries(*entities).finish(),
            Self::Json(text) => f.write_str(text),
        }
    }
}

impl std::fmt::Debug for Typed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(typed)")
    }
}
