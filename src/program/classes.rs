//! Which expressions of a program are the same.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use ahash::RandomState;

use crate::id::{NodeId, Sym};
use crate::value::Stored;

use super::{Node, Program, Span};

/// Which nodes are the same expression: a class is named by the first of its nodes. Sharing makes no difference.
#[derive(Debug)]
pub(crate) struct Classes {
    of: Vec<NodeId>,
}

/// A node with its operands replaced by their classes, and lists written out.
#[derive(PartialEq, Eq, Hash)]
struct Shape {
    node: Node,
    list: Box<[NodeId]>,
    keys: Box<[Sym]>,
}

/// Constants in the order of their values.
struct ByValue<'p>(&'p Stored);

impl Ord for ByValue<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.value().cmp_total(other.0.value())
    }
}

impl PartialOrd for ByValue<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByValue<'_> {}

impl Classes {
    pub(crate) fn new(program: &Program) -> Self {
        let mut constants = BTreeMap::new();
        let constants: Vec<u32> = (0..)
            .zip(&program.constants)
            .map(|(index, constant)| *constants.entry(ByValue(constant)).or_insert(index))
            .collect();
        let mut patterns = HashMap::with_hasher(RandomState::new());
        let patterns: Vec<u32> = (0..)
            .zip(&program.patterns)
            .map(|(index, pattern)| *patterns.entry(pattern.pieces()).or_insert(index))
            .collect();
        let first = |firsts: &[u32], index: u32| firsts.get(index as usize).copied();

        let mut known = HashMap::with_hasher(RandomState::new());
        let mut of: Vec<NodeId> = Vec::with_capacity(program.nodes.len());
        for id in (0..program.nodes.len()).map_while(NodeId::known) {
            let node = &program.nodes[program.expression(id).index()];
            // Operands stand before what they are operands of.
            let class = |operand: NodeId| of.get(operand.index()).copied().unwrap_or(operand);
            let (list, keys) = match *node {
                Node::Set(items) | Node::CallAny(_, items) => (program.children(items), &[][..]),
                Node::Record(values, keys) => {
                    (program.children(values), program.record_keys(values, keys))
                }
                Node::HasPath(_, keys) => (&[][..], program.keys(keys)),
                _ => (&[][..], &[][..]),
            };
            let written_out = |span: Span| Span { start: 0, ..span };
            let node = match node.with_operands(class) {
                Node::Constant(index) => Node::Constant(first(&constants, index).unwrap_or(index)),
                Node::Like(a, index) => Node::Like(a, first(&patterns, index).unwrap_or(index)),
                Node::Set(items) => Node::Set(written_out(items)),
                Node::CallAny(function, items) => Node::CallAny(function, written_out(items)),
                Node::Record(values, _) => Node::Record(written_out(values), 0),
                Node::HasPath(a, keys) => Node::HasPath(a, written_out(keys)),
                node => node,
            };
            let shape = Shape {
                node,
                list: list.iter().map(|item| class(*item)).collect(),
                keys: keys.into(),
            };
            let class = *known.entry(shape).or_insert(id);
            of.push(class);
        }
        Self { of }
    }

    /// The class of a node of the program.
    pub(crate) fn of(&self, node: NodeId) -> NodeId {
        self.of.get(node.index()).copied().unwrap_or(node)
    }

    /// The class of each node.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = NodeId> + DoubleEndedIterator {
        self.of.iter().copied()
    }
}
