//! Duramen.
#![forbid(unsafe_code)]

mod compile;
mod decision;
pub mod ext;
mod id;
mod json;
mod request;
mod schema;
mod value;

pub use id::{EntityUid, EntityUidRef};
pub use request::values;
