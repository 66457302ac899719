//! Entities: the data that policies are about.

mod ancestors;
mod children;
mod draft;
mod error;
mod hierarchy;
mod loader;
mod members;
mod paged;
mod reclaim;
mod snapshot;
#[cfg(test)]
mod tests;

pub(crate) use ancestors::Ancestors;
pub(crate) use children::Children;
pub use draft::EntityChange;
pub(crate) use draft::{Altered, Draft, Drafted, Part};
pub(crate) use error::MAX_PROBLEMS;
pub use error::{EntityError, EntityProblem};
pub(crate) use loader::EntityLoader;
pub(crate) use reclaim::NamesMark;
pub(crate) use snapshot::{EntityData, Snapshot};
