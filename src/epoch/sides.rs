//! Policies by one side of their scopes alone: for searches, in which the other side is open.
//!
//! The scope index files each policy once, under the rarer of its two sides; that may be the open one. So there is a list
//! for each side, made when a search first asks, of eight bytes a policy.

use std::sync::OnceLock;

use crate::id::Uid;
use crate::program::Span;

use super::link::{ActionTest, Row, ScopeTest};

/// The lists of a linked program.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    principal: OnceLock<Filing>,
    resource: OnceLock<Filing>,
}

/// Rows by the entity that one side must be or be below, or else by the actions that they are for.
#[derive(Debug)]
pub(crate) struct Filing {
    by_entity: Vec<(Uid, u32)>,
    by_action: Vec<(Uid, u32)>,
    rest: Vec<u32>,
}

impl Sides {
    pub(crate) fn by_principal(&self, rows: &[Row], action_lists: &[Uid]) -> &Filing {
        self.principal
            .get_or_init(|| Filing::new(rows, action_lists, |row| row.principal))
    }

    pub(crate) fn by_resource(&self, rows: &[Row], action_lists: &[Uid]) -> &Filing {
        self.resource
            .get_or_init(|| Filing::new(rows, action_lists, |row| row.resource))
    }
}

impl Filing {
    fn new(rows: &[Row], action_lists: &[Uid], side: impl Fn(&Row) -> ScopeTest) -> Self {
        let mut filing = Self {
            by_entity: Vec::new(),
            by_action: Vec::new(),
            rest: Vec::new(),
        };
        for (row, number) in rows.iter().zip(0..) {
            match (side(row).entity(), row.action) {
                (Some(uid), _) => filing.by_entity.push((uid, number)),
                (None, ActionTest::Eq(uid)) => filing.by_action.push((uid, number)),
                (None, ActionTest::In(list)) => filing.add_list(list, action_lists, number),
                (None, ActionTest::Any) => filing.rest.push(number),
            }
        }
        filing.by_entity.sort_unstable();
        filing.by_action.sort_unstable();
        filing
    }

    fn add_list(&mut self, list: Span, action_lists: &[Uid], number: u32) {
        let actions = list.of(action_lists).iter();
        self.by_action.extend(actions.map(|uid| (*uid, number)));
    }

    /// What is filed under an entity of the side.
    pub(crate) fn of_entity(&self, uid: Uid, found: &mut Vec<u32>) {
        filed(&self.by_entity, uid, found);
    }

    /// What is filed under an action, or under a group of actions.
    pub(crate) fn of_action(&self, uid: Uid, found: &mut Vec<u32>) {
        filed(&self.by_action, uid, found);
    }

    /// What is for all entities of the side, or of a type of them, and for all actions.
    pub(crate) fn rest(&self) -> &[u32] {
        &self.rest
    }
}

fn filed(pairs: &[(Uid, u32)], uid: Uid, found: &mut Vec<u32>) {
    let start = pairs.partition_point(|(filed, _)| *filed < uid);
    let rows = pairs.get(start..).unwrap_or_default().iter();
    found.extend(
        rows.take_while(|(filed, _)| *filed == uid)
            .map(|(_, number)| *number),
    );
}
