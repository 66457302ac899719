//! Records that own what they say: what a line of JSON reads back to.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::decision::{Decision, Effect, EnforcementMode, Outcome};
use crate::epoch::{Version, VersionDigest};
use crate::id::{EntityUid, PolicyId};
use crate::value::ErrorKind;

use super::fields::cedar_fields;
use super::json::Buffer;
use super::line;
use super::record::FORMAT;
use super::{DecisionRecord, Enforced, RecordedPolicy, SinkError};

/// A decision record that owns what it says: what [`MemorySink`](super::MemorySink) keeps and what a line of JSON Lines reads
/// back to. The fields are those of [`DecisionRecord`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "documented at DecisionRecord's methods of the same names"
)]
#[non_exhaustive]
pub struct OwnedRecord {
    #[serde(deserialize_with = "known_format")]
    pub format: u32,
    pub id: String,
    pub instance: String,
    pub sequence: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost_before: u64,
    /// `None` where the clock is beyond what Cedar's datetimes can say.
    pub time: Option<String>,
    pub duration_ns: u64,
    pub engine: String,
    pub language: String,
    pub version: Version,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ages: Option<OwnedAges>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<OwnedTraceIds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rechecks: Option<u64>,
    pub principal: EntityUid,
    pub action: EntityUid,
    pub resource: EntityUid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<OwnedInputs>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<String>,
    /// Only where something was masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayable: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<OwnedDelegation>,
    #[serde(default)]
    pub mode: EnforcementMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforced: Option<Enforced>,
    pub decision: Decision,
    pub outcome: Outcome,
    pub determining: Vec<OwnedPolicy>,
    pub errors: Vec<OwnedPolicyError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_error: Option<String>,
}

/// How old policies and entities were, in an [`OwnedRecord`]: in milliseconds, `None` where the clock showed a time before
/// they were loaded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "documented at AgesView's methods of the same names"
)]
#[non_exhaustive]
pub struct OwnedAges {
    pub policies_ms: Option<u64>,
    pub entities_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types_ms: BTreeMap<String, Option<u64>>,
}

/// What was read of entities, in an [`OwnedRecord`]. Members: `docs/evidence.md`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OwnedInputs {
    /// The entities, in the form of Cedar's entities JSON with what more is known of each.
    pub entities: Vec<serde_json::Value>,
    /// [`InputsView::digest`](super::InputsView::digest).
    pub digest: VersionDigest,
}

impl OwnedInputs {
    /// The entities as Cedar's entities JSON: without those that did not exist, and without what was absent. `None` if that
    /// has no form for them: it would take a record with a key `__entity`, `__extn` or `__expr` for an escape.
    pub fn to_cedar_entities(&self) -> Option<serde_json::Value> {
        let there = self.entities.iter();
        let there = there.filter(|entity| entity.get("missing").is_none());
        let entities = there.map(|entity| {
            let mut members = serde_json::Map::new();
            for name in ["uid", "attrs", "tags", "parents"] {
                let member = match entity.get(name) {
                    None => continue,
                    Some(serde_json::Value::Object(fields)) if matches!(name, "attrs" | "tags") => {
                        cedar_fields(fields)?.into()
                    }
                    Some(other) => other.clone(),
                };
                members.insert(name.to_owned(), member);
            }
            Some(serde_json::Value::Object(members))
        });
        entities.collect()
    }
}

/// The delegation of an [`OwnedRecord`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "documented at RecordedDelegation's methods of the same names"
)]
#[non_exhaustive]
pub struct OwnedDelegation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    pub hops: Vec<OwnedHop>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

/// A hop of an [`OwnedDelegation`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "documented at RecordedHop's methods of the same names"
)]
#[non_exhaustive]
pub struct OwnedHop {
    pub principal: EntityUid,
    /// Of the first hop it is the record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<serde_json::Value>,
    /// Of the first hop they are the record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<OwnedInputs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub determining: Option<Vec<OwnedPolicy>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<OwnedPolicyError>>,
}

/// A determining policy of an [`OwnedRecord`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "documented at RecordedPolicy's methods of the same names"
)]
#[non_exhaustive]
pub struct OwnedPolicy {
    pub id: PolicyId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PolicyId>,
    pub effect: Effect,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl OwnedPolicy {
    pub(crate) fn of(policy: RecordedPolicy<'_>) -> Self {
        let annotations = policy.annotations();
        Self {
            id: policy.id().clone(),
            template: policy.template().cloned(),
            effect: policy.effect(),
            annotations: annotations
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

/// An evaluation error of an [`OwnedRecord`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "documented at RecordedError's methods of the same names"
)]
#[non_exhaustive]
pub struct OwnedPolicyError {
    pub id: PolicyId,
    pub kind: ErrorKind,
    pub path: String,
}

/// The trace ids of an [`OwnedRecord`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "documented at TraceIds' methods of the same names"
)]
#[non_exhaustive]
pub struct OwnedTraceIds {
    pub trace_id: String,
    pub span_id: String,
}

/// A record of another format may say the same members of something else.
fn known_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        FORMAT => Ok(FORMAT),
        other => Err(serde::de::Error::custom(format_args!(
            "a record of format {other}, and this version reads format {FORMAT}"
        ))),
    }
}

fn is_zero<N: Default + PartialEq>(n: &N) -> bool {
    *n == N::default()
}

impl DecisionRecord<'_> {
    /// The owned form.
    ///
    /// # Errors
    /// Does not happen for records that an authorizer made: the two forms have the same fields.
    pub fn to_owned(&self) -> Result<OwnedRecord, SinkError> {
        let mut text = Buffer::default();
        line::write(self, &mut text)?;
        read(&text)
    }
}

pub(super) fn read(text: &Buffer) -> Result<OwnedRecord, SinkError> {
    serde_json::from_slice(text.as_slice())
        .map_err(|error| SinkError::of_this_record(error.to_string()))
}
