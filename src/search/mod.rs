//! Searching: who or what may, out of everything in the store.
//!
//! A search fixes all of a request but its principal, its action or its resource, and asks which entities would be
//! allowed in the open place. Asking one by one repeats for each candidate what the fixed parts say already. So a search
//! is planned first ([`plan`]): policies whose scopes cannot match are put aside, conjuncts that do not look at the open
//! place are evaluated once, and what is left of each policy is filed under what it asks of the candidate: nothing, to
//! be below an entity, or to be one. Candidates then come from the whole store or, where only what is below certain
//! entities can be permitted, from there ([`candidates`]).
//!
//! Actions are few and a request's context may be read differently for each, so they are decided one by one.

mod candidates;
mod cursor;
mod error;
mod plan;
mod planner;
mod query;
mod rules;

pub(crate) use candidates::{Bounds, Candidates};
pub use cursor::Cursor;
pub use error::SearchError;
pub(crate) use plan::Plan;
pub use query::Search;
pub(crate) use query::Target;
