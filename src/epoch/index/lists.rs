//! Small sets: the policies by action alone.

use super::actions::ANY;
use super::as_u32;
use super::buckets::{Class, Entry};

/// The policies of each class of actions in a list of its own, those for any action in all of them.
///
/// To ask for a principal, a resource and all that is above them costs 300 instructions, whatever is filed there; to test the
/// scopes of a list costs 12 a policy. So sets in which no action has more than [`SHORT`] policies, as most applications'
/// are, have their lists and nothing else.
#[derive(Debug)]
pub(crate) struct Lists {
    /// By the number of the class.
    lists: Vec<List>,
    entries: Vec<Entry>,
}

/// A list, as runs of the entries.
#[derive(Clone, Copy, Debug)]
struct List {
    /// Where it begins: with policies of which nothing is left to test.
    start: u32,
    /// Where those begin whose sides have to be tested.
    tested: u32,
    end: u32,
}

/// How many policies a list may have.
const SHORT: usize = 8;

impl Lists {
    /// From entries with the classes that they are for; `None` if a list would be longer than [`SHORT`]. Classes are numbered
    /// below `classes`.
    pub(super) fn new<'c>(
        classes: usize,
        policies: impl Iterator<Item = (&'c [u32], Entry)>,
    ) -> Option<Self> {
        let mut lists: Vec<Vec<Entry>> = vec![Vec::new(); classes];
        let all: Vec<u32> = (0..as_u32(classes)).collect();
        for (of, entry) in policies {
            for class in if of == [ANY] { &all } else { of } {
                let list = lists.get_mut(*class as usize)?;
                if list.len() == SHORT {
                    return None;
                }
                list.push(entry);
            }
        }
        let mut entries = Vec::new();
        let lists = lists.into_iter().map(|list| {
            let (tested, untested): (Vec<_>, Vec<_>) = list.into_iter().partition(Entry::is_tested);
            let start = entries.len();
            entries.extend(untested);
            let middle = entries.len();
            entries.extend(tested);
            List {
                start: as_u32(start),
                tested: as_u32(middle),
                end: as_u32(entries.len()),
            }
        });
        let lists = lists.collect();
        Some(Self { lists, entries })
    }

    /// The policies of a class: those that match, and those whose sides have to be tested.
    #[inline]
    pub(crate) fn of(&self, class: &Class) -> (&[Entry], &[Entry]) {
        let Some(list) = self.lists.get(class.number()) else {
            return Default::default();
        };
        let run = |start, end| self.entries.get(start as usize..end as usize);
        (
            run(list.start, list.tested).unwrap_or_default(),
            run(list.tested, list.end).unwrap_or_default(),
        )
    }
}
