//! Texts in memory that is used again.

use std::fmt::{self, Write};

use super::list::List;

/// Texts, one behind the other, each known by where it stands.
///
/// The default is room for what a request says of itself: three types and ids, an id of the request, those of a trace.
#[derive(Debug)]
pub(super) struct Texts<const FEW: usize = 160>(List<u8, FEW>);

/// A piece of the texts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl<const FEW: usize> Texts<FEW> {
    pub(super) const EMPTY: &'static Self = &Self::new();

    pub(super) const fn new() -> Self {
        Self(List::new(0))
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn add(&mut self, text: &str) -> Span {
        // A line of four gigabytes is not kept by any sink, and neither are pieces of it.
        let start = self.end();
        self.0.extend_from_slice(text.as_bytes());
        let end = self.end();
        Span { start, end }
    }

    pub(super) fn add_display(&mut self, text: impl fmt::Display) -> Span {
        let start = self.end();
        // A list takes everything.
        let _ = write!(self.0, "{text}");
        let end = self.end();
        Span { start, end }
    }

    /// Adds all texts of another.
    pub(super) fn add_all(&mut self, other: &Self) {
        self.0.extend_from_slice(other.0.as_slice());
    }

    pub(super) fn get(&self, span: Span) -> &str {
        let text = self.0.as_slice();
        let text = text.get(span.start as usize..span.end as usize);
        // Spans are those of whole texts.
        str::from_utf8(text.unwrap_or_default()).unwrap_or_default()
    }

    /// Where the next text begins.
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// How much memory the texts take.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<const FEW: usize> Default for Texts<FEW> {
    fn default() -> Self {
        Self::new()
    }
}
