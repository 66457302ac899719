//! Compiling: Cedar policies and schemas to programs and schema models; loading entities.

mod arity;
mod entities;
mod error;
mod fold;
mod input;
pub(crate) mod load;
mod lower;
pub(crate) mod outline;
pub(crate) mod probe;
pub(crate) mod scan;
pub(crate) mod schema;
mod share;
pub(crate) mod stack;
pub(crate) mod update;

use std::sync::Arc;

use crate::limits::Limits;

pub use entities::{Entities, EntitiesUpdated, EntityProgress, EntityUpdate};
pub use error::{CompileError, Problem};
pub(crate) use error::{Lines, line_column, take_json_place};
use error::{byte_order_mark, is_like_a_path};
pub use input::{Policies, PolicyProgress};
pub(crate) use input::{SourceFile, parse_uid};
pub use update::PolicyUpdate;

/// Compiles the fragments of one schema; `files` says where each comes from.
pub(crate) fn compile_schema(
    sources: &[schema::SchemaSource<'_>],
    files: &[Option<&Arc<str>>],
    limits: &Limits,
) -> Result<schema::CompiledSchema, CompileError> {
    probe::probe_language().map_err(Problem::new)?;
    let mut problems = Vec::new();
    for (source, file) in sources.iter().zip(files) {
        let scanned = match source {
            schema::SchemaSource::CedarText(text) => scan::scan_cedar_schema(text, limits),
            schema::SchemaSource::JsonText(text) => scan::scan_json_schema(text, limits),
        };
        if let Err(error) = scanned {
            problems.push(Problem::from(error).in_file(*file));
        }
    }
    if let Some(error) = CompileError::from_problems(problems) {
        return Err(error);
    }
    stack::with_parser_stack(limits, || schema::compile(sources, limits))
        .map_err(|error| stack::no_thread(limits, &error))?
        .map_err(|error| {
            let file = error
                .source_index
                .and_then(|index| files.get(index).copied().flatten());
            let source = error.source_index.and_then(|index| sources.get(index));
            let mut problem = Problem::from(error).in_file(file);
            if let Some(help) = source.and_then(|source| advice(file, source)) {
                problem.help = Some(help.into());
            }
            problem.into()
        })
}

/// What to do about a text that is no schema of the kind that was said.
fn advice(file: Option<&Arc<str>>, source: &schema::SchemaSource<'_>) -> Option<&'static str> {
    let is_json = |text: &str| text.trim_start().starts_with('{');
    let (schema::SchemaSource::CedarText(text) | schema::SchemaSource::JsonText(text)) = *source;
    byte_order_mark(text).or(match source {
        _ if file.is_some() => None,
        _ if is_like_a_path(text) => Some("a path is read by `Builder::schema_file`"),
        schema::SchemaSource::CedarText(text) if is_json(text) => {
            Some("`Builder::schema_json` takes a schema in Cedar's JSON syntax")
        }
        schema::SchemaSource::JsonText(text) if !is_json(text) => {
            Some("`Builder::schema_str` takes a schema in Cedar's own syntax")
        }
        _ => None,
    })
}
