//! What a caller says in a request, before any program or entity is looked at.

pub(crate) mod serialize;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
mod tests;
pub mod values;
