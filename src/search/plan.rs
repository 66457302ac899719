//! What is left of the policies when all of a request but one place is fixed.

use std::collections::HashMap;

use crate::decision::{Effect, ErrorMode};
use crate::entity::{EntityData, Snapshot};
use crate::epoch::Epoch;
use crate::eval::{self, Findings, Machine, Sought};
use crate::id::{TypeId, Uid};

use super::planner::{Left, Planner};
use super::rules::Rules;

/// How each candidate of one type is decided.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) sought: Sought,
    pub(crate) type_id: TypeId,
    pub(super) mode: ErrorMode,
    /// How many entities there are numbers for.
    pub(super) uids: usize,
    pub(super) rules: Rules,
    /// By segment.
    pub(super) segments: Vec<SegmentPlan>,
    /// What applies to every candidate of the type.
    pub(super) to_all: Class,
    /// What applies to one entity; sorted.
    to_one: Vec<(Uid, Class)>,
    /// The first of `to_one` that is not behind the last candidate: they come in order.
    next_one: usize,
    /// What applies to all below an entity.
    pub(super) below: HashMap<Uid, Class>,
    memo: Memo,
    /// The classes that the candidate at hand is in.
    met: Vec<u32>,
    /// For candidates that are decided in full.
    findings: Findings,
}

/// With more rules than this, a candidate is decided like any request: the value index may know that few of them hold.
/// Of 150 rules that all have to be evaluated, the rules are twice as fast.
const MANY: usize = 256;

#[derive(Debug, Default)]
pub(super) struct SegmentPlan {
    pub(super) used: bool,
    /// Places of shared expressions that look at the candidate.
    pub(super) varying: Vec<u16>,
}

/// What some candidates have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Class {
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
        let uids = epoch.snapshot.names.extent().uids;
        let mut planner = Planner {
            plan: Self {
                sought,
                type_id,
                mode,
                uids,
                rules: Rules::default(),
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
                findings: Findings::default(),
            },
            to_one: HashMap::new(),
        };
        for (segment, machine) in machines.iter().enumerate() {
            planner.segment(epoch, segment, machine);
        }
        let Planner { mut plan, to_one } = planner;
        plan.to_one = to_one.into_iter().collect();
        plan.to_one.sort_unstable_by_key(|(uid, _)| *uid);
        if !plan.below.is_empty() {
            plan.memo.of_group = vec![0; uids];
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
        epoch: &'a Epoch,
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
                    None => self.memo.add(&epoch.snapshot, &self.below, *parent),
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
        self.rules_allow(machines, epoch, uid, data, own, permitted)
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
        &mut self,
        machines: &mut [Machine<'a>],
        epoch: &'a Epoch,
        uid: Uid,
        data: &'a EntityData,
        own: Option<usize>,
        mut permitted: bool,
    ) -> bool {
        let (rules, sought) = (&mut self.rules, self.sought);
        let own = own.and_then(|own| self.to_one.get(own)).map(|(_, own)| own);
        let classes = &self.memo.classes;
        let met = self.met.iter();
        let met = met.filter_map(|class| classes.get(*class as usize));
        let classes = || std::iter::once(&self.to_all).chain(own).chain(met.clone());
        let left = |class: &Class| class.permits.len() + class.forbids.len();
        let left: usize = classes().map(left).sum();
        if permitted && left == 0 {
            return true;
        }
        if left > MANY {
            let findings = &mut self.findings;
            findings.clear();
            return machines.first_mut().is_some_and(|machine| {
                machine.put(sought, uid, data, None);
                eval::evaluate_decision(epoch, machine, self.mode, findings)
            });
        }
        for (machine, segment) in machines.iter_mut().zip(&self.segments) {
            if segment.used {
                machine.put(sought, uid, data, Some(&segment.varying));
            }
        }
        for rule in classes().flat_map(|class| &class.permits) {
            let strict = rules.is_strict(*rule);
            if permitted && !strict {
                continue;
            }
            match rules.hold(*rule, machines, sought) {
                Some(holds) => permitted |= holds,
                None if strict => return false,
                None => {}
            }
        }
        permitted
            && classes().flat_map(|class| &class.forbids).all(|rule| {
                match rules.hold(*rule, machines, sought) {
                    Some(holds) => !holds,
                    None => !rules.is_strict(*rule),
                }
            })
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

    pub(super) fn add(&mut self, effect: Effect, left: Left) {
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
