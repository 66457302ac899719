//! Entities: the data that policies are about.

mod error;
mod hierarchy;
mod store;
#[cfg(test)]
mod tests;

pub use error::{EntityError, EntityProblem};
pub(crate) use store::{EntityData, EntityLoader, Snapshot};
