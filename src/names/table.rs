//! One flat table of texts by number.

use crate::value::arena::TableFull;
use crate::value::same_bytes;

/// Distinct texts, each of two parts, numbered from 0 in the order in which they were added.
///
/// A look-up is one probe of `slots`, one row and one run of bytes: three cache lines in a table that is out of
/// cache. The slots keep 32 bits of each hash, so that nearly every text that is compared is the one looked for,
/// and so that growing and merging need not hash again.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// Open addressing with linear probing. A power of two, at least a third of it free; empty at first.
    slots: Vec<Slot>,
    rows: Vec<Row>,
    /// Both parts of every text, one after the other.
    text: String,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// [`FREE`] when there is none.
    row: u32,
}

const FREE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Row {
    start: u32,
    split: u32,
    end: u32,
    /// A number that goes with the text: the type of a uid.
    tag: u32,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of text.
    pub(super) fn text_len(&self) -> usize {
        self.text.len()
    }

    /// About what copying the table costs, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.text.len() + self.rows.len() * (size_of::<Row>() + 2 * size_of::<Slot>())
    }

    /// The row of a text; `hash` is the text's.
    #[inline]
    pub(super) fn find(&self, hash: u32, first: &str, second: &str) -> Option<usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        loop {
            // Out of range only while there are no slots at all.
            let slot = self.slots.get(at)?;
            if slot.hash == hash && self.is(slot.row, first, second) {
                return Some(slot.row as usize);
            }
            if slot.row == FREE {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// A call of its own: within the loop, each of its comparisons would hold a register while the slots are walked.
    #[inline(never)]
    fn is(&self, row: u32, first: &str, second: &str) -> bool {
        let Some(row) = self.rows.get(row as usize) else {
            return false;
        };
        let (start, end) = (row.start as usize, row.end as usize);
        if (row.split - row.start) as usize != first.len()
            || end.wrapping_sub(start) != first.len() + second.len()
        {
            return false;
        }
        let text = self.text.as_bytes().get(start..end);
        text.and_then(|text| text.split_at_checked(first.len()))
            // The second part first: ids tell apart what types do not.
            .is_some_and(|(a, b)| {
                same_bytes(b, second.as_bytes()) && same_bytes(a, first.as_bytes())
            })
    }

    #[inline]
    pub(super) fn tag(&self, row: usize) -> Option<u32> {
        self.rows.get(row).map(|row| row.tag)
    }

    pub(super) fn parts(&self, row: usize) -> Option<(&str, &str)> {
        let row = self.rows.get(row)?;
        let part = |start: u32, end: u32| self.text.get(start as usize..end as usize);
        Some((part(row.start, row.split)?, part(row.split, row.end)?))
    }

    /// Adds a text that the table does not have.
    pub(super) fn add(
        &mut self,
        hash: u32,
        first: &str,
        second: &str,
        tag: u32,
    ) -> Result<(), TableFull> {
        let offset = |at: usize| u32::try_from(at).map_err(|_| TableFull);
        let start = self.text.len();
        let row = Row {
            start: offset(start)?,
            split: offset(start + first.len())?,
            end: offset(start + first.len() + second.len())?,
            tag,
        };
        self.text.push_str(first);
        self.text.push_str(second);
        self.insert(hash, row)
    }

    fn insert(&mut self, hash: u32, row: Row) -> Result<(), TableFull> {
        let number = u32::try_from(self.rows.len())
            .ok()
            .filter(|number| *number != FREE)
            .ok_or(TableFull)?;
        self.rows.push(row);
        if self.rows.len() * 3 > self.slots.len() * 2 {
            self.grow((self.rows.len() * 2).next_power_of_two().max(8));
        }
        place(&mut self.slots, Slot { hash, row: number });
        Ok(())
    }

    fn grow(&mut self, len: usize) {
        let free = Slot { hash: 0, row: FREE };
        let old = std::mem::replace(&mut self.slots, vec![free; len]);
        for slot in old {
            if slot.row != FREE {
                place(&mut self.slots, slot);
            }
        }
    }

    /// Both tables as one; the numbers of `upper` go on where those of `lower` end. `None` when that is more text
    /// than one table can hold.
    pub(super) fn merged(lower: &Self, upper: &Self) -> Option<Self> {
        let base = u32::try_from(lower.text.len()).ok()?;
        u32::try_from(lower.text.len() + upper.text.len()).ok()?;
        let first = u32::try_from(lower.rows.len()).ok()?;
        let rows = lower.rows.len() + upper.rows.len();
        let mut merged = Self {
            slots: Vec::new(),
            rows: Vec::with_capacity(rows),
            text: String::with_capacity(lower.text.len() + upper.text.len()),
        };
        merged.text.push_str(&lower.text);
        merged.text.push_str(&upper.text);
        merged.rows.extend_from_slice(&lower.rows);
        merged.rows.extend(upper.rows.iter().map(|row| Row {
            start: row.start + base,
            split: row.split + base,
            end: row.end + base,
            tag: row.tag,
        }));
        merged.grow((rows * 3 / 2).next_power_of_two().max(8));
        for slot in lower.slots.iter().filter(|slot| slot.row != FREE) {
            place(&mut merged.slots, *slot);
        }
        for slot in upper.slots.iter().filter(|slot| slot.row != FREE) {
            let row = slot.row + first;
            place(&mut merged.slots, Slot { row, ..*slot });
        }
        Some(merged)
    }
}

/// Puts a slot where a probe will find it. There is a free one: a third of them are.
fn place(slots: &mut [Slot], slot: Slot) {
    let mask = slots.len().wrapping_sub(1);
    let mut at = slot.hash as usize & mask;
    while let Some(there) = slots.get_mut(at) {
        if there.row == FREE {
            *there = slot;
            return;
        }
        at = (at + 1) & mask;
    }
}
