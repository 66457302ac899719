//! Duramen.
#![forbid(unsafe_code)]

pub mod ext;
