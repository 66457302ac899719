//! How large a value is, for limits.

use crate::limits::{Limit, LimitExceeded, Limits};

use super::{Record, Value, View};

/// How large a record may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    bytes: (Limit, usize),
    depth: (Limit, usize),
    set_elements: usize,
}

impl Bounds {
    /// Those of a context.
    pub(crate) fn context(limits: &Limits) -> Self {
        Self {
            bytes: (Limit::ContextBytes, limits.context_bytes()),
            depth: (Limit::ContextDepth, limits.context_depth()),
            set_elements: limits.set_elements(),
        }
    }

    /// Those of an entity's attributes or tags.
    pub(crate) fn attributes(limits: &Limits) -> Self {
        Self {
            bytes: (Limit::AttributeBytes, limits.attribute_bytes()),
            depth: (Limit::AttributeDepth, limits.attribute_depth()),
            set_elements: limits.set_elements(),
        }
    }

    /// None but the bound on depth that every reader has: for what is checked later, where it is stored.
    pub(crate) fn unchecked() -> Self {
        Self {
            bytes: (Limit::AttributeBytes, usize::MAX),
            depth: (Limit::AttributeDepth, usize::MAX),
            set_elements: usize::MAX,
        }
    }

    /// The bound on depth, which writers keep while they write.
    pub(crate) fn depth(&self) -> (Limit, usize) {
        self.depth
    }

    /// Whether a record keeps within the bounds.
    pub(crate) fn check(&self, record: Record<'_>) -> Result<(), LimitExceeded> {
        let size = Size::of_record(record);
        for ((limit, allowed), found) in [
            (self.bytes, size.bytes),
            (self.depth, size.depth),
            ((Limit::SetElements, self.set_elements), size.set_elements),
        ] {
            if found > allowed {
                return Err(LimitExceeded::new(limit, allowed, found));
            }
        }
        Ok(())
    }
}

/// The measures that limits are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Size {
    /// Text bytes plus 8 for every value: close to what it occupies, and the same however it was given.
    bytes: usize,
    /// Records and sets within each other; a record of plain values has depth 1.
    depth: usize,
    /// Elements of the largest set.
    set_elements: usize,
}

impl Size {
    fn of_record(record: Record<'_>) -> Self {
        let mut size = Self::default();
        size.record(record, 1);
        size
    }

    fn record(&mut self, record: Record<'_>, depth: usize) {
        self.depth = self.depth.max(depth);
        for (_, value) in record.iter() {
            self.bytes += 8;
            self.value(value, depth);
        }
    }

    fn value(&mut self, value: Value<'_>, depth: usize) {
        match value.view() {
            View::String(text) => self.bytes += text.len(),
            View::Record(record) => self.record(record, depth + 1),
            View::Set(set) => {
                self.depth = self.depth.max(depth + 1);
                self.set_elements = self.set_elements.max(set.len());
                for item in set.iter() {
                    self.bytes += 8;
                    self.value(item, depth + 1);
                }
            }
            _ => {}
        }
    }
}
