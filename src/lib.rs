//! Duramen.
#![forbid(unsafe_code)]

mod compile;
mod ext;
mod id;
mod schema;
mod value;
