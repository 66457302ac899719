//! The event of a record, member by member. The mapping is one table: what each member is made of stands beside the others
//! that are made of the same.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::decision::{Decision, Effect, Outcome};
use crate::epoch::{Version, VersionDigest};
use crate::id::EntityUidRef;
use crate::request::RequestError;

use super::super::DecisionRecord;
use super::super::ages::AgesView;
use super::super::context::ContextView;
use super::super::delegation::RecordedDelegation;
use super::super::inputs::InputsView;
use super::super::json::{Marked, Part};
use super::super::pieces::Text;
use super::super::record::DecisionId;
use super::Activity;

/// The version of the schema that events are of.
const SCHEMA: &str = "1.8.0";
/// The class. Its category is its thousands.
const CLASS: u32 = 6003;

#[derive(Serialize)]
pub(super) struct Event<'e> {
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
    pub(super) fn new(
        service: &'e str,
        activity: Activity,
        record: &'e DecisionRecord<'e>,
    ) -> Self {
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
