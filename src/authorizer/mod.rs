//! The front door: build an authorizer, ask it, replace what it decides on.

mod builder;
mod decide;
mod delegated;
mod masks;
mod pinned;
mod prepared;
mod search;
mod session;
mod shadow;
mod stored;
#[cfg(test)]
mod tests;
mod timing;
mod update;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use watch::Watchers;

use crate::compile::Problem;
use crate::compile::load::PolicyValidator;
use crate::decision::ErrorMode;
use crate::epoch::{Epoch, Published, Sequence, Version, Watched};
use crate::eval::{Lease, Pin, Reading, Response, Scratch};
use crate::evidence::{DecisionSink, Delivery, Wants};
use crate::request::{Request, RequestError};
use crate::schema::SchemaModel;

pub use builder::{BuildError, Builder, Tuning};
pub(crate) use decide::Seen;
pub use pinned::Pinned;
pub use prepared::PreparedRequest;
pub use search::Found;
pub use session::Session;
pub use shadow::ShadowCounts;
pub use stored::{AttributeError, AttributeValue, Attributes, StoredEntities, StoredEntity};
pub(crate) use timing::DeniedByTime;
use timing::Started;
pub use update::PolicyChanges;
pub use watch::Change;
pub(crate) use watch::{News, Watcher};

/// Decides requests on policies and entities that can be replaced while it does.
///
/// Cheap to clone; clones are the same authorizer. Decisions never wait: not for each other, not for a
/// replacement.
///
/// ```
/// use duramen::{Authorizer, Request};
///
/// let authorizer = Authorizer::builder()
///     .policies(r#"permit(principal, action == Action::"view", resource) when { context.mfa };"#)
///     .build()?;
///
/// let request = Request::new(("User", "alice"), ("Action", "view"), ("Photo", "vacation.jpg"))
///     .context_json(r#"{ "mfa": true }"#);
/// let response = authorizer.is_authorized(&request);
/// assert!(response.is_allowed());
/// assert_eq!(response.determining().next().unwrap().id().as_str(), "policy0");
/// # Ok::<(), duramen::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Authorizer {
    inner: Arc<Inner>,
}

struct Inner {
    published: Published,
    settings: Settings,
    /// For policies that come later; `None` without a schema, and where policies are not validated.
    validator: Option<PolicyValidator>,
    /// What was odd about the schema and the settings.
    warnings: Vec<Problem>,
    /// And about the policies in force. Whoever changes these holds it until they are published: of two that do so at once, the
    /// warnings that stay are of the policies that do.
    policy_warnings: Mutex<Vec<Problem>>,
    sink: Box<dyn DecisionSink>,
    /// 32 hexadecimal digits.
    instance: String,
    sequence: Sequence,
    watchers: Watchers,
    /// Records that were not kept since the last one that was.
    lost: AtomicU64,
}

/// What was settled when the authorizer was built.
struct Settings {
    reading: Reading,
    error_mode: ErrorMode,
    wants: Wants,
    delivery: Delivery,
    clock: Clock,
    /// Whether anybody wants to know what time it is: a record, the context, or who bounds the age of data.
    asks_clock: bool,
    keeps_ages: bool,
    tuning: Tuning,
}

/// Where the time of a record comes from.
enum Clock {
    System,
    Given(Box<dyn Fn() -> SystemTime + Send + Sync>),
}

impl Clock {
    #[inline]
    fn now(&self) -> SystemTime {
        match self {
            Self::System => SystemTime::now(),
            Self::Given(clock) => clock(),
        }
    }
}

impl Authorizer {
    /// Begins an authorizer.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Decides a request, with working memory of this thread's pool.
    ///
    /// Once the pool is warm nothing is allocated. For a hot loop, [`Authorizer::session`] is faster still.
    ///
    /// A response has its working memory with it. What is dropped on another thread goes to that one's pool, so that the next
    /// decision here makes its own; a pool keeps that of 32.
    pub fn is_authorized(&self, request: &Request<'_>) -> Response<'_> {
        self.decide(
            Pin::Guard(self.inner.published.pin()),
            Lease::pooled(),
            request,
        )
    }

    /// Decides a request, with the caller's working memory.
    pub fn is_authorized_with<'s>(
        &'s self,
        scratch: &'s mut Scratch,
        request: &Request<'_>,
    ) -> Response<'s> {
        self.decide(
            Pin::Guard(self.inner.published.pin()),
            Lease::Borrowed(scratch),
            request,
        )
    }

    /// Whether a request is allowed: the decision alone, which may stop early.
    ///
    /// The same decision as [`Authorizer::is_authorized`]. A sink that wants records gets them: then
    /// everything is evaluated.
    #[must_use]
    pub fn is_allowed(&self, request: &Request<'_>) -> bool {
        let pin = Pin::Guard(self.inner.published.pin());
        self.decide_only(pin, Lease::pooled(), request)
    }

    /// A session: working memory and the epoch kept between calls. For hot loops; one a thread.
    pub fn session(&self) -> Session<'_> {
        Session::new(self)
    }

    /// Reads a request once, to decide it many times.
    ///
    /// Uids are looked up and the context is copied now. When policies or entities are replaced, the next
    /// decision looks up again.
    ///
    /// # Errors
    /// [`RequestError`] when the request cannot be understood. Request-scoped entities and
    /// delegations cannot be prepared.
    pub fn prepare(&self, request: &Request<'_>) -> Result<PreparedRequest, RequestError> {
        PreparedRequest::new(self, &self.inner.published.load_full(), request)
    }

    /// Decides a prepared request.
    pub fn is_authorized_prepared<'s>(
        &'s self,
        scratch: &'s mut Scratch,
        request: &'s mut PreparedRequest,
    ) -> Response<'s> {
        let pin = Pin::Guard(self.inner.published.pin());
        self.decide_prepared(pin, Lease::Borrowed(scratch), request)
    }

    /// The policies, schema and entities in force.
    pub fn version(&self) -> Version {
        self.inner.published.pin().version
    }

    /// What Cedar found odd about the schema, and its validator about the policies in force, such as a policy or a link that can
    /// never apply; that a directory has no policies, or policies are annotated with ids that were not asked for
    /// ([`Policies::ids_from_annotations`](crate::Policies::ids_from_annotations)); and that requests are to be validated
    /// where there is no schema, or where it has no place for the time ([`Builder::context_time`]). For a log, when the
    /// authorizer was built and whenever policies were replaced; what an update is warned of is in
    /// [`PolicyChanges::warnings`] as well.
    pub fn warnings(&self) -> Vec<Problem> {
        let mut warnings = self.inner.warnings.clone();
        warnings.extend_from_slice(&self.inner.policy_warnings());
        warnings
    }

    /// How many policies are in force, links included and templates not.
    pub fn policy_count(&self) -> usize {
        self.inner.published.pin().policies.len()
    }

    /// What evaluation errors do to a decision.
    pub(crate) fn error_mode(&self) -> ErrorMode {
        self.inner.settings.error_mode
    }

    /// What is in force.
    pub(crate) fn epoch(&self) -> Arc<Epoch> {
        self.inner.published.load_full()
    }

    /// How requests are read and what errors do to an answer.
    pub(crate) fn reading(&self) -> (&Reading, ErrorMode) {
        let settings = &self.inner.settings;
        (&settings.reading, settings.error_mode)
    }

    /// How many entities are in force, actions included.
    pub fn entity_count(&self) -> usize {
        self.inner.published.pin().snapshot.len()
    }

    /// What has changed since when.
    pub(crate) fn watch(&self) -> &Watched {
        self.inner.published.watch()
    }

    /// The number of the newest epoch.
    #[inline]
    pub(crate) fn latest(&self) -> u64 {
        self.inner.published.latest()
    }

    /// Has `watcher` told of every epoch from now on.
    pub(crate) fn tell(&self, watcher: Weak<dyn Watcher>) {
        self.inner.watchers.add(watcher);
    }

    /// Whether decisions may come out otherwise with nothing but time gone by: it is in every context, or data may become
    /// too old.
    #[inline]
    pub(crate) fn depends_on_time(&self) -> bool {
        let settings = &self.inner.settings;
        settings.keeps_ages || settings.reading.context_time.is_some()
    }

    /// The time by the authorizer's clock.
    pub(crate) fn time(&self) -> SystemTime {
        self.inner.settings.clock.now()
    }
}

impl Inner {
    fn policy_warnings(&self) -> MutexGuard<'_, Vec<Problem>> {
        let warnings = self.policy_warnings.lock();
        // A list that another thread has left in the middle of a change is a list.
        warnings.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    /// No record will tell of the last losses any more.
    fn drop(&mut self) {
        let lost = *self.lost.get_mut();
        if lost > 0 {
            // Nobody is left to be told if that fails.
            let _ = catch_unwind(AssertUnwindSafe(|| self.sink.record_loss(lost)));
        }
    }
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorizer")
            .field("instance", &self.inner.instance)
            .field("version", &self.version())
            .field("policies", &self.policy_count())
            .field("entities", &self.entity_count())
            .finish_non_exhaustive()
    }
}

/// The schema, as requests and entities are held against it, and policies, if they are.
struct BuiltSchema {
    validator: Option<PolicyValidator>,
    model: Arc<SchemaModel>,
    warnings: Vec<Problem>,
}
