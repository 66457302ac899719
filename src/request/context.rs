//! A typed context behind a reference: what lets [`super::Request`] do without a type parameter.

use bumpalo::Bump;
use serde::Serialize;

use crate::limits::Limits;
use crate::value::Record;

use super::locals::RequestInterner;
use super::serialize::{self, Fields};

/// Anything that serializes to a record.
pub(crate) trait WriteRecord {
    /// Writes the record into the arena. On failure the error's text, with the path of what is wrong.
    fn write<'b>(
        &self,
        arena: &'b Bump,
        names: &mut RequestInterner<'_>,
        fields: Fields,
        limits: &Limits,
    ) -> Result<Record<'b>, WriteError>;
}

/// Why a record could not be written.
#[derive(Debug)]
pub(crate) struct WriteError {
    pub(crate) limit: Option<crate::limits::LimitExceeded>,
    pub(crate) message: String,
}

impl<T: Serialize> WriteRecord for T {
    fn write<'b>(
        &self,
        arena: &'b Bump,
        names: &mut RequestInterner<'_>,
        fields: Fields,
        limits: &Limits,
    ) -> Result<Record<'b>, WriteError> {
        serialize::write_record(arena, self, names, fields, limits)
    }
}
