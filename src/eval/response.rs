//! The answer to a request.

use std::fmt;
use std::sync::Arc;

use crate::decision::{Decision, Outcome};
use crate::epoch::{Epoch, Errors, Version};
use crate::evidence::{RecordedDelegation, RecordedError, RecordedPolicy};
use crate::id::{EntityUid, PolicyId};
use crate::request::locals::RequestNames;
use crate::request::{Now, RequestError};
use crate::value::ErrorKind;

use super::scratch::Lease;

/// A pinned epoch.
pub(crate) enum Pin<'e> {
    Guard(arc_swap::Guard<Arc<Epoch>>),
    Borrowed(&'e Arc<Epoch>),
}

impl Pin<'_> {
    #[inline]
    pub(crate) fn epoch(&self) -> &Arc<Epoch> {
        match self {
            Self::Guard(guard) => guard,
            Self::Borrowed(epoch) => epoch,
        }
    }
}

/// The answer to a request: the decision and what it rests on.
///
/// A response holds the policies and entities that were decided on, and its working memory: read it and let it
/// go. [`Response::to_owned`] is for keeping.
#[must_use = "a decision that is not looked at protects nothing"]
pub struct Response<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) sequence: Option<u64>,
    pub(crate) pin: Pin<'a>,
    pub(crate) lease: Lease<'a>,
    pub(crate) request_error: Option<RequestError>,
    /// What the context was told of the time.
    pub(crate) now: Option<Now<'a>>,
}

impl Response<'_> {
    /// Whether the request is allowed.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allowed
    }

    /// Allow or deny.
    pub fn decision(&self) -> Decision {
        self.outcome.decision()
    }

    /// Why.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The number of the decision's record: [`DecisionRecord::sequence`](crate::evidence::DecisionRecord::sequence). `None`
    /// when no sink wants records.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// What the determining policies ask for by the annotation `@step_up`, such as `@step_up("mfa")`, in their order:
    /// the name of a level of authentication, which means what the application says it does.
    ///
    /// On an allow it is what has to be done before the answer is acted on, and all of it: a policy that asks for a
    /// step-up is not made void by a wider one that does not. On a deny it is what may lift the forbids that applied, such
    /// as `@step_up("mfa") forbid (…) unless { context.mfa };`. In AuthZEN's terms each is an obligation of the type
    /// `step-up` with this text as `acr_value`.
    pub fn step_up(&self) -> impl Iterator<Item = &str> {
        self.determining()
            .filter_map(|policy| policy.annotation("step_up"))
    }

    /// The policies that determine the decision, in the order of the policy set: all forbids that apply, or
    /// else all permits that apply. (With a strict [`ErrorMode`](crate::ErrorMode), also the permits that
    /// would have allowed.)
    pub fn determining(&self) -> impl ExactSizeIterator<Item = RecordedPolicy<'_>> {
        let policies = self
            .lease
            .get()
            .map_or(&[][..], |scratch| scratch.findings.determining());
        let epoch = self.pin.epoch();
        policies
            .iter()
            .map(move |policy| RecordedPolicy::new(epoch, *policy))
    }

    /// The policies that could not be evaluated, in the order of the policy set.
    pub fn errors(&self) -> impl ExactSizeIterator<Item = RecordedError<'_>> {
        let epoch = self.pin.epoch();
        let errors = match self.lease.get() {
            Some(scratch) => scratch.findings.errors(epoch),
            None => Errors::new(epoch, &[], &[]),
        };
        errors.map(move |(policy, raise)| RecordedError::new(epoch, policy, raise))
    }

    /// Of a request with a [`Delegation`](crate::Delegation): what was decided of each hop. `None` for others.
    ///
    /// The outcome is that of the first hop that is denied, and so are [`determining`](Self::determining) and
    /// [`errors`](Self::errors); when all are allowed, these are of all hops together.
    pub fn delegation(&self) -> Option<RecordedDelegation<'_>> {
        let epoch = self.pin.epoch();
        let scratch = self.lease.get()?;
        let names = RequestNames {
            shared: &epoch.snapshot.names,
            locals: &scratch.locals,
        };
        RecordedDelegation::new(epoch, &scratch.hops, names, &[])
    }

    /// What was wrong with the request, when the outcome is [`Outcome::InvalidRequest`].
    pub fn request_error(&self) -> Option<&RequestError> {
        self.request_error.as_ref()
    }

    /// The policies, schema and entities that were decided on.
    pub fn version(&self) -> Version {
        self.pin.epoch().version
    }

    /// The response without the memory and the data that it borrows.
    pub fn to_owned(&self) -> OwnedResponse {
        OwnedResponse {
            outcome: self.outcome,
            determining: self
                .determining()
                .map(|policy| policy.id().clone())
                .collect(),
            errors: self
                .errors()
                .map(|error| (error.policy().id().clone(), error.kind()))
                .collect(),
            request_error: self.request_error.clone(),
            hops: self
                .delegation()
                .into_iter()
                .flat_map(|delegation| delegation.hops())
                .map(|hop| (hop.principal().to_owned(), hop.outcome()))
                .collect(),
            version: self.version(),
        }
    }
}

impl fmt::Debug for Response<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("outcome", &self.outcome)
            .field("determining", &self.determining().collect::<Vec<_>>())
            .field("errors", &self.errors().collect::<Vec<_>>())
            .field("request_error", &self.request_error)
            .field("version", &self.version())
            .finish()
    }
}

/// A [`Response`] to keep.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct OwnedResponse {
    /// Why the decision is what it is; [`Outcome::decision`] is the decision.
    pub outcome: Outcome,
    /// The ids of the determining policies.
    pub determining: Vec<PolicyId>,
    /// The policies that could not be evaluated, with the kind of error.
    pub errors: Vec<(PolicyId, ErrorKind)>,
    /// What was wrong with the request.
    pub request_error: Option<RequestError>,
    /// Of a request with a [`Delegation`](crate::Delegation), each hop and what came of it, as
    /// [`RecordedHop::outcome`](crate::evidence::RecordedHop::outcome); empty for others.
    pub hops: Vec<(EntityUid, Option<Outcome>)>,
    /// The policies, schema and entities that were decided on.
    pub version: Version,
}
