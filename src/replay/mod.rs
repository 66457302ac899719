//! What is built on a decision: asking stock Cedar about it.

mod locate;

pub use locate::ErrorLocation;
