//! From policy text to a program.

pub(crate) mod probe;
pub(crate) mod scan;
pub(crate) mod stack;
