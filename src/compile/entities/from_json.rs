//! Loading entities from JSON, from a text or from a stream.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use bumpalo::Bump;

use crate::entity::{EntityLoader, EntityProblem, MAX_PROBLEMS};
use crate::id::EntityUid;
use crate::json::{
    self, Json, JsonErrorKind, ReadError, StreamError, StreamPosition, StreamReader,
};
use crate::limits::{Limit, Limits};
use crate::schema::SchemaModel;

use super::progress::Reported;
use super::stored;

/// Reads a JSON array of entities, one at a time. An entity that cannot be read is a problem and the next one
/// is read; text that is not JSON ends it.
pub(super) fn load(
    loader: &mut EntityLoader,
    input: impl Read,
    file: Option<&str>,
    schema: Option<&SchemaModel>,
    reported: &mut Reported<'_>,
) {
    let first_problem = loader.problems.len();
    let limits = *loader.limits();
    let depth = limits.attribute_depth().saturating_add(3);
    let mut reader = StreamReader::new(input, depth, limits.input_bytes());
    let mut arena = Bump::new();
    loop {
        arena.reset();
        let (outcome, place) = reader.attempt(&arena);
        if reader.is_cut_off(&outcome) {
            if let Err(error) = reader.fill() {
                loader
                    .problems
                    .push(stream_problem(loader, &reader, &error));
                break;
            }
            continue;
        }
        match outcome {
            Ok(None) => break,
            Ok(Some(entity)) => insert(loader, &reader, &arena, entity, schema),
            Err(error) => {
                let problem = match error.kind {
                    JsonErrorKind::TooDeep => limits.exceeded(Limit::AttributeDepth).into(),
                    kind => EntityProblem::new(format_args!("invalid JSON: {kind}")),
                };
                loader.problems.push(at(problem, reader.position_of(error)));
                break;
            }
        }
        reader.accept(place);
        reported.entity(reader.bytes());
        if loader.problems.len() >= MAX_PROBLEMS {
            break;
        }
    }
    reported.input(reader.bytes());
    let file: Option<Arc<str>> = file.map(Into::into);
    for problem in loader.problems.iter_mut().skip(first_problem) {
        problem.file.clone_from(&file);
    }
}

fn insert<R: Read>(
    loader: &mut EntityLoader,
    reader: &StreamReader<R>,
    arena: &Bump,
    entity: Json<'_>,
    schema: Option<&SchemaModel>,
) {
    let before = loader.problems.len();
    let entity = arena.alloc(entity);
    match json::read_entity(arena, entity, schema, &mut loader.names) {
        Ok(read) => {
            let (attrs, tags) = (stored(read.attrs), stored(read.tags));
            loader.insert(read.uid, attrs, tags, read.parents.to_vec());
        }
        Err(error) => {
            loader.problems.push(unread(entity, reader.read(), error));
        }
    }
    if loader.problems.len() > before {
        let position = reader.position();
        for problem in loader.problems.iter_mut().skip(before) {
            *problem = at(problem.clone(), position);
        }
    }
}

/// An entity that cannot be read; `at` is its place among those of its text.
pub(super) fn unread(entity: &Json<'_>, at: usize, error: ReadError<'_>) -> EntityProblem {
    match json::uid_of_entity(entity) {
        Some((type_name, id)) => EntityProblem::new(error).of(EntityUid::new(type_name, id)),
        None => EntityProblem::new(format_args!("entity number {}: {error}", at + 1)),
    }
}

/// Says of problems with entities of the text where in it each is. What is found once all are read, in the hierarchy and by the
/// schema, knows the entity and not its place: to keep the places of a million would cost every load, and to read a text again
/// costs one that is refused.
pub(super) fn locate(
    input: impl Read,
    file: Option<&str>,
    limits: &Limits,
    problems: &mut [EntityProblem],
) {
    let mut open: HashMap<EntityUid, Vec<usize>> = HashMap::new();
    for (at, problem) in problems.iter().enumerate() {
        if let (Some(uid), None, None) = (problem.entity(), problem.position(), problem.file()) {
            open.entry(uid.clone()).or_default().push(at);
        }
    }
    let file: Option<Arc<str>> = file.map(Into::into);
    let depth = limits.attribute_depth().saturating_add(3);
    let mut reader = StreamReader::new(input, depth, limits.input_bytes());
    let mut arena = Bump::new();
    while !open.is_empty() {
        arena.reset();
        let (outcome, place) = reader.attempt(&arena);
        if reader.is_cut_off(&outcome) {
            match reader.fill() {
                Ok(()) => continue,
                Err(_) => return,
            }
        }
        // It was read before. Where it is another text now, the rest has no place.
        let Ok(Some(entity)) = outcome else { return };
        let uid = json::uid_of_entity(&entity).map(|(name, id)| EntityUid::new(name, id));
        for at in uid.and_then(|uid| open.remove(&uid)).unwrap_or_default() {
            if let Some(problem) = problems.get_mut(at) {
                problem.file.clone_from(&file);
                *problem = self::at(problem.clone(), reader.position());
            }
        }
        reader.accept(place);
    }
}

fn at(problem: EntityProblem, position: StreamPosition) -> EntityProblem {
    let StreamPosition { offset, position } = position;
    problem.at((position.line, position.column), offset)
}

fn stream_problem<R: Read>(
    loader: &EntityLoader,
    reader: &StreamReader<R>,
    error: &StreamError,
) -> EntityProblem {
    match error {
        StreamError::TooLong => {
            let exceeded = loader.limits().exceeded(Limit::InputBytes);
            at(exceeded.into(), reader.position())
        }
        // Where nothing was read, such as of a directory, there is no place to tell.
        StreamError::Io(_) if reader.end().offset == 0 => EntityProblem::new(error),
        StreamError::Io(_) | StreamError::NotUtf8 => at(EntityProblem::new(error), reader.end()),
    }
}
