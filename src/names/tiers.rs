//! A stack of tables: what lets a name be added without copying all the others.

use std::sync::Arc;

use crate::value::arena::TableFull;

use super::table::Table;

/// Texts by number, in a short stack of tables of which all but the topmost are never changed again.
///
/// Clones share the tables. To add a text to a clone copies the topmost table if it is small, or else puts a new one
/// on top. A table is merged with the one beneath as soon as that is not an order of magnitude larger (*order* below),
/// so a stack is five or six high at most and each text is moved some eight times for each sixteenfold growth.
/// Numbers go on from table to table, so they never change.
#[derive(Clone, Debug, Default)]
pub(super) struct Tiers {
    base: Arc<Table>,
    upper: Vec<Tier>,
}

#[derive(Clone, Debug)]
struct Tier {
    /// The number of its first text.
    first: usize,
    table: Arc<Table>,
}

/// The topmost table is copied while it weighs no more than this many bytes.
const SMALL: usize = 4096;

/// How large a table is, in powers of sixteen.
fn order(weight: usize) -> u32 {
    (weight / SMALL).max(1).ilog2() / 4
}

impl Tiers {
    pub(super) fn len(&self) -> usize {
        match self.upper.last() {
            None => self.base.len(),
            Some(tier) => tier.first + tier.table.len(),
        }
    }

    /// Bytes of text.
    pub(super) fn text_len(&self) -> usize {
        let upper = self.upper.iter().map(|tier| tier.table.text_len());
        self.base.text_len() + upper.sum::<usize>()
    }

    /// The number of a text.
    #[inline]
    pub(super) fn find(&self, hash: u32, first: &str, second: &str) -> Option<usize> {
        // Most of what is asked for is in the base, which holds what was loaded.
        match self.base.find(hash, first, second) {
            None if !self.upper.is_empty() => self.find_above(hash, first, second),
            found => found,
        }
    }

    #[inline(never)]
    fn find_above(&self, hash: u32, first: &str, second: &str) -> Option<usize> {
        self.upper.iter().find_map(|tier| {
            let row = tier.table.find(hash, first, second)?;
            Some(tier.first + row)
        })
    }

    #[inline]
    pub(super) fn tag(&self, number: usize) -> Option<u32> {
        match self.base.tag(number) {
            None => {
                let (table, row) = self.locate(number)?;
                table.tag(row)
            }
            tag => tag,
        }
    }

    pub(super) fn parts(&self, number: usize) -> Option<(&str, &str)> {
        let (table, row) = self.locate(number)?;
        table.parts(row)
    }

    fn locate(&self, number: usize) -> Option<(&Table, usize)> {
        if number < self.base.len() {
            return Some((&self.base, number));
        }
        let tier = self.upper.iter().rfind(|tier| tier.first <= number)?;
        Some((&tier.table, number - tier.first))
    }

    /// Adds a text that is not there.
    pub(super) fn add(
        &mut self,
        hash: u32,
        first: &str,
        second: &str,
        tag: u32,
    ) -> Result<(), TableFull> {
        let top = self.top();
        if Arc::get_mut(top).is_none() && top.weight() > SMALL {
            self.raise();
        }
        Arc::make_mut(self.top()).add(hash, first, second, tag)
    }

    fn top(&mut self) -> &mut Arc<Table> {
        match self.upper.last_mut() {
            Some(tier) => &mut tier.table,
            None => &mut self.base,
        }
    }

    /// Puts an empty table on top, after merging what has come to be of one order.
    fn raise(&mut self) {
        while let Some(top) = self.upper.last() {
            let below = match self.upper.len().checked_sub(2) {
                Some(below) => &self.upper[below].table,
                None => &self.base,
            };
            if order(below.weight()) > order(top.table.weight()) {
                break;
            }
            let Some(merged) = Table::merged(below, &top.table) else {
                break;
            };
            self.upper.pop();
            *self.top() = Arc::new(merged);
        }
        self.upper.push(Tier {
            first: self.len(),
            table: Arc::default(),
        });
    }

    #[cfg(test)]
    pub(super) fn height(&self) -> usize {
        1 + self.upper.len()
    }
}
