//! The value index: policies of one scope that are told apart by their conditions.
//!
//! Ten thousand policies that say `principal.dept == "d17"`, each with its own literal, all match in scope. Where many
//! policies have one scope and their conditions begin alike, the beginning is evaluated once for all of them, and what
//! `==` compares with a literal is looked up in a table:
//!
//! * `operand == literal`, or `[literals].contains(operand)`: `==` never fails, so that a policy whose literals are
//!   others than the operand's value is false, without an error, whatever the rest of its condition says.
//! * `operand.contains(literal)`: the same for each element of the set that the operand is.
//! * any conjunct that several policies have in common, before those, such as `principal has dept`, or alone: where it
//!   is false, they are.
//!
//! Only leading conjuncts count, in their order, because a policy whose first conjunct is false never gets to fail in
//! its second. Where what is evaluated for all fails, it fails for each: that is kept as one [`Failed`] and written out
//! only for those who ask.
//!
//! The index finds candidates and decides nothing: what it finds is evaluated in full.

mod build;
mod failed;

use ahash::RandomState;
use hashbrown::HashTable;

use crate::id::NodeId;
use crate::program::Span;
use crate::value::{Stored, Value, View};

pub(super) use build::Grouping;
pub(crate) use failed::{Errors, Failed};

/// Groups of policies with the ways to find those among them that can hold.
#[derive(Debug, Default)]
pub(crate) struct ValueIndex {
    groups: Vec<Group>,
    branches: Vec<Branch>,
    /// Row numbers and branch numbers; what spans are runs of.
    numbers: Vec<u32>,
}

/// Policies of one scope and one effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// Any of them: they match together.
    pub(crate) row: u32,
    /// A run of branches.
    branches: Span,
}

/// A step on the way to the policies that can hold.
#[derive(Debug)]
pub(crate) enum Branch {
    /// Policies to be evaluated.
    Policies(Span),
    /// Policies with a conjunct in common.
    Common {
        shared: Beginning,
        /// The branches where it is true.
        then: Span,
    },
    /// Policies that compare the same operand with literals.
    Compare {
        shared: Beginning,
        test: Test,
        table: Table,
    },
}

/// What several policies are evaluated for at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    /// The expression of one of them: the conjunct, or the operand that is compared.
    pub(crate) node: NodeId,
    /// The number of the conjunct.
    pub(crate) conjunct: u32,
    /// The policies, in their order.
    pub(crate) policies: Span,
}

/// How an operand is compared with literals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Test {
    /// It is one of them.
    Equal,
    /// It is a set that contains one of them.
    Contains,
}

/// Literals of the linked constants, with the branches where they are found.
#[derive(Debug)]
pub(crate) struct Table {
    /// Literals are the policies' own, requests only look them up: no caller can make them collide.
    state: RandomState,
    entries: HashTable<(Literal, Span)>,
}

/// A literal: a constant, or an element of a constant set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Literal {
    constant: u32,
    element: Option<u32>,
}

impl Literal {
    fn value(self, constants: &[Stored]) -> Option<Value<'_>> {
        let value = constants.get(self.constant as usize)?.value();
        match self.element {
            None => Some(value),
            Some(element) => value.as_set().ok()?.get(element as usize),
        }
    }
}

impl ValueIndex {
    pub(crate) fn group(&self, number: u32) -> Option<(Group, &[u32])> {
        let group = *self.groups.get(number as usize)?;
        Some((group, self.run(group.branches)))
    }

    pub(crate) fn branch(&self, number: u32) -> Option<&Branch> {
        self.branches.get(number as usize)
    }

    /// The policies of branches, whatever is asked on the way to them.
    pub(crate) fn all_policies(&self, branches: &[u32], mut visit: impl FnMut(&[u32])) {
        for number in branches {
            let policies = match self.branch(*number) {
                Some(Branch::Policies(policies)) => *policies,
                Some(Branch::Common { shared, .. } | Branch::Compare { shared, .. }) => {
                    shared.policies
                }
                None => continue,
            };
            visit(self.run(policies));
        }
    }

    /// The policies or branches of a span.
    pub(crate) fn run(&self, span: Span) -> &[u32] {
        span.of(&self.numbers)
    }
}

impl Table {
    fn new() -> Self {
        Self {
            state: RandomState::new(),
            entries: HashTable::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The branches of the literal that `value` is.
    #[inline]
    pub(crate) fn find(&self, constants: &[Stored], value: Value<'_>) -> Option<Span> {
        let hash = hash(&self.state, value)?;
        let same = |(literal, _): &(Literal, Span)| {
            let literal = literal.value(constants);
            literal.is_some_and(|literal| literal.same(value))
        };
        let (_, branches) = self.entries.find(hash, same)?;
        Some(*branches)
    }

    /// The literals with their branches.
    pub(crate) fn iter<'t>(
        &'t self,
        constants: &'t [Stored],
    ) -> impl Iterator<Item = (Value<'t>, Span)> {
        let entries = self.entries.iter();
        entries.filter_map(|(literal, branches)| Some((literal.value(constants)?, *branches)))
    }

    fn insert(&mut self, constants: &[Stored], literal: Literal, branches: Span) {
        let Self { state, entries } = self;
        let hash = |(literal, _): &(Literal, Span)| {
            let value = literal.value(constants);
            value
                .and_then(|value| hash(state, value))
                .unwrap_or_default()
        };
        let entry = (literal, branches);
        entries.insert_unique(hash(&entry), entry, hash);
    }
}

/// `None` for values of types that literals in tables do not have.
#[inline]
fn hash(state: &RandomState, value: Value<'_>) -> Option<u64> {
    match value.view() {
        View::String(text) => Some(state.hash_one(text)),
        View::Long(i) => Some(state.hash_one(i)),
        View::Entity(uid) => Some(state.hash_one(uid)),
        View::Bool(_)
        | View::Set(_)
        | View::Record(_)
        | View::Decimal(_)
        | View::Datetime(_)
        | View::Duration(_)
        | View::Ip(_) => None,
    }
}

/// Whether a table can have the value as a literal.
fn is_literal(value: Value<'_>) -> bool {
    matches!(
        value.view(),
        View::String(_) | View::Long(_) | View::Entity(_)
    )
}
