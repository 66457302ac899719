//! What was decided of each hop of a delegation.

use std::fmt;
use std::time::SystemTime;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::decision::Outcome;
use crate::epoch::{Epoch, Errors};
use crate::id::{EntityUidRef, Uid};
use crate::request::delegation::ChainBounds;
use crate::request::locals::RequestNames;
use crate::value::{Raise, Record};

use super::context::ContextView;
use super::copied::Copied;
use super::inputs::{EntityInputs, InputsView};
use super::json::{Marked, Members, Part};
use super::pieces::{Each, Timestamp};
use super::record::{RecordedError, RecordedPolicy};
use super::texts::{Span, Texts};

/// The hops of one decision, in memory that is reused. Empty when the request has no delegation.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    hops: Vec<Hop>,
    /// Of all hops, one after the other.
    determining: Vec<u32>,
    errors: Vec<(u32, Raise)>,
    /// How many hops the chain has, those included that are not kept here because there are too many.
    len: usize,
    bounds: ChainBounds,
}

#[derive(Clone, Copy, Debug)]
struct Hop {
    uid: Uid,
    outcome: Option<Outcome>,
    /// Where its policies and errors end.
    determining: usize,
    errors: usize,
}

impl Hops {
    pub(crate) fn clear(&mut self) {
        if self.len > 0 {
            self.hops.clear();
            self.determining.clear();
            self.errors.clear();
            self.len = 0;
        }
    }

    /// Begins a chain of so many hops.
    pub(crate) fn begin(&mut self, len: usize, bounds: ChainBounds) {
        self.clear();
        self.len = len;
        self.bounds = bounds;
    }

    /// Begins the chain that another one is.
    pub(crate) fn begin_as(&mut self, other: &Self) {
        self.begin(other.len, other.bounds);
        other.hops.iter().for_each(|hop| self.push(hop.uid));
    }

    /// Adds a hop that nothing is known of yet.
    pub(crate) fn push(&mut self, uid: Uid) {
        self.hops.push(Hop {
            uid,
            outcome: None,
            determining: 0,
            errors: 0,
        });
    }

    /// Whether somebody occurs twice.
    pub(crate) fn have_a_cycle(&self) -> bool {
        // A dozen at most, unless somebody has raised the limit.
        let mut hops = self.hops.iter().enumerate();
        hops.any(|(at, hop)| self.hops.iter().take(at).any(|other| other.uid == hop.uid))
    }

    /// What the hop came to. Hops are decided in their order.
    pub(crate) fn decided(
        &mut self,
        at: usize,
        outcome: Outcome,
        determining: &[u32],
        errors: Errors<'_>,
    ) {
        self.determining.extend_from_slice(determining);
        self.errors.extend(errors);
        if let Some(hop) = self.hops.get_mut(at) {
            hop.outcome = Some(outcome);
            hop.determining = self.determining.len();
            hop.errors = self.errors.len();
        }
    }

    /// The first hop that is denied, if one is, and why.
    pub(crate) fn first_denied(&self) -> Option<(usize, Outcome)> {
        let outcomes = self.hops.iter().map(|hop| hop.outcome);
        outcomes.enumerate().find_map(|(at, outcome)| {
            let outcome = outcome.unwrap_or(Outcome::NoPermit);
            (outcome != Outcome::Allowed).then_some((at, outcome))
        })
    }

    /// The policies and errors of one hop; of all of them with `None`.
    pub(crate) fn findings(&self, at: Option<usize>) -> (&[u32], &[(u32, Raise)]) {
        let Some(at) = at else {
            return (&self.determining, &self.errors);
        };
        let ends = |at: usize| self.hops.get(at).map(|hop| (hop.determining, hop.errors));
        let from = at.checked_sub(1).and_then(ends).unwrap_or_default();
        let to = ends(at).unwrap_or_default();
        (
            self.determining.get(from.0..to.0).unwrap_or_default(),
            self.errors.get(from.1..to.1).unwrap_or_default(),
        )
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Becomes a copy, in the memory that there is.
    fn copy(&mut self, other: &Self) {
        self.hops.clone_from(&other.hops);
        self.determining.clone_from(&other.determining);
        self.errors.clone_from(&other.errors);
        self.len = other.len;
        self.bounds = other.bounds;
    }
}

/// What deciding a hop again takes, in the decision's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HopInputs<'a> {
    pub(crate) context: Record<'a>,
    pub(crate) entities: &'a [EntityInputs<'a>],
}

/// A delegation, with what was decided of each hop.
///
/// Serializes (with any serde format) to the member `delegation` of records.
#[derive(Clone, Copy)]
pub struct RecordedDelegation<'a> {
    epoch: &'a Epoch,
    hops: &'a Hops,
    contents: Contents<'a>,
}

#[derive(Clone, Copy)]
enum Contents<'a> {
    Borrowed {
        names: RequestNames<'a>,
        /// By hop; empty where inputs are not wanted.
        inputs: &'a [HopInputs<'a>],
    },
    Copied {
        copied: &'a CopiedHops,
        with_inputs: bool,
    },
}

impl<'a> RecordedDelegation<'a> {
    /// `None` for a request without a delegation.
    pub(crate) fn new(
        epoch: &'a Epoch,
        hops: &'a Hops,
        names: RequestNames<'a>,
        inputs: &'a [HopInputs<'a>],
    ) -> Option<Self> {
        (!hops.is_empty()).then_some(Self {
            epoch,
            hops,
            contents: Contents::Borrowed { names, inputs },
        })
    }

    /// The same without inputs.
    pub(super) fn without_inputs(self) -> Self {
        let contents = match self.contents {
            Contents::Borrowed { names, .. } => Contents::Borrowed { names, inputs: &[] },
            Contents::Copied { copied, .. } => Contents::Copied {
                copied,
                with_inputs: false,
            },
        };
        Self { contents, ..self }
    }

    /// The hops: the request's principal and then each actor, the current one last. Of a chain that is too long, no more
    /// than one beyond the limit.
    pub fn hops(&self) -> impl ExactSizeIterator<Item = RecordedHop<'a>> + use<'a> {
        let delegation = *self;
        (0..self.hops.hops.len()).map(move |at| RecordedHop { delegation, at })
    }

    /// How many more hops the chain has, because it was too long.
    pub fn left_out(&self) -> usize {
        self.hops.len.saturating_sub(self.hops.hops.len())
    }

    /// When the chain begins to hold, if it says so.
    pub fn not_before(&self) -> Option<SystemTime> {
        self.hops.bounds.not_before
    }

    /// When the chain ceases to hold, if it says so.
    pub fn expires(&self) -> Option<SystemTime> {
        self.hops.bounds.expires
    }
}

impl fmt::Debug for RecordedDelegation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.hops()).finish()
    }
}

impl Serialize for RecordedDelegation<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(time) = self.not_before() {
            map.member("not_before", &Timestamp(time))?;
        }
        if let Some(time) = self.expires() {
            map.member("expires", &Timestamp(time))?;
        }
        map.member("hops", &Each(|| self.hops()))?;
        if self.left_out() > 0 {
            map.member("left_out", &self.left_out())?;
        }
        map.end()
    }
}

/// One hop of a delegation: the request's principal, or an actor.
#[derive(Clone, Copy)]
pub struct RecordedHop<'a> {
    delegation: RecordedDelegation<'a>,
    at: usize,
}

impl<'a> RecordedHop<'a> {
    fn hop(&self) -> Option<&'a Hop> {
        self.delegation.hops.hops.get(self.at)
    }

    /// Who was asked about as if it were the principal.
    pub fn principal(&self) -> EntityUidRef<'a> {
        match self.delegation.contents {
            Contents::Borrowed { names, .. } => {
                let uid = self.hop().map(|hop| names.entity(hop.uid));
                uid.unwrap_or(EntityUidRef::new("", ""))
            }
            Contents::Copied { copied, .. } => copied.uid(self.at),
        }
    }

    /// What came of it. `None` when no policy was asked: the chain was refused, or the request.
    pub fn outcome(&self) -> Option<Outcome> {
        self.hop()?.outcome
    }

    /// The policies that determined it; as [`DecisionRecord::determining`](super::DecisionRecord::determining).
    pub fn determining(&self) -> impl ExactSizeIterator<Item = RecordedPolicy<'a>> + use<'a> {
        let RecordedDelegation { epoch, hops, .. } = self.delegation;
        let (determining, _) = hops.findings(Some(self.at));
        determining
            .iter()
            .map(move |policy| RecordedPolicy::new(epoch, *policy))
    }

    /// The policies that could not be evaluated.
    pub fn errors(&self) -> impl ExactSizeIterator<Item = RecordedError<'a>> + use<'a> {
        let RecordedDelegation { epoch, hops, .. } = self.delegation;
        let (_, errors) = hops.findings(Some(self.at));
        errors
            .iter()
            .map(move |(policy, raise)| RecordedError::new(epoch, *policy, *raise))
    }

    /// The context, with what the chain adds to it; `None` when the sink wants no inputs or nothing was decided, and in a
    /// response.
    pub fn context(&self) -> Option<ContextView<'a>> {
        match self.delegation.contents {
            Contents::Borrowed { names, inputs } => {
                let inputs = inputs.get(self.at)?;
                Some(ContextView::new(inputs.context, names))
            }
            Contents::Copied {
                copied,
                with_inputs,
            } => {
                let (context, _) = copied.inputs(self.at).filter(|_| with_inputs)?;
                Some(ContextView::copied(
                    context,
                    &self.delegation.epoch.snapshot.names,
                ))
            }
        }
    }

    /// What was read of entities, as [`context`](Self::context).
    pub fn inputs(&self) -> Option<InputsView<'a>> {
        match self.delegation.contents {
            Contents::Borrowed { names, inputs } => {
                let inputs = inputs.get(self.at)?;
                Some(InputsView::new(inputs.entities, inputs.context, names))
            }
            Contents::Copied {
                copied,
                with_inputs,
            } => {
                let (context, entities) = copied.inputs(self.at).filter(|_| with_inputs)?;
                let names = &self.delegation.epoch.snapshot.names;
                Some(InputsView::copied(entities, context, names))
            }
        }
    }
}

impl fmt::Debug for RecordedHop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedHop")
            .field("principal", &self.principal())
            .field("outcome", &self.outcome())
            .finish_non_exhaustive()
    }
}

impl Serialize for RecordedHop<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.member("principal", &self.principal())?;
        // Of the first hop they are the record's own.
        if self.at > 0 {
            if let Some(context) = self.context() {
                map.member("context", &Marked(Part::Context, context))?;
            }
            if let Some(inputs) = self.inputs() {
                map.member("inputs", &inputs)?;
            }
        }
        if let Some(outcome) = self.outcome() {
            map.member("outcome", &outcome)?;
            map.member("determining", &Each(|| self.determining()))?;
            map.member("errors", &Each(|| self.errors()))?;
        }
        map.end()
    }
}

/// A hop's context, and the entities that were read.
pub(super) type HopCopies = (Copied, Copied);

/// The hops of a record that outlives its decision.
#[derive(Debug, Default)]
pub(super) struct CopiedHops {
    hops: Hops,
    texts: Texts,
    uids: Vec<(Span, Span)>,
    /// By hop; as many as have been needed so far.
    inputs: Vec<HopCopies>,
    with_inputs: usize,
}

impl CopiedHops {
    pub(super) fn clear(&mut self) {
        // Most records have none: then nothing is written.
        if !self.hops.is_empty() {
            self.hops.clear();
            self.texts.clear();
            self.uids.clear();
            self.with_inputs = 0;
        }
    }

    pub(super) fn copy(&mut self, delegation: &RecordedDelegation<'_>) {
        self.clear();
        self.hops.copy(delegation.hops);
        for hop in delegation.hops() {
            let uid = hop.principal();
            let span = (self.texts.add(uid.type_name()), self.texts.add(uid.id()));
            self.uids.push(span);
            let (Some(context), Some(entities)) = (hop.context(), hop.inputs()) else {
                continue;
            };
            if self.inputs.len() == self.with_inputs {
                self.inputs.push(Default::default());
            }
            if let Some(copy) = self.inputs.get_mut(self.with_inputs) {
                copy.0.clear();
                context.copy_to(&mut copy.0);
                copy.1.clear();
                entities.copy_to(&mut copy.1);
                self.with_inputs += 1;
            }
        }
    }

    pub(super) fn uids(&self) -> impl Iterator<Item = EntityUidRef<'_>> {
        (0..self.uids.len()).map(|at| self.uid(at))
    }

    /// What hops were decided on, where that is wanted.
    pub(super) fn for_each_input(&self, mut look: impl FnMut(EntityUidRef<'_>, &HopCopies)) {
        let inputs = self.inputs.iter().take(self.with_inputs);
        for (at, inputs) in inputs.enumerate() {
            look(self.uid(at), inputs);
        }
    }

    /// Makes uids, contexts and entities anew by `remake`, which gives the new uid. Those that there are, are left in
    /// `from`.
    pub(super) fn remake(
        &mut self,
        from: &mut Self,
        mut remake: impl FnMut(RemadeHop<'_>) -> (Span, Span),
    ) {
        std::mem::swap(&mut self.texts, &mut from.texts);
        std::mem::swap(&mut self.uids, &mut from.uids);
        std::mem::swap(&mut self.inputs, &mut from.inputs);
        from.with_inputs = self.with_inputs;
        self.texts.clear();
        self.uids.clear();
        while self.inputs.len() < self.with_inputs {
            self.inputs.push(Default::default());
        }
        for at in 0..from.uids.len() {
            let to = self.inputs.get_mut(at);
            let inputs = from.inputs(at).zip(to).map(|(from, to)| {
                to.0.clear();
                to.1.clear();
                (from, to)
            });
            let uid = remake(RemadeHop {
                uid: from.uid(at),
                to: &mut self.texts,
                inputs,
            });
            self.uids.push(uid);
        }
    }

    pub(super) fn view<'a>(&'a self, epoch: &'a Epoch) -> Option<RecordedDelegation<'a>> {
        (!self.hops.is_empty()).then_some(RecordedDelegation {
            epoch,
            hops: &self.hops,
            contents: Contents::Copied {
                copied: self,
                with_inputs: true,
            },
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let inputs = self.inputs.iter().take(self.with_inputs);
        let inputs = inputs.map(|(context, entities)| context.bytes() + entities.bytes());
        self.texts.bytes()
            + inputs.sum::<usize>()
            + size_of_val(&self.hops.determining[..])
            + size_of_val(&self.hops.errors[..])
    }

    fn uid(&self, at: usize) -> EntityUidRef<'_> {
        let (type_name, id) = self.uids.get(at).copied().unwrap_or_default();
        EntityUidRef::new(self.texts.get(type_name), self.texts.get(id))
    }

    fn inputs(&self, at: usize) -> Option<&HopCopies> {
        self.inputs.get(..self.with_inputs)?.get(at)
    }
}

/// A hop on the way to its masked copy.
pub(super) struct RemadeHop<'r> {
    pub(super) uid: EntityUidRef<'r>,
    /// Where the new uid's text belongs.
    pub(super) to: &'r mut Texts,
    /// Context and entities, as they are and as they are to be.
    pub(super) inputs: Option<(&'r HopCopies, &'r mut HopCopies)>,
}
