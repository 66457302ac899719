//! Where a search goes on.

use std::fmt;
use std::str::FromStr;

use crate::id::Uid;

use super::error::SearchError;

/// The place where a search has stopped: continues it with [`Search::after`](super::Search::after).
///
/// Bound to the search, the authorizer and the epoch. Its text (`Display` and `FromStr`) is for web pages and the like.
/// It holds no secret; whoever changes it gets other results of the same search, or an error.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cursor {
    pub(crate) instance: u128,
    pub(crate) epoch: u64,
    pub(crate) search: u64,
    /// The first entity that has not been looked at.
    pub(crate) next: Uid,
}

impl Cursor {
    /// Where to go on, if this cursor is of the search.
    pub(crate) fn resume(
        &self,
        instance: u128,
        epoch: u64,
        search: u64,
    ) -> Result<Uid, SearchError> {
        if self.instance != instance || self.search != search {
            return Err(SearchError::ForeignCursor);
        }
        if self.epoch != epoch {
            return Err(SearchError::StaleCursor {
                of: self.epoch,
                on: epoch,
            });
        }
        Ok(self.next)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            instance,
            epoch,
            search,
            next,
        } = self;
        write!(f, "{instance:x}-{epoch:x}-{search:x}-{:x}", next.index())
    }
}

impl FromStr for Cursor {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        read(text).ok_or(SearchError::MalformedCursor)
    }
}

fn read(text: &str) -> Option<Cursor> {
    let mut parts = text.split('-');
    let mut part = |digits: usize| {
        // `from_str_radix` takes a sign, too.
        let is_hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let part = parts.next().filter(|part| part.len() <= digits);
        u128::from_str_radix(part.filter(is_hex)?, 16).ok()
    };
    let cursor = Cursor {
        instance: part(32)?,
        epoch: u64::try_from(part(16)?).ok()?,
        search: u64::try_from(part(16)?).ok()?,
        next: Uid::known(usize::try_from(part(8)?).ok()?)?,
    };
    parts.next().is_none().then_some(cursor)
}
