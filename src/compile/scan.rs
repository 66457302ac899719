//! Bounds on text before Cedar sees it.
//!
//! Cedar recurses over what it reads without looking at the stack (numbers in
//! [`stack`](super::stack)), so the depth of what it will build has to be known first. One pass over
//! the bytes, no recursion, no allocation but a stack of open brackets that [`Limits::nesting`]
//! bounds. Only lexing, the one place where Duramen does it: what is not Cedar or not JSON is left
//! for the real parser to refuse with a better message.
//!
//! What makes Cedar's trees deep stands in [`cedar`].
//!
//! # What makes them large
//!
//! Text makes about as many nodes as it has tokens, with one exception that [`Limits::doubling`]
//! bounds: some operands are copied, and the copies' copies. They are summed up along a path as well,
//! counting only the operators that copy.

mod cedar;
mod json;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed assumption must fail the test")]
mod tests;

use crate::limits::{Limit, LimitExceeded, Limits};

use super::error::{Problem, line_column};
use cedar::{CedarScan, Dialect};
use json::{JsonKind, JsonScan};

/// Where a text goes beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanError {
    /// The limit, and what the text has of it up to here.
    exceeded: LimitExceeded,
    /// Where the token that was one too many stands: bytes, and line and column from 1, the column in characters.
    offset: usize,
    line: u32,
    column: u32,
}

impl ScanError {
    fn new(text: &str, offset: usize, exceeded: LimitExceeded) -> Self {
        let (line, column) = line_column(text, offset);
        Self {
            exceeded,
            offset,
            line,
            column,
        }
    }
}

impl From<ScanError> for Problem {
    fn from(error: ScanError) -> Self {
        Self {
            position: Some((error.line, error.column)),
            span: Some(error.offset..error.offset),
            ..Self::from(error.exceeded)
        }
    }
}

/// Checks policies in Cedar syntax: bytes, brackets, operator chains, number of policies. Gives the offsets
/// behind the `;` that end them.
///
/// # Errors
/// At the first place that goes beyond one of `limits`.
pub(crate) fn scan_policies(text: &str, limits: &Limits) -> Result<Vec<usize>, ScanError> {
    CedarScan::new(text, limits, Dialect::Policies).run()
}

/// Checks a schema in Cedar syntax: bytes, brackets, `Set<Set<…>>`, number of declared names.
///
/// # Errors
/// At the first place that goes beyond one of `limits`.
pub(crate) fn scan_cedar_schema(text: &str, limits: &Limits) -> Result<(), ScanError> {
    CedarScan::new(text, limits, Dialect::Schema)
        .run()
        .map(|_| ())
}

/// Checks policies in Cedar's JSON format: bytes, nesting, doubling, and the length of each list of
/// conditions, which becomes one conjunction.
///
/// # Errors
/// At the first place that goes beyond one of `limits`.
pub(crate) fn scan_json_policies(text: &str, limits: &Limits) -> Result<(), ScanError> {
    JsonScan::new(text, limits, JsonKind::Policies).run()
}

/// Checks a schema in Cedar's JSON format: bytes, nesting, number of declared names.
///
/// # Errors
/// At the first place that goes beyond one of `limits`.
pub(crate) fn scan_json_schema(text: &str, limits: &Limits) -> Result<(), ScanError> {
    JsonScan::new(text, limits, JsonKind::Schema).run()
}

/// The first byte that is beyond `input_bytes`, as a character's start.
fn check_bytes(text: &str, limits: &Limits) -> Result<(), ScanError> {
    limits
        .check(Limit::InputBytes, text.len())
        .map_err(|exceeded| {
            let mut offset = exceeded.allowed();
            while !text.is_char_boundary(offset) {
                offset -= 1;
            }
            ScanError::new(text, offset, exceeded)
        })
}

/// Moves `at` from behind an opening quote to behind the closing one; false if there is none. Cedar
/// and JSON agree on what ends a string.
pub(super) fn skip_string(bytes: &[u8], at: &mut usize) -> bool {
    while let Some(&byte) = bytes.get(*at) {
        *at += 1;
        match byte {
            b'"' => return true,
            b'\\' => *at += 1,
            _ => {}
        }
    }
    false
}
