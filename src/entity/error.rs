//! What was wrong with entity data.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::id::EntityUid;
use crate::limits::LimitExceeded;

/// No more problems than this are collected of one load.
pub(crate) const MAX_PROBLEMS: usize = 100;

/// Entities that were refused. All problems that were found are told together, up to a hundred of one load: a wrong file has
/// one with every entity.
///
/// The store that was in force before stays in force.
///
/// `Debug` prints what `Display` does: it is what `unwrap`, and `main` when it returns an error, show.
#[derive(Clone, PartialEq, Eq)]
pub struct EntityError {
    problems: Vec<EntityProblem>,
}

/// One problem with entity data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntityProblem {
    pub(crate) file: Option<Arc<str>>,
    /// Boxed, so that a result is no larger than it must be.
    entity: Option<Box<EntityUid>>,
    place: Option<Place>,
    pub(crate) limit: Option<LimitExceeded>,
    pub(crate) message: String,
}

/// A place in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    line: u32,
    column: u32,
    offset: u64,
}

/// The entities that something is wrong with already: what else is may come of that.
pub(super) fn entities_of(problems: &[EntityProblem]) -> HashSet<EntityUid> {
    let entities = problems.iter().filter_map(EntityProblem::entity);
    entities.cloned().collect()
}

impl EntityError {
    /// `None` when there is no problem.
    pub(crate) fn from_problems(mut problems: Vec<EntityProblem>) -> Option<Self> {
        problems.truncate(MAX_PROBLEMS);
        (!problems.is_empty()).then_some(Self { problems })
    }

    pub(crate) fn problems_mut(&mut self) -> &mut [EntityProblem] {
        &mut self.problems
    }

    /// The problems, of a load file by file in the order of the data; at least one.
    pub fn problems(&self) -> &[EntityProblem] {
        &self.problems
    }
}

impl EntityProblem {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self {
            file: None,
            entity: None,
            place: None,
            limit: None,
            message: message.to_string(),
        }
    }

    pub(crate) fn in_file(mut self, file: &str) -> Self {
        self.file = Some(file.into());
        self
    }

    pub(crate) fn of(mut self, entity: EntityUid) -> Self {
        self.entity = Some(Box::new(entity));
        self
    }

    /// Line and column from 1, and bytes from 0.
    pub(crate) fn at(mut self, (line, column): (usize, usize), offset: u64) -> Self {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.place = Some(Place {
            line: number(line),
            column: number(column),
            offset,
        });
        self
    }

    /// The file that the problem is in, where the entity came from one.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The entity that the problem is with, where it could be told.
    pub fn entity(&self) -> Option<&EntityUid> {
        self.entity.as_deref()
    }

    /// Line and column (from 1, in characters) in the text that the entities came from, where there is one.
    pub fn position(&self) -> Option<(u32, u32)> {
        self.place.map(|place| (place.line, place.column))
    }

    /// The same place in bytes from the beginning of the text.
    pub fn offset(&self) -> Option<u64> {
        self.place.map(|place| place.offset)
    }

    /// The limit that was exceeded, when that is the problem.
    pub fn limit(&self) -> Option<LimitExceeded> {
        self.limit
    }

    /// What is wrong, without file, entity and position.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<LimitExceeded> for EntityProblem {
    fn from(limit: LimitExceeded) -> Self {
        Self {
            limit: Some(limit),
            ..Self::new(limit)
        }
    }
}

impl From<EntityProblem> for EntityError {
    fn from(problem: EntityProblem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for EntityProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.is_none() && self.entity.is_none() {
            // Of several texts that are loaded together, which.
            f.write_str("entities: ")?;
        }
        match (&self.file, self.position()) {
            (Some(file), Some((line, column))) => write!(f, "{file}:{line}:{column}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, Some((line, column))) => write!(f, "line {line}, column {column}: ")?,
            (None, None) => {}
        }
        if let Some(entity) = &self.entity {
            write!(f, "entity {entity}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for EntityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let line = if i == 0 { "" } else { "\n" };
            write!(f, "{line}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for EntityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityError:\n{self}")
    }
}

impl std::error::Error for EntityError {}
impl std::error::Error for EntityProblem {}
