//! Duramen.
#![forbid(unsafe_code)]
