//! Sinks: none, in memory, JSON Lines.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Deserializer, Serialize};

use crate::decision::{Decision, Effect, EnforcementMode, Outcome};
use crate::epoch::{Version, VersionDigest};
use crate::id::{EntityUid, PolicyId};
use crate::value::ErrorKind;

use super::fields::cedar_fields;
use super::json::Buffer;
use super::line;
use super::queue::slot::SMALL;
use super::record::FORMAT;
use super::{DecisionRecord, DecisionSink, Enforced, RecordedPolicy, SinkError, Wants};

/// The sink that wants nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

impl DecisionSink for NoSink {
    fn wants(&self) -> Wants {
        Wants::Nothing
    }

    fn record(&self, _: &DecisionRecord<'_>) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A decision record that owns what it says: what [`MemorySink`] keeps and what a line of JSON Lines reads
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
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub types_ms: std::collections::BTreeMap<String, Option<u64>>,
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
    #[serde(default, skip_serializing_if = "is_none_left")]
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
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub annotations: std::collections::BTreeMap<String, String>,
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

fn is_none_left(n: &usize) -> bool {
    *n == 0
}

fn is_zero(n: &u64) -> bool {
    *n == 0
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

fn read(text: &Buffer) -> Result<OwnedRecord, SinkError> {
    serde_json::from_slice(text.as_slice())
        .map_err(|error| SinkError::of_this_record(error.to_string()))
}

/// Keeps the last records in memory, for tests.
///
/// What is kept is each record's JSON, in memory that is used again: recording allocates nothing once that has grown.
#[derive(Debug)]
pub struct MemorySink {
    capacity: usize,
    records: Mutex<VecDeque<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    text: Buffer,
    /// Once somebody has asked for it.
    read: Option<OwnedRecord>,
}

impl MemorySink {
    /// A sink that keeps at most `capacity` records, the latest ones.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            records: Mutex::new(VecDeque::new()),
        }
    }

    /// The records kept, oldest first.
    pub fn records(&self) -> Vec<OwnedRecord> {
        let mut records = self.lock();
        let records = records.iter_mut().filter_map(|kept| {
            if kept.read.is_none() {
                // None was kept that cannot be read, as the two forms have the same fields.
                kept.read = read(&kept.text).ok();
            }
            kept.read.clone()
        });
        records.collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        // A queue of whole records is sound whoever panicked.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DecisionSink for MemorySink {
    fn wants(&self) -> Wants {
        Wants::DecisionsWithInputs
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        if self.capacity == 0 {
            return Ok(());
        }
        let mut records = self.lock();
        let mut kept = if records.len() < self.capacity {
            Kept::default()
        } else {
            records.pop_front().unwrap_or_default()
        };
        kept.read = None;
        kept.text.clear();
        kept.text.shrink_to(SMALL);
        line::write(record, &mut kept.text)?;
        records.push_back(kept);
        Ok(())
    }
}

/// Writes each record as one line of JSON.
///
/// A line is made in a buffer that is kept, up to a megabyte, and written with one call, so that lines never mix and nothing
/// is allocated once the buffer has grown to the longest line. The deciding thread writes: put slow writers behind
/// a `BufWriter`, and mind that what such a buffer holds is lost when the process dies.
///
/// Where the writer fails in the middle of a line, the beginning of that stays, as a line of its own that is not JSON: its
/// record was not kept, and the next line does not suffer from it.
#[derive(Debug)]
pub struct JsonLinesSink<W> {
    wants: Wants,
    lines: Lines<W>,
}

impl<W: Write + Send> JsonLinesSink<W> {
    /// Writes records with their inputs to `writer`.
    pub fn new(writer: W) -> Self {
        Self {
            wants: Wants::DecisionsWithInputs,
            lines: Lines::new(writer),
        }
    }

    /// Writes records without the context.
    #[must_use]
    pub fn without_inputs(mut self) -> Self {
        self.wants = Wants::Decisions;
        self
    }

    /// Flushes the writer.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn flush(&self) -> io::Result<()> {
        self.lines.flush()
    }

    /// The writer.
    pub fn into_inner(self) -> W {
        self.lines.into_inner()
    }
}

impl<W: Write + Send> DecisionSink for JsonLinesSink<W> {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        self.lines.write(|line| Ok(line::write(record, line)?))
    }

    fn flush(&self) -> Result<(), SinkError> {
        Ok(self.lines.flush()?)
    }
}

/// A writer of lines, each written with one call.
#[derive(Debug)]
pub(super) struct Lines<W> {
    state: Mutex<Writing<W>>,
}

#[derive(Debug)]
struct Writing<W> {
    writer: W,
    line: Buffer,
    /// Whether the writer has taken the beginning of a line and not its end.
    is_torn: bool,
}

/// How much memory of a long line is kept.
const KEPT_BYTES: usize = 1 << 20;

impl<W: Write> Writing<W> {
    /// As `write_all`, which does not tell whether anything was written when it fails.
    fn write_line(&mut self) -> io::Result<()> {
        let mut rest = self.line.as_slice();
        while !rest.is_empty() {
            match self.writer.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    self.is_torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<W: Write + Send> Lines<W> {
    pub(super) fn new(writer: W) -> Self {
        Self {
            state: Mutex::new(Writing {
                writer,
                line: Buffer::default(),
                is_torn: false,
            }),
        }
    }

    /// Writes the line that `make` makes, which must have no line break.
    pub(super) fn write(
        &self,
        make: impl FnOnce(&mut Buffer) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let mut state = self.lock();
        let state = &mut *state;
        state.line.clear();
        state.line.shrink_to(KEPT_BYTES);
        if state.is_torn {
            state.line.push(b'\n');
        }
        make(&mut state.line)?;
        state.line.push(b'\n');
        Ok(state.write_line()?)
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.lock().writer.flush()
    }

    pub(super) fn into_inner(self) -> W {
        let state = self.state.into_inner();
        state.unwrap_or_else(PoisonError::into_inner).writer
    }

    fn lock(&self) -> MutexGuard<'_, Writing<W>> {
        // The line is begun anew each time: a panic in the writer leaves nothing half-done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{Authorizer, Request};

    /// Takes so many bytes, and no more until it is told otherwise.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (room, taken) = &mut *self.0.lock().unwrap();
            if *room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let some = &bytes[..bytes.len().min(*room)];
            *room -= some.len();
            taken.extend_from_slice(some);
            Ok(some.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A line that was half-written does not take the next one with it.
    #[test]
    fn a_line_behind_a_torn_one_is_whole() {
        // Nothing of the second line fits, its beginning, all but its line break; two lines fail, or one.
        for (extra, fail) in [(0, 1), (1, 1), (200, 1), (200, 2), (usize::MAX, 1)] {
            let disk = Disk(Arc::new(Mutex::new((usize::MAX, Vec::new()))));
            let authorizer = Authorizer::builder()
                .policies("permit(principal, action, resource);")
                .sink(JsonLinesSink::new(disk.clone()))
                .build()
                .unwrap();
            let decide = || {
                let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
                assert!(authorizer.is_allowed(&request));
            };
            decide();
            let line = disk.0.lock().unwrap().1.len();
            disk.0.lock().unwrap().0 = extra.min(line - 20);
            (0..fail).for_each(|_| decide());
            disk.0.lock().unwrap().0 = usize::MAX;
            decide();
            decide();
            let text = String::from_utf8(disk.0.lock().unwrap().1.clone()).unwrap();
            let read: Vec<OwnedRecord> = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            let told: Vec<_> = read.iter().map(|r| (r.sequence, r.lost_before)).collect();
            let next = 2 + fail;
            assert_eq!(
                told,
                [(1, 0), (next, fail), (next + 1, 0)],
                "{extra}: {text}"
            );
            let torn = text.lines().count() - read.len();
            assert_eq!(torn, usize::from(extra > 0), "{extra}: {text}");
            assert!(!text.contains("\n\n"));
        }
    }
}
