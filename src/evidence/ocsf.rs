//! Records as events of the Open Cybersecurity Schema Framework: API Activity (6003) of OCSF 1.8.0.
//!
//! What an authorization decision is in OCSF is a choice. Entity Management (3004) is about changes to entities, Authorize
//! Session (3003) about privileges that are given at a login; a decision is about a call, so it is API Activity with the
//! profile `security_control`, which says what became of it.

mod event;

use std::fmt;
use std::io::Write;

use serde::Serialize;

use crate::decision::EnforcementMode;
use crate::id::EntityUidRef;

use super::filter::Untold;
use super::json;
use super::sinks::Lines;
use super::{DecisionRecord, DecisionSink, SinkError, Wants};
use event::Event;

/// Which of OCSF's activities an action is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Activity {
    /// 1
    Create,
    /// 2
    Read,
    /// 3
    Update,
    /// 4
    Delete,
    /// 99: something else; the event has the action's id for a name.
    Other,
}

impl Activity {
    /// The activity that the first word of an action's id suggests: `viewPhoto`, `view_photo` and `view` are reading.
    /// [`Activity::Other`] where the word is not known. Words end at a capital letter behind a small one, and at whatever
    /// is neither a letter nor a digit.
    ///
    /// ```
    /// use duramen::evidence::ocsf::Activity;
    ///
    /// assert_eq!(Activity::suggested_by("viewPhoto"), Activity::Read);
    /// assert_eq!(Activity::suggested_by("DELETE"), Activity::Delete);
    /// assert_eq!(Activity::suggested_by("approve"), Activity::Other);
    /// ```
    pub fn suggested_by(action_id: &str) -> Self {
        const WORDS: [(Activity, &[&str]); 4] = [
            (
                Activity::Create,
                &[
                    "create", "add", "insert", "new", "post", "upload", "register",
                ],
            ),
            (
                Activity::Read,
                &[
                    "read", "view", "get", "list", "show", "search", "find", "query", "download",
                    "describe", "head", "fetch",
                ],
            ),
            (
                Activity::Update,
                &[
                    "update", "edit", "write", "modify", "set", "change", "put", "patch", "rename",
                    "move",
                ],
            ),
            (
                Activity::Delete,
                &["delete", "remove", "destroy", "drop", "purge", "erase"],
            ),
        ];
        let word = first_word(action_id);
        WORDS
            .iter()
            .find(|(_, words)| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
            .map_or(Self::Other, |(activity, _)| *activity)
    }

    fn id(self) -> u32 {
        match self {
            Self::Create => 1,
            Self::Read => 2,
            Self::Update => 3,
            Self::Delete => 4,
            Self::Other => 99,
        }
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Self::Create => Some("Create"),
            Self::Read => Some("Read"),
            Self::Update => Some("Update"),
            Self::Delete => Some("Delete"),
            Self::Other => None,
        }
    }
}

fn first_word(text: &str) -> &str {
    let mut small = false;
    let end = text.find(|c: char| {
        let ends = !c.is_alphanumeric() || (small && c.is_uppercase());
        small = c.is_lowercase();
        ends
    });
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Makes OCSF events of records. Feature `ocsf`.
///
/// | OCSF | is |
/// |---|---|
/// | `activity_id`, `activity_name`, `type_uid` | the [`Activity`] of the action |
/// | `time` | when the decision was begun, in milliseconds |
/// | `severity_id` | 1, informational: denials are normal work |
/// | `status_id` | 1 (success) when the decision was made by policies or by the chain of a delegation, **also when it is a deny**; 2 (failure) when it is a deny for another reason: the request was invalid, policies could not be evaluated, data was too old, evidence could not be kept. Whether access was given is in `action_id` |
/// | `status_code` | the [`Outcome`](crate::Outcome) |
/// | `status_detail` | what was wrong with the request |
/// | `action_id` | 1 allowed, 2 denied |
/// | `disposition_id` | 1 allowed; 2 blocked: a forbid applied; 26 unauthorized: no permit did, or the chain does not hold; 27 error: what `status_id` 2 says |
/// | `actor.user` | the principal: `uid` its id, `type` its type, `type_id` 99 |
/// | `actor.authorizations` | the decision with each determining policy: `uid` its id, `type` its effect, `version` the digest of the policy set |
/// | `api.operation` | the action's id |
/// | `api.service.name`, `src_endpoint.svc_name` | the service that asks |
/// | `api.request.uid`, `metadata.correlation_uid` | the caller's id of the request |
/// | `resources` | the resource: `uid` its id, `type` its type |
/// | `metadata.uid`, `metadata.sequence` | the decision's id and number |
/// | `trace.uid` | the trace id, with the profile `trace`; OCSF's span needs times that a decision does not know, so the span id is in `unmapped` |
/// | `unmapped` | what OCSF has no place for, under the names that it has in a record: `engine`, `language`, `version`, `duration_ns`, `action`, `determining`, `errors`, `lost_before`, `span_id`, `ages`, `rechecks`, `delegation`, `masked`, `replayable`; and `context` and `inputs` when the sink wants them |
///
/// ```
/// use duramen::evidence::ocsf::{Activity, ApiActivity, OcsfSink};
/// use duramen::{Authorizer, EntityUidRef, Request};
///
/// let events = ApiActivity::new("photo-service").activities(|action: EntityUidRef<'_>| match action.id() {
///     "approve" => Activity::Update,
///     other => Activity::suggested_by(other),
/// });
/// let authorizer = Authorizer::builder()
///     .policies("permit(principal, action, resource);")
///     .sink(OcsfSink::new(events, std::io::sink()))
///     .build()?;
/// assert!(authorizer.is_allowed(&Request::new(("User", "alice"), ("Action", "view"), ("Photo", "beach"))));
/// # Ok::<(), duramen::BuildError>(())
/// ```
pub struct ApiActivity {
    service: String,
    activity: Box<dyn Fn(EntityUidRef<'_>) -> Activity + Send + Sync>,
}

impl ApiActivity {
    /// Events of a service, which is what asks for decisions: OCSF demands a source, and a decision knows no network.
    /// Activities are those that the actions' ids suggest.
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            activity: Box::new(|action| Activity::suggested_by(action.id())),
        }
    }

    /// Which activity an action is. Called by the deciding thread.
    #[must_use]
    pub fn activities(
        mut self,
        activity: impl Fn(EntityUidRef<'_>) -> Activity + Send + Sync + 'static,
    ) -> Self {
        self.activity = Box::new(activity);
        self
    }

    /// The event of a record: serialize it with any serde format.
    pub fn event<'e>(&'e self, record: &'e DecisionRecord<'e>) -> impl Serialize + 'e {
        Event::new(&self.service, (self.activity)(record.action()), record)
    }
}

impl fmt::Debug for ApiActivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiActivity")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// Writes each record as an OCSF event, one line of JSON.
///
/// As [`JsonLinesSink`](super::JsonLinesSink) does with records: a line is written with one call, by the deciding thread,
/// and nothing is allocated once the buffer has grown.
#[derive(Debug)]
pub struct OcsfSink<W> {
    events: ApiActivity,
    wants: Wants,
    lines: Lines<W>,
    untold: Untold,
}

impl<W: Write + Send> OcsfSink<W> {
    /// Writes events to `writer`, without context and inputs: those may hold what must not leave the service. Decisions of
    /// a shadow are left out: they are no activity.
    pub fn new(events: ApiActivity, writer: W) -> Self {
        Self {
            events,
            wants: Wants::Decisions,
            lines: Lines::new(writer),
            untold: Untold::default(),
        }
    }

    /// Puts context and inputs into `unmapped`.
    #[must_use]
    pub fn with_inputs(mut self) -> Self {
        self.wants = Wants::DecisionsWithInputs;
        self
    }

    /// The writer.
    pub fn into_inner(self) -> W {
        self.lines.into_inner()
    }
}

impl<W: Write + Send> DecisionSink for OcsfSink<W> {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        // What a shadow would have decided has not happened.
        if record.mode() == EnforcementMode::Shadow {
            self.untold.leave_out(record);
            return Ok(());
        }
        self.untold.tell_with(record, |record| {
            self.lines
                .write(|line| Ok(json::write(&self.events.event(record), line)?))
        })
    }

    fn flush(&self) -> Result<(), SinkError> {
        Ok(self.lines.flush()?)
    }
}
