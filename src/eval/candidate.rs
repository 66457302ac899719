//! Trying one entity after the other in the place of a request's principal or resource.

use bumpalo::Bump;

use crate::entity::EntityData;
use crate::epoch::{Row, ScopeTest};
use crate::id::{NodeId, Sym, Uid};
use crate::program::Var;
use crate::value::{Raise, Record, Value};

use super::machine::{Machine, Side};

/// The place in a request that candidates are tried in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Sought {
    Principal,
    Resource,
}

impl Sought {
    pub(crate) fn variable(self) -> Var {
        match self {
            Self::Principal => Var::Principal,
            Self::Resource => Var::Resource,
        }
    }

    /// What a policy's scope asks of the place.
    pub(crate) fn scope(self, row: &Row) -> ScopeTest {
        match self {
            Self::Principal => row.principal,
            Self::Resource => row.resource,
        }
    }
}

impl<'a> Machine<'a> {
    /// The segment's policies that may match whatever stands in the open place, by their numbers, each once.
    pub(crate) fn possible(&self, sought: Sought) -> Vec<u32> {
        let linked = self.linked;
        let (rows, lists) = (&linked.rows, &linked.action_lists);
        let (filing, fixed) = match sought {
            Sought::Principal => (linked.sides.by_resource(rows, lists), &self.resource),
            Sought::Resource => (linked.sides.by_principal(rows, lists), &self.principal),
        };
        let mut found = filing.rest().to_vec();
        filing.of_entity(fixed.uid, &mut found);
        let everything = |_| true;
        fixed
            .ancestors
            .each(everything, |above| filing.of_entity(above, &mut found));
        filing.of_action(self.action.uid, &mut found);
        let groups = self.action.ancestors;
        groups.each(everything, |above| filing.of_action(above, &mut found));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether the scope of a policy matches whatever stands in the place that is sought.
    pub(crate) fn matches_but_for(&self, sought: Sought, row: &Row) -> bool {
        // The side first: of many policies it rules out more than the action does, and for less.
        let side = match sought {
            Sought::Principal => self.side_matches(&self.resource, row.resource),
            Sought::Resource => self.side_matches(&self.principal, row.principal),
        };
        side && self.action_matches(row.action)
    }

    /// Puts a candidate in its place. `varying` are the shared expressions that look at it; without, all may.
    #[inline]
    pub(crate) fn put(
        &mut self,
        sought: Sought,
        uid: Uid,
        data: &'a EntityData,
        varying: Option<&[u16]>,
    ) {
        let side = Side {
            uid,
            ancestors: self.snapshot.ancestors(self.arena, data),
        };
        let place = match sought {
            Sought::Principal => &mut self.principal,
            Sought::Resource => &mut self.resource,
        };
        *place = side;
        self.variables[sought.variable() as usize] = Some(Record::Stored(data.attrs()));
        if let Some(places) = self.shared.get() {
            match varying {
                Some(varying) => {
                    for place in varying {
                        places[usize::from(*place)].set(None);
                    }
                }
                None => places.iter().for_each(|place| place.set(None)),
            }
        }
        // Each candidate may add to it.
        self.computed.get_mut().clear();
    }

    /// The entity that an attribute of the candidate refers to.
    #[inline]
    pub(crate) fn reference(&self, sought: Sought, attribute: Sym) -> Option<Uid> {
        let attrs = self.variables[sought.variable() as usize]?;
        match attrs.get(*self.syms.get(attribute.index())?)? {
            Value::Entity(uid) => Some(uid.uid()),
            _ => None,
        }
    }

    /// The working memory, which fills up from candidate to candidate.
    #[inline]
    pub(crate) fn arena(&self) -> &'a Bump {
        self.arena
    }

    /// Whether conjuncts of a condition hold, one after the other.
    #[inline]
    pub(crate) fn all_hold(&self, conjuncts: &[NodeId]) -> Result<bool, Raise> {
        for conjunct in conjuncts {
            if !self.conjunct_holds(*conjunct)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
