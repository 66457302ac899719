//! What is left of the policies when all of a request but one place is fixed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use crate::decision::{Effect, ErrorMode};
use crate::entity::{EntityData, Snapshot};
use crate::epoch::{Epoch, Row, ScopeTest};
use crate::eval::{Machine, Sought};
use crate::id::{NodeId, TypeId, Uid};
use crate::program::{Node, Program, Span};

/// How each candidate of one type is decided.
#[derive(Debug)]
pub(crate) struct Plan {
    sought: Sought,
    pub(crate) type_id: TypeId,
    rules: Vec<Rule>,
    /// What rules are runs of.
    conjuncts: Vec<NodeId>,
    /// By segment.
    segments: Vec<SegmentPlan>,
    /// What applies to every candidate of the type.
    to_all: Class,
    /// What applies to one entity; sorted.
    to_one: Vec<(Uid, Class)>,
    /// The first of `to_one` that is not behind the last candidate: they come in order.
    next_one: usize,
    /// What applies to all below an entity.
    below: HashMap<Uid, Class>,
    memo: Memo,
    /// The classes that the candidate at hand is in.
    met: Vec<u32>,
}

/// A policy of which conjuncts are left that look at the candidate.
#[derive(Debug)]
struct Rule {
    segment: usize,
    conjuncts: Range<usize>,
    /// Whether an error denies.
    strict: bool,
}

#[derive(Debug, Default)]
struct SegmentPlan {
    used: bool,
    /// Places of shared expressions that look at the candidate.
    varying: Vec<u16>,
}

/// What some candidates have in common.
#[derive(Clone, Debug, Default)]
struct Class {
    /// A permit applies.
    permitted: bool,
    /// A forbid applies, or an error denies.
    denied: bool,
    /// Rules.
    permits: Vec<u32>,
    forbids: Vec<u32>,
}

/// The classes of groups that were met: of a million documents, most are in the same few thousand folders.
#[derive(Debug)]
struct Memo {
    classes: Vec<Class>,
    /// By uid of the group: its class plus one, or 0. Zeroed memory that is not touched costs nothing.
    of_group: Vec<u32>,
}

/// How much of the store has to be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extent {
    /// No candidate is allowed.
    Nobody,
    /// Nobody but certain entities and what is below certain entities can be.
    Below,
    /// Everybody may be.
    Each,
    /// All of the type are, without looking at them.
    Everybody,
}

/// What is left of a policy's conditions.
#[derive(Clone, Copy)]
enum Left {
    /// It does not apply.
    Nothing,
    /// It applies.
    Applies,
    /// It fails, and that denies.
    Denies,
    Rule(u32),
}

impl Plan {
    /// Plans a search. `machines`, one for each segment, have the fixed places; whatever stands in the open one is not
    /// looked at.
    pub(crate) fn new(
        epoch: &Epoch,
        machines: &[Machine<'_>],
        sought: Sought,
        type_id: TypeId,
        mode: ErrorMode,
    ) -> Self {
        let mut planner = Planner {
            plan: Self {
                sought,
                type_id,
                rules: Vec::new(),
                conjuncts: Vec::new(),
                segments: Vec::new(),
                to_all: Class::default(),
                to_one: Vec::new(),
                next_one: 0,
                below: HashMap::new(),
                memo: Memo {
                    classes: Vec::new(),
                    of_group: Vec::new(),
                },
                met: Vec::new(),
            },
            mode,
            to_one: HashMap::new(),
        };
        for (segment, machine) in machines.iter().enumerate() {
            planner.segment(epoch, segment, machine);
        }
        let Planner {
            mut plan, to_one, ..
        } = planner;
        plan.to_one = to_one.into_iter().collect();
        plan.to_one.sort_unstable_by_key(|(uid, _)| *uid);
        if !plan.below.is_empty() {
            plan.memo.of_group = vec![0; epoch.snapshot.names.extent().uids];
        }
        plan
    }

    pub(crate) fn extent(&self) -> Extent {
        let all = &self.to_all;
        let may_permit = |class: &Class| class.permitted || !class.permits.is_empty();
        let mut others = self
            .to_one
            .iter()
            .map(|(_, class)| class)
            .chain(self.below.values());
        if all.denied {
            return Extent::Nobody;
        }
        if !may_permit(all) {
            return if others.any(may_permit) {
                Extent::Below
            } else {
                Extent::Nobody
            };
        }
        if all.permitted && self.is_certain() {
            Extent::Everybody
        } else {
            Extent::Each
        }
    }

    /// Whether whoever a permit applies to is allowed: nothing denies, and nothing is left to be evaluated.
    pub(crate) fn is_certain(&self) -> bool {
        let ones = self.to_one.iter().map(|(_, class)| class);
        let mut classes = ones.chain(self.below.values()).chain([&self.to_all]);
        self.rules.is_empty() && classes.all(|class| !class.denied)
    }

    /// The entities that have rules of their own, sorted.
    pub(crate) fn ones(&self) -> impl Iterator<Item = Uid> {
        self.to_one.iter().map(|(uid, _)| *uid)
    }

    /// The entities that permit what is below them.
    pub(crate) fn permitting_groups(&self) -> impl Iterator<Item = Uid> {
        let permitting = self
            .below
            .iter()
            .filter(|(_, class)| class.permitted || !class.permits.is_empty());
        permitting.map(|(uid, _)| *uid)
    }

    /// Whether a candidate is allowed. Candidates must come in the order of their numbers.
    #[inline]
    pub(crate) fn allows<'a>(
        &mut self,
        machines: &mut [Machine<'a>],
        snapshot: &Snapshot,
        uid: Uid,
        data: &'a EntityData,
    ) -> bool {
        let (mut permitted, mut denied) = (self.to_all.permitted, self.to_all.denied);
        let mut may_be = permitted || !self.to_all.permits.is_empty();
        self.met.clear();
        if !self.below.is_empty() {
            for parent in data.parents() {
                let known = self.memo.of_group.get(parent.index()).copied();
                let class = match known.unwrap_or(0).checked_sub(1) {
                    Some(class) => class,
                    None => self.memo.add(snapshot, &self.below, *parent),
                };
                // The first is the empty one.
                if class > 0
                    && let Some(found) = self.memo.classes.get(class as usize)
                {
                    permitted |= found.permitted;
                    denied |= found.denied;
                    may_be |= !found.permits.is_empty();
                    self.met.push(class);
                }
            }
        }
        let own = self.own_class(uid);
        if let Some((_, own)) = own.and_then(|own| self.to_one.get(own)) {
            permitted |= own.permitted;
            denied |= own.denied;
            may_be |= !own.permits.is_empty();
        }
        if denied || !(permitted || may_be) {
            return false;
        }
        if self.rules.is_empty() {
            return permitted;
        }
        self.rules_allow(machines, uid, data, own, permitted)
    }

    #[inline]
    fn own_class(&mut self, uid: Uid) -> Option<usize> {
        while let Some((one, _)) = self.to_one.get(self.next_one) {
            if *one >= uid {
                return (*one == uid).then_some(self.next_one);
            }
            self.next_one += 1;
        }
        None
    }

    /// Evaluates what has to be looked at for this candidate: no permit after the first that applies, and forbids only
    /// if one did.
    fn rules_allow<'a>(
        &self,
        machines: &mut [Machine<'a>],
        uid: Uid,
        data: &'a EntityData,
        own: Option<usize>,
        mut permitted: bool,
    ) -> bool {
        let own = own.and_then(|own| self.to_one.get(own)).map(|(_, own)| own);
        let met = self
            .met
            .iter()
            .filter_map(|class| self.memo.classes.get(*class as usize));
        let classes = || std::iter::once(&self.to_all).chain(own).chain(met.clone());
        if permitted && classes().all(|class| class.permits.is_empty() && class.forbids.is_empty())
        {
            return true;
        }
        for (machine, segment) in machines.iter_mut().zip(&self.segments) {
            if segment.used {
                machine.put(self.sought, uid, data, &segment.varying);
            }
        }
        for rule in classes().flat_map(|class| &class.permits) {
            let Some(rule) = self.rules.get(*rule as usize) else {
                continue;
            };
            if permitted && !rule.strict {
                continue;
            }
            match self.holds(machines, rule) {
                Some(holds) => permitted |= holds,
                None if rule.strict => return false,
                None => {}
            }
        }
        permitted
            && classes().flat_map(|class| &class.forbids).all(|rule| {
                let Some(rule) = self.rules.get(*rule as usize) else {
                    return false;
                };
                match self.holds(machines, rule) {
                    Some(holds) => !holds,
                    None => !rule.strict,
                }
            })
    }

    /// `None` for an error.
    #[inline]
    fn holds(&self, machines: &[Machine<'_>], rule: &Rule) -> Option<bool> {
        let conjuncts = self.conjuncts.get(rule.conjuncts.clone())?;
        machines.get(rule.segment)?.all_hold(conjuncts).ok()
    }
}

impl Memo {
    /// The class of what has this parent: all that applies below the parent and what is above it.
    #[cold]
    fn add(&mut self, snapshot: &Snapshot, below: &HashMap<Uid, Class>, parent: Uid) -> u32 {
        if self.classes.is_empty() {
            self.classes.push(Class::default());
        }
        let mut class = Class::default();
        let above = snapshot.closure(parent).unwrap_or_default();
        for found in above.iter().filter_map(|group| below.get(group)) {
            class.merge(found);
        }
        let number = if class.is_empty() {
            0
        } else {
            self.classes.push(class);
            u32::try_from(self.classes.len() - 1).unwrap_or(0)
        };
        if let Some(known) = self.of_group.get_mut(parent.index()) {
            *known = number + 1;
        }
        number
    }
}

impl Class {
    fn is_empty(&self) -> bool {
        !self.permitted && !self.denied && self.permits.is_empty() && self.forbids.is_empty()
    }

    fn merge(&mut self, other: &Self) {
        self.permitted |= other.permitted;
        self.denied |= other.denied;
        for (rules, more) in [
            (&mut self.permits, &other.permits),
            (&mut self.forbids, &other.forbids),
        ] {
            rules.extend_from_slice(more);
            rules.sort_unstable();
            rules.dedup();
        }
    }

    fn add(&mut self, effect: Effect, left: Left) {
        match (left, effect) {
            (Left::Nothing, _) => {}
            (Left::Applies, Effect::Permit) => self.permitted = true,
            (Left::Applies, Effect::Forbid) | (Left::Denies, _) => self.denied = true,
            (Left::Rule(rule), effect) => {
                let rules = match effect {
                    Effect::Permit => &mut self.permits,
                    Effect::Forbid => &mut self.forbids,
                };
                // Links of one template come one after the other and have one rule.
                if rules.last() != Some(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
}

struct Planner {
    plan: Plan,
    mode: ErrorMode,
    to_one: HashMap<Uid, Class>,
}

impl Planner {
    fn segment(&mut self, epoch: &Epoch, number: usize, machine: &Machine<'_>) {
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
            known: vec![0; segment.program.nodes.len()],
            varying: Vec::new(),
        };
        // Policies with one body are looked at once.
        let mut bodies: HashMap<(Span, Effect), Left> = HashMap::new();
        for policy in 0..segment.linked.rows.len() {
            let row = u32::try_from(policy)
                .ok()
                .and_then(|row| machine.in_force(row));
            let Some((_, row)) = row else { continue };
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
        let strict = match self.mode {
            ErrorMode::Cedar => false,
            ErrorMode::DenyOnForbidError => row.effect == Effect::Forbid,
            ErrorMode::DenyOnAnyError => true,
        };
        let plan = &mut self.plan;
        let start = plan.conjuncts.len();
        for conjunct in dependence.program.children(row.conjuncts) {
            let behind = plan.conjuncts.len() > start;
            if dependence.of(*conjunct) || (strict && behind) {
                plan.conjuncts.push(*conjunct);
                continue;
            }
            match machine.all_hold(&[*conjunct]) {
                Ok(true) => continue,
                Err(_) if strict => return Left::Denies,
                Ok(false) | Err(_) => {}
            }
            plan.conjuncts.truncate(start);
            return Left::Nothing;
        }
        if plan.conjuncts.len() == start {
            return Left::Applies;
        }
        plan.rules.push(Rule {
            segment,
            conjuncts: start..plan.conjuncts.len(),
            strict,
        });
        if let Some(plan) = plan.segments.last_mut() {
            plan.used = true;
        }
        u32::try_from(plan.rules.len() - 1).map_or(Left::Denies, Left::Rule)
    }
}

/// Which expressions look at the open place.
struct Dependence<'p> {
    program: &'p Program,
    sought: Sought,
    /// By node: not known, no, yes.
    known: Vec<u8>,
    varying: Vec<u16>,
}

impl Dependence<'_> {
    /// As deep as an expression nests, which `Limits` bound.
    fn of(&mut self, id: NodeId) -> bool {
        match self.known.get(id.index()) {
            Some(1) => return false,
            Some(0) => {}
            _ => return true,
        }
        let program = self.program;
        let Some(node) = program.nodes.get(id.index()).copied() else {
            return true;
        };
        let depends = match node {
            Node::Var(var) | Node::VarAttr(var, _) => var == self.sought.variable(),
            _ => {
                let (operands, list) = program.operands(node);
                let mut depends = false;
                for operand in operands.iter().flatten().chain(list) {
                    // All of them, so that every shared expression within is met.
                    depends |= self.of(*operand);
                }
                depends
            }
        };
        if let (Node::Shared(place, _), true) = (node, depends) {
            self.varying.push(place);
        }
        if let Some(known) = self.known.get_mut(id.index()) {
            *known = 1 + u8::from(depends);
        }
        depends
    }
}
