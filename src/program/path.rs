//! The position of a node in its policy: found on demand, by walking the tree.

use std::fmt;

use crate::id::NodeId;

use super::{Node, Program};

/// A step on the way down, linked to the steps above it: the walk allocates nothing, as sinks write positions
/// from inside a decision.
struct Step<'s> {
    above: Option<&'s Step<'s>>,
    number: u32,
}

impl Program {
    /// The way to `node`: the number of the condition, then the number of the operand at each level.
    pub(crate) fn path_to(&self, policy: u32, node: NodeId) -> Option<Vec<u32>> {
        let mut path = Vec::new();
        self.find_node(policy, node, &mut |step| collect(step, &mut path))
            .then_some(path)
    }

    /// The same, joined by dots.
    pub(crate) fn write_path(
        &self,
        policy: u32,
        node: NodeId,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let mut result = Ok(());
        self.find_node(policy, node, &mut |step| result = write(step, f));
        result
    }

    fn find_node(&self, policy: u32, node: NodeId, found: &mut dyn FnMut(&Step<'_>)) -> bool {
        let Some(policy) = self.policies.get(policy as usize) else {
            return false;
        };
        let Some(body) = self.body(policy) else {
            return false;
        };
        let conditions = self.conditions(body).iter().zip(&body.unless).zip(0..);
        for ((condition, unless), number) in conditions {
            let step = Step {
                above: None,
                number,
            };
            // `unless { e }` is compiled as `!(e)`; the negation is not in the source.
            let condition = self.expression(*condition);
            let start = match self.nodes.get(condition.index()) {
                Some(Node::Not(inner)) if *unless => *inner,
                _ => condition,
            };
            if node == condition || self.walk(start, node, &step, found) {
                if node == condition {
                    found(&step);
                }
                return true;
            }
        }
        false
    }

    fn walk(
        &self,
        at: NodeId,
        target: NodeId,
        way: &Step<'_>,
        found: &mut dyn FnMut(&Step<'_>),
    ) -> bool {
        let at = self.expression(at);
        if at == target {
            found(way);
            return true;
        }
        let Some(node) = self.nodes.get(at.index()) else {
            return false;
        };
        let (fixed, listed) = self.operands(*node);
        fixed
            .iter()
            .flatten()
            .chain(listed)
            .zip(0..)
            .any(|(operand, number)| {
                let step = Step {
                    above: Some(way),
                    number,
                };
                self.walk(*operand, target, &step, found)
            })
    }

    /// A node's operands in the order of evaluation, whether they are in place or a list: see [`Self::operands`].
    pub(crate) fn all_operands(&self, node: &Node) -> impl Iterator<Item = NodeId> {
        let (fixed, listed) = self.operands(*node);
        fixed.into_iter().flatten().chain(listed.iter().copied())
    }

    /// A node's operands in the order of evaluation: up to three in place, or a list.
    pub(crate) fn operands(&self, node: Node) -> ([Option<NodeId>; 3], &[NodeId]) {
        let none = &[][..];
        match node {
            Node::Bool(_) | Node::Constant(_) | Node::Var(_) | Node::VarAttr(..) => {
                ([None; 3], none)
            }
            Node::Not(a)
            | Node::Neg(a)
            | Node::IsEmpty(a)
            | Node::GetAttr(a, _)
            | Node::HasAttr(a, _)
            | Node::HasPath(a, _)
            | Node::GetNamedTag(a, _)
            | Node::HasNamedTag(a, _)
            | Node::Like(a, _)
            | Node::Is(a, _)
            | Node::Call1(_, a)
            | Node::Shared(_, a) => ([Some(a), None, None], none),
            Node::And(a, b)
            | Node::Or(a, b)
            | Node::Equal(a, b)
            | Node::NotEqual(a, b)
            | Node::Less(a, b)
            | Node::LessEq(a, b)
            | Node::Greater(a, b)
            | Node::GreaterEq(a, b)
            | Node::Add(a, b)
            | Node::Sub(a, b)
            | Node::Mul(a, b)
            | Node::In(a, b)
            | Node::Contains(a, b)
            | Node::ContainsAll(a, b)
            | Node::ContainsAny(a, b)
            | Node::GetTag(a, b)
            | Node::HasTag(a, b)
            | Node::IsIn(a, _, b)
            | Node::Call2(_, a, b) => ([Some(a), Some(b), None], none),
            Node::If(a, b, c) => ([Some(a), Some(b), Some(c)], none),
            Node::Set(items) | Node::Record(items, _) | Node::CallAny(_, items) => {
                ([None; 3], self.children(items))
            }
        }
    }
}

fn collect(step: &Step<'_>, path: &mut Vec<u32>) {
    if let Some(above) = step.above {
        collect(above, path);
    }
    path.push(step.number);
}

fn write(step: &Step<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(above) = step.above {
        write(above, f)?;
        f.write_str(".")?;
    }
    write!(f, "{}", step.number)
}
