//! A typed context behind a reference: what lets [`super::Request`] do without a type parameter.

use bumpalo::Bump;
use serde::Serialize;

use crate::limits::LimitExceeded;
use crate::value::{Bounds, Record};

use super::locals::RequestInterner;
use super::serialize;

/// Anything that serializes to a record.
pub(crate) trait WriteRecord: Sync {
    /// Writes the record into the arena.
    fn write<'b>(
        &self,
        arena: &'b Bump,
        names: &mut RequestInterner<'_>,
        fields: Fields,
        bounds: Bounds,
    ) -> Result<Record<'b>, Box<WriteError>>;
}

/// Which fields of a record are copied. All are walked and checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fields {
    /// Those whose names the policies or the entities know: no policy can observe another.
    Known,
    All,
}

/// Why a record could not be written. Boxed where it is returned, so that a record comes in registers.
#[derive(Debug)]
pub(crate) struct WriteError {
    pub(crate) limit: Option<LimitExceeded>,
    /// With the path of what is wrong.
    pub(crate) message: String,
    /// Whether there is a path.
    pub(crate) is_placed: bool,
}

impl WriteError {
    /// One without a path.
    #[cold]
    pub(crate) fn new(message: impl ToString) -> Box<Self> {
        Box::new(Self {
            limit: None,
            message: message.to_string(),
            is_placed: false,
        })
    }
}

impl From<LimitExceeded> for Box<WriteError> {
    #[cold]
    fn from(limit: LimitExceeded) -> Self {
        let mut error = WriteError::new(limit);
        error.limit = Some(limit);
        error
    }
}

impl<T: Serialize + Sync> WriteRecord for T {
    fn write<'b>(
        &self,
        arena: &'b Bump,
        names: &mut RequestInterner<'_>,
        fields: Fields,
        bounds: Bounds,
    ) -> Result<Record<'b>, Box<WriteError>> {
        let shared = names.shared;
        let known = |name: &str| shared.find_sym(name);
        let observed: Option<serialize::Observed<'_>> = match fields {
            Fields::All => None,
            Fields::Known => Some(&known),
        };
        let (limit, max_depth) = bounds.depth();
        let written = serialize::write_record(arena, self, names, max_depth, observed);
        let record = written.map_err(|error| {
            if error.is_too_deep() {
                LimitExceeded::new(limit, max_depth, max_depth + 1).into()
            } else {
                let mut placed = WriteError::new(&error);
                placed.is_placed = !error.path.is_empty();
                placed
            }
        })?;
        // Half of all applications have an empty struct here.
        if record.len() > 0 {
            bounds.check(record)?;
        }
        Ok(record)
    }
}
