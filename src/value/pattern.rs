//! `like` patterns, split at load.

use memchr::memmem::Finder;

use super::same_bytes;

/// One part of a pattern's source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PatternPart {
    /// `*`: any text, also none.
    Any,
    /// A literal character.
    Char(char),
}

/// A compiled pattern: the literal pieces between wildcards.
///
/// Cedar matches Unicode scalar values. Comparing UTF-8 bytes is the same thing here: a piece is valid UTF-8,
/// and valid UTF-8 can only be found in valid UTF-8 at character boundaries.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    /// No wildcard: the text itself.
    Exact(Box<str>),
    /// `first*middle…*last`; any piece may be empty. Middle pieces are searched leftmost first, which is
    /// enough because a later start leaves less text: linear in pieces times the search of each.
    Pieces {
        first: Box<str>,
        middle: Box<[Finder<'static>]>,
        last: Box<str>,
    },
}

impl Pattern {
    pub(crate) fn new(parts: impl IntoIterator<Item = PatternPart>) -> Self {
        let mut pieces = vec![String::new()];
        for part in parts {
            match (part, pieces.last_mut()) {
                (PatternPart::Char(c), Some(piece)) => piece.push(c),
                (PatternPart::Char(c), None) => pieces.push(c.into()),
                (PatternPart::Any, _) => pieces.push(String::new()),
            }
        }
        let last = pieces.pop().unwrap_or_default().into_boxed_str();
        if pieces.is_empty() {
            return Self::Exact(last);
        }
        let first = pieces.remove(0).into_boxed_str();
        let middle = pieces
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .map(|piece| Finder::new(&piece).into_owned())
            .collect();
        Self::Pieces {
            first,
            middle,
            last,
        }
    }

    /// The pieces between wildcards: what tells patterns apart.
    pub(crate) fn pieces(&self) -> Vec<&[u8]> {
        match self {
            Self::Exact(exact) => vec![exact.as_bytes()],
            Self::Pieces {
                first,
                middle,
                last,
            } => std::iter::once(first.as_bytes())
                .chain(middle.iter().map(Finder::needle))
                .chain(std::iter::once(last.as_bytes()))
                .collect(),
        }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => same_bytes(exact.as_bytes(), text.as_bytes()),
            Self::Pieces {
                first,
                middle,
                last,
            } => {
                let Some((head, rest)) = text.as_bytes().split_at_checked(first.len()) else {
                    return false;
                };
                let Some(end) = rest.len().checked_sub(last.len()) else {
                    return false;
                };
                let (mut rest, tail) = rest.split_at(end);
                if !same_bytes(head, first.as_bytes()) || !same_bytes(tail, last.as_bytes()) {
                    return false;
                }
                for piece in middle {
                    let Some(found) = piece.find(rest) else {
                        return false;
                    };
                    rest = rest.get(found + piece.needle().len()..).unwrap_or_default();
                }
                true
            }
        }
    }
}
