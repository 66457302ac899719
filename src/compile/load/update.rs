//! Changing the policies in force: what is new is loaded as ever, then everything is tried on the set.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{self as cedar, Template};

use crate::compile::error::{CompileError, Problem};
use crate::compile::input::Progress;
use crate::compile::share::share;
use crate::compile::update::Step;
use crate::id::PolicyId;
use crate::limits::Limit;
use crate::program::{Change, Program, ProgramSet};

use super::source::{Link, Options, with_cedar};
use super::validate::{PolicyValidator, type_name};
use super::{Compiled, Loader};

/// Applies all steps, one after the other, or none. Gives the set and the validator's warnings.
pub(in crate::compile) fn update(
    base: &ProgramSet,
    steps: &[Step],
    options: &Options<'_>,
) -> Result<(ProgramSet, Vec<Problem>), CompileError> {
    if steps.iter().all(|step| {
        matches!(
            step,
            Step::Remove(_) | Step::RemoveTemplate(_) | Step::Unlink(_)
        )
    }) {
        // Cedar is not asked, so no thread is started for it.
        return Update::default().run(base, steps, options);
    }
    with_cedar(options.limits, || {
        let compiled = load(steps, options)?;
        let update = Update {
            program: Some(Arc::new(compiled.program)),
            warnings: compiled.warnings,
            ..Update::default()
        };
        update.run(base, steps, options)
    })
}

/// Taking texts apart makes two or three parses of one: worth it from a few on.
const FEW: usize = 8;

/// Loads the texts of all steps into one program.
fn load(steps: &[Step], options: &Options<'_>) -> Result<Compiled, CompileError> {
    let progress = Progress::default();
    let options = Options {
        parse_once: options.parse_once && steps.len() > FEW,
        ..*options
    };
    let mut loader = Loader::new(&options, false, &progress);
    for step in steps {
        if let Step::Add(id, text) | Step::Replace(id, text) | Step::AddTemplate(id, text) = step {
            loader.one(id, text);
        }
    }
    loader.finish()
}

#[derive(Default)]
struct Update {
    /// What was loaded.
    program: Option<Arc<Program>>,
    type_names: HashSet<String>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Update {
    fn run(
        mut self,
        base: &ProgramSet,
        steps: &[Step],
        options: &Options<'_>,
    ) -> Result<(ProgramSet, Vec<Problem>), CompileError> {
        let mut change = base.change();
        // What is new and left: what is taken away again is not in force, and the template of a link may be gone, too.
        let mut left = BTreeMap::new();
        for step in steps {
            match (self.step(&mut change, step), step) {
                (Err(message), _) => {
                    let id = step.id().clone();
                    self.problems.push(Problem::new(message).of_policy(id));
                }
                (Ok(()), Step::Add(id, _) | Step::Replace(id, _) | Step::AddTemplate(id, _)) => {
                    _ = left.insert(id, None)
                }
                (Ok(()), Step::Link(link)) => _ = left.insert(&link.id, Some(link)),
                (Ok(()), Step::Remove(id) | Step::RemoveTemplate(id) | Step::Unlink(id)) => {
                    left.remove(id);
                }
            }
        }
        let is_left = |id: &PolicyId| matches!(left.get(id), Some(None));
        self.warnings
            .retain(|warning| warning.policy().is_none_or(is_left));
        let links: Vec<&Link> = left.into_values().flatten().collect();
        if let Some(validator) = options.validator.filter(|_| !links.is_empty()) {
            self.validate(validator, &change, &links);
        }
        if let Some(error) = CompileError::from_problems(self.problems) {
            return Err(error);
        }
        let optimize = |program: &mut Program| {
            if options.share {
                share(program);
            }
        };
        let set = change.finish(optimize).map_err(Problem::new)?;
        let limits = options.limits;
        limits
            .check(Limit::Policies, set.len() + set.templates().count())
            .map_err(Problem::from)?;
        Ok((set, self.warnings))
    }

    fn step(&mut self, change: &mut Change<'_>, step: &Step) -> Result<(), String> {
        let done = match step {
            Step::Add(id, _) => {
                let (program, number) = self.policy(id)?;
                change.add(&program, number)
            }
            Step::Replace(id, _) => {
                let (program, number) = self.policy(id)?;
                change
                    .remove(id)
                    .and_then(|()| change.add(&program, number))
            }
            Step::Remove(id) => change.remove(id),
            Step::AddTemplate(id, _) => {
                let (program, number) = self.template(id)?;
                change.add_template(&program, number)
            }
            Step::RemoveTemplate(id) => change.remove_template(id),
            Step::Link(link) => {
                for uid in [&link.slots.principal, &link.slots.resource]
                    .into_iter()
                    .flatten()
                {
                    if !self.type_names.contains(uid.type_name()) {
                        type_name(uid.type_name())?;
                        self.type_names.insert(uid.type_name().to_owned());
                    }
                }
                let linked = change.link(&link.template, &link.id, &link.slots);
                return linked
                    .map_err(|error| format!("cannot link template {}: {error}", link.template));
            }
            Step::Unlink(id) => change.unlink(id),
        };
        done.map_err(|error| error.to_string())
    }

    /// The policy that was loaded under an id.
    fn policy(&self, id: &PolicyId) -> Result<(Arc<Program>, u32), String> {
        let program = self.program.as_ref().ok_or("was not loaded")?;
        let number = program.find(id.as_str());
        let number = number.ok_or("has slots, so it is a template; add it with `add_template`")?;
        Ok((Arc::clone(program), number))
    }

    /// The template that was loaded under an id.
    fn template(&self, id: &PolicyId) -> Result<(Arc<Program>, u32), String> {
        let program = self.program.as_ref().ok_or("was not loaded")?;
        let mut templates = program.templates.iter().zip(0..);
        let found = templates.find(|(template, _)| template.id == *id);
        let (_, number) = found.ok_or("has no slots, so it is a policy; add it with `add`")?;
        Ok((Arc::clone(program), number))
    }

    fn validate(&mut self, validator: &PolicyValidator, change: &Change<'_>, links: &[&Link]) {
        let mut templates = HashMap::new();
        for link in links {
            if let Some(program) = change.template(&link.template)
                && !templates.contains_key(&link.template)
                && let Some(template) = parsed(program, &link.template)
            {
                templates.insert(link.template.clone(), template);
            }
        }
        for verdict in validator.validate_links(&templates, links) {
            let list = match verdict.is_warning {
                true => &mut self.warnings,
                false => &mut self.problems,
            };
            list.push(verdict.problem(None));
        }
    }
}

/// A template in force, as Cedar has it: parsed again, for the few that changes link.
fn parsed(program: &Program, id: &PolicyId) -> Option<Template> {
    let span = program.templates.first()?.source?;
    let source = program.sources.get(span.source as usize)?;
    let text = source.text.get(span.start as usize..span.end as usize)?;
    Template::parse(Some(cedar::PolicyId::new(id.as_str())), text).ok()
}
