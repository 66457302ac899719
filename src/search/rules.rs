//! What is left of policies' conditions, and evaluating it for one candidate after the other.

use std::ops::Range;

use crate::eval::{Machine, Sought};
use crate::id::{NodeId, Sym};

/// Conditions that look at the candidate.
#[derive(Debug, Default)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    steps: Vec<Step>,
    conjuncts: Vec<NodeId>,
    memos: Vec<ByReference>,
}

/// What is left of one policy.
#[derive(Debug)]
struct Rule {
    segment: usize,
    steps: Range<usize>,
    /// Whether an error denies.
    strict: bool,
}

/// Conjuncts that are evaluated together.
#[derive(Clone, Debug)]
struct Step {
    conjuncts: Range<usize>,
    memo: Option<usize>,
}

/// Answers by the entity that an attribute of the candidate refers to: a million documents have a thousand owners.
/// Looking at an owner is half a dozen loads from all over the memory; looking here is one.
#[derive(Debug)]
struct ByReference {
    attribute: Sym,
    /// By uid. Zeroed memory that is not touched costs nothing.
    answers: Vec<u8>,
}

const UNKNOWN: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const FAILED: u8 = 3;

/// At most so many lists of answers: each may have a byte for each entity there is.
const MEMOS: usize = 8;

/// A rule that is being made.
#[derive(Debug)]
pub(super) struct NewRule {
    steps: usize,
    conjuncts: usize,
}

impl Rules {
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(super) fn begin(&self) -> NewRule {
        NewRule {
            steps: self.steps.len(),
            conjuncts: self.conjuncts.len(),
        }
    }

    /// Whether nothing was added since.
    pub(super) fn is_still_empty(&self, rule: &NewRule) -> bool {
        self.conjuncts.len() == rule.conjuncts
    }

    /// Adds a conjunct. With `through`, it follows a reference and looks at nothing of the candidate but that
    /// attribute; `uids` is how many entities there are.
    pub(super) fn push(
        &mut self,
        rule: &NewRule,
        conjunct: NodeId,
        through: Option<Sym>,
        uids: usize,
    ) {
        let attribute = |memo: usize| self.memos.get(memo).map(|memo| memo.attribute);
        self.conjuncts.push(conjunct);
        let end = self.conjuncts.len();
        if let Some(step) = self
            .steps
            .get_mut(rule.steps..)
            .and_then(<[Step]>::last_mut)
            && step.memo.and_then(attribute) == through
        {
            step.conjuncts.end = end;
            return;
        }
        let memo = through
            .filter(|_| self.memos.len() < MEMOS)
            .map(|attribute| {
                self.memos.push(ByReference {
                    attribute,
                    answers: vec![UNKNOWN; uids],
                });
                self.memos.len() - 1
            });
        self.steps.push(Step {
            conjuncts: end - 1..end,
            memo,
        });
    }

    pub(super) fn drop(&mut self, rule: &NewRule) {
        let steps = self.steps.drain(rule.steps..);
        let made = steps.filter(|step| step.memo.is_some()).count();
        self.memos.truncate(self.memos.len() - made);
        self.conjuncts.truncate(rule.conjuncts);
    }

    /// The number of a rule; `None` when there are too many.
    pub(super) fn finish(&mut self, rule: &NewRule, segment: usize, strict: bool) -> Option<u32> {
        self.rules.push(Rule {
            segment,
            steps: rule.steps..self.steps.len(),
            strict,
        });
        u32::try_from(self.rules.len() - 1).ok()
    }

    pub(super) fn is_strict(&self, rule: u32) -> bool {
        self.rules.get(rule as usize).is_none_or(|rule| rule.strict)
    }

    /// Whether a rule holds for the candidate that the machines have; `None` for an error.
    #[inline]
    pub(super) fn hold(
        &mut self,
        rule: u32,
        machines: &[Machine<'_>],
        sought: Sought,
    ) -> Option<bool> {
        let rule = self.rules.get(rule as usize)?;
        let machine = machines.get(rule.segment)?;
        for step in self.steps.get(rule.steps.clone())? {
            let conjuncts = self.conjuncts.get(step.conjuncts.clone())?;
            let memo = step.memo.and_then(|memo| self.memos.get_mut(memo));
            let holds = match memo {
                None => machine.all_hold(conjuncts).ok(),
                Some(memo) => memo.hold(machine, sought, conjuncts),
            };
            if holds != Some(true) {
                return holds;
            }
        }
        Some(true)
    }
}

impl ByReference {
    fn hold(
        &mut self,
        machine: &Machine<'_>,
        sought: Sought,
        conjuncts: &[NodeId],
    ) -> Option<bool> {
        let entity = machine.reference(sought, self.attribute);
        let entity = entity.filter(|uid| !uid.is_local());
        let answer = entity.and_then(|uid| self.answers.get_mut(uid.index()));
        match answer.as_deref() {
            Some(&FALSE) => return Some(false),
            Some(&TRUE) => return Some(true),
            Some(&FAILED) => return None,
            _ => {}
        }
        let holds = machine.all_hold(conjuncts).ok();
        if let Some(answer) = answer {
            *answer = match holds {
                Some(false) => FALSE,
                Some(true) => TRUE,
                None => FAILED,
            };
        }
        holds
    }
}
