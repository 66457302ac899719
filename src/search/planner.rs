//! Making a plan: which policies are left, and what of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::decision::{Effect, ErrorMode};
use crate::epoch::{Epoch, Row, ScopeTest};
use crate::eval::{Machine, Sought};
use crate::id::{NodeId, Sym, Uid};
use crate::program::{Node, Program, Span};

use super::plan::{Class, Plan, SegmentPlan};

/// What is left of a policy's conditions.
#[derive(Clone, Copy)]
pub(super) enum Left {
    /// It does not apply.
    Nothing,
    /// It applies.
    Applies,
    /// It fails, and that denies.
    Denies,
    Rule(u32),
}

pub(super) struct Planner {
    pub(super) plan: Plan,
    pub(super) to_one: HashMap<Uid, Class>,
}

impl Planner {
    pub(super) fn segment(&mut self, epoch: &Epoch, number: usize, machine: &Machine<'_>) {
        self.plan.segments.push(SegmentPlan::default());
        let Some(segment) = epoch.segments.get(number) else {
            return;
        };
        let names = &epoch.snapshot.names;
        let (sought, wanted) = (self.plan.sought, self.plan.type_id);
        let is_wanted = |uid: Uid| names.type_of(uid) == Some(wanted);
        let mut dependence = Dependence {
            program: &segment.program,
            sought,
            known: HashMap::new(),
            varying: Vec::new(),
        };
        // Policies with one body are looked at once.
        let mut bodies: HashMap<(Span, Effect), Left> = HashMap::new();
        for policy in machine.possible(sought) {
            let Some((_, row)) = machine.in_force(policy) else {
                continue;
            };
            let possible = match sought.scope(row) {
                ScopeTest::Any | ScopeTest::In(_) => true,
                ScopeTest::Is(ty) | ScopeTest::IsIn(ty, _) => ty == wanted,
                ScopeTest::Eq(uid) => is_wanted(uid),
            };
            if !possible || !machine.matches_but_for(sought, row) {
                continue;
            }
            let effect = row.effect;
            let left = match bodies.entry((row.conjuncts, effect)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(entry) => {
                    *entry.insert(self.left_of(number, machine, row, &mut dependence))
                }
            };
            match sought.scope(row) {
                ScopeTest::Any | ScopeTest::Is(_) => self.plan.to_all.add(effect, left),
                ScopeTest::Eq(uid) => self.to_one.entry(uid).or_default().add(effect, left),
                ScopeTest::In(uid) | ScopeTest::IsIn(_, uid) => {
                    self.plan.below.entry(uid).or_default().add(effect, left);
                    // It is in itself.
                    if is_wanted(uid) {
                        self.to_one.entry(uid).or_default().add(effect, left);
                    }
                }
            }
        }
        if let Some(plan) = self.plan.segments.last_mut() {
            plan.varying = dependence.varying;
        }
    }

    /// Evaluates the conjuncts that do not look at the candidate.
    ///
    /// Where errors count for nothing, a policy applies if every conjunct is true, in whichever order. Where they deny, a
    /// conjunct that is false keeps those behind it from failing, so that what is behind the first one that looks at the
    /// candidate is kept as it is.
    fn left_of(
        &mut self,
        segment: usize,
        machine: &Machine<'_>,
        row: &Row,
        dependence: &mut Dependence<'_>,
    ) -> Left {
        let strict = match self.plan.mode {
            ErrorMode::Cedar => false,
            ErrorMode::DenyOnForbidError => row.effect == Effect::Forbid,
            ErrorMode::DenyOnAnyError => true,
        };
        let (rules, uids) = (&mut self.plan.rules, self.plan.uids);
        let rule = rules.begin();
        for conjunct in dependence.program.children(row.conjuncts) {
            let behind = !rules.is_still_empty(&rule);
            let looks = dependence.of(*conjunct);
            if looks != Looks::Away || (strict && behind) {
                rules.push(&rule, *conjunct, looks.reference(), uids);
                continue;
            }
            match machine.all_hold(&[*conjunct]) {
                Ok(true) => continue,
                Err(_) if strict => return Left::Denies,
                Ok(false) | Err(_) => {}
            }
            rules.drop(&rule);
            return Left::Nothing;
        }
        if rules.is_still_empty(&rule) {
            return Left::Applies;
        }
        if let Some(plan) = self.plan.segments.last_mut() {
            plan.used = true;
        }
        rules
            .finish(&rule, segment, strict)
            .map_or(Left::Denies, Left::Rule)
    }
}

/// What an expression sees of the candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Looks {
    /// Nothing.
    Away,
    /// One attribute.
    At(Sym),
    /// One attribute, and what is behind it if it refers to an entity.
    Through(Sym),
    /// More than that.
    Everywhere,
}

impl Looks {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Away, looks) | (looks, Self::Away) => looks,
            (Self::At(a), Self::At(b)) if a == b => Self::At(a),
            (Self::At(a) | Self::Through(a), Self::At(b) | Self::Through(b)) if a == b => {
                Self::Through(a)
            }
            _ => Self::Everywhere,
        }
    }

    fn reference(self) -> Option<Sym> {
        match self {
            Self::Through(attribute) => Some(attribute),
            Self::Away | Self::At(_) | Self::Everywhere => None,
        }
    }
}

/// What expressions see of the candidate.
struct Dependence<'p> {
    program: &'p Program,
    sought: Sought,
    /// By node, when it is known.
    known: HashMap<NodeId, Looks>,
    /// The places of shared expressions that see something.
    varying: Vec<u16>,
}

impl Dependence<'_> {
    /// As deep as an expression nests, which `Limits` bound.
    fn of(&mut self, id: NodeId) -> Looks {
        if let Some(known) = self.known.get(&id) {
            return *known;
        }
        let program = self.program;
        let Some(node) = program.nodes.get(id.index()).copied() else {
            return Looks::Everywhere;
        };
        let looks = match node {
            Node::Var(var) if var == self.sought.variable() => Looks::Everywhere,
            Node::VarAttr(var, attribute) if var == self.sought.variable() => Looks::At(attribute),
            _ => {
                let (operands, list) = program.operands(node);
                // All of them, so that every shared expression within is met.
                let operands = operands.iter().flatten().chain(list);
                operands.fold(Looks::Away, |looks, operand| looks.and(self.of(*operand)))
            }
        };
        let looks = match (node, looks) {
            (
                Node::GetAttr(..)
                | Node::HasAttr(..)
                | Node::HasPath(..)
                | Node::GetTag(..)
                | Node::HasTag(..)
                | Node::GetNamedTag(..)
                | Node::HasNamedTag(..)
                | Node::In(..)
                | Node::IsIn(..),
                Looks::At(attribute),
            ) => Looks::Through(attribute),
            (_, looks) => looks,
        };
        if let (Node::Shared(place, _), true) = (node, looks != Looks::Away) {
            self.varying.push(place);
        }
        self.known.insert(id, looks);
        looks
    }
}
