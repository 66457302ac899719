//! Policies that are filed under no entity: by the class of actions that they are for.

use crate::program::Span;

use super::super::values::Grouping;
use super::actions::ANY;
use super::as_u32;
use super::buckets::{Class, Entry};

/// What is for anybody and anything, or for those of a type: a list for each class of actions, and one for all of them. By class
/// and not by action: a policy for a group of a thousand actions is in one list, unless other policies tell these apart.
#[derive(Debug, Default)]
pub(crate) struct ByClass {
    /// By the number of the class.
    lists: Vec<List>,
    entries: Vec<Entry>,
    /// Numbers of groups.
    groups: Vec<u32>,
}

/// A list, as runs of the entries and the groups.
#[derive(Clone, Copy, Debug, Default)]
struct List {
    entries: Span,
    groups: Span,
}

impl ByClass {
    /// From entries by class.
    pub(super) fn new(mut filed: Vec<(u32, Entry)>, grouping: &mut Grouping<'_>) -> Self {
        // Within a list by what is left to test, as in buckets.
        filed.sort_unstable_by_key(|(class, entry)| {
            (*class, entry.principal, entry.resource, entry.row)
        });
        let mut by_class = Self::default();
        for of_class in filed.chunk_by(|(a, _), (b, _)| a == b) {
            let class = of_class.first().map_or(ANY, |(class, _)| *class) as usize;
            let mut single: Vec<u32> = of_class.iter().map(|(_, entry)| entry.row).collect();
            single.sort_unstable();
            let groups = grouping.group(&mut single);
            let entries = of_class.iter().map(|(_, entry)| *entry);
            let entries = entries.filter(|entry| single.binary_search(&entry.row).is_ok());
            let list = List {
                entries: append(&mut by_class.entries, entries),
                groups: append(&mut by_class.groups, groups),
            };
            by_class.lists.resize(class, List::default());
            by_class.lists.push(list);
        }
        by_class
    }

    /// What every decision looks at: entries, and groups by their numbers in [`super::Index::values`].
    #[inline]
    pub(crate) fn for_any(&self) -> (&[Entry], &[u32]) {
        self.list(ANY as usize)
    }

    /// What is for the actions of a class.
    #[inline]
    pub(crate) fn for_action(&self, class: &Class) -> (&[Entry], &[u32]) {
        match class.number() {
            // Has been looked at.
            number if number == ANY as usize => Default::default(),
            number => self.list(number),
        }
    }

    #[inline]
    fn list(&self, number: usize) -> (&[Entry], &[u32]) {
        let List { entries, groups } = self.lists.get(number).copied().unwrap_or_default();
        (entries.of(&self.entries), groups.of(&self.groups))
    }
}

fn append<T>(to: &mut Vec<T>, items: impl IntoIterator<Item = T>) -> Span {
    let start = to.len();
    to.extend(items);
    Span {
        start: as_u32(start),
        len: as_u32(to.len() - start),
    }
}
