//! The record of a decision.
//!
//! Each of its members is a field, a method and a line of the serialized form, which have to say the same and change together.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::decision::{Decision, Effect, EnforcementMode, Outcome};
use crate::epoch::{Epoch, Errors, Version};
use crate::id::{EntityUidRef, NodeId, PolicyId, Uid};
use crate::program::{Body, Policy, Program};
use crate::request::{Request, RequestError, TraceIds};
use crate::value::{ErrorKind, Raise};

use super::Wants;
use super::ages::{Ages, AgesView};
use super::context::ContextView;
use super::delegation::RecordedDelegation;
use super::inputs::InputsView;
use super::json::{Marked, Members, Part};
use super::mask::Masked;
use super::pieces::{Each, Pairs, Text, Timestamp};
use super::texts::Texts;

/// The number of the record format that is written. Fields may be added under the same number.
pub(super) const FORMAT: u32 = 1;

/// The record of one decision, borrowed from it.
///
/// Serializes (with any serde format) to the fields that [`DecisionRecord`]'s methods are named after.
#[derive(Clone, Copy)]
pub struct DecisionRecord<'a> {
    pub(crate) instance: &'a str,
    pub(crate) sequence: u64,
    pub(crate) lost_before: u64,
    pub(crate) time: SystemTime,
    pub(crate) duration: Duration,
    pub(crate) epoch: &'a Arc<Epoch>,
    pub(crate) request: &'a Request<'a>,
    /// The request's principal, action and resource, those that the epoch knows: whoever keeps the record need not copy their
    /// texts.
    pub(crate) known: [Option<Uid>; 3],
    pub(crate) context: Option<ContextView<'a>>,
    pub(crate) inputs: Option<InputsView<'a>>,
    pub(crate) ages: Option<Ages<'a>>,
    pub(crate) delegation: Option<RecordedDelegation<'a>>,
    pub(crate) outcome: Outcome,
    pub(crate) determining: &'a [u32],
    pub(crate) errors: Errors<'a>,
    pub(crate) request_error: Option<&'a RequestError>,
    pub(crate) masked: Option<Masked<'a>>,
    /// Only in the record of a shadow decision.
    pub(crate) enforced: Option<Enforced>,
}

/// The decision that was enforced, in the record of a shadow decision on the same request and entities.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Enforced {
    /// The number of its record, of the same instance.
    pub sequence: u64,
    /// What it was.
    pub decision: Decision,
    /// Why.
    pub outcome: Outcome,
}

impl<'a> DecisionRecord<'a> {
    /// The record without what a sink that wants this does not want.
    pub(super) fn reduced_to(&self, wants: Wants) -> Self {
        match wants {
            Wants::DecisionsWithInputs => *self,
            Wants::Nothing | Wants::Decisions => Self {
                context: None,
                inputs: None,
                delegation: self.delegation.map(RecordedDelegation::without_inputs),
                ..*self
            },
        }
    }

    /// The number of the record format, 1.
    pub fn format(&self) -> u32 {
        FORMAT
    }

    /// The name of the decision: [`Self::instance`] and [`Self::sequence`] in one piece.
    ///
    /// Written `d0c849e5512ed550014cbf26eabeaa47-17`.
    pub fn id(&self) -> DecisionId<'a> {
        DecisionId {
            instance: self.instance,
            sequence: self.sequence,
        }
    }

    /// The random id of the authorizer that decided, 32 hexadecimal digits. With [`Self::sequence`] it
    /// names the decision.
    pub fn instance(&self) -> &'a str {
        self.instance
    }

    /// The record's number, from 1, without gaps for each instance.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How many records of the instance could not be kept since the last one that was.
    pub fn lost_before(&self) -> u64 {
        self.lost_before
    }

    /// When the decision was made, by the authorizer's clock.
    pub fn time(&self) -> SystemTime {
        self.time
    }

    /// How long the decision took, without the sink.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// The name and version of what decided: `duramen 0.1.0`.
    pub fn engine(&self) -> &'static str {
        concat!("duramen ", env!("CARGO_PKG_VERSION"))
    }

    /// The version of the Cedar language that policies were read in: `cedar 4.6.0`. It is that of the `cedar-policy` that
    /// this version of the crate holds to.
    pub fn language(&self) -> &'static str {
        "cedar 4.6.0"
    }

    /// The policies, schema and entities that were decided on.
    pub fn version(&self) -> Version {
        self.epoch.version
    }

    /// How old policies and entities were; `None` when the authorizer keeps no ages.
    pub fn ages(&self) -> Option<AgesView<'a>> {
        let stamps = self.epoch.stamps.as_ref()?;
        Some(AgesView::new(self.ages?, &stamps.bounds))
    }

    /// Who asked.
    pub fn principal(&self) -> EntityUidRef<'a> {
        self.request.principal()
    }

    /// What they wanted to do.
    pub fn action(&self) -> EntityUidRef<'a> {
        self.request.action()
    }

    /// What they wanted to do it to.
    pub fn resource(&self) -> EntityUidRef<'a> {
        self.request.resource()
    }

    /// The context, in full; `None` when the sink wants no inputs, or when the request was not understood.
    pub fn context(&self) -> Option<ContextView<'a>> {
        self.context
    }

    /// What was read of entities; `None` when the sink wants no inputs, or when the request was not understood.
    ///
    /// Of principal, action and resource all ancestors, as scopes are tests of those; of attributes and tags those that
    /// conditions of policies in scope asked for, present or absent; of other entities those ancestors that were asked
    /// for. Entities that a request brought along count like stored ones. Together with the context it is what the
    /// decision can be made from again, by anybody who has the policies.
    pub fn inputs(&self) -> Option<InputsView<'a>> {
        self.inputs
    }

    /// Who acted for the principal, with what was decided of each; `None` for a request without a delegation.
    ///
    /// Then [`context`](Self::context) and [`inputs`](Self::inputs) are those of the first hop, the principal's, and
    /// [`determining`](Self::determining) and [`errors`](Self::errors) those of the first hop that was denied, or of all
    /// hops when all were allowed.
    pub fn delegation(&self) -> Option<RecordedDelegation<'a>> {
        self.delegation
    }

    /// The caller's id of the request.
    pub fn request_id(&self) -> Option<&'a str> {
        self.request.id()
    }

    /// The ids of the trace that the request belongs to.
    pub fn trace(&self) -> Option<TraceIds<'a>> {
        self.request.trace_ids()
    }

    /// When a [`Grant`](crate::grant::Grant) was looked at again: the [`sequence`](Self::sequence) of the decision that it
    /// was made from, of the same instance.
    pub fn rechecks(&self) -> Option<u64> {
        self.request.rechecks
    }

    /// Allow or deny.
    pub fn decision(&self) -> Decision {
        self.outcome.decision()
    }

    /// Why.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The policies that determined the decision: the forbids that applied, or else the permits.
    pub fn determining(&self) -> impl ExactSizeIterator<Item = RecordedPolicy<'a>> {
        let epoch = self.epoch;
        self.determining
            .iter()
            .map(|policy| RecordedPolicy::new(epoch, *policy))
    }

    /// The policies that could not be evaluated.
    pub fn errors(&self) -> impl ExactSizeIterator<Item = RecordedError<'a>> {
        let epoch = self.epoch;
        let errors = self.errors;
        errors.map(|(policy, raise)| RecordedError::new(epoch, policy, raise))
    }

    /// What was wrong with the request, if it could not be decided.
    pub fn request_error(&self) -> Option<&'a RequestError> {
        self.request_error
    }

    /// The rules of a [`MaskSink`](super::MaskSink) by which something was masked: paths, and `id(TYPE)` where ids are.
    pub fn masked(&self) -> impl ExactSizeIterator<Item = &'a str> {
        let none = Masked {
            texts: Texts::EMPTY,
            paths: &[],
            replayable: true,
        };
        self.masked.unwrap_or(none).paths()
    }

    /// Whether nothing was masked that the decision may rest on. Without [`inputs`](Self::inputs), a record cannot be
    /// decided again anyway.
    pub fn is_replayable(&self) -> bool {
        self.masked.is_none_or(|masked| masked.replayable)
    }

    /// Whether this is the decision that the caller was told, or that of a shadow
    /// ([`Authorizer::set_shadow`](crate::Authorizer::set_shadow)).
    pub fn mode(&self) -> EnforcementMode {
        match self.enforced {
            None => EnforcementMode::Enforce,
            Some(_) => EnforcementMode::Shadow,
        }
    }

    /// The decision that was enforced; only in the record of a shadow decision.
    pub fn enforced(&self) -> Option<Enforced> {
        self.enforced
    }
}

impl fmt::Debug for DecisionRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecisionRecord")
            .field("sequence", &self.sequence)
            .field("principal", &self.principal())
            .field("action", &self.action())
            .field("resource", &self.resource())
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// Times are written as Cedar writes datetimes (`2026-11-22T13:00:00.000Z`), durations in nanoseconds,
/// digests in lower-case hexadecimal. Fields without a value are left out, but for `time` and `version.schema`, which are null.
impl Serialize for DecisionRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.member("format", &FORMAT)?;
        map.member("id", &self.id())?;
        map.member("instance", self.instance)?;
        map.member("sequence", &self.sequence)?;
        if self.lost_before > 0 {
            map.member("lost_before", &self.lost_before)?;
        }
        map.member("time", &Timestamp(self.time))?;
        map.member(
            "duration_ns",
            &u64::try_from(self.duration.as_nanos()).unwrap_or(u64::MAX),
        )?;
        map.member("engine", self.engine())?;
        map.member("language", self.language())?;
        map.member("version", &self.version())?;
        if let Some(ages) = self.ages() {
            map.member("ages", &ages)?;
        }
        if let Some(id) = self.request_id() {
            map.member("request_id", id)?;
        }
        if let Some(trace) = self.trace() {
            map.member("trace", &trace)?;
        }
        if let Some(sequence) = self.rechecks() {
            map.member("rechecks", &sequence)?;
        }
        map.member("principal", &self.principal())?;
        map.member("action", &self.action())?;
        map.member("resource", &self.resource())?;
        if let Some(context) = self.context {
            map.member("context", &Marked(Part::Context, context))?;
        }
        if let Some(inputs) = self.inputs {
            map.member("inputs", &inputs)?;
        }
        if self.masked.is_some() {
            map.member("masked", &Each(|| self.masked()))?;
            map.member("replayable", &self.is_replayable())?;
        }
        if let Some(delegation) = self.delegation {
            map.member("delegation", &delegation)?;
        }
        map.member("mode", &self.mode())?;
        if let Some(enforced) = self.enforced {
            map.member("enforced", &enforced)?;
        }
        map.member("decision", &self.decision())?;
        map.member("outcome", &self.outcome)?;
        map.member("determining", &Each(|| self.determining()))?;
        map.member("errors", &Each(|| self.errors()))?;
        if let Some(error) = self.request_error {
            map.member("request_error", &Text(error))?;
        }
        map.end()
    }
}

/// The name of a decision: the id of the instance and the number of its record, joined by a hyphen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DecisionId<'a> {
    instance: &'a str,
    sequence: u64,
}

impl fmt::Display for DecisionId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.instance, self.sequence)
    }
}

/// Every record has one, and formatting machinery takes as long as all of its other numbers.
impl Serialize for DecisionId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // An instance, a hyphen, and as many digits as a number has.
        let mut text = [0; 32 + 1 + 20];
        let mut first = text.len();
        let mut number = self.sequence;
        for (at, digit) in text.iter_mut().enumerate().skip(33).rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            first = at;
            if number == 0 {
                break;
            }
        }
        let start = first.wrapping_sub(33);
        let head = text.get_mut(start..first).and_then(|head| {
            let (hyphen, instance) = head.split_last_mut()?;
            *hyphen = b'-';
            (instance.len() == self.instance.len())
                .then(|| instance.copy_from_slice(self.instance.as_bytes()))
        });
        let written = text.get(start..).and_then(|text| str::from_utf8(text).ok());
        match (head, written) {
            (Some(()), Some(written)) => serializer.serialize_str(written),
            // Instances have 32 digits.
            _ => serializer.collect_str(self),
        }
    }
}

/// A policy in a record.
#[derive(Clone, Copy)]
pub struct RecordedPolicy<'a> {
    program: &'a Program,
    /// Its number in the program.
    policy: u32,
}

impl<'a> RecordedPolicy<'a> {
    pub(crate) fn new(epoch: &'a Epoch, policy: u32) -> Self {
        let (segment, policy) = epoch.policy(policy);
        Self {
            program: &segment.program,
            policy,
        }
    }

    /// The program that the policy is in.
    pub(crate) fn program(&self) -> &'a Program {
        self.program
    }

    /// Numbers come from the epoch itself.
    pub(crate) fn program_policy(&self) -> &'a Policy {
        &self.program.policies[self.policy as usize]
    }

    fn body(&self) -> Option<&'a Body> {
        self.program.body(self.program_policy())
    }

    /// The policy's id.
    pub fn id(&self) -> &'a PolicyId {
        &self.program_policy().id
    }

    /// Whether it permits or forbids.
    pub fn effect(&self) -> Effect {
        self.body().map_or(Effect::Forbid, |body| body.effect)
    }

    /// The id of the template, when the policy is a link.
    pub fn template(&self) -> Option<&'a PolicyId> {
        let template = self.program.template(self.program_policy())?;
        Some(&template.id)
    }

    /// The policy's annotations, by name.
    pub fn annotations(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> {
        self.body()
            .map_or(&[][..], |body| &body.annotations)
            .iter()
            .map(|(key, value)| (&**key, &**value))
    }

    /// One annotation's value.
    pub fn annotation(&self, name: &str) -> Option<&'a str> {
        self.annotations()
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

impl fmt::Debug for RecordedPolicy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id().fmt(f)
    }
}

impl Serialize for RecordedPolicy<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.member("id", self.id())?;
        if let Some(template) = self.template() {
            map.member("template", template)?;
        }
        map.member("effect", &self.effect())?;
        if self.annotations().len() > 0 {
            map.member("annotations", &Pairs(|| self.annotations()))?;
        }
        map.end()
    }
}

/// A policy that could not be evaluated: which, why and where.
#[derive(Clone, Copy)]
pub struct RecordedError<'a> {
    policy: RecordedPolicy<'a>,
    raise: Raise,
}

impl<'a> RecordedError<'a> {
    pub(crate) fn new(epoch: &'a Epoch, policy: u32, raise: Raise) -> Self {
        Self {
            policy: RecordedPolicy::new(epoch, policy),
            raise,
        }
    }

    /// The policy.
    pub fn policy(&self) -> RecordedPolicy<'a> {
        self.policy
    }

    /// The kind of error.
    pub fn kind(&self) -> ErrorKind {
        self.raise.kind
    }

    /// Where in the policy the sub-expression stands that failed: the number of the `when` or `unless`
    /// condition, then at each level the number of the operand, from 0 in the order of evaluation. Made on
    /// demand; allocates.
    pub fn path(&self) -> Vec<u32> {
        let RecordedPolicy { program, policy } = self.policy;
        program.path_to(policy, self.raise.node).unwrap_or_default()
    }

    /// Where the policy stands in its source: the file, if it has one, and the byte range in the source text.
    /// A link stands where its template stands. What was loaded from JSON or a `cedar_policy::PolicySet` stands in no file: the
    /// range is that of the policy's own text, as Cedar writes it.
    pub fn source(&self) -> Option<(Option<&'a str>, std::ops::Range<usize>)> {
        let policy = self.policy;
        let (source, span) = policy.program.source(policy.program_policy())?;
        let range = span.start as usize..span.end as usize;
        Some((source.file_of_text(), range))
    }
}

impl fmt::Debug for RecordedError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.policy().id(), self.kind())
    }
}

impl fmt::Display for RecordedError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy {}: {}", self.policy().id(), self.kind())
    }
}

/// The path is written as numbers joined by dots, without allocating: sinks run inside decisions.
impl Serialize for RecordedError<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.member("id", self.policy().id())?;
        map.member("kind", &self.raise.kind)?;
        map.member(
            "path",
            &Text(&PathText {
                policy: self.policy,
                node: self.raise.node,
            }),
        )?;
        map.end()
    }
}

/// The path to a node, joined by dots.
struct PathText<'a> {
    policy: RecordedPolicy<'a>,
    node: NodeId,
}

impl fmt::Display for PathText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RecordedPolicy { program, policy } = self.policy;
        program.write_path(policy, self.node, f)
    }
}
