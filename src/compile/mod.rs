//! Compiling: Cedar policies and schemas to programs and schema models; loading entities.

mod arity;
mod entities;
mod error;
mod fold;
mod input;
mod lower;
pub(crate) mod probe;
pub(crate) mod scan;
pub(crate) mod schema;
pub(crate) mod source;
pub(crate) mod stack;

pub use entities::Entities;
pub use error::{CompileError, Problem};
pub use input::Policies;
