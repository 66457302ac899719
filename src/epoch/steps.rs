//! Conditions as flat lists of steps.
//!
//! Most of a condition are tests of attributes against constants, and a walk over its tree spends more on getting from
//! node to node than on the tests. So each body's conjuncts are written out as a list of [`Step`]s when a program is
//! linked: `&&`, `||`, `!` and `if` become jumps, constants stand in the step, and operands are read from the places
//! of shared expressions where they have one.
//!
//! A step stands for one node of the tree, comes where the walk would come to it, and asks for the same operands in the
//! same order. It has to answer only where the answer is plain. Whatever else it meets (a type that it does not expect,
//! say) it leaves to the walk over that node, so errors, their positions, and all that is rare are said in one place.

use crate::id::{NodeId, Sym};
use crate::program::{Node, Program, Span, Var};
use crate::value::arena::TableFull;
use crate::value::ops::Extension;
use crate::value::{Plain, Stored, Truth, Value};

/// A test, and where to go on after it: at the next step, or at `to` where the result is `on`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) test: Test,
    /// The node that the test stands for.
    pub(crate) node: NodeId,
    /// By its place in the body's list; the list's length for "holds", [`FAILS`] for "does not".
    pub(crate) to: u16,
    pub(crate) on: bool,
}

/// No step goes back to the first: as a target it says that the condition does not hold.
pub(crate) const FAILS: u16 = 0;

const _: () = assert!(size_of::<Step>() == 32, "two in a cache line");

/// What most conditions are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Test {
    /// Anything: the walk over the node tells.
    Node,
    /// Always true: a jump.
    Always,
    /// The operand's number against a constant: a truth value against "true", an equality, an ordering, of whichever type. Two
    /// of five tests are this.
    Number(Operand, Comparison, i64),
    /// The numbers of two operands.
    Numbers(Operand, Operand, Order),
    /// By the text's place in the constants.
    TextIs(Operand, u32),
    Same(Operand, Operand),
    /// By the pattern's place in the program's.
    Like(Operand, u32),
    Contains(Operand, Operand),
    ContainsAll(Operand, Operand),
    ContainsAny(Operand, Operand),
    InRange(Operand, Operand),
    In(Var, Operand),
    Has(Var, Sym),
    HasTag(Var, Sym),
}

/// How a number is compared with a constant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    pub(crate) of: Plain,
    /// Whether it has to be that number; less than it otherwise. All orderings by constants are "less", or its negation.
    pub(crate) equal: bool,
    /// The result for operands of other types, if the walk need not tell.
    pub(crate) otherwise: Option<bool>,
}

impl Comparison {
    fn equal(of: Plain, otherwise: Option<bool>) -> Self {
        let equal = true;
        Self {
            of,
            equal,
            otherwise,
        }
    }

    /// What is not ordered fails.
    fn less(of: Plain) -> Self {
        let (equal, otherwise) = (false, None);
        Self {
            of,
            equal,
            otherwise,
        }
    }
}

/// How the numbers of two operands of one type are ordered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) or_equal: bool,
    /// The types that have the order, a bit each.
    types: u8,
}

impl Order {
    const DECIMALS: u8 = 1 << Plain::Decimal as u8;
    /// With `<` and `<=`.
    const OTHERS: u8 =
        1 << Plain::Long as u8 | 1 << Plain::Datetime as u8 | 1 << Plain::Duration as u8;

    #[inline]
    pub(crate) fn has(self, plain: Plain) -> bool {
        self.types >> (plain as u8) & 1 != 0
    }
}

/// An expression whose value is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    pub(crate) node: NodeId,
    /// Where its value is kept; [`NOWHERE`] if it is not shared.
    pub(crate) place: u16,
}

/// No program has as many places.
const NOWHERE: u16 = u16::MAX;

/// The attributes of a variable that have places, in the order of records.
pub(crate) type Attributes = Vec<(Sym, u16)>;

/// The shared attributes of each variable.
pub(super) fn attributes(program: &Program, syms: &[Sym]) -> [Attributes; 4] {
    let mut attributes: [Attributes; 4] = Default::default();
    for node in &program.nodes {
        if let Node::Shared(place, inner) = node
            && let Some(Node::VarAttr(var, key)) = program.nodes.get(inner.index())
            && let Some(key) = syms.get(key.index())
        {
            attributes[*var as usize].push((*key, *place));
        }
    }
    for attributes in &mut attributes {
        attributes.sort_unstable();
        attributes.dedup();
    }
    attributes
}

/// Writes out the conditions of a program's bodies. `constants` and `syms` are the program's in the numbering of the
/// epoch.
pub(super) struct Writer<'p> {
    program: &'p Program,
    constants: &'p [Stored],
    syms: &'p [Sym],
    steps: Vec<Step>,
    /// Where the list of the body begins that is being written.
    start: usize,
    /// The steps that go to each label of that body.
    labels: Vec<Vec<usize>>,
}

/// Where a jump goes.
#[derive(Clone, Copy)]
enum Target {
    Fails,
    Label(usize),
}

impl<'p> Writer<'p> {
    pub(super) fn new(program: &'p Program, constants: &'p [Stored], syms: &'p [Sym]) -> Self {
        Self {
            program,
            constants,
            syms,
            steps: Vec::with_capacity(program.bodies.len()),
            start: 0,
            labels: Vec::new(),
        }
    }

    pub(super) fn finish(mut self) -> Vec<Step> {
        self.steps.shrink_to_fit();
        self.steps
    }

    /// The steps for a run of conjuncts.
    pub(super) fn conjuncts(&mut self, conjuncts: Span) -> Result<Span, TableFull> {
        self.start = self.steps.len();
        self.labels.clear();
        let conjuncts = self.program.children(conjuncts);
        for conjunct in conjuncts {
            self.test(*conjunct, false, Target::Fails);
        }
        if self.steps.len() - self.start > usize::from(u16::MAX) {
            // Longer than jumps reach: a walk over each conjunct.
            self.steps.truncate(self.start);
            for conjunct in conjuncts {
                self.push(*conjunct, Test::Node, false, Target::Fails);
            }
        }
        crate::program::span(self.start, self.steps.len() - self.start)
    }

    /// Steps that go to `to` if the node's value is `on`, and on behind themselves otherwise.
    fn test(&mut self, node: NodeId, on: bool, to: Target) {
        match self.node(node) {
            Node::Not(a) => self.test(a, !on, to),
            Node::And(a, b) => self.either(a, b, false, on, to),
            Node::Or(a, b) => self.either(a, b, true, on, to),
            // What is not a truth value fails as the `if`'s value, not as the branch's.
            Node::If(condition, a, b) if self.program.is_test(a) && self.program.is_test(b) => {
                let (otherwise, end) = (self.label(), self.label());
                self.test(condition, false, Target::Label(otherwise));
                self.test(a, on, to);
                self.push(node, Test::Always, true, Target::Label(end));
                self.bind(otherwise);
                self.test(b, on, to);
                self.bind(end);
            }
            other => {
                let (test, is) = self.simple(node, other);
                self.push(node, test, on == is, to);
            }
        }
    }

    /// `a || b` where `decides` is true, `a && b` where it is false: that value of the one decides.
    fn either(&mut self, a: NodeId, b: NodeId, decides: bool, on: bool, to: Target) {
        if on == decides {
            self.test(a, on, to);
            self.test(b, on, to);
        } else {
            let end = self.label();
            self.test(a, decides, Target::Label(end));
            self.test(b, on, to);
            self.bind(end);
        }
    }

    /// The test for a node without jumps in it, and what its result is when the node's value is true.
    fn simple(&self, id: NodeId, node: Node) -> (Test, bool) {
        match node {
            Node::Equal(a, b) => (self.same(a, b), true),
            Node::NotEqual(a, b) => (self.same(a, b), false),
            Node::Less(a, b) => self.less(a, b),
            Node::LessEq(a, b) => self.less_eq(a, b),
            Node::Greater(a, b) => negated(self.less_eq(a, b)),
            Node::GreaterEq(a, b) => negated(self.less(a, b)),
            Node::Like(a, pattern) => (Test::Like(self.operand(a), pattern), true),
            Node::Contains(a, b) => (Test::Contains(self.operand(a), self.operand(b)), true),
            Node::ContainsAll(a, b) => (Test::ContainsAll(self.operand(a), self.operand(b)), true),
            Node::ContainsAny(a, b) => (Test::ContainsAny(self.operand(a), self.operand(b)), true),
            Node::Call2(function, a, b) => self.call(id, function, a, b),
            Node::In(a, b) => match self.node(a) {
                Node::Var(var) if var != Var::Context => (Test::In(var, self.operand(b)), true),
                _ => (Test::Node, true),
            },
            Node::HasAttr(a, key) => match (self.node(a), self.syms.get(key.index())) {
                (Node::Var(var), Some(key)) => (Test::Has(var, *key), true),
                _ => (Test::Node, true),
            },
            Node::HasNamedTag(a, tag) => match (self.node(a), self.syms.get(tag.index())) {
                (Node::Var(var), Some(tag)) if var != Var::Context => {
                    (Test::HasTag(var, *tag), true)
                }
                _ => (Test::Node, true),
            },
            Node::VarAttr(..)
            | Node::Shared(..)
            | Node::GetAttr(..)
            | Node::GetTag(..)
            | Node::GetNamedTag(..)
            | Node::Call1(..) => (truth(self.operand(id)), true),
            _ => (Test::Node, true),
        }
    }

    fn call(&self, id: NodeId, function: Extension, a: NodeId, b: NodeId) -> (Test, bool) {
        let (left, right) = (self.operand(a), self.operand(b));
        let decimal = |id| match self.constant(id) {
            Some(Value::Decimal(constant)) => Some(constant.scaled()),
            _ => None,
        };
        let below = |bound: Option<i64>| Some(less(left, Plain::Decimal, bound?));
        let above = |bound: Option<i64>| Some(less(right, Plain::Decimal, bound?));
        let next = |bound: Option<i64>| bound?.checked_add(1);
        match function {
            Extension::IsInRange => (Test::InRange(left, right), true),
            Extension::LessThan => match (below(decimal(b)), above(next(decimal(a)))) {
                (Some(test), _) => (test, true),
                (_, Some(test)) => (test, false),
                _ => (ordered(left, right, false, Order::DECIMALS), true),
            },
            Extension::LessThanOrEqual => match (below(next(decimal(b))), above(decimal(a))) {
                (Some(test), _) => (test, true),
                (_, Some(test)) => (test, false),
                _ => (ordered(left, right, true, Order::DECIMALS), true),
            },
            Extension::GreaterThan => negated(self.call(id, Extension::LessThanOrEqual, a, b)),
            Extension::GreaterThanOrEqual => negated(self.call(id, Extension::LessThan, a, b)),
            _ => (truth(self.operand(id)), true),
        }
    }

    fn same(&self, a: NodeId, b: NodeId) -> Test {
        let (operand, constant) = match self.node(b) {
            Node::Constant(index) => (a, index),
            _ => match self.node(a) {
                Node::Constant(index) => (b, index),
                _ => return Test::Same(self.operand(a), self.operand(b)),
            },
        };
        let operand = self.operand(operand);
        let Some(value) = self.constants.get(constant as usize).map(Stored::value) else {
            return Test::Same(self.operand(a), self.operand(b));
        };
        match (value.plain(), value.number()) {
            (Plain::Other, _) if value.as_string().is_ok() => Test::TextIs(operand, constant),
            (Plain::Other, _) => Test::Same(self.operand(a), self.operand(b)),
            // Values of different types are unequal.
            (of, number) => Test::Number(operand, Comparison::equal(of, Some(false)), number),
        }
    }

    fn less(&self, a: NodeId, b: NodeId) -> (Test, bool) {
        let (left, right) = (self.operand(a), self.operand(b));
        let below = self.constant(b).and_then(|b| below(left, b, 0));
        // `c < x` where not `x < c + 1`.
        let above = self.constant(a).and_then(|a| below_or_at(right, a));
        match (below, above) {
            (Some(test), _) => (test, true),
            (_, Some(test)) => (test, false),
            _ => (ordered(left, right, false, Order::OTHERS), true),
        }
    }

    fn less_eq(&self, a: NodeId, b: NodeId) -> (Test, bool) {
        let (left, right) = (self.operand(a), self.operand(b));
        let below_or_at = self.constant(b).and_then(|b| below_or_at(left, b));
        // `c <= x` where not `x < c`.
        let above = self.constant(a).and_then(|a| below(right, a, 0));
        match (below_or_at, above) {
            (Some(test), _) => (test, true),
            (_, Some(test)) => (test, false),
            _ => (ordered(left, right, true, Order::OTHERS), true),
        }
    }

    fn operand(&self, node: NodeId) -> Operand {
        let (place, node) = match self.node(node) {
            Node::Shared(place, inner) => (place, inner),
            _ => (NOWHERE, node),
        };
        Operand { node, place }
    }

    fn constant(&self, id: NodeId) -> Option<Value<'p>> {
        match self.node(id) {
            Node::Constant(index) => self.constants.get(index as usize).map(Stored::value),
            _ => None,
        }
    }

    fn node(&self, id: NodeId) -> Node {
        // Nodes are the program's own. Were one not, the step would be left to the walk.
        let node = self.program.nodes.get(id.index());
        node.copied().unwrap_or(Node::Bool(false))
    }

    fn push(&mut self, node: NodeId, test: Test, on: bool, to: Target) {
        if let Target::Label(label) = to
            && let Some(from) = self.labels.get_mut(label)
        {
            from.push(self.steps.len());
        }
        self.steps.push(Step {
            test,
            node,
            to: FAILS,
            on,
        });
    }

    fn label(&mut self) -> usize {
        self.labels.push(Vec::new());
        self.labels.len() - 1
    }

    /// The label is here.
    fn bind(&mut self, label: usize) {
        // Too far: the list is thrown away.
        let here = u16::try_from(self.steps.len() - self.start).unwrap_or(u16::MAX);
        for from in self.labels.get(label).into_iter().flatten() {
            if let Some(step) = self.steps.get_mut(*from) {
                step.to = here;
            }
        }
    }
}

fn negated((test, is): (Test, bool)) -> (Test, bool) {
    (test, !is)
}

fn truth(operand: Operand) -> Test {
    Test::Number(
        operand,
        Comparison::equal(Plain::Bool, None),
        Truth::Yes as i64,
    )
}

fn less(operand: Operand, of: Plain, bound: i64) -> Test {
    Test::Number(operand, Comparison::less(of), bound)
}

fn ordered(a: Operand, b: Operand, or_equal: bool, types: u8) -> Test {
    Test::Numbers(a, b, Order { or_equal, types })
}

/// `operand < constant + more`, where `<` has these two and the sum is in range.
fn below(operand: Operand, constant: Value<'_>, more: i64) -> Option<Test> {
    match (constant.plain(), constant.number()) {
        (of @ (Plain::Long | Plain::Datetime | Plain::Duration), number) => {
            Some(less(operand, of, number.checked_add(more)?))
        }
        _ => None,
    }
}

fn below_or_at(operand: Operand, constant: Value<'_>) -> Option<Test> {
    below(operand, constant, 1)
}
