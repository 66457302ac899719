//! Policies by id: a table of numbers, whose keys are the policies'.

use ahash::RandomState;
use hashbrown::HashTable;

use super::Policy;

#[derive(Debug, Default)]
pub(super) struct IdTable {
    hasher: RandomState,
    table: HashTable<u32>,
}

impl IdTable {
    pub(super) fn find(&self, id: &str, policies: &[Policy]) -> Option<u32> {
        let is_it = |number: &u32| text(*number, policies) == id;
        self.table.find(self.hasher.hash_one(id), is_it).copied()
    }

    /// Adds a policy whose id is not in the table.
    pub(super) fn insert(&mut self, number: u32, policies: &[Policy]) {
        let hash = |number: u32| self.hasher.hash_one(text(number, policies));
        self.table
            .insert_unique(hash(number), number, |number| hash(*number));
    }

    pub(super) fn shrink(&mut self, policies: &[Policy]) {
        self.table
            .shrink_to_fit(|number| self.hasher.hash_one(text(*number, policies)));
    }
}

fn text(number: u32, policies: &[Policy]) -> &str {
    policies
        .get(number as usize)
        .map_or("", |policy| policy.id.as_str())
}
