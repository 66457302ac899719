//! What is loaded, and the way from there to a [`Program`].

use std::sync::Arc;

use cedar_policy::PolicySet;

use crate::id::PolicyId;
use crate::limits::Limits;
use crate::program::{Program, Slots};

use crate::compile::error::{CompileError, Lines, Problem};
use crate::compile::input::Progress;
use crate::compile::share::share;
use crate::compile::{probe, stack};

use super::Loader;
use super::validate::PolicyValidator;

/// Where policies come from.
#[derive(Clone, Debug)]
pub(crate) enum PolicySource {
    /// Cedar text.
    Text {
        file: Option<Arc<str>>,
        text: Arc<str>,
    },
    /// A policy set in Cedar's JSON form.
    Json {
        file: Option<Arc<str>>,
        text: Arc<str>,
    },
    /// A policy set that `cedar_policy` holds already.
    Set(Box<PolicySet>),
}

/// A template link to be made.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) template: PolicyId,
    pub(crate) id: PolicyId,
    pub(crate) slots: Slots,
}

/// All that goes into one policy set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) policies: Vec<PolicySource>,
    pub(crate) links: Vec<Link>,
    /// Whether a policy's `@id` annotation, where it has one, is its id. Cedar ignores the annotation.
    pub(crate) ids_from_annotations: bool,
    pub(crate) progress: Progress,
}

/// How to compile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'o> {
    /// With one, policies are validated strictly.
    pub(crate) validator: Option<&'o PolicyValidator>,
    pub(crate) limits: &'o Limits,
    /// Whether constant expressions are computed.
    pub(crate) fold: bool,
    /// Whether what policies' texts have in common is parsed once.
    pub(crate) parse_once: bool,
    /// Whether expressions that conditions have in common are evaluated once a decision.
    pub(crate) share: bool,
}

/// A compiled policy set, and what is odd about it.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) program: Program,
    pub(crate) warnings: Vec<Problem>,
}

/// Compiles policies.
pub(crate) fn compile(sources: &Sources, options: &Options<'_>) -> Result<Compiled, CompileError> {
    with_cedar(options.limits, || {
        let mut loader = Loader::new(options, sources.ids_from_annotations, &sources.progress);
        for source in &sources.policies {
            match source {
                PolicySource::Text { file, text } => loader.text(file.as_ref(), text),
                PolicySource::Json { file, text } => loader.json(file.as_ref(), text),
                PolicySource::Set(set) => loader.policy_set(set),
            }
        }
        loader.links(&sources.links);
        let mut compiled = loader.finish()?;
        if !sources.ids_from_annotations {
            compiled.warnings.extend(unnamed(&compiled.program));
        }
        if options.share {
            share(&mut compiled.program);
        }
        Ok(compiled)
    })
}

/// Policies and templates whose annotation says an id that is not theirs: whoever writes `@id` mostly believes that it counts.
fn unnamed(program: &Program) -> Option<Problem> {
    let policies = program.policies.iter();
    // A link has the annotations of its template, which is among the templates.
    let policies = policies
        .filter(|policy| policy.template.is_none())
        .map(|policy| (&policy.id, policy.body, policy.source));
    let templates = program.templates.iter();
    let templates = templates.map(|template| (&template.id, template.body, template.source));
    let mut unnamed = policies.chain(templates).filter_map(|(id, body, source)| {
        let annotations = &program.bodies.get(body as usize)?.annotations;
        let (_, said) = annotations.iter().find(|(key, _)| &**key == "id")?;
        (!said.is_empty() && **said != *id.as_str()).then_some((id, said, source))
    });
    let (id, said, span) = unnamed.next()?;
    let others = match unnamed.count() {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    let message = format_args!(
        "is annotated `@id(\"{}\")`, and is not called that{others}",
        said.escape_debug(),
    );
    let mut problem = Problem::new(message).of_policy(id.clone());
    problem.help = Some("`Policies::ids_from_annotations` takes the annotations as ids".into());
    let source = span.and_then(|span| Some((program.sources.get(span.source as usize)?, span)));
    Some(match source {
        Some((source, _)) if source.is_own => problem.in_file(source.file.as_ref()),
        Some((source, span)) => problem.in_file(source.file.as_ref()).at(
            &Lines::new(&source.text),
            span.start as usize..span.end as usize,
        ),
        None => problem,
    })
}

/// Calls what calls Cedar, on a thread whose stack suffices and if its language is the one we know.
pub(super) fn with_cedar<T: Send>(
    limits: &Limits,
    f: impl FnOnce() -> Result<T, CompileError> + Send,
) -> Result<T, CompileError> {
    probe::probe_language().map_err(Problem::new)?;
    stack::with_parser_stack(limits, f).map_err(|error| stack::no_thread(limits, &error))?
}
