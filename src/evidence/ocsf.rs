//! Records as events of the Open Cybersecurity Schema Framework: API Activity (6003) of OCSF 1.8.0.
//!
//! What an authorization decision is in OCSF is a choice. Entity Management (3004) is about changes to entities, Authorize
//! Session (3003) about privileges that are given at a login; a decision is about a call, so it is API Activity with the
//! profile `security_control`, which says what became of it.
//!
//! A long file, as the mapping is one table: what each member of the event is made of stands beside the others that are made
//! of the same.

use std::fmt;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::decision::{Decision, Effect, EnforcementMode, Outcome};
use crate::epoch::{Version, VersionDigest};
use crate::id::EntityUidRef;
use crate::request::RequestError;

use super::ages::AgesView;
use super::context::ContextView;
use super::delegation::RecordedDelegation;
use super::inputs::InputsView;
use super::json::{self, Marked, Part};
use super::pieces::Text;
use super::record::DecisionId;
use super::sinks::Lines;
use super::{DecisionRecord, DecisionSink, SinkError, Wants};

/// The version of the schema that events are of.
const SCHEMA: &str = "1.8.0";
/// The class. Its category is its thousands.
const CLASS: u32 = 6003;

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
/// | `status_id` | 1 (success) when the decision was made by policies, **also when it is a deny**; 2 (failure) when it is a deny because the request was invalid or policies could not be evaluated. Whether access was given is in `action_id` |
/// | `status_code` | the [`Outcome`] |
/// | `status_detail` | what was wrong with the request |
/// | `action_id` | 1 allowed, 2 denied |
/// | `disposition_id` | 1 allowed; 2 blocked: a forbid applied; 26 unauthorized: no permit did; 27 error |
/// | `actor.user` | the principal: `uid` its id, `type` its type, `type_id` 99 |
/// | `actor.authorizations` | the decision with each determining policy: `uid` its id, `type` its effect, `version` the digest of the policy set |
/// | `api.operation` | the action's id |
/// | `api.service.name`, `src_endpoint.svc_name` | the service that asks |
/// | `api.request.uid`, `metadata.correlation_uid` | the caller's id of the request |
/// | `resources` | the resource: `uid` its id, `type` its type |
/// | `metadata.uid`, `metadata.sequence` | the decision's id and number |
/// | `trace.uid` | the trace id, with the profile `trace`; OCSF's span needs times that a decision does not know, so the span id is in `unmapped` |
/// | `unmapped` | what OCSF has no place for, under the names that it has in a record: `version`, `duration_ns`, `action`, `determining`, `errors`, `lost_before`, `span_id`, `ages`, `rechecks`, `delegation`, `masked`, `replayable`; and `context` and `inputs` when the sink wants them |
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
}

impl<W: Write + Send> OcsfSink<W> {
    /// Writes events to `writer`, without context and inputs: those may hold what must not leave the service. Decisions of
    /// a shadow are left out: they are no activity.
    pub fn new(events: ApiActivity, writer: W) -> Self {
        Self {
            events,
            wants: Wants::Decisions,
            lines: Lines::new(writer),
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
            return Ok(());
        }
        self.lines
            .write(|line| Ok(json::write(&self.events.event(record), line)?))
    }

    fn flush(&self) -> Result<(), SinkError> {
        Ok(self.lines.flush()?)
    }
}

/// The event, member by member.
#[derive(Serialize)]
struct Event<'e> {
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    activity_id: u32,
    activity_name: &'e str,
    type_uid: u32,
    time: i64,
    severity_id: u32,
    severity: &'static str,
    status_id: u32,
    status: &'static str,
    status_code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<Text<'e, RequestError>>,
    action_id: u32,
    action: &'static str,
    disposition_id: u32,
    disposition: &'static str,
    message: Message<'e>,
    metadata: Metadata<'e>,
    actor: Actor<'e>,
    api: Api<'e>,
    src_endpoint: Endpoint<'e>,
    resources: [Entity<'e>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Identified<'e>>,
    unmapped: Unmapped<'e>,
}

#[derive(Serialize)]
struct Metadata<'e> {
    version: &'static str,
    product: Product,
    profiles: &'static [&'static str],
    uid: DecisionId<'e>,
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_uid: Option<&'e str>,
}

#[derive(Serialize)]
struct Product {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Actor<'e> {
    user: User<'e>,
    authorizations: Authorizations<'e>,
}

#[derive(Serialize)]
struct User<'e> {
    uid: &'e str,
    #[serde(rename = "type")]
    type_name: &'e str,
    type_id: u32,
}

#[derive(Serialize)]
struct Authorization<'e> {
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Policy<'e>>,
}

#[derive(Serialize)]
struct Policy<'e> {
    uid: &'e str,
    #[serde(rename = "type")]
    effect: Effect,
    version: VersionDigest,
    is_applied: bool,
}

#[derive(Serialize)]
struct Api<'e> {
    operation: &'e str,
    service: Named<'e>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Identified<'e>>,
}

#[derive(Serialize)]
struct Named<'e> {
    name: &'e str,
}

#[derive(Serialize)]
struct Identified<'e> {
    uid: &'e str,
}

#[derive(Serialize)]
struct Endpoint<'e> {
    svc_name: &'e str,
}

#[derive(Serialize)]
struct Entity<'e> {
    uid: &'e str,
    #[serde(rename = "type")]
    type_name: &'e str,
}

/// What OCSF has no place for, as the record has it.
#[derive(Serialize)]
struct Unmapped<'e> {
    engine: &'static str,
    language: &'static str,
    version: Version,
    duration_ns: u64,
    action: EntityUidRef<'e>,
    determining: Determining<'e>,
    errors: Errors<'e>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ages: Option<AgesView<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rechecks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delegation: Option<RecordedDelegation<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    masked: Option<MaskedBy<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Marked<ContextView<'e>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<InputsView<'e>>,
}

impl<'e> Event<'e> {
    fn new(service: &'e str, activity: Activity, record: &'e DecisionRecord<'e>) -> Self {
        let outcome = record.outcome();
        let (status_id, status) = status(outcome);
        let (action_id, action) = match record.decision() {
            Decision::Allow => (1, "Allowed"),
            Decision::Deny => (2, "Denied"),
        };
        let (disposition_id, disposition) = disposition(outcome);
        let (principal, resource) = (record.principal(), record.resource());
        Self {
            category_uid: CLASS / 1000,
            category_name: "Application Activity",
            class_uid: CLASS,
            class_name: "API Activity",
            activity_id: activity.id(),
            activity_name: activity.name().unwrap_or(record.action().id()),
            type_uid: CLASS * 100 + activity.id(),
            time: millis(record.time()),
            severity_id: 1,
            severity: "Informational",
            status_id,
            status,
            status_code: outcome.as_str(),
            status_detail: record.request_error().map(Text),
            action_id,
            action,
            disposition_id,
            disposition,
            message: Message(record),
            metadata: Metadata::of(record),
            actor: Actor {
                user: User {
                    uid: principal.id(),
                    type_name: principal.type_name(),
                    // "Other": the type says what.
                    type_id: 99,
                },
                authorizations: Authorizations(record),
            },
            api: Api {
                operation: record.action().id(),
                service: Named { name: service },
                request: record.request_id().map(|uid| Identified { uid }),
            },
            src_endpoint: Endpoint { svc_name: service },
            resources: [Entity {
                uid: resource.id(),
                type_name: resource.type_name(),
            }],
            trace: record.trace().map(|trace| Identified {
                uid: trace.trace_id(),
            }),
            unmapped: Unmapped::of(record),
        }
    }
}

/// Whether deciding succeeded, which a deny by policy does.
fn status(outcome: Outcome) -> (u32, &'static str) {
    match outcome {
        Outcome::Allowed
        | Outcome::Forbidden
        | Outcome::NoPermit
        | Outcome::DelegationTooLong
        | Outcome::DelegationCycle
        | Outcome::DelegationNotYetValid
        | Outcome::DelegationExpired => (1, "Success"),
        Outcome::EvaluationErrors
        | Outcome::InvalidRequest
        | Outcome::EvidenceNotKept
        | Outcome::StalePolicies
        | Outcome::StaleEntities => (2, "Failure"),
    }
}

fn disposition(outcome: Outcome) -> (u32, &'static str) {
    match outcome {
        Outcome::Allowed => (1, "Allowed"),
        Outcome::Forbidden => (2, "Blocked"),
        Outcome::NoPermit
        | Outcome::DelegationTooLong
        | Outcome::DelegationCycle
        | Outcome::DelegationNotYetValid
        | Outcome::DelegationExpired => (26, "Unauthorized"),
        Outcome::EvaluationErrors
        | Outcome::InvalidRequest
        | Outcome::EvidenceNotKept
        | Outcome::StalePolicies
        | Outcome::StaleEntities => (27, "Error"),
    }
}

/// Milliseconds since 1970, also before it. What 64 bits cannot say is the nearest that they can.
fn millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => {
            let before = i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX);
            -before
        }
    }
}

impl<'e> Metadata<'e> {
    fn of(record: &'e DecisionRecord<'e>) -> Self {
        Self {
            version: SCHEMA,
            product: Product {
                name: "Duramen",
                version: env!("CARGO_PKG_VERSION"),
            },
            profiles: match record.trace() {
                Some(_) => &["security_control", "trace"],
                None => &["security_control"],
            },
            uid: record.id(),
            sequence: record.sequence(),
            correlation_uid: record.request_id(),
        }
    }
}

impl<'e> Unmapped<'e> {
    fn of(record: &'e DecisionRecord<'e>) -> Self {
        Self {
            engine: record.engine(),
            language: record.language(),
            version: record.version(),
            duration_ns: u64::try_from(record.duration().as_nanos()).unwrap_or(u64::MAX),
            action: record.action(),
            determining: Determining(record),
            errors: Errors(record),
            lost_before: Some(record.lost_before()).filter(|lost| *lost > 0),
            span_id: record.trace().map(|trace| trace.span_id()),
            ages: record.ages(),
            rechecks: record.rechecks(),
            delegation: record.delegation(),
            masked: record.masked.map(|_| MaskedBy(record)),
            replayable: record.masked.map(|_| record.is_replayable()),
            context: record
                .context()
                .map(|context| Marked(Part::Context, context)),
            inputs: record.inputs(),
        }
    }
}

/// For people.
struct Message<'e>(&'e DecisionRecord<'e>);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.0;
        write!(
            f,
            "{} {} on {}: {}",
            record.principal(),
            record.action(),
            record.resource(),
            record.outcome()
        )
    }
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The decision with each policy that it rests on; by itself, where it rests on none.
struct Authorizations<'e>(&'e DecisionRecord<'e>);

impl Serialize for Authorizations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.0;
        let decision = match record.decision() {
            Decision::Allow => "allowed",
            Decision::Deny => "denied",
        };
        let version = record.version().policies();
        let policies = record.determining();
        if policies.len() == 0 {
            return [Authorization {
                decision,
                policy: None,
            }]
            .serialize(serializer);
        }
        serializer.collect_seq(policies.map(|policy| Authorization {
            decision,
            policy: Some(Policy {
                uid: policy.id().as_str(),
                effect: policy.effect(),
                version,
                is_applied: true,
            }),
        }))
    }
}

struct Determining<'e>(&'e DecisionRecord<'e>);

impl Serialize for Determining<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.determining())
    }
}

/// The rules by which something was masked.
struct MaskedBy<'e>(&'e DecisionRecord<'e>);

impl Serialize for MaskedBy<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.masked())
    }
}

struct Errors<'e>(&'e DecisionRecord<'e>);

impl Serialize for Errors<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.errors())
    }
}
