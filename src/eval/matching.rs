//! Which policies of a segment can apply to the request.

use crate::epoch::{
    ActionBits, ActionTest, Beginning, Branch, Entry, Failed, Filed, Index, IndexSide, Row,
    ScopeTest, Table, Test, UNKNOWN, ValueIndex,
};
use crate::id::NodeId;
use crate::program::Span;

use super::condition::Raised;
use super::machine::{Machine, Side};

/// What can apply: lists, and not a call for each, so that the loops stay small enough for everything in them to be
/// inlined.
pub(super) struct Candidates<'f> {
    /// Numbers of policies, in no order.
    pub(super) found: &'f mut Vec<u32>,
    /// What could not be evaluated for several policies at once; `None` to find policies by their scopes alone.
    pub(super) failed: Option<&'f mut Vec<Failed>>,
}

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

    /// Collects the segment's policies whose scopes match, also those that the value index knows to be false.
    pub(super) fn matching_in_scope(&self, found: &mut Vec<u32>) {
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
                        to.found.push(number);
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
        let mut overlaid = self.overlay.entities().iter();
        overlaid.any(|entity| self.action.is_in(entity.uid))
    }

    #[inline]
    fn matching_indexed(&self, index: &'a Index, to: &mut Candidates<'_>) {
        // What is filed under the action is for it.
        let filed = index.action.filed(self.action.uid);
        for run in filed.runs {
            self.matching_entries(filed.policies(run), to.found);
        }
        self.matching_groups(&index.values, filed.groups, to);
        self.matching_entries(&index.rest, to.found);
        self.matching_groups(&index.values, &index.rest_groups, to);
        for (filed, side) in [
            (&index.principal, &self.principal),
            (&index.resource, &self.resource),
        ] {
            if !filed.is_empty() {
                self.matching_side(index, filed, side, to);
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
        to: &mut Candidates<'_>,
    ) {
        let actions = index.actions.of(self.action.uid);
        if !filed.exact.is_empty() {
            self.matching_filed(index, filed.exact.filed(side.uid), actions, to);
        }
        let within = &filed.within;
        if within.is_empty() {
            return;
        }
        self.matching_filed(index, within.filed(side.uid), actions, to);
        // Most ancestors have nothing filed under them: the walk over them is kept to a load and a test each.
        let visit = |above| self.matching_filed(index, within.filed(above), actions, to);
        match within.flat() {
            Some(flat) => side.ancestors.each(|above| flat.has_bucket(above), visit),
            None => side.ancestors.each(|above| within.has_bucket(above), visit),
        }
    }

    #[inline(never)]
    fn matching_filed(
        &self,
        index: &'a Index,
        filed: Filed<'a>,
        actions: ActionBits<'a>,
        to: &mut Candidates<'_>,
    ) {
        for run in filed.runs {
            if actions.has(run.actions) {
                self.matching_entries(filed.policies(run), to.found);
            } else if run.actions == UNKNOWN {
                self.matching_rows(filed.policies(run), to.found);
            }
        }
        self.matching_groups(&index.values, filed.groups, to);
    }

    /// Tests all of the scopes.
    #[cold]
    fn matching_rows(&self, entries: &[Entry], found: &mut Vec<u32>) {
        for entry in entries {
            let row = &self.linked.rows[entry.row as usize];
            if self.action_matches(row.action) && self.entry_matches(entry) {
                found.push(entry.row);
            }
        }
    }

    #[inline]
    fn matching_entries(&self, entries: &[Entry], found: &mut Vec<u32>) {
        for entry in entries {
            if self.entry_matches(entry) {
                found.push(entry.row);
            }
        }
    }

    #[inline]
    fn entry_matches(&self, entry: &Entry) -> bool {
        self.side_matches(&self.principal, entry.principal)
            && self.side_matches(&self.resource, entry.resource)
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
            if !self.row_matches(&self.linked.rows[group.row as usize]) {
                continue;
            }
            match to.failed {
                Some(_) => self.search(values, branches, to),
                None => values.all_policies(branches, to.found),
            }
        }
    }

    /// Recursion is as deep as leading conjuncts are looked at.
    fn search(&self, values: &'a ValueIndex, branches: &[u32], to: &mut Candidates<'_>) {
        for number in branches {
            match values.branch(*number) {
                Some(Branch::Policies(policies)) => {
                    to.found.extend_from_slice(values.run(*policies));
                }
                Some(Branch::Common { shared, then }) => match self.boolean(shared.node) {
                    Ok(true) => self.search(values, values.run(*then), to),
                    Ok(false) => {}
                    Err(Raised) => self.fail(values, *shared, to),
                },
                Some(Branch::Compare {
                    shared,
                    test: Test::Equal,
                    table,
                }) => match self.operand(shared.node) {
                    Ok(value) => {
                        self.search_found(values, table.find(&self.linked.constants, value), to)
                    }
                    Err(Raised) => self.fail(values, *shared, to),
                },
                Some(Branch::Compare {
                    shared,
                    test: Test::Contains,
                    table,
                }) => self.search_set(values, *shared, table, to),
                None => {}
            }
        }
    }

    fn search_found(&self, values: &'a ValueIndex, found: Option<Span>, to: &mut Candidates<'_>) {
        if let Some(branches) = found {
            self.search(values, values.run(branches), to);
        }
    }

    fn search_set(
        &self,
        values: &'a ValueIndex,
        shared: Beginning,
        table: &'a Table,
        to: &mut Candidates<'_>,
    ) {
        let Ok(value) = self.operand(shared.node) else {
            return self.fail(values, shared, to);
        };
        let Ok(set) = value.as_set() else {
            // `contains` itself fails, not its operand: the policies tell.
            to.found.extend_from_slice(values.run(shared.policies));
            return;
        };
        let constants = &*self.linked.constants;
        // Whichever is smaller is walked, the other is searched.
        if set.len() <= table.len() {
            for item in set.iter() {
                self.search_found(values, table.find(constants, item), to);
            }
        } else {
            for (literal, branches) in table.iter(constants) {
                self.search_found(values, set.contains(literal).then_some(branches), to);
            }
        }
    }

    /// What several policies begin with has failed, and they fail with it.
    #[cold]
    fn fail(&self, values: &'a ValueIndex, shared: Beginning, to: &mut Candidates<'_>) {
        let policies = values.run(shared.policies);
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
            to.found.extend_from_slice(policies);
            return;
        };
        let in_force = match self.dead.is_empty() {
            true => policies.len(),
            false => {
                let dead = |number: &&u32| !self.dead.contains(**number);
                policies.iter().filter(dead).count()
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
