//! Loading policies: text, JSON, `cedar_policy::PolicySet`s and links, one after the other, into one program.
//!
//! Cedar's part (parsing, syntax trees, validation) is done in batches and on all cores; only one batch's trees
//! are in memory.

mod linked;
mod parse;
mod set;
mod shape;
mod source;
mod text;
mod update;
mod validate;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use cedar_policy::Template;

use crate::id::PolicyId;
use crate::limits::Limit;
use crate::program::{Source, SourceSpan};

use super::error::{CompileError, Lines, Problem};
use super::input::{PolicyProgress, Progress};
use super::lower::{LowerError, Lowering};

use parse::Parsed;
use text::Shapes;
use validate::{Verdict, type_name};

pub(crate) use set::policy_id;
pub(super) use shape::Holes;
pub(crate) use source::{Compiled, Link, Options, PolicySource, Sources, compile};
pub(super) use update::update;
pub(crate) use validate::PolicyValidator;

/// Policies whose trees are in memory at a time: some 12 kB each. Threads are started for each batch, which costs
/// a thousandth of what they do.
const BATCH: usize = 2048;

struct Loader<'a> {
    options: &'a Options<'a>,
    ids_from_annotations: bool,
    progress: &'a Progress,
    done: PolicyProgress,
    lowering: Lowering,
    shapes: Shapes,
    /// The templates' numbers in the program.
    templates: HashMap<PolicyId, u32>,
    /// The templates as Cedar has them, for validating links; empty without a schema.
    cedar_templates: HashMap<PolicyId, Template>,
    /// Type names of slots that have been found to be such.
    type_names: HashSet<String>,
    /// The id of the one policy of the text, where the caller says it.
    given_id: Option<PolicyId>,
    /// The number of the next policy that names itself by position.
    next: usize,
    /// Ids that were refused already, so that one clash is told once.
    refused: HashSet<PolicyId>,
    /// There are more policies than the limit allows: the rest is not looked at.
    is_full: bool,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl<'a> Loader<'a> {
    fn new(options: &'a Options<'a>, ids_from_annotations: bool, progress: &'a Progress) -> Self {
        Self {
            options,
            ids_from_annotations,
            progress,
            done: PolicyProgress::default(),
            lowering: Lowering::new(*options.limits, options.fold),
            shapes: Shapes::default(),
            templates: HashMap::new(),
            cedar_templates: HashMap::new(),
            type_names: HashSet::new(),
            given_id: None,
            next: 0,
            refused: HashSet::new(),
            is_full: false,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn finish(self) -> Result<Compiled, CompileError> {
        if let Some(error) = CompileError::from_problems(self.problems) {
            return Err(error);
        }
        Ok(Compiled {
            program: self.lowering.out.finish().map_err(Problem::new)?,
            warnings: self.warnings,
        })
    }

    /// The id of a policy: the one that was given, its annotation, where that counts, or its position.
    fn id_of(&self, annotation: Option<&str>, number: usize) -> PolicyId {
        match (&self.given_id, annotation) {
            (Some(id), _) => id.clone(),
            (None, Some(id)) if self.ids_from_annotations => PolicyId::new(id),
            _ => PolicyId::new(format!("policy{number}")),
        }
    }

    fn links(&mut self, links: &[Link]) {
        self.expect(links.len());
        for batch in links.chunks(BATCH) {
            let mut linked = Vec::with_capacity(batch.len());
            for link in batch {
                if self.is_full {
                    return;
                }
                match self.link(link) {
                    Ok(()) => linked.push(link),
                    Err(problem) => self.problems.extend(problem.map(|problem| *problem)),
                }
            }
            if let Some(validator) = self.options.validator {
                let templates = &self.cedar_templates;
                let parts = super::stack::in_parallel(self.options.limits, &linked, |links| {
                    validator.validate_links(templates, links)
                });
                for verdict in parts.into_iter().flatten() {
                    self.verdict(verdict, None, None);
                }
            }
            self.advance(batch.len());
        }
    }

    /// Makes a link, or says what is wrong with it, if that was not said before.
    fn link(&mut self, link: &Link) -> Result<(), Option<Box<Problem>>> {
        let refuse = |message: String| {
            let problem = Problem::new(message).of_policy(link.id.clone());
            Some(Box::new(problem))
        };
        for (slot, uid) in [
            ("?principal", &link.slots.principal),
            ("?resource", &link.slots.resource),
        ] {
            let Some(uid) = uid else { continue };
            if !self.type_names.contains(uid.type_name()) {
                type_name(uid.type_name())
                    .map_err(|message| refuse(format!("slot {slot}: {message}")))?;
                self.type_names.insert(uid.type_name().to_owned());
            }
        }
        let cannot = |why: String| refuse(format!("cannot link template {}: {why}", link.template));
        let Some(template) = self.templates.get(&link.template) else {
            // A template that was refused has been reported.
            return Err(match self.refused.contains(&link.template) {
                true => None,
                false if self.is_taken(&link.template) => {
                    cannot("it is a policy, and not a template".into())
                }
                false => cannot("there is no such template".into()),
            });
        };
        if self.is_taken(&link.id) {
            return Err(cannot(format!(
                "duplicate template or policy id `{}`",
                link.id
            )));
        }
        let out = &mut self.lowering.out;
        out.link(link.id.clone(), *template, &link.slots)
            .map_err(|error| cannot(error.to_string()))?;
        self.lowering
            .check_count()
            .map_err(|error| Some(Box::new(self.lower_problem(error, &link.id))))
    }

    /// Whether a policy or template has the id.
    fn is_taken(&self, id: &PolicyId) -> bool {
        self.templates.contains_key(id) || self.lowering.out.program.find(id.as_str()).is_some()
    }

    /// Refuses an id that is taken, and says where by; `None` if that has been said. `here` is the text that has it again.
    fn clash(
        &mut self,
        id: &PolicyId,
        file: Option<&Arc<str>>,
        here: Option<(&Arc<str>, &Lines<'_>)>,
    ) -> Option<Box<Problem>> {
        if !self.refused.insert(id.clone()) {
            return None;
        }
        let mut message = format!("duplicate template or policy id `{id}`");
        if let Some((source, span)) = self.source_of(id) {
            if let Some((text, lines)) = here
                && Arc::ptr_eq(&source.text, text)
            {
                let (line, column) = lines.line_column(span.start as usize);
                message += &format!(": line {line}, column {column} has it already");
            } else if let Some(other) = source.file.as_ref().filter(|other| Some(*other) != file) {
                // Lines of other files are not counted: there may be as many clashes with one file as it has policies.
                message += &format!(": {other} has it already");
            }
        }
        Some(Box::new(Problem::new(message).of_policy(id.clone())))
    }

    /// Where the template or the policy of an id stands.
    fn source_of(&self, id: &PolicyId) -> Option<(&Source, SourceSpan)> {
        let program = &self.lowering.out.program;
        let span = match self.templates.get(id) {
            Some(number) => program.templates.get(*number as usize)?.source?,
            None => {
                program
                    .policies
                    .get(program.find(id.as_str())? as usize)?
                    .source?
            }
        };
        Some((program.sources.get(span.source as usize)?, span))
    }

    fn lower_problem(&mut self, error: LowerError, id: &PolicyId) -> Problem {
        let limit = match &error {
            LowerError::Limit(limit) => Some(*limit),
            _ => None,
        };
        self.is_full |= limit.is_some_and(|limit| limit.limit() == Limit::Policies);
        self.refused.insert(id.clone());
        let mut problem = Problem::new(error).of_policy(id.clone());
        problem.limit = limit;
        problem
    }

    fn verdict(
        &mut self,
        verdict: Verdict,
        text: Option<(&Lines<'_>, usize)>,
        file: Option<&Arc<str>>,
    ) {
        let list = match verdict.is_warning {
            true => &mut self.warnings,
            false => &mut self.problems,
        };
        list.push(verdict.problem(text).in_file(file));
    }

    /// More policies are known to come.
    fn expect(&mut self, more: usize) {
        self.done.total += more;
    }

    /// So many more are done.
    fn advance(&mut self, more: usize) {
        self.done.done += more;
        self.progress.report(self.done);
    }
}

/// The templates among policies.
fn template_of((id, parsed): &(PolicyId, Parsed)) -> Option<(PolicyId, Template)> {
    match parsed {
        Parsed::Static(_) => None,
        Parsed::Template(template) => Some((id.clone(), template.clone())),
    }
}

/// Sorts problems as they stand in their text. (The validator reports in the order of a hash map.)
fn in_order(problems: &mut [Problem]) {
    problems.sort_by(|a, b| {
        let key = |problem: &Problem| problem.span.as_ref().map(|span| span.start);
        (key(a), &a.policy, &a.message).cmp(&(key(b), &b.policy, &b.message))
    });
}

/// From the first statement's begin to the last one's end.
fn around(statements: &[Range<usize>]) -> Range<usize> {
    match statements {
        [first, .., last] => first.start..last.end,
        [only] => only.clone(),
        [] => 0..0,
    }
}
