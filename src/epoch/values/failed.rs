//! Errors that several policies have in common.

use crate::id::NodeId;
use crate::program::{Program, Span};
use crate::value::{ErrorKind, Raise};

use super::super::{Epoch, Segment};
use super::Beginning;

/// How deep in a conjunct an expression may stand that fails for several policies at once.
const STEPS: usize = 8;

/// An evaluation error of several policies: what they have in common could not be evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed {
    kind: ErrorKind,
    /// The number of the first policy of the segment.
    first: u32,
    policies: Span,
    conjunct: u32,
    /// The way from the conjunct to what failed: the numbers of operands.
    path: [u8; STEPS],
    steps: u8,
    /// How many of the policies are in force.
    len: usize,
}

impl Failed {
    /// `raise` is the error of the first of the policies. `None` if it is too deep in the conjunct to be told for
    /// the others.
    pub(crate) fn new(
        program: &Program,
        first: u32,
        shared: Beginning,
        conjunct: NodeId,
        raise: Raise,
    ) -> Option<Self> {
        let mut path = [0; STEPS];
        let steps = find(program, conjunct, raise.node, &mut path)?;
        Some(Self {
            kind: raise.kind,
            first,
            policies: shared.policies,
            conjunct: shared.conjunct,
            path,
            steps: u8::try_from(steps).ok()?,
            len: shared.policies.len as usize,
        })
    }

    /// With this many of the policies in force.
    pub(crate) fn with_len(mut self, len: usize) -> Self {
        self.len = len;
        self
    }

    /// The number of one of the policies, for what they have in common.
    pub(crate) fn any_policy(&self, epoch: &Epoch) -> u32 {
        let (segment, _) = epoch.policy(self.first);
        let policies = self.policies(segment);
        self.first + policies.first().copied().unwrap_or_default()
    }

    fn policies<'e>(&self, segment: &'e Segment) -> &'e [u32] {
        let index = segment.linked.index.as_ref();
        index.map_or(&[][..], |index| index.values.run(self.policies))
    }

    /// The first of the policies with a number of `from` or more, with its own error.
    fn next(&self, epoch: &Epoch, from: u32) -> Option<(u32, Raise)> {
        let (segment, _) = epoch.policy(self.first);
        let policies = self.policies(segment);
        let from = from.saturating_sub(self.first);
        let start = policies.partition_point(|number| *number < from);
        let in_force = |number: &&u32| !segment.dead.contains(**number);
        let number = *policies.get(start..)?.iter().find(in_force)?;
        let row = segment.linked.rows.get(number as usize)?;
        let program = &segment.program;
        let conjuncts = program.children(row.conjuncts);
        let mut node = program.expression(*conjuncts.get(self.conjunct as usize)?);
        for step in self.path.iter().take(usize::from(self.steps)) {
            let mut operands = program.all_operands(program.nodes.get(node.index())?);
            node = program.expression(operands.nth(usize::from(*step))?);
        }
        let kind = self.kind;
        Some((self.first + number, Raise { kind, node }))
    }
}

/// Writes the way from `at` to `target` and gives its length.
fn find(program: &Program, at: NodeId, target: NodeId, path: &mut [u8]) -> Option<usize> {
    let at = program.expression(at);
    if at == target {
        return Some(0);
    }
    let (step, rest) = path.split_first_mut()?;
    let operands = program.all_operands(program.nodes.get(at.index())?);
    for (number, operand) in (0..=u8::MAX).zip(operands) {
        if let Some(steps) = find(program, operand, target, rest) {
            *step = number;
            return Some(steps + 1);
        }
    }
    None
}

/// The errors of a decision in the order of the policies. Those that several policies have in common are written out
/// one by one as they are asked for: a decision does not pay for ten thousand policies that lack the same attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errors<'a> {
    epoch: &'a Epoch,
    /// In the order of the policies.
    single: &'a [(u32, Raise)],
    several: &'a [Failed],
    /// Policies from here on are still to come.
    from: u32,
    left: usize,
}

impl<'a> Errors<'a> {
    pub(crate) fn new(epoch: &'a Epoch, single: &'a [(u32, Raise)], several: &'a [Failed]) -> Self {
        let left = single.len() + several.iter().map(|failed| failed.len).sum::<usize>();
        Self {
            epoch,
            single,
            several,
            from: 0,
            left,
        }
    }

    /// What [`Self::new`] got: for who keeps the errors, and the epoch, longer than the decision.
    pub(crate) fn parts(&self) -> (&'a [(u32, Raise)], &'a [Failed]) {
        (self.single, self.several)
    }
}

impl Iterator for Errors<'_> {
    type Item = (u32, Raise);

    fn next(&mut self) -> Option<(u32, Raise)> {
        let several = self.several.iter();
        let several = several.filter_map(|failed| failed.next(self.epoch, self.from));
        let several = several.min_by_key(|(policy, _)| *policy);
        let next = match (self.single.split_first(), several) {
            (Some((single, rest)), several) if several.is_none_or(|other| single.0 < other.0) => {
                self.single = rest;
                *single
            }
            (_, several) => several?,
        };
        self.from = next.0.saturating_add(1);
        self.left = self.left.saturating_sub(1);
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Errors<'_> {}
