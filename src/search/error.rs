//! Why a search cannot be answered.

use crate::decision::Outcome;
use crate::request::RequestError;

/// A search that cannot be answered. Nothing is found rather than too much.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// What is fixed cannot be understood, or the schema does not allow any such request: with one entity in the open
    /// place as with the next, the decision would be [`Outcome::InvalidRequest`](crate::Outcome::InvalidRequest).
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The type to search is not a type name.
    #[error("`{}` is not an entity type name; write identifiers joined by `::`, without spaces or reserved words", .0.escape_debug())]
    TypeName(String),
    /// The schema does not declare the type to search. Without a schema, a type that nothing is of is no error: nothing
    /// is found.
    #[error("the entity type `{}` is not in the schema", .0.escape_debug())]
    UndeclaredType(String),
    /// Policies or entities have changed since the cursor was made. Searches that are to be continued need the same
    /// [`Pinned`](crate::Pinned).
    #[error(
        "the cursor is of epoch {of} and the search is on epoch {on}; go on with the pinned epoch that the search began \
         on, or begin anew"
    )]
    StaleCursor {
        /// The epoch of the cursor.
        of: u64,
        /// The epoch that is searched.
        on: u64,
    },
    /// The cursor is of another search or of another authorizer.
    #[error("the cursor is of another search or of another authorizer")]
    ForeignCursor,
    /// Policies or entities are too old, in which case every decision would have this outcome. A search may look at any
    /// entity, so that every type that has a bound has to be fresh.
    #[error("nothing is searched: {0}")]
    Stale(Outcome),
    /// The text is no cursor.
    #[error("the text is not a cursor")]
    MalformedCursor,
}
