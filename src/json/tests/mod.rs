//! `serde_json` is the oracle for text, `cedar-policy` for what the text means.

mod name;
mod parse;
mod read;
mod shape;
mod stream;
mod support;

pub(crate) use support::{Names, cedar_equal, expression};
