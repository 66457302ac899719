//! Loading Cedar text.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::compile::error::{Lines, Problem, byte_order_mark, is_like_a_path};
use crate::compile::lower::{LowerError, Lowering};
use crate::compile::scan;
use crate::compile::stack::in_parallel;
use crate::id::PolicyId;
use crate::limits::Limits;
use crate::program::SourceSpan;

use super::parse::{OwnedTree, Parsed, statements};
use super::shape::{Holes, Part, blank, parts, whole};
use super::validate::PolicyValidator;
use super::{BATCH, Loader, around, in_order, template_of};

/// A text that is loaded.
struct Origin<'t> {
    text: &'t Arc<str>,
    file: Option<&'t Arc<str>>,
    lines: Lines<'t>,
}

impl Origin<'_> {
    /// Says where a problem stands.
    fn place(&self, problem: Problem, span: Range<usize>) -> Problem {
        problem.in_file(self.file).at(&self.lines, span)
    }
}

/// What to do about a text that is no policies.
fn advice(file: Option<&Arc<str>>, text: &str) -> Option<&'static str> {
    if let Some(mark) = byte_order_mark(text) {
        return Some(mark);
    }
    match file {
        Some(file) => file
            .ends_with(".cedarschema")
            .then_some("a schema is read by `Builder::schema_file`"),
        None if text.trim_start().starts_with('{') => {
            Some("`Policies::json` takes policies in Cedar's JSON syntax")
        }
        None => path_advice(text),
    }
}

/// What should have been called for a path.
pub(super) fn path_advice(text: &str) -> Option<&'static str> {
    is_like_a_path(text).then_some(
        "a path is read by `Policies::file`, that of a directory by `Policies::directory`",
    )
}

impl Loader<'_> {
    pub(super) fn text(&mut self, file: Option<&Arc<str>>, text: &Arc<str>) {
        let problems = self.problems.len();
        self.statements(file, text);
        if let Some(problem) = self.problems.get_mut(problems)
            && problem.help.is_none()
        {
            problem.help = advice(file, text).map(Into::into);
        }
    }

    fn statements(&mut self, file: Option<&Arc<str>>, text: &Arc<str>) {
        let origin = Origin {
            text,
            file,
            lines: Lines::new(text),
        };
        match scan::scan_policies(text, self.options.limits) {
            Ok(ends) => {
                let statements = ranges(text, &ends);
                if let (Some(_), [_, second, ..]) = (&self.given_id, &statements[..]) {
                    let found = statements.len();
                    let message = format_args!("one policy is expected, and there are {found}");
                    let problem = Problem::new(message);
                    self.problems.push(origin.place(problem, second.clone()));
                    return;
                }
                self.expect(statements.len());
                for batch in statements.chunks(BATCH) {
                    self.batch(&origin, batch);
                }
            }
            Err(error) => self.problems.push(Problem::from(error).in_file(file)),
        }
    }

    /// Loads a text that must be one policy or template, under this id.
    pub(super) fn one(&mut self, id: &PolicyId, text: &Arc<str>) {
        let problems = self.problems.len();
        let before = self.next;
        self.given_id = Some(id.clone());
        self.text(None, text);
        self.given_id = None;
        let found = self.next - before;
        if found != 1 && self.problems.len() == problems {
            let message = format_args!("one policy is expected, and there are {found}");
            self.problems.push(Problem::new(message));
        }
        for problem in self.problems.iter_mut().skip(problems) {
            problem.policy.get_or_insert_with(|| id.clone());
        }
    }

    fn batch(&mut self, origin: &Origin<'_>, batch: &[Range<usize>]) {
        let first = self.next;
        self.next += batch.len();
        if self.is_full {
            return;
        }
        let (problems, warnings) = (self.problems.len(), self.warnings.len());
        if self.parse(origin, batch) {
            if let Some(validator) = self.options.validator {
                self.validate_text(validator, origin, batch, first);
            }
            self.lower_batch(origin, batch, first);
        }
        in_order(self.problems.get_mut(problems..).unwrap_or_default());
        in_order(self.warnings.get_mut(warnings..).unwrap_or_default());
        self.advance(batch.len());
    }

    /// Sees to it that the shapes of all statements are parsed. False, with problems, if Cedar refuses any.
    fn parse(&mut self, origin: &Origin<'_>, batch: &[Range<usize>]) -> bool {
        let all = around(batch);
        let texts: Vec<&str> = batch
            .iter()
            .map(|range| &origin.text[range.clone()])
            .collect();
        for share in [self.options.parse_once, false] {
            if self.shapes.parse(&texts, share, self.options.limits) {
                return true;
            }
            // Cedar's errors are those of the text itself. If it has none, a shape is at fault, although none is
            // known to be: each statement by itself, then.
            if let Err(errors) = statements(&origin.text[all.clone()]) {
                for error in errors.iter() {
                    let text = Some((&origin.lines, all.start));
                    let problem = Problem::from_cedar(error.into(), text);
                    self.problems.push(problem.in_file(origin.file));
                }
                return false;
            }
        }
        let problem = Problem::new("Cedar does not parse the text statement by statement");
        self.problems.push(origin.place(problem, all));
        false
    }

    fn validate_text(
        &mut self,
        validator: &PolicyValidator,
        origin: &Origin<'_>,
        batch: &[Range<usize>],
        first: usize,
    ) {
        let loader = &*self;
        let id_of = |parsed: &Parsed, number| loader.id_of(parsed.annotation("id"), number);
        let numbered: Vec<_> = batch.iter().cloned().zip(first..).collect();
        let parts = in_parallel(self.options.limits, &numbered, |part| {
            let ranges: Vec<_> = part.iter().map(|(range, _)| range.clone()).collect();
            let all = around(&ranges);
            // The batch has been parsed before, in shapes. What cannot be parsed here would go without validation.
            let parsed = statements(&origin.text[all.clone()]).ok()?;
            let named = parsed
                .into_iter()
                .zip(part)
                .map(|(parsed, (_, number))| (id_of(&parsed, *number), parsed));
            let named: Vec<_> = named.collect();
            let templates: Vec<_> = named.iter().filter_map(template_of).collect();
            let all_are_there = named.len() == part.len();
            all_are_there.then(|| (all.start, templates, validator.validate(named)))
        });
        for part in parts {
            let Some((offset, templates, verdicts)) = part else {
                let problem =
                    Problem::new("Cedar does not parse for validation what it has parsed");
                self.problems.push(origin.place(problem, around(batch)));
                continue;
            };
            self.cedar_templates.extend(templates);
            for verdict in verdicts {
                self.verdict(verdict, Some((&origin.lines, offset)), origin.file);
            }
        }
    }

    fn lower_batch(&mut self, origin: &Origin<'_>, batch: &[Range<usize>], first: usize) {
        for ((index, range), number) in batch.iter().enumerate().zip(first..) {
            if let Err(problem) = self.lower_statement(origin, range, index, number) {
                let place = |problem: Box<Problem>| origin.place(*problem, range.clone());
                self.problems.extend(problem.map(place));
            }
            if self.is_full {
                return;
            }
        }
    }

    /// Lowers the batch's statement number `index`; `Err(None)` where the problem has been told before.
    fn lower_statement(
        &mut self,
        origin: &Origin<'_>,
        range: &Range<usize>,
        index: usize,
        number: usize,
    ) -> Result<(), Option<Box<Problem>>> {
        let text = &origin.text[range.clone()];
        let annotation = match self.ids_from_annotations {
            true => self.shapes.annotation(index, text, "id"),
            false => None,
        };
        let id = self.id_of(annotation.as_deref(), number);
        if self.is_taken(&id) {
            return Err(self.clash(&id, origin.file, Some((origin.text, &origin.lines))));
        }
        let source = self.span(origin, range);
        let mut added = self
            .shapes
            .lower(index, text, &id, source, &mut self.lowering);
        if added == Err(LowerError::Unfit) {
            self.shapes.set_unfit(index, text);
            added = self
                .shapes
                .lower(index, text, &id, source, &mut self.lowering);
        }
        match added {
            Ok(template) => {
                self.templates
                    .extend(template.map(|template| (id, template)));
                Ok(())
            }
            Err(error) => Err(Some(Box::new(self.lower_problem(error, &id)))),
        }
    }

    fn span(&mut self, origin: &Origin<'_>, range: &Range<usize>) -> Option<SourceSpan> {
        Some(SourceSpan {
            source: self
                .lowering
                .out
                .source(origin.text, origin.file, false)
                .ok()?,
            start: u32::try_from(range.start).ok()?,
            end: u32::try_from(range.end).ok()?,
        })
    }
}

/// The statements that end at `ends`, without what is blank before them, and what is left unended, if anything.
fn ranges(text: &str, ends: &[usize]) -> Vec<Range<usize>> {
    let mut ranges = Vec::with_capacity(ends.len());
    let mut start = 0;
    for end in ends.iter().copied().chain([text.len()]) {
        let statement = text.get(start..end).unwrap_or_default();
        let blank = blank(statement);
        if blank < statement.len() {
            ranges.push(start + blank..end);
        }
        start = end;
    }
    ranges
}

/// The shapes that have been met, and the statements of the current batch in terms of them.
#[derive(Default)]
pub(super) struct Shapes {
    known: HashMap<Part, usize>,
    trees: Vec<Result<OwnedTree, LowerError>>,
    /// Of each statement its parts: the number of the tree, and where the literals stand in the statement.
    batch: Vec<Vec<(usize, Vec<Range<usize>>)>>,
}

/// More shapes than this are forgotten before the next batch: at some 5 kB each, 20 MB.
const MOST: usize = 4096;

impl Shapes {
    /// Finds the shapes of a batch and parses those that are new. False if Cedar refuses one: then none of the
    /// batch is kept.
    fn parse(&mut self, texts: &[&str], share: bool, limits: &Limits) -> bool {
        if self.trees.len() > MOST {
            self.known.clear();
            self.trees.clear();
        }
        self.batch.clear();
        let mut new = Vec::new();
        for text in texts {
            let parts = if share { parts(text) } else { whole(text) };
            let parts = parts.into_iter().map(|(part, holes)| {
                let next = self.trees.len() + new.len();
                let tree = *self.known.entry(part).or_insert_with_key(|part| {
                    new.push(part.clone());
                    next
                });
                (tree, holes)
            });
            self.batch.push(parts.collect());
        }
        let parsed = in_parallel(limits, &new, parse_all);
        let is_parsed = parsed.iter().all(Option::is_some);
        if is_parsed {
            self.trees.extend(parsed.into_iter().flatten().flatten());
        } else {
            for part in &new {
                self.known.remove(part);
            }
        }
        is_parsed
    }

    /// A statement's annotation, if it has it.
    fn annotation(&self, index: usize, text: &str, key: &str) -> Option<Arc<str>> {
        let (tree, holes) = self.batch.get(index)?.first()?;
        let value = self.trees.get(*tree)?.as_ref().ok()?.annotation(key)?;
        let filled = filling(holes, text).filled(value);
        Some(filled.unwrap_or_else(|| value.into()))
    }

    /// Lowers a statement; gives the number of the template, if it is one.
    fn lower(
        &mut self,
        index: usize,
        text: &str,
        id: &PolicyId,
        source: Option<SourceSpan>,
        lowering: &mut Lowering,
    ) -> Result<Option<u32>, LowerError> {
        let mut parts = Vec::new();
        for (tree, holes) in self.batch.get(index).into_iter().flatten() {
            match self.trees.get(*tree) {
                Some(Ok(tree)) => parts.push(tree.view(filling(holes, text))),
                Some(Err(error)) => return Err(error.clone()),
                None => {}
            }
        }
        lowering.add(id.clone(), &mut parts, source)
    }

    /// Gives a statement a tree of its own.
    fn set_unfit(&mut self, index: usize, text: &str) {
        let parsed = parse_all(&[Part::Whole(text.to_owned())]).and_then(|mut trees| trees.pop());
        let unparsed = || {
            Err(LowerError::Unsupported(
                "text that Cedar does not parse".into(),
            ))
        };
        if let Some(statement) = self.batch.get_mut(index) {
            *statement = vec![(self.trees.len(), Vec::new())];
            self.trees.push(parsed.unwrap_or_else(unparsed));
        }
    }
}

fn filling(holes: &[Range<usize>], text: &str) -> Holes {
    Holes::new(
        holes
            .iter()
            .map(|hole| Arc::from(text.get(hole.clone()).unwrap_or_default())),
    )
}

/// Parses parts of statements; `None` if Cedar refuses any.
fn parse_all(parts: &[Part]) -> Option<Vec<Result<OwnedTree, LowerError>>> {
    let texts: Vec<String> = parts.iter().map(Part::to_policy).collect();
    let parsed = statements(&texts.join("\n")).ok()?;
    let trees: Vec<_> = parsed.iter().map(OwnedTree::of).collect();
    let is_expected = |(part, tree): (&Part, &Result<OwnedTree, _>)| match tree {
        Ok(tree) => part
            .clauses()
            .is_none_or(|clauses| tree.clauses() == clauses),
        Err(_) => true,
    };
    let all = parts.len() == trees.len() && parts.iter().zip(&trees).all(is_expected);
    all.then_some(trees)
}
