//! What was wrong with policies or a schema.

use std::cell::OnceCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use cedar_policy::ffi::DetailedError;

use crate::id::PolicyId;
use crate::limits::LimitExceeded;

/// Policies or a schema that were refused. All problems that were found are told together.
///
/// What was in force before stays in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompileError {
    problems: Vec<Problem>,
}

/// One problem with a policy or a schema; also the form of validation warnings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub(crate) file: Option<Arc<str>>,
    pub(crate) policy: Option<PolicyId>,
    pub(crate) position: Option<(u32, u32)>,
    pub(crate) span: Option<Range<usize>>,
    pub(crate) limit: Option<LimitExceeded>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl CompileError {
    /// `None` when there is no problem.
    pub(crate) fn from_problems(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// The problems, in the order of the sources; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Problem {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self {
            file: None,
            policy: None,
            position: None,
            span: None,
            limit: None,
            message: message.to_string(),
            help: None,
        }
    }

    pub(crate) fn in_file(mut self, file: Option<&Arc<str>>) -> Self {
        self.file = file.cloned();
        self
    }

    pub(crate) fn of_policy(mut self, policy: PolicyId) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Sets the byte range in a text, and line and column with it.
    pub(super) fn at(mut self, lines: &Lines<'_>, span: Range<usize>) -> Self {
        self.position = Some(lines.line_column(span.start));
        self.span = Some(span);
        self
    }

    /// From one of Cedar's own errors, whose labels are byte ranges in the text that Cedar was given: with `text`,
    /// what that stood at which offset of.
    pub(super) fn from_cedar(error: DetailedError, text: Option<(&Lines<'_>, usize)>) -> Self {
        let mut problem = Self::new(error.message);
        problem.help = error.help;
        if let (Some(label), Some((lines, offset))) = (error.source_locations.first(), text) {
            let span = offset + label.loc.start..offset + label.loc.end;
            problem = problem.at(lines, span);
        }
        problem
    }

    /// The file that the problem is in, when what was loaded has one.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The policy that the problem is with, where it could be told.
    pub fn policy(&self) -> Option<&PolicyId> {
        self.policy.as_ref()
    }

    /// Line and column, from 1, the column in characters.
    pub fn position(&self) -> Option<(u32, u32)> {
        self.position
    }

    /// The byte range in the source text.
    pub fn span(&self) -> Option<Range<usize>> {
        self.span.clone()
    }

    /// The limit that was exceeded, when that is the problem.
    pub fn limit(&self) -> Option<LimitExceeded> {
        self.limit
    }

    /// What is wrong, without file, policy and position.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where Cedar has advice.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl From<LimitExceeded> for Problem {
    fn from(limit: LimitExceeded) -> Self {
        Self {
            limit: Some(limit),
            ..Self::new(limit)
        }
    }
}

impl From<Problem> for CompileError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.position) {
            (Some(file), Some((line, column))) => write!(f, "{file}:{line}:{column}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, Some((line, column))) => write!(f, "line {line}, column {column}: ")?,
            (None, None) => {}
        }
        if let Some(policy) = &self.policy {
            write!(f, "policy {policy}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, " (help: {help})")?;
        }
        Ok(())
    }
}

impl fmt::Display for CompileError {
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

impl std::error::Error for CompileError {}
impl std::error::Error for Problem {}

/// A text with the offsets of its lines, found when the first problem asks: 100,000 problems in one text must not
/// count its lines 100,000 times.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: OnceCell<Vec<usize>>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            starts: OnceCell::new(),
        }
    }

    /// As [`line_column`].
    fn line_column(&self, offset: usize) -> (u32, u32) {
        let starts = self.starts.get_or_init(|| {
            let ends = self
                .text
                .bytes()
                .enumerate()
                .filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0)
                .chain(ends.map(|(at, _)| at + 1))
                .collect()
        });
        let offset = if self.text.is_char_boundary(offset) {
            offset
        } else {
            self.text.len()
        };
        let line = starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|line| starts.get(line));
        let column = self.text[start.copied().unwrap_or_default()..offset]
            .chars()
            .count()
            + 1;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (number(line), number(column))
    }
}

/// Line and column (from 1, the column in characters) of a byte offset.
pub(crate) fn line_column(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before[start..].chars().count() + 1;
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (number(line), number(column))
}
