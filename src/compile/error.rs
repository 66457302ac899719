//! What was wrong with policies or a schema.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use cedar_policy::ffi::DetailedError;

use crate::id::PolicyId;
use crate::limits::LimitExceeded;

/// Policies or a schema that were refused. All problems that were found are told together.
///
/// What was in force before stays in force.
///
/// `Debug` prints what `Display` does: it is what `unwrap`, and `main` when it returns an error, show.
#[derive(Clone, PartialEq, Eq)]
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

    /// The problems of one, then those of the other.
    pub(crate) fn join(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let errors = one.into_iter().chain(other);
        Self::from_problems(errors.flat_map(|error| error.problems).collect())
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
        // Cedar's validator begins with what is said before its message anyway.
        let named = format!("for policy `{policy}`, ");
        if let Some(rest) = self.message.strip_prefix(&named) {
            self.message = rest.to_owned();
        }
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

    /// The same where Cedar read JSON, whose errors are `serde_json`'s.
    pub(super) fn from_cedar_json(mut error: DetailedError, text: &str) -> Self {
        match take_json_place(&mut error.message, text) {
            Some(offset) => Self::from_cedar(error, None).at(&Lines::new(text), offset..offset),
            None => Self::from_cedar(error, None),
        }
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

/// Problems, one a line: the first hundred, since a whole set may have the same.
pub(crate) fn lines(f: &mut fmt::Formatter<'_>, problems: &[impl fmt::Display]) -> fmt::Result {
    const SHOWN: usize = 100;
    for (i, problem) in problems.iter().take(SHOWN).enumerate() {
        let line = if i == 0 { "" } else { "\n" };
        write!(f, "{line}{problem}")?;
    }
    match problems.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => write!(f, "\nand {more} more"),
    }
}

/// Whether a text that should be policies, a schema or entities looks like the name of a file or directory that has them.
pub(crate) fn is_like_a_path(text: &str) -> bool {
    // No system takes a longer one, and texts may be very long.
    const LONGEST: usize = 4096;
    if text.len() > LONGEST || text.contains(['\n', '{', '[', '(', ';', '"']) {
        return false;
    }
    let text = text.trim();
    let end = Path::new(text).extension().and_then(OsStr::to_str);
    let is_comment = text.starts_with("//");
    // One word is no policy, no schema and no JSON, but for those that JSON has.
    let is_name = text.starts_with(char::is_alphabetic) && !text.contains(char::is_whitespace);
    matches!(end, Some("cedar" | "cedarschema" | "json"))
        || (text.contains(['/', '\\']) && !is_comment)
        || (is_name && !matches!(text, "true" | "false" | "null"))
}

/// Why a text that some editors would save cannot be read, if it is such a one: what stands before its first character is not
/// seen in any of them.
pub(super) fn byte_order_mark(text: &str) -> Option<&'static str> {
    text.starts_with('\u{feff}').then_some(
        "the text begins with a byte order mark, which Cedar does not read; save it without one",
    )
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
        lines(f, &self.problems)
    }
}

impl fmt::Debug for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompileError:\n{self}")
    }
}

impl std::error::Error for CompileError {}
impl std::error::Error for Problem {}

/// A text in which many places are looked for: 100,000 problems in one text must not count its lines 100,000 times, nor
/// the characters of its one line.
pub(crate) struct Lines<'t> {
    text: &'t str,
    /// Made when the first place is asked for.
    marks: OnceCell<Vec<Mark>>,
}

/// A place that is known: where a line begins, and every [`STEP`] bytes of a long one.
struct Mark {
    offset: usize,
    line: u32,
    column: u32,
}

const STEP: usize = 1024;

impl<'t> Lines<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            marks: OnceCell::new(),
        }
    }

    /// As [`line_column`].
    pub(crate) fn line_column(&self, offset: usize) -> (u32, u32) {
        let marks = self.marks.get_or_init(|| self.marks());
        let offset = match self.text.is_char_boundary(offset) {
            true => offset,
            false => self.text.len(),
        };
        let after = marks.partition_point(|mark| mark.offset <= offset);
        let Some(mark) = after.checked_sub(1).and_then(|at| marks.get(at)) else {
            return (1, 1);
        };
        let between = self.text.get(mark.offset..offset).unwrap_or_default();
        (
            mark.line,
            mark.column.saturating_add(number(between.chars().count())),
        )
    }

    fn marks(&self) -> Vec<Mark> {
        let (mut line, mut column) = (1_u32, 1_u32);
        let mut marks = vec![Mark {
            offset: 0,
            line,
            column,
        }];
        let mut last = 0;
        for (at, character) in self.text.char_indices() {
            let next = at + character.len_utf8();
            (line, column) = match character {
                '\n' => (line.saturating_add(1), 1),
                _ => (line, column.saturating_add(1)),
            };
            if character == '\n' || next - last >= STEP {
                last = next;
                marks.push(Mark {
                    offset: next,
                    line,
                    column,
                });
            }
        }
        marks
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Takes line and column away from the end of what `serde_json` says, and gives the byte that they mean: Cedar does not hand
/// its errors on but as texts.
pub(crate) fn take_json_place(message: &mut String, text: &str) -> Option<usize> {
    let (said, place) = message.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(" column ")?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    let mut start = 0;
    let mut lines = text.split_inclusive('\n');
    for _ in 1..line {
        start += lines.next()?.len();
    }
    // Its columns are bytes, counted from 1; 0 is the end of the line before.
    let byte = (start + column.saturating_sub(1)).min(text.len());
    message.truncate(said.len());
    (0..=byte).rev().find(|at| text.is_char_boundary(*at))
}

/// Line and column (from 1, the column in characters) of a byte offset.
pub(crate) fn line_column(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before[start..].chars().count() + 1;
    (number(line), number(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_alike_from_the_start_and_from_marks() {
        let long = "x\u{fc}\u{1F600}".repeat(900);
        let text = format!("\n{long}\r\n\n{long}{long}\n");
        let lines = Lines::new(&text);
        for offset in 0..text.len() + 3 {
            assert_eq!(
                lines.line_column(offset),
                line_column(&text, offset),
                "{offset}"
            );
        }
        assert_eq!(Lines::new("").line_column(0), (1, 1));
    }

    #[test]
    fn the_place_is_taken_out_of_what_serde_json_says() {
        let text = "{\n  \"\u{fc}\u{fc}\": nope }";
        let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
        let mut message = error.to_string();
        let place = take_json_place(&mut message, text).unwrap();
        assert_eq!(message, "expected ident");
        assert_eq!(line_column(text, place), (2, 10));

        for other in ["no place", "x at line 9 column 1", "x at line 1 column x"] {
            let mut message = other.to_owned();
            let place = take_json_place(&mut message, text);
            assert_eq!((place, message.as_str()), (None, other));
        }
        let mut message = "x at line 2 column 0".to_owned();
        assert_eq!(take_json_place(&mut message, text), Some(2));
        let mut message = "x at line 2 column 99".to_owned();
        assert_eq!(take_json_place(&mut message, text), Some(text.len()));
    }
}
