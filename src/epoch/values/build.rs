//! Finding the groups.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use crate::decision::Effect;
use crate::id::{NodeId, Uid};
use crate::program::{Classes, Node, Program, Span};
use crate::value::{Set, Stored, View};

use super::super::link::{ActionTest, Row, ScopeTest};
use super::{Beginning, Branch, Group, Literal, Table, Test, ValueIndex, is_literal};

/// From how many policies on a group pays for itself. The evaluation of one conjunct costs what the look at four
/// policies costs that are false.
const ENOUGH: usize = 8;

/// How many leading conjuncts are looked at.
const DEPTH: usize = 8;

/// A policy stands in a table as often as it has literals. One with more than these is evaluated instead.
const LITERALS: usize = 64;

/// How often a policy may stand in the tables below other tables, on average: what is under each of ten literals and there
/// under each of ten again stands a hundred times. Beyond that policies are evaluated that a further table would tell apart.
const COPIES: usize = 16;

/// Groups policies while an index is being made.
#[derive(Debug)]
pub(in super::super) struct Grouping<'p> {
    program: &'p Program,
    rows: &'p [Row],
    action_lists: &'p [Uid],
    /// The program's, in the numbering of the rows.
    constants: &'p [Stored],
    /// Made when the first group is looked for.
    classes: OnceCell<Classes>,
    index: ValueIndex,
    /// Off for tests: nothing is grouped.
    on: bool,
}

/// What the scopes of a group have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Scope<'p> {
    forbids: bool,
    principal: ScopeTest,
    resource: ScopeTest,
    action: Action<'p>,
}

/// An action test with its list written out.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Action<'p> {
    Any,
    Eq(Uid),
    In(&'p [Uid]),
}

/// What the conjuncts of several policies have in common, by their classes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Common {
    All(NodeId),
    /// The operand, and where it stands.
    But(Test, usize, NodeId),
}

/// A conjunct that compares an operand with literals.
struct Comparison {
    test: Test,
    operand: NodeId,
    place: usize,
    literals: Vec<Literal>,
}

impl<'p> Grouping<'p> {
    pub(in super::super) fn new(
        program: &'p Program,
        rows: &'p [Row],
        action_lists: &'p [Uid],
        constants: &'p [Stored],
        on: bool,
    ) -> Self {
        Self {
            program,
            rows,
            action_lists,
            constants,
            classes: OnceCell::new(),
            index: ValueIndex::default(),
            on,
        }
    }

    pub(in super::super) fn finish(self) -> ValueIndex {
        self.index
    }

    /// Takes the policies that are worth it out of a bucket. Gives the numbers of their groups.
    pub(in super::super) fn group(&mut self, bucket: &mut Vec<u32>) -> Vec<u32> {
        let mut groups = Vec::new();
        if !self.on || bucket.len() < ENOUGH {
            return groups;
        }
        let mut by_scope: BTreeMap<Scope<'p>, Vec<u32>> = BTreeMap::new();
        for number in &*bucket {
            let row = &self.rows[*number as usize];
            if row.conjuncts.len > 0 {
                by_scope.entry(self.scope(row)).or_default().push(*number);
            }
        }
        let mut grouped = Vec::new();
        for policies in by_scope.into_values() {
            let Some(row) = policies.first().copied() else {
                continue;
            };
            let (single, branches) = self.branches(&policies, 0, LITERALS);
            if branches.is_empty() {
                continue;
            }
            grouped.extend(
                policies
                    .into_iter()
                    .filter(|number| single.binary_search(number).is_err()),
            );
            let branches = self.run(&branches);
            groups.push(number(self.index.groups.len()));
            self.index.groups.push(Group { row, branches });
        }
        if !grouped.is_empty() {
            grouped.sort_unstable();
            bucket.retain(|number| grouped.binary_search(number).is_err());
        }
        groups
    }

    fn scope(&self, row: &Row) -> Scope<'p> {
        Scope {
            forbids: row.effect == Effect::Forbid,
            principal: row.principal,
            resource: row.resource,
            action: match row.action {
                ActionTest::Any => Action::Any,
                ActionTest::Eq(uid) => Action::Eq(uid),
                ActionTest::In(list) => Action::In(list.of(self.action_lists)),
            },
        }
    }

    /// Branches for policies that are alike up to the conjunct with the number `depth`, and those that are better
    /// evaluated one by one. A table below may have each policy `room` times, on average.
    fn branches(&mut self, policies: &[u32], depth: usize, room: usize) -> (Vec<u32>, Vec<u32>) {
        if policies.len() < ENOUGH || depth == DEPTH {
            return (policies.to_vec(), Vec::new());
        }
        let (mut single, mut branches) = (Vec::new(), Vec::new());
        for (common, policies) in self.alike(policies, depth) {
            let Some((common, first)) = common
                .zip(policies.first().copied())
                .filter(|_| policies.len() >= ENOUGH)
            else {
                single.extend(policies);
                continue;
            };
            let Some(conjunct) = self.conjunct(first, depth) else {
                single.extend(policies);
                continue;
            };
            let branch = match common {
                Common::But(..) => self.compare(&policies, depth, room),
                Common::All(_) => Some(Branch::Common {
                    shared: Beginning {
                        node: conjunct,
                        conjunct: number(depth),
                        policies: self.run(&policies),
                    },
                    then: self.below(&policies, depth + 1, room),
                }),
            };
            match branch {
                Some(branch) => branches.push(self.branch(branch)),
                None => single.extend(policies),
            }
        }
        single.sort_unstable();
        (single, branches)
    }

    /// Policies by what their conjuncts of this number have in common.
    fn alike(&self, policies: &[u32], depth: usize) -> Vec<(Option<Common>, Vec<u32>)> {
        let classes = self.classes.get_or_init(|| Classes::new(self.program));
        let mut parts: BTreeMap<Option<Common>, Vec<u32>> = BTreeMap::new();
        let mut whole: HashMap<NodeId, usize> = HashMap::new();
        for policy in policies {
            if let Some(conjunct) = self.conjunct(*policy, depth) {
                *whole.entry(classes.of(conjunct)).or_default() += 1;
            }
        }
        for policy in policies {
            let common = self.conjunct(*policy, depth).map(|conjunct| {
                let class = classes.of(conjunct);
                match self.comparison(conjunct) {
                    // What all of them say tells none of them from the others.
                    Some(found) if whole.get(&class) != Some(&policies.len()) => {
                        Common::But(found.test, found.place, classes.of(found.operand))
                    }
                    _ => Common::All(class),
                }
            });
            parts.entry(common).or_default().push(*policy);
        }
        parts.into_iter().collect()
    }

    /// A table of the literals that these policies compare the same operand with; `None` if there is no room for it.
    fn compare(&mut self, policies: &[u32], depth: usize, room: usize) -> Option<Branch> {
        let first = self.conjunct(*policies.first()?, depth)?;
        let Comparison { test, operand, .. } = self.comparison(first)?;
        let mut by_literal: HashMap<Key, (Literal, Vec<u32>)> = HashMap::new();
        let mut copies = 0;
        for policy in policies {
            let comparison = self.comparison(self.conjunct(*policy, depth)?)?;
            copies += comparison.literals.len();
            for literal in comparison.literals {
                let key = self.key(literal)?;
                let found = by_literal
                    .entry(key)
                    .or_insert_with(|| (literal, Vec::new()));
                found.1.push(*policy);
            }
        }
        if copies > room * policies.len() {
            return None;
        }
        // One literal a policy makes no copies: for that there is always room.
        let room = (room.min(COPIES) * policies.len() / copies.max(1)).max(1);
        let mut table = Table::new();
        for (literal, policies) in by_literal.into_values() {
            let branches = self.below(&policies, depth + 1, room);
            table.insert(self.constants, literal, branches);
        }
        Some(Branch::Compare {
            shared: Beginning {
                node: operand,
                conjunct: number(depth),
                policies: self.run(policies),
            },
            test,
            table,
        })
    }

    /// The branches for policies whose conjuncts before `depth` are true, which may be just the policies.
    fn below(&mut self, policies: &[u32], depth: usize, room: usize) -> Span {
        let (single, mut branches) = self.branches(policies, depth, room);
        if !single.is_empty() {
            let single = self.run(&single);
            branches.push(self.branch(Branch::Policies(single)));
        }
        self.run(&branches)
    }

    fn branch(&mut self, branch: Branch) -> u32 {
        self.index.branches.push(branch);
        number(self.index.branches.len() - 1)
    }

    fn run(&mut self, numbers: &[u32]) -> Span {
        let start = number(self.index.numbers.len());
        self.index.numbers.extend_from_slice(numbers);
        Span {
            start,
            len: number(numbers.len()),
        }
    }

    fn conjunct(&self, policy: u32, depth: usize) -> Option<NodeId> {
        let row = self.rows.get(policy as usize)?;
        self.program.children(row.conjuncts).get(depth).copied()
    }

    fn comparison(&self, conjunct: NodeId) -> Option<Comparison> {
        let node = |id: NodeId| self.program.nodes.get(self.program.expression(id).index());
        let literals = |id: NodeId| match *node(id)? {
            Node::Constant(constant) => self.literals(constant),
            _ => None,
        };
        let one = |literals: Vec<Literal>| {
            matches!(*literals, [Literal { element: None, .. }]).then_some(literals)
        };
        let several = |literals: Vec<Literal>| {
            let set = literals.iter().all(|literal| literal.element.is_some());
            set.then_some(literals)
        };
        let (test, operand, place, literals) = match *node(conjunct)? {
            Node::Equal(a, b) => match literals(b).and_then(one) {
                Some(found) => (Test::Equal, a, 0, found),
                None => (Test::Equal, b, 1, literals(a).and_then(one)?),
            },
            Node::Contains(a, b) => match literals(b).and_then(one) {
                Some(found) => (Test::Contains, a, 0, found),
                None => (Test::Equal, b, 1, literals(a).and_then(several)?),
            },
            _ => return None,
        };
        // Two literals are folded, or the folding is off: nothing to look up.
        let operand = self.program.expression(operand);
        let folded = matches!(node(operand), Some(Node::Constant(_)));
        (!folded).then_some(Comparison {
            test,
            operand,
            place,
            literals,
        })
    }

    /// The literals that a constant is: itself, or its elements if it is a set of literals.
    fn literals(&self, constant: u32) -> Option<Vec<Literal>> {
        let value = self.constants.get(constant as usize)?.value();
        if is_literal(value) {
            let element = None;
            return Some(vec![Literal { constant, element }]);
        }
        let set: Set<'_> = value.as_set().ok()?;
        let all = (1..=LITERALS).contains(&set.len()) && set.iter().all(is_literal);
        all.then(|| {
            let elements = (0..number(set.len())).map(Some);
            elements
                .map(|element| Literal { constant, element })
                .collect()
        })
    }

    fn key(&self, literal: Literal) -> Option<Key> {
        Some(match literal.value(self.constants)?.view() {
            View::String(text) => Key::String(text.into()),
            View::Long(i) => Key::Long(i),
            View::Entity(uid) => Key::Entity(uid),
            _ => return None,
        })
    }
}

/// A literal's value.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    String(Box<str>),
    Long(i64),
    Entity(Uid),
}

/// Rows, nodes and conjuncts are counted in `u32` when policies are compiled; what is made of them here is refused
/// before by the memory that it takes.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
