//! Sharing: what several conditions have in common is evaluated once a decision.
//!
//! Policy sets repeat themselves: the same guard on the device, the same look-up of a department. Expressions have no
//! side effects and read nothing that changes during a decision, so a value that was computed for one policy holds for
//! the next. In the scenario `abac-p50`, 110 of 245 conjuncts are distinct.
//!
//! A shared expression is a [`Node::Shared`] in front of the policy's own nodes, which stay: a failure is not kept
//! but raised anew wherever it is met, by the nodes of the policy that met it, so that positions are exact.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashMap};

use ahash::RandomState;

use crate::id::{NodeId, Sym};
use crate::program::{Node, Program, Span};
use crate::value::Stored;

/// More places would cost more to clear than they save: each is 16 bytes in every decision that meets a shared
/// expression.
const PLACES: usize = 64;

/// From how many evaluations on an expression is shared, if every policy were evaluated to its end. About half of them
/// are, so that with fewer a place is mostly filled and never read.
const ENOUGH: u32 = 4;

/// The same for an expression that is a single node, such as `principal.level`.
const ENOUGH_FOR_ONE: u32 = 6;

/// Replaces the expressions that are worth it by shared ones.
pub(crate) fn share(program: &mut Program) {
    let classes = Classes::new(program);
    let shared = classes.worth_sharing(program);
    for at in 0..classes.of.len() {
        let Some(place) = classes.of.get(at).and_then(|class| shared.get(class)) else {
            continue;
        };
        let Some(moved) = NodeId::known(program.nodes.len()) else {
            return;
        };
        let node = std::mem::replace(&mut program.nodes[at], Node::Shared(*place, moved));
        program.nodes.push(node);
    }
    program.shared = shared.len();
}

/// Which nodes are the same expression. A class is named by the first of its nodes.
struct Classes {
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
    fn new(program: &Program) -> Self {
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
        for (id, node) in program.nodes.iter().enumerate() {
            let Some(id) = NodeId::known(id) else { break };
            // Operands stand before what they are operands of.
            let class = |operand: NodeId| of.get(operand.index()).copied().unwrap_or(operand);
            let (list, keys) = match *node {
                Node::Set(items) | Node::CallAny(_, items) => (program.children(items), &[][..]),
                Node::Record(values, keys) => {
                    let keys = Span {
                        start: keys,
                        len: values.len,
                    };
                    (program.children(values), program.keys(keys))
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

    /// The classes to share, with their places: those that save most, if every policy were evaluated.
    fn worth_sharing(&self, program: &Program) -> HashMap<NodeId, u16, RandomState> {
        let mut evaluations = vec![0_u32; self.of.len()];
        for root in roots(program) {
            if let Some(class) = self.of.get(root.index()) {
                evaluations[class.index()] += 1;
            }
        }
        let weights = self.weights(program);
        let mut candidates = Vec::new();
        // From expressions to their operands. What is shared asks for its operands once.
        for (id, class) in self.of.iter().enumerate().rev() {
            let count = evaluations[id];
            if class.index() != id || count == 0 {
                continue;
            }
            let node = program.nodes[id];
            let weight = weights[id];
            let enough = if weight > 1 { ENOUGH } else { ENOUGH_FOR_ONE };
            let leaf = matches!(node, Node::Constant(_) | Node::Var(_) | Node::Bool(_));
            let shared = count >= enough && !leaf;
            if shared {
                candidates.push((Reverse(u64::from(count - 1) * u64::from(weight)), *class));
            }
            let (fixed, listed) = program.operands(node);
            for operand in fixed.iter().flatten().chain(listed) {
                if let Some(class) = self.of.get(operand.index()) {
                    let asked = &mut evaluations[class.index()];
                    *asked = asked.saturating_add(if shared { 1 } else { count });
                }
            }
        }
        candidates.sort_unstable();
        candidates
            .into_iter()
            .take(PLACES)
            .zip(0..)
            .map(|((_, class), place)| (class, place))
            .collect()
    }

    /// How many nodes an expression has that are not for free.
    fn weights(&self, program: &Program) -> Vec<u32> {
        let mut weights: Vec<u32> = Vec::with_capacity(program.nodes.len());
        for node in &program.nodes {
            let (fixed, listed) = program.operands(*node);
            let operands = fixed.iter().flatten().chain(listed);
            let below = operands.map(|operand| weights.get(operand.index()).copied());
            let below = below.fold(0_u32, |sum, weight| {
                sum.saturating_add(weight.unwrap_or_default())
            });
            let free = matches!(node, Node::Constant(_) | Node::Var(_) | Node::Bool(_));
            weights.push(below.saturating_add(u32::from(!free)));
        }
        weights
    }
}

/// What the evaluator begins with, once for each policy. Of a template's links three count, of policies with one body
/// as many as it takes: beyond that only the order of what is worth most would change.
fn roots(program: &Program) -> impl Iterator<Item = NodeId> {
    let mut policies = vec![0_u8; program.bodies.len()];
    for policy in &program.policies {
        if let Some(count) = policies.get_mut(policy.body as usize) {
            let most = if policy.template.is_some() { 3 } else { 16 };
            *count = count.saturating_add(1).min(most);
        }
    }
    policies
        .into_iter()
        .zip(&program.bodies)
        .flat_map(|(count, body)| std::iter::repeat_n(body, count.into()))
        .flat_map(|body| program.children(body.conjuncts).iter().copied())
}
