//! Sharing: what several conditions have in common is evaluated once a decision.
//!
//! Policy sets repeat themselves: the same guard on the device, the same look-up of a department. Expressions have no
//! side effects and read nothing that changes during a decision, so a value that was computed for one policy holds for
//! the next. In the scenario `abac-p50`, 110 of 245 conjuncts are distinct.
//!
//! A shared expression is a [`Node::Shared`] in front of the policy's own nodes, which stay: a failure is not kept
//! but raised anew wherever it is met, by the nodes of the policy that met it, so that positions are exact.

use std::cmp::Reverse;
use std::collections::HashMap;

use ahash::RandomState;

use crate::id::NodeId;
use crate::program::{Classes, Node, Program};

/// More places would cost more to clear than they save: each is 16 bytes in every decision that meets a shared
/// expression.
const PLACES: usize = 64;

/// From how many evaluations on an expression is shared, if every policy were evaluated to its end. Of those whose scopes
/// match about half are, so that with fewer a place is mostly filled and never read. From 8 on took 8% less time on `abac-p50` in
/// one program and made no difference in another; 100 takes a thousand instructions more.
const ENOUGH: u32 = 5;

/// The same for an expression that is a single node, such as `principal.level`: fewer, because these are read ahead where
/// many policies are candidates (`eval::steps`).
const ENOUGH_FOR_ONE: u32 = 3;

/// Replaces the expressions that are worth it by shared ones.
pub(crate) fn share(program: &mut Program) {
    let classes = Classes::new(program);
    let shared = worth_sharing(program, &classes);
    for (at, class) in classes.iter().enumerate() {
        let Some(place) = shared.get(&class) else {
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

/// The classes to share, with their places: those that save most, if every policy were evaluated.
fn worth_sharing(program: &Program, classes: &Classes) -> HashMap<NodeId, u16, RandomState> {
    let mut evaluations = vec![0_u32; program.nodes.len()];
    for root in roots(program) {
        evaluations[classes.of(root).index()] += 1;
    }
    let weights = weights(program);
    let mut candidates = Vec::new();
    // From expressions to their operands. What is shared asks for its operands once.
    for (id, class) in classes.iter().enumerate().rev() {
        let count = evaluations[id];
        if class.index() != id || count == 0 {
            continue;
        }
        let node = program.nodes[id];
        let weight = weights[id];
        let enough = if weight > 1 { ENOUGH } else { ENOUGH_FOR_ONE };
        let shared = count >= enough && !is_free(program, &node);
        if shared {
            candidates.push((Reverse(u64::from(count - 1) * u64::from(weight)), class));
        }
        for operand in program.all_operands(&node) {
            let asked = &mut evaluations[classes.of(operand).index()];
            *asked = asked.saturating_add(if shared { 1 } else { count });
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
fn weights(program: &Program) -> Vec<u32> {
    let mut weights: Vec<u32> = Vec::with_capacity(program.nodes.len());
    for node in &program.nodes {
        let operands = program.all_operands(node);
        let below = operands.map(|operand| weights.get(operand.index()).copied());
        let below = below.fold(0_u32, |sum, weight| {
            sum.saturating_add(weight.unwrap_or_default())
        });
        weights.push(below.saturating_add(u32::from(!is_free(program, node))));
    }
    weights
}

/// Whether a node by itself costs no more than the look at a place. Comparisons are steps, and what joins them are jumps
/// (`epoch::steps`).
fn is_free(program: &Program, node: &Node) -> bool {
    match node {
        Node::Constant(_) | Node::Var(_) => true,
        Node::Call2(function, ..) => function.is_comparison(),
        Node::If(_, a, b) => program.is_test(*a) && program.is_test(*b),
        Node::HasAttr(a, _) | Node::HasNamedTag(a, _) => {
            matches!(program.nodes.get(a.index()), Some(Node::Var(_)))
        }
        node => node.joins_or_compares(),
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
