//! Which policies of a segment can apply to the request.

use std::cell::Cell;

use crate::epoch::{
    ActionTest, Beginning, Branch, Class, Entry, Failed, Filed, Index, IndexSide, Left, Row,
    ScopeTest, Table, Test, ValueIndex, What,
};
use crate::id::{NodeId, Uid};
use crate::program::Span;
use crate::value::Raise;

use super::condition::Raised;
use super::machine::{Machine, Side, is_overlaid};
use super::scratch::Known;

/// A policy that can apply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) row: u32,
    pub(crate) what: What,
}

/// What can apply: lists, and not a call for each, so that the loops stay small enough for everything in them to be
/// inlined.
pub(super) struct Candidates<'f> {
    /// In no order.
    pub(super) found: &'f mut Vec<Candidate>,
    /// What could not be evaluated for several policies at once; `None` to find policies by their scopes alone.
    pub(super) failed: Option<&'f mut Vec<Failed>>,
}

impl Candidates<'_> {
    /// Rows that are alike but for their conditions, which are their own.
    fn push_all(&mut self, rows: &[u32], what: What) {
        let rows = rows.iter();
        self.found
            .extend(rows.map(|row| Candidate { row: *row, what }));
    }
}

/// What the entries of an index are asked for.
struct Asked {
    class: Class,
    /// Looked up by the first entry that asks for it: in most sets none does, and what an entity's type is stands where
    /// nothing else of a decision does, so that it is two loads from far memory.
    principal_type: Cell<Left>,
    resource_type: Cell<Left>,
}

/// Up to so many ancestors are walked twice: see [`Machine::matching_side`].
const FEW: usize = 16;

/// So many groups of policies may have failed together in one decision. Each error that is read afterwards looks for the next one in
/// all of them, which took ten seconds for the 12,800 of 1,600 groups; further groups are evaluated policy by policy.
const MOST_FAILED: usize = 64;

impl<'a> Machine<'a> {
    /// A policy that [`Machine::matching`] has found: its number in answers and its row, unless it is no more in
    /// force.
    #[inline]
    pub(crate) fn in_force(&self, number: u32) -> Option<(u32, &'a Row)> {
        if !self.dead.is_empty() && self.dead.contains(number) {
            return None;
        }
        let row = &self.linked.rows[number as usize];
        Some((self.first + number, row))
    }

    /// A candidate's number in answers, unless it is no more in force.
    #[inline]
    pub(super) fn number_in_force(&self, candidate: &Candidate) -> Option<u32> {
        match !self.dead.is_empty() && self.dead.contains(candidate.row) {
            true => None,
            false => Some(self.first + candidate.row),
        }
    }

    /// Begins to evaluate candidates of the segment.
    #[inline]
    pub(super) fn begin(&self, known: &mut Known) {
        let index = self.linked.index.as_ref();
        known.begin(index.map_or(0, |index| index.shared.len()));
    }

    /// Whether the conditions of a candidate hold. Those that it shares with others are evaluated once; where they fail,
    /// by each.
    #[inline(always)]
    pub(super) fn candidate_holds(
        &self,
        candidate: &Candidate,
        known: &mut Known,
    ) -> Result<bool, Raise> {
        let Candidate { row, what } = *candidate;
        if what.holds() {
            return Ok(true);
        }
        match what.shared_body() {
            None => self.row_holds(row),
            Some(body) => match known.get(body) {
                Some(holds) => Ok(holds),
                None => self.shared_body_holds(row, body, known),
            },
        }
    }

    #[inline(always)]
    fn row_holds(&self, row: u32) -> Result<bool, Raise> {
        self.holds(&self.linked.rows[row as usize])
    }

    #[inline(never)]
    fn shared_body_holds(&self, row: u32, body: u32, known: &mut Known) -> Result<bool, Raise> {
        let index = self.linked.index.as_ref();
        let shared = index.and_then(|index| index.shared.get(body as usize));
        let holds = match (shared, self.steps) {
            (Some(shared), Some(steps)) => self.steps_hold(shared.steps.of(steps))?,
            (Some(shared), None) => self.holds(&self.linked.rows[shared.row as usize])?,
            (None, _) => self.holds(&self.linked.rows[row as usize])?,
        };
        known.set(body, holds);
        Ok(holds)
    }

    /// Collects the segment's policies whose scopes match, also those that the value index knows to be false.
    pub(super) fn matching_in_scope(&self, found: &mut Vec<Candidate>) {
        self.matching(&mut Candidates {
            found,
            failed: None,
        });
    }

    /// Collects the segment's policies whose scopes match, except those that the value index knows to be false.
    #[inline]
    pub(super) fn matching(&self, to: &mut Candidates<'_>) {
        match &self.linked.index {
            Some(index) if self.action_is_indexed(index) => self.matching_indexed(index, to),
            _ => {
                for (row, number) in self.linked.rows.iter().zip(0..) {
                    if self.row_matches(row) {
                        to.push_all(&[number], What::new(row, None));
                    }
                }
            }
        }
    }

    /// Whether the index knows the groups that the action is in. It knows those above stored actions; without a schema
    /// a request may name any entity as its action, and an overlay may change what is above one.
    #[inline]
    fn action_is_indexed(&self, index: &Index) -> bool {
        (self.action.ancestors.is_empty()
            || index.covers_actions_of(self.names.type_of(self.action.uid)))
            && (self.overlay.is_empty() || !self.action_is_overlaid())
    }

    #[cold]
    fn action_is_overlaid(&self) -> bool {
        let Side { uid, ancestors } = self.action;
        self.overlay.get(uid).is_some() || is_overlaid(&self.overlay, ancestors)
    }

    #[inline]
    fn matching_indexed(&self, index: &'a Index, to: &mut Candidates<'_>) {
        let class = index.actions.of(self.action.uid);
        if let Some(lists) = &index.lists {
            let (matching, tested) = lists.of(&class);
            let matching = matching.iter();
            to.found
                .extend(matching.map(|&Entry { row, what, .. }| Candidate { row, what }));
            if !tested.is_empty() {
                self.matching_entries(tested, &self.asked(class), to.found);
            }
            return;
        }
        self.matching_filed_anywhere(index, &self.asked(class), to);
    }

    /// What entries are asked for.
    #[inline]
    fn asked(&self, class: Class) -> Asked {
        Asked {
            class,
            principal_type: Cell::new(Left::UNKNOWN),
            resource_type: Cell::new(Left::UNKNOWN),
        }
    }

    #[inline]
    fn matching_filed_anywhere(&self, index: &'a Index, asked: &Asked, to: &mut Candidates<'_>) {
        let Index {
            by_class, values, ..
        } = index;
        for (entries, groups) in [by_class.for_any(), by_class.for_action(&asked.class)] {
            self.matching_entries(entries, asked, to.found);
            self.matching_groups(values, groups, to);
        }
        for (filed, side) in [
            (&index.principal, &self.principal),
            (&index.resource, &self.resource),
        ] {
            if !filed.is_empty() {
                self.matching_side(index, filed, side, asked, to);
            }
        }
    }

    /// What is filed under an entity or under what is above it.
    #[inline(never)]
    fn matching_side(
        &self,
        index: &'a Index,
        filed: &'a IndexSide,
        side: &Side<'a>,
        asked: &Asked,
        to: &mut Candidates<'_>,
    ) {
        let IndexSide { exact, within } = filed;
        if let Some(filed) = exact.filed(side.uid, &asked.class) {
            self.matching_filed(index, filed, asked, to);
        }
        if within.is_empty() {
            return;
        }
        if let Some(filed) = within.filed(side.uid, &asked.class) {
            self.matching_filed(index, filed, asked, to);
        }
        // Most ancestors have nothing filed under them: the walk over them is kept to a load and a test each.
        match within.flat() {
            Some(flat) => {
                // Once through all, without a branch: what they have is loaded side by side, and not one after the other while
                // the last one's policies are looked at. 3% of `rbac-p10000`; of forty, 19% more of `deep-d20`.
                let has = |above| within.has_in(flat.number(above), &asked.class);
                if let Some(few) = side.ancestors.few(FEW)
                    && !few.iter().fold(false, |any, above| any | has(*above))
                {
                    return;
                }
                side.ancestors.each(
                    |above| flat.number(above) != 0,
                    |above| {
                        if let Some(filed) = within.filed_in(flat.number(above), &asked.class) {
                            self.matching_filed(index, filed, asked, to);
                        }
                    },
                );
            }
            None => side.ancestors.each(
                |_| true,
                |above| {
                    if let Some(filed) = within.filed(above, &asked.class) {
                        self.matching_filed(index, filed, asked, to);
                    }
                },
            ),
        }
    }

    /// Out of line: most of the entities that are asked for have nothing filed under them.
    #[inline(never)]
    fn matching_filed(
        &self,
        index: &'a Index,
        filed: Filed<'a>,
        asked: &Asked,
        to: &mut Candidates<'_>,
    ) {
        for entries in [filed.for_any(), filed.for_action(&asked.class)] {
            self.matching_entries(entries, asked, to.found);
        }
        self.matching_groups(&index.values, filed.groups(), to);
    }

    #[inline(always)]
    fn matching_entries(&self, entries: &[Entry], asked: &Asked, found: &mut Vec<Candidate>) {
        for entry in entries {
            if self.entry_matches(entry, asked) {
                let Entry { row, what, .. } = *entry;
                found.push(Candidate { row, what });
            }
        }
    }

    #[inline(always)]
    fn entry_matches(&self, entry: &Entry, asked: &Asked) -> bool {
        let Entry {
            principal,
            resource,
            what,
            ..
        } = *entry;
        let of = (&self.principal, &asked.principal_type);
        let is =
            |(_, ty): (&Side<'_>, &Cell<Left>), left| left == Left::NOTHING || left == ty.get();
        (is(of, principal) || self.fits(of, principal, what.is_exact_principal()))
            && {
                let of = (&self.resource, &asked.resource_type);
                is(of, resource) || self.fits(of, resource, what.is_exact_resource())
            }
            && (!what.is_in_full() || self.entry_matches_in_full(entry))
    }

    /// Whether a side is what is left to test, if that is not the type that it is known to be of.
    #[inline(always)]
    fn fits(&self, (side, ty): (&Side<'_>, &Cell<Left>), left: Left, exact: bool) -> bool {
        match left.entity() {
            Some(uid) if exact => side.uid == uid,
            Some(uid) => side.is_in(uid),
            None => ty.get() == Left::UNKNOWN && left == self.type_left(side.uid, ty),
        }
    }

    #[cold]
    fn type_left(&self, uid: Uid, to: &Cell<Left>) -> Left {
        let left = match self.names.type_of(uid) {
            Some(ty) => Left::of_type(ty),
            None => Left::NOTHING,
        };
        to.set(left);
        left
    }

    #[inline(never)]
    fn entry_matches_in_full(&self, entry: &Entry) -> bool {
        self.row_matches(&self.linked.rows[entry.row as usize])
    }

    #[inline]
    fn matching_groups(&self, values: &'a ValueIndex, groups: &[u32], to: &mut Candidates<'_>) {
        if !groups.is_empty() {
            self.search_groups(values, groups, to);
        }
    }

    #[inline(never)]
    fn search_groups(&self, values: &'a ValueIndex, groups: &[u32], to: &mut Candidates<'_>) {
        for number in groups {
            let Some((group, branches)) = values.group(*number) else {
                continue;
            };
            let row = &self.linked.rows[group.row as usize];
            if !self.row_matches(row) {
                continue;
            }
            let what = What::new(row, None);
            match to.failed {
                Some(_) => self.search(values, branches, what, to),
                None => values.all_policies(branches, |policies| to.push_all(policies, what)),
            }
        }
    }

    /// Recursion is as deep as leading conjuncts are looked at.
    fn search(
        &self,
        values: &'a ValueIndex,
        branches: &[u32],
        what: What,
        to: &mut Candidates<'_>,
    ) {
        for number in branches {
            match values.branch(*number) {
                Some(Branch::Policies(policies)) => {
                    to.push_all(values.run(*policies), what);
                }
                Some(Branch::Common { shared, then }) => match self.boolean(shared.node) {
                    Ok(true) => self.search(values, values.run(*then), what, to),
                    Ok(false) => {}
                    Err(Raised) => self.fail(values, *shared, what, to),
                },
                Some(Branch::Compare {
                    shared,
                    test: Test::Equal,
                    table,
                }) => match self.operand(shared.node) {
                    Ok(value) => {
                        let found = table.find(&self.linked.constants, value);
                        self.search_found(values, found, what, to);
                    }
                    Err(Raised) => self.fail(values, *shared, what, to),
                },
                Some(Branch::Compare {
                    shared,
                    test: Test::Contains,
                    table,
                }) => self.search_set(values, *shared, table, what, to),
                None => {}
            }
        }
    }

    fn search_found(
        &self,
        values: &'a ValueIndex,
        found: Option<Span>,
        what: What,
        to: &mut Candidates<'_>,
    ) {
        if let Some(branches) = found {
            self.search(values, values.run(branches), what, to);
        }
    }

    fn search_set(
        &self,
        values: &'a ValueIndex,
        shared: Beginning,
        table: &'a Table,
        what: What,
        to: &mut Candidates<'_>,
    ) {
        let Ok(value) = self.operand(shared.node) else {
            return self.fail(values, shared, what, to);
        };
        let Ok(set) = value.as_set() else {
            // `contains` itself fails, not its operand: the policies tell.
            to.push_all(values.run(shared.policies), what);
            return;
        };
        let constants = &*self.linked.constants;
        // Whichever is smaller is walked, the other is searched.
        if set.len() <= table.len() {
            for item in set.iter() {
                self.search_found(values, table.find(constants, item), what, to);
            }
        } else {
            for (literal, branches) in table.iter(constants) {
                let found = set.contains(literal).then_some(branches);
                self.search_found(values, found, what, to);
            }
        }
    }

    /// What several policies begin with has failed, and they fail with it.
    #[cold]
    fn fail(&self, values: &'a ValueIndex, shared: Beginning, what: What, to: &mut Candidates<'_>) {
        let policies = values.run(shared.policies);
        if to
            .failed
            .as_ref()
            .is_some_and(|failed| failed.len() >= MOST_FAILED)
        {
            to.push_all(policies, what);
            return;
        }
        let conjunct = policies
            .first()
            .and_then(|first| self.conjunct(*first, shared));
        let failed = conjunct.and_then(|conjunct| {
            Failed::new(
                self.program,
                self.first,
                shared,
                conjunct,
                self.raised.get(),
            )
        });
        let Some(failed) = failed else {
            to.push_all(policies, what);
            return;
        };
        let in_force = match self.dead.is_empty() {
            true => policies.len(),
            false => {
                let alive = |number: &&u32| !self.dead.contains(**number);
                policies.iter().filter(alive).count()
            }
        };
        if let (1.., Some(all)) = (in_force, &mut to.failed) {
            all.push(failed.with_len(in_force));
        }
    }

    fn conjunct(&self, policy: u32, shared: Beginning) -> Option<NodeId> {
        let row = self.linked.rows.get(policy as usize)?;
        let conjuncts = self.program.children(row.conjuncts);
        conjuncts.get(shared.conjunct as usize).copied()
    }

    #[inline]
    fn row_matches(&self, row: &Row) -> bool {
        self.action_matches(row.action)
            && self.side_matches(&self.principal, row.principal)
            && self.side_matches(&self.resource, row.resource)
    }

    #[inline]
    pub(super) fn side_matches(&self, side: &Side<'_>, test: ScopeTest) -> bool {
        test == ScopeTest::Any || self.side_matches_test(side, test)
    }

    fn side_matches_test(&self, side: &Side<'_>, test: ScopeTest) -> bool {
        match test {
            ScopeTest::Any => true,
            ScopeTest::Eq(uid) => side.uid == uid,
            ScopeTest::In(uid) => side.is_in(uid),
            ScopeTest::Is(ty) => self.names.type_of(side.uid) == Some(ty),
            ScopeTest::IsIn(ty, uid) => self.names.type_of(side.uid) == Some(ty) && side.is_in(uid),
        }
    }

    #[inline]
    pub(super) fn action_matches(&self, test: ActionTest) -> bool {
        match test {
            ActionTest::Any => true,
            ActionTest::Eq(uid) => self.action.uid == uid,
            ActionTest::In(list) => list
                .of(&self.linked.action_lists)
                .iter()
                .any(|uid| self.action.is_in(*uid)),
        }
    }
}
