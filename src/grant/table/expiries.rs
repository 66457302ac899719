//! When the grants of a table are over, or not valid yet, and where these are.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::{Instant, SystemTime};

use super::super::standing::Expiry;

/// By each of the two clocks, as either ends a grant.
#[derive(Default)]
pub(super) struct Expiries {
    dates: BTreeSet<(SystemTime, u32)>,
    deadlines: BTreeSet<(Instant, u32)>,
    /// From when on their chains are valid, as a clock may be set back to before that.
    starts: BTreeSet<(SystemTime, u32)>,
}

impl Expiries {
    pub(super) fn insert(&mut self, expiry: &Expiry, slot: u32) {
        self.dates.extend(expiry.date.map(|date| (date, slot)));
        let deadline = expiry.deadline.map(|deadline| (deadline, slot));
        self.deadlines.extend(deadline);
        self.starts
            .extend(expiry.not_before.map(|from| (from, slot)));
    }

    pub(super) fn remove(&mut self, expiry: &Expiry, slot: u32) {
        if let Some(date) = expiry.date {
            self.dates.remove(&(date, slot));
        }
        if let Some(deadline) = expiry.deadline {
            self.deadlines.remove(&(deadline, slot));
        }
        if let Some(from) = expiry.not_before {
            self.starts.remove(&(from, slot));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.dates.is_empty() && self.deadlines.is_empty() && self.starts.is_empty()
    }

    /// Where those are that are over, or not valid yet, each once.
    pub(super) fn due(&self, date: SystemTime, now: Instant) -> Vec<u32> {
        let dates = self.dates.range(..=(date, u32::MAX));
        let deadlines = self.deadlines.range(..=(now, u32::MAX));
        let ahead = (Bound::Excluded((date, u32::MAX)), Bound::Unbounded);
        let dated = dates.chain(self.starts.range(ahead));
        let dated = dated.map(|(_, slot)| *slot);
        let due = dated.chain(deadlines.map(|(_, slot)| *slot));
        let mut due: Vec<u32> = due.collect();
        due.sort_unstable();
        due.dedup();
        due
    }
}
