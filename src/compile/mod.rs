//! Compiling: Cedar policies and schemas to programs and schema models.

mod arity;
mod error;
mod fold;
mod lower;
pub(crate) mod source;

pub use error::{CompileError, Problem};
