//! Compiling: Cedar policies and schemas to programs and schema models.

mod arity;
mod entities;
mod error;
mod fold;
mod input;
mod lower;
pub(crate) mod source;

pub use entities::Entities;
pub use error::{CompileError, Problem};
pub use input::Policies;
