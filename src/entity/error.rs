//! What was wrong with entity data.

use std::fmt;

use crate::id::EntityUid;
use crate::limits::LimitExceeded;

/// Entities that were refused. All problems that were found are told together.
///
/// The store that was in force before stays in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntityError {
    problems: Vec<EntityProblem>,
}

/// One problem with entity data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntityProblem {
    pub(crate) entity: Option<EntityUid>,
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

impl EntityError {
    /// `None` when there is no problem.
    pub(crate) fn from_problems(problems: Vec<EntityProblem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// The problems, in the order of the data; at least one.
    pub fn problems(&self) -> &[EntityProblem] {
        &self.problems
    }
}

impl EntityProblem {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self {
            entity: None,
            place: None,
            limit: None,
            message: message.to_string(),
        }
    }

    pub(crate) fn of(mut self, entity: EntityUid) -> Self {
        self.entity = Some(entity);
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

    /// The entity that the problem is with, where it could be told.
    pub fn entity(&self) -> Option<&EntityUid> {
        self.entity.as_ref()
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

    /// What is wrong, without entity and position.
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
        if let Some((line, column)) = self.position() {
            write!(f, "line {line}, column {column}: ")?;
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
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for EntityError {}
impl std::error::Error for EntityProblem {}
