//! How large a value is, for limits.

use super::{Record, Value};

/// The measures that limits are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Size {
    /// Text bytes plus 8 for every value: close to what it occupies, and the same however it was given.
    pub(crate) bytes: usize,
    /// Records and sets within each other; a record of plain values has depth 1.
    pub(crate) depth: usize,
    /// Elements of the largest set.
    pub(crate) set_elements: usize,
}

impl Size {
    pub(crate) fn of_record(record: Record<'_>) -> Self {
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
        match value {
            Value::String(text) => self.bytes += text.len(),
            Value::Record(record) => self.record(record, depth + 1),
            Value::Set(set) => {
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
