//! What becomes of each policy, and why: for explaining a decision to a person, off the path of decisions.
//!
//! A walk over the policies that is made when somebody asks, like the one for inputs (`reads`). It goes where evaluation
//! went and nowhere else: what is behind the conjunct that decided has not been looked at, and a record of the decision does
//! not have what it would read.

use crate::epoch::{ActionTest, Epoch, Row, ScopeTest};
use crate::id::{NodeId, Uid};
use crate::program::{Node, Var};
use crate::value::{Raise, Value};

use super::condition::Raised;
use super::machine::Machine;

/// What became of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Its scope matches and its conditions hold.
    Applies,
    /// This one of its conjuncts, by number, is the first that is false.
    Unmet(u32),
    /// This one fails.
    Failed(u32, Raise),
    /// Which sides of its scope do not match: principal, action, resource.
    OutOfScope([bool; 3]),
}

/// A policy with its number in answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Weighed {
    pub(crate) policy: u32,
    pub(crate) fate: Fate,
    /// How many sides of its scope match that do not match everything.
    pub(crate) specific: u32,
}

/// A side of a scope that does not match and would if something else were above it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Missed<'a> {
    pub(crate) side: Uid,
    /// What it would have to be in; of several, in one.
    pub(crate) groups: &'a [Uid],
}

/// A test that a conjunct's value rests on.
#[derive(Clone, Debug)]
pub(crate) struct Reason<'a> {
    pub(crate) node: NodeId,
    /// What it came to; `None` where it failed.
    pub(crate) truth: Option<bool>,
    /// What was computed for it, from left to right and from the whole to its parts. Constants are left out.
    pub(crate) values: Vec<(Seen, Value<'a>)>,
}

/// What has a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    Node(NodeId),
    /// A variable that an attribute was asked of: it has no node of its own.
    Variable(Var),
}

/// Every policy in force with what becomes of it, in their order.
pub(crate) fn weigh_all<'a>(epoch: &'a Epoch, machine: &Machine<'a>) -> Vec<Weighed> {
    let mut weighed = Vec::with_capacity(epoch.policies.len());
    for segment in &epoch.segments {
        let machine = machine.on(segment);
        for number in (0..).take(segment.linked.rows.len()) {
            weighed.extend(machine.weigh(number));
        }
    }
    weighed
}

/// The policies whose scopes would match if something else were above principal, action and resource, with the sides that
/// do not match as it is.
pub(crate) fn out_of_groups<'a>(
    epoch: &'a Epoch,
    machine: &Machine<'a>,
    each: &mut dyn FnMut(u32, &[Missed<'a>]),
) {
    for segment in &epoch.segments {
        let machine = machine.on(segment);
        for (number, row) in (0..).zip(&segment.linked.rows) {
            let Some((policy, _)) = machine.in_force(number) else {
                continue;
            };
            if let Some(sides) = machine.groups_missed(row)
                && !sides.is_empty()
            {
                each(policy, &sides);
            }
        }
    }
}

impl<'a> Machine<'a> {
    /// `None` where a side does not match whatever is above it.
    fn groups_missed(&self, row: &'a Row) -> Option<Vec<Missed<'a>>> {
        let mut missed = Vec::new();
        for (side, test) in [
            (&self.principal, &row.principal),
            (&self.resource, &row.resource),
        ] {
            if self.side_matches(side, *test) {
                continue;
            }
            let group = match test {
                ScopeTest::In(uid) => uid,
                ScopeTest::IsIn(ty, uid) if self.names.type_of(side.uid) == Some(*ty) => uid,
                ScopeTest::Any | ScopeTest::Eq(_) | ScopeTest::Is(_) | ScopeTest::IsIn(..) => {
                    return None;
                }
            };
            missed.push(Missed {
                side: side.uid,
                groups: std::slice::from_ref(group),
            });
        }
        if !self.action_matches(row.action) {
            let ActionTest::In(list) = row.action else {
                return None;
            };
            missed.push(Missed {
                side: self.action.uid,
                groups: list.of(&self.linked.action_lists),
            });
        }
        Some(missed)
    }

    /// What becomes of a policy of the segment, unless it is not in force.
    fn weigh(&self, number: u32) -> Option<Weighed> {
        let (policy, row) = self.in_force(number)?;
        let misses = [
            !self.side_matches(&self.principal, row.principal),
            !self.action_matches(row.action),
            !self.side_matches(&self.resource, row.resource),
        ];
        let any = [
            row.principal == ScopeTest::Any,
            row.action == ActionTest::Any,
            row.resource == ScopeTest::Any,
        ];
        let specific = misses.iter().zip(any).filter(|(miss, any)| !**miss && !any);
        Some(Weighed {
            policy,
            specific: specific.map(|_| 1).sum(),
            fate: match misses {
                [false, false, false] => self.fate(row.conjuncts.of(&self.program.children)),
                misses => Fate::OutOfScope(misses),
            },
        })
    }

    fn fate(&self, conjuncts: &[NodeId]) -> Fate {
        for (conjunct, number) in conjuncts.iter().zip(0..) {
            match self.conjunct_holds(*conjunct) {
                Ok(true) => {}
                Ok(false) => return Fate::Unmet(number),
                Err(raise) => return Fate::Failed(number, raise),
            }
        }
        Fate::Applies
    }

    /// What the value of a conjunct rests on, at most `max` tests. The conjunct must not fail.
    pub(crate) fn reasons(&self, conjunct: NodeId, max: usize) -> Vec<Reason<'a>> {
        let mut tests = Vec::new();
        self.decisive(conjunct, max, &mut tests);
        let reason = |(node, truth)| Reason {
            node,
            truth: Some(truth),
            values: self.values_in(node, max),
        };
        tests.into_iter().map(reason).collect()
    }

    /// What the failed expression was computed from.
    pub(crate) fn reason_of_failure(&self, raise: Raise, max: usize) -> Reason<'a> {
        let node = self.program.expression(raise.node);
        let mut values = self.values_in(node, max);
        if let Node::VarAttr(var, _) = self.nodes[node.index()]
            && var != Var::Context
        {
            values.insert(0, (Seen::Variable(var), self.variable(var)));
        }
        Reason {
            node,
            truth: None,
            values,
        }
    }

    /// The tests that decide what `id` comes to, through `&&`, `||`, `!` and `if`.
    fn decisive(&self, id: NodeId, max: usize, tests: &mut Vec<(NodeId, bool)>) {
        if tests.len() >= max {
            return;
        }
        let id = self.program.expression(id);
        match self.nodes[id.index()] {
            Node::And(a, b) => match (self.boolean(a), self.boolean(b)) {
                (Ok(true), Ok(true)) => {
                    self.decisive(a, max, tests);
                    self.decisive(b, max, tests);
                }
                (Ok(true), _) => self.decisive(b, max, tests),
                _ => self.decisive(a, max, tests),
            },
            Node::Or(a, b) => match self.boolean(a) {
                Ok(false) => {
                    // Both, unless the second is what makes it true.
                    if !matches!(self.boolean(b), Ok(true)) {
                        self.decisive(a, max, tests);
                    }
                    self.decisive(b, max, tests);
                }
                _ => self.decisive(a, max, tests),
            },
            Node::Not(a) => self.decisive(a, max, tests),
            Node::If(condition, a, b) => {
                self.decisive(condition, max, tests);
                match self.boolean(condition) {
                    Ok(true) => self.decisive(a, max, tests),
                    Ok(false) => self.decisive(b, max, tests),
                    Err(Raised) => {}
                }
            }
            _ => {
                if let Ok(truth) = self.boolean(id) {
                    tests.push((id, truth));
                }
            }
        }
    }

    /// The values of what is within a test, as far as it was evaluated.
    fn values_in(&self, test: NodeId, max: usize) -> Vec<(Seen, Value<'a>)> {
        let mut values = Vec::new();
        if let Node::VarAttr(..) = self.nodes[test.index()] {
            // The test itself is all there is to see.
            return values;
        }
        self.see_operands(test, max, &mut values);
        values
    }

    fn see(&self, id: NodeId, max: usize, values: &mut Vec<(Seen, Value<'a>)>) {
        let id = self.program.expression(id);
        if matches!(self.nodes[id.index()], Node::Bool(_) | Node::Constant(_)) {
            return;
        }
        let seen = Seen::Node(id);
        if values.len() >= max || values.iter().any(|(known, _)| *known == seen) {
            return;
        }
        if let Ok(value) = self.operand(id) {
            values.push((seen, value));
        }
        self.see_operands(id, max, values);
    }

    /// Follows evaluation: what was not reached has no value to show.
    fn see_operands(&self, id: NodeId, max: usize, values: &mut Vec<(Seen, Value<'a>)>) {
        match self.nodes[id.index()] {
            Node::And(a, b) => {
                self.see(a, max, values);
                if let Ok(true) = self.boolean(a) {
                    self.see(b, max, values);
                }
            }
            Node::Or(a, b) => {
                self.see(a, max, values);
                if let Ok(false) = self.boolean(a) {
                    self.see(b, max, values);
                }
            }
            Node::If(condition, a, b) => {
                self.see(condition, max, values);
                match self.boolean(condition) {
                    Ok(true) => self.see(a, max, values),
                    Ok(false) => self.see(b, max, values),
                    Err(Raised) => {}
                }
            }
            Node::IsIn(a, ty, b) => {
                self.see(a, max, values);
                let uid = self.operand(a).map(Value::as_entity);
                let types = &self.linked.types;
                if let Ok(Ok(uid)) = uid
                    && self.names.type_of(uid) == types.get(ty.index()).copied()
                {
                    self.see(b, max, values);
                }
            }
            node => {
                for operand in self.program.all_operands(&node) {
                    self.see(operand, max, values);
                    if self.operand(operand).is_err() {
                        break;
                    }
                }
            }
        }
    }
}
