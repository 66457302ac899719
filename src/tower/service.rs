//! The layer and its service.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::authorizer::Authorizer;
use crate::decision::Outcome;
use crate::epoch::Version;
use crate::id::{EntityUid, EntityUidRef, PolicyId};

use super::asked::{Asked, Extract, Rejection};
use super::challenge::{self, ChallengeError};
use super::problem::Problem;

/// Authorizes requests before a service gets them.
///
/// ```
/// use duramen::tower::{Asked, AuthorizationLayer, Rejection};
/// use duramen::{Authorizer, EntityUid};
/// use http::request::Parts;
///
/// let authorizer = Authorizer::builder()
///     .policies(r#"permit(principal == User::"ann", action == Action::"GET", resource);"#)
///     .build()?;
/// let layer = AuthorizationLayer::new(authorizer, |head: &Parts| {
///     // Whoever terminates the connection has verified who it is.
///     let user = head.headers.get("x-user").and_then(|user| user.to_str().ok());
///     let user = user.ok_or_else(|| Rejection::unauthenticated("Bearer"))?;
///     Ok(Asked::new(
///         EntityUid::new("User", user),
///         EntityUid::new("Action", head.method.as_str()),
///         EntityUid::new("Path", head.uri.path()),
///     ))
/// });
/// # let _ = layer;
/// # Ok::<(), duramen::BuildError>(())
/// ```
pub struct AuthorizationLayer<E> {
    authorizer: Authorizer,
    extract: Arc<E>,
    options: Options,
}

#[derive(Clone, Debug, Default)]
struct Options {
    pass_preflights: bool,
    tell_outcome: bool,
    tell_annotation: Option<String>,
    step_up_scheme: Option<String>,
    epoch_header: Option<HeaderName>,
}

impl<E: Extract> AuthorizationLayer<E> {
    /// A layer that asks `authorizer` what `extract` tells.
    pub fn new(authorizer: Authorizer, extract: E) -> Self {
        Self {
            authorizer,
            extract: Arc::new(extract),
            options: Options::default(),
        }
    }

    /// Whether CORS preflights go to the service undecided: `OPTIONS` with `Origin` and `Access-Control-Request-Method`.
    /// Browsers send them without credentials. The default is no; say yes where the service answers them itself and
    /// nothing else by them.
    #[must_use]
    pub fn pass_preflights(self, pass: bool) -> Self {
        self.with(|options| options.pass_preflights = pass)
    }

    /// Whether a client is told the outcome of a deny (`no_permit`, `forbidden`, …), as the member `outcome`. The default is
    /// no: it tells how policies are written.
    #[must_use]
    pub fn tell_outcome(self, tell: bool) -> Self {
        self.with(|options| options.tell_outcome = tell)
    }

    /// Tells a client what forbids, as the policies put it: the values of this annotation, as the member `reasons`. Nothing
    /// else of the policies is told.
    #[must_use]
    pub fn tell_annotation(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.with(|options| options.tell_annotation = Some(name))
    }

    /// Answers a deny that a step-up may lift with 401 and a challenge of this scheme (`Bearer`, `DPoP`), as RFC 9470 has it,
    /// with what the policies ask for as `acr_values`: where forbids deny all of which have an annotation `@step_up`
    /// ([`Response::step_up`](crate::Response::step_up)). The default is 403 like any other deny.
    ///
    /// Policies that come later are not looked at here. Where one of them asks for what no challenge can say, the answer is 403
    /// and its [`Denied::unsent_step_up`] names the policy.
    ///
    /// # Errors
    /// [`ChallengeError`] when the scheme is none, or when a forbid in force has an annotation `@step_up` that no challenge can
    /// say: `acr_values` are words of printable ASCII without `"` and `\`, parted by spaces.
    pub fn challenge_step_up(self, scheme: impl Into<String>) -> Result<Self, ChallengeError> {
        let scheme = scheme.into();
        challenge::check(&scheme, &self.authorizer)?;
        Ok(self.with(|options| options.step_up_scheme = Some(scheme)))
    }

    /// Puts the number of the epoch that was decided on into each answer, allowed or denied, under this header: for tests,
    /// and for clients that are to read their own writes.
    #[must_use]
    pub fn epoch_header(self, name: HeaderName) -> Self {
        self.with(|options| options.epoch_header = Some(name))
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }
}

/// What was decided of a request, among its extensions when the service gets it.
#[derive(Clone, Debug)]
pub struct Authorized {
    /// Cheap to clone, as extractors of frameworks do.
    allow: Arc<Allow>,
}

#[derive(Debug)]
struct Allow {
    principal: EntityUid,
    decided: Decided,
    step_up: Vec<String>,
}

impl Authorized {
    /// Who was found to ask: of a chain the subject, for whom others act.
    pub fn principal(&self) -> EntityUidRef<'_> {
        self.allow.principal.as_ref()
    }

    /// The policies, schema and entities that were decided on.
    pub fn version(&self) -> Version {
        self.allow.decided.version
    }

    /// The permits that apply.
    pub fn policies(&self) -> &[PolicyId] {
        &self.allow.decided.policies
    }

    /// The number of the decision's record, for the service's own log: with the record's `instance` it names the decision.
    /// `None` when no sink wants records.
    pub fn sequence(&self) -> Option<u64> {
        self.allow.decided.sequence
    }

    /// What policies ask for before the service goes on: [`Response::step_up`](crate::Response::step_up). The layer cannot
    /// know whether that was done.
    pub fn step_up(&self) -> &[String] {
        &self.allow.step_up
    }
}

/// That the layer denied a request, among the extensions of its answer: for logs and metrics of the layers outside. Nothing of
/// it is sent. What the extractor rejects was not decided and has none.
#[derive(Clone, Debug)]
pub struct Denied {
    outcome: Outcome,
    decided: Decided,
    unsent_step_up: Option<PolicyId>,
}

impl Denied {
    /// Why.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The policies, schema and entities that were decided on.
    pub fn version(&self) -> Version {
        self.decided.version
    }

    /// The policies that determine the deny: the forbids that apply, if any.
    pub fn policies(&self) -> &[PolicyId] {
        &self.decided.policies
    }

    /// As [`Authorized::sequence`].
    pub fn sequence(&self) -> Option<u64> {
        self.decided.sequence
    }

    /// A forbid whose `@step_up` no challenge can say, where one was to be sent
    /// ([`AuthorizationLayer::challenge_step_up`]): the client was told 403 and not how to lift it. Correct the annotation.
    pub fn unsent_step_up(&self) -> Option<&PolicyId> {
        self.unsent_step_up.as_ref()
    }
}

/// What there is of every decision.
#[derive(Clone, Debug)]
struct Decided {
    version: Version,
    policies: Arc<[PolicyId]>,
    sequence: Option<u64>,
}

/// What there is to do with a request.
struct Verdict {
    /// What was decided on; `None` where nothing was decided.
    epoch: Option<u64>,
    /// What the service finds, nothing with a preflight; or what to answer in its place.
    authorized: Result<Option<Authorized>, Problem>,
}

impl Verdict {
    fn undecided(rejection: Rejection) -> Self {
        Self {
            epoch: None,
            authorized: Err(Problem::of(rejection)),
        }
    }
}

impl<E: Extract> AuthorizationLayer<E> {
    /// What was decided, or what to answer. Extracting is foreign code, and so is writing the context: a panic there is a
    /// failure, which allows nothing and is told the layers outside. As after any failure, nothing was decided and there is no
    /// record.
    fn decide(&self, head: &mut Parts) -> Verdict {
        if self.options.pass_preflights && is_preflight(head) {
            return Verdict {
                epoch: None,
                authorized: Ok(None),
            };
        }
        let is_head = head.method == Method::HEAD;
        if is_head {
            head.method = Method::GET;
        }
        let decided = catch_unwind(AssertUnwindSafe(|| match self.extract.extract(head) {
            Ok(asked) => self.ask(asked),
            Err(rejection) => Verdict::undecided(rejection),
        }));
        if is_head {
            head.method = Method::HEAD;
        }
        decided.unwrap_or_else(|panic| Verdict::undecided(Rejection::panicked(&*panic)))
    }

    fn ask(&self, asked: Asked) -> Verdict {
        let (epoch, decided) = asked.with_request(|request| {
            let response = self.authorizer.is_authorized(request);
            let policies = response.determining();
            let decided = Decided {
                version: response.version(),
                policies: policies.map(|policy| policy.id().clone()).collect(),
                sequence: response.sequence(),
            };
            let epoch = decided.version.epoch();
            let step_up = response.step_up().map(str::to_owned);
            match response.outcome() {
                Outcome::Allowed => (epoch, Ok((decided, step_up.collect()))),
                _ => (epoch, Err(self.problem(&response, decided))),
            }
        });
        let authorized = decided.map(|(decided, step_up)| {
            let allow = Allow {
                principal: asked.into_principal(),
                decided,
                step_up,
            };
            Some(Authorized {
                allow: Arc::new(allow),
            })
        });
        Verdict {
            epoch: Some(epoch),
            authorized,
        }
    }

    /// The answer to a deny: what a client is told, and what the layers outside find.
    fn problem(&self, response: &crate::eval::Response<'_>, decided: Decided) -> Problem {
        let outcome = response.outcome();
        let scheme = self.options.step_up_scheme.as_deref();
        let challenge = scheme.map(|scheme| challenge::of(scheme, response));
        let (mut problem, unsent_step_up) = match challenge {
            Some(Ok(Some(challenge))) => (Problem::challenge(challenge), None),
            Some(Err(policy)) => (Problem::new(status(outcome)), Some(policy)),
            Some(Ok(None)) | None => (Problem::new(status(outcome)), None),
        };
        if self.options.tell_outcome {
            problem.outcome = Some(outcome.as_str());
        }
        if let Some(name) = &self.options.tell_annotation
            && outcome == Outcome::Forbidden
        {
            let reasons = response
                .determining()
                .filter_map(|policy| policy.annotation(name));
            problem.reasons = reasons.map(str::to_owned).collect();
        }
        problem.denied = Some(Denied {
            outcome,
            decided,
            unsent_step_up,
        });
        problem
    }
}

/// The status for what is no allow.
fn status(outcome: Outcome) -> StatusCode {
    match outcome {
        // Neither the client nor a policy is to blame, and it may pass.
        Outcome::StalePolicies | Outcome::StaleEntities | Outcome::EvidenceNotKept => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::FORBIDDEN,
    }
}

fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl<E> Clone for AuthorizationLayer<E> {
    fn clone(&self) -> Self {
        Self {
            authorizer: self.authorizer.clone(),
            extract: Arc::clone(&self.extract),
            options: self.options.clone(),
        }
    }
}

impl<E> fmt::Debug for AuthorizationLayer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationLayer")
            .field("authorizer", &self.authorizer)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<S, E> Layer<S> for AuthorizationLayer<E> {
    type Service = Authorization<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Authorization {
            inner,
            layer: Arc::new(self.clone()),
        }
    }
}

/// A service behind an [`AuthorizationLayer`].
pub struct Authorization<S, E> {
    inner: S,
    layer: Arc<AuthorizationLayer<E>>,
}

impl<S: Clone, E> Clone for Authorization<S, E> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: Arc::clone(&self.layer),
        }
    }
}

impl<S: fmt::Debug, E> fmt::Debug for Authorization<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("inner", &self.inner)
            .field("authorizer", &self.layer.authorizer)
            .finish_non_exhaustive()
    }
}

impl<S, E, B, R> Service<Request<B>> for Authorization<S, E>
where
    S: Service<Request<B>, Response = Response<R>>,
    E: Extract,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = AuthorizationFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    /// Decides at once, so that the service that was found ready is the one that is called.
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let with_body = head.method != Method::HEAD;
        let Verdict { epoch, authorized } = self.layer.decide(&mut head);
        let header = self.layer.options.epoch_header.clone();
        let header = header.zip(epoch.map(HeaderValue::from));
        let state = match authorized {
            Ok(authorized) => {
                if let Some(authorized) = authorized {
                    head.extensions.insert(authorized);
                }
                State::Allowed {
                    future: self.inner.call(Request::from_parts(head, body)),
                }
            }
            Err(problem) => State::Denied {
                response: Some(problem.response(with_body)),
            },
        };
        AuthorizationFuture { state, header }
    }
}

pin_project! {
    /// The answer of an [`Authorization`].
    #[derive(Debug)]
    pub struct AuthorizationFuture<F, R> {
        #[pin]
        state: State<F, R>,
        header: Option<(HeaderName, HeaderValue)>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F, R> {
        Allowed { #[pin] future: F },
        Denied { response: Option<Response<R>> },
    }
}

impl<F, R, Error> Future for AuthorizationFuture<F, R>
where
    F: Future<Output = Result<Response<R>, Error>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut response = match this.state.project() {
            StateProjection::Allowed { future } => ready!(future.poll(cx))?,
            StateProjection::Denied { response } => match response.take() {
                Some(response) => response,
                // Polled again after it was ready, which the caller must not do.
                None => return Poll::Pending,
            },
        };
        if let Some((name, value)) = this.header.take() {
            response.headers_mut().insert(name, value);
        }
        Poll::Ready(Ok(response))
    }
}
