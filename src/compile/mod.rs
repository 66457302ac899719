//! From Cedar's own data structures to Duramen's.

pub(crate) mod schema;
