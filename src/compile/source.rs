//! Loading policies: from text, JSON, files and `cedar_policy::PolicySet`s to a [`Program`].

use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{self as cedar, PolicySet, SlotId, Template, ValidationMode, Validator, pst};

use crate::id::{EntityUid, PolicyId};
use crate::limits::{Limit, Limits};
use crate::program::{Program, SourceSpan};

use super::arity;
use super::error::{CompileError, Problem};
use super::input::uid_of;
use super::lower::{LowerError, Lowering, Slots};
use super::{probe, scan, stack};

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
    pub(crate) principal: Option<EntityUid>,
    pub(crate) resource: Option<EntityUid>,
}

/// All that goes into one policy set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) policies: Vec<PolicySource>,
    pub(crate) links: Vec<Link>,
    /// Whether a policy's `@id` annotation, where it has one, is its id. Cedar ignores the annotation.
    pub(crate) ids_from_annotations: bool,
}

/// A compiled policy set and what the validator would like to have said.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) program: Program,
    pub(crate) warnings: Vec<Problem>,
}

/// Compiles policies; with a schema, validates them strictly.
pub(crate) fn compile(
    sources: &Sources,
    schema: Option<&cedar::Schema>,
    limits: &Limits,
    fold: bool,
) -> Result<Compiled, CompileError> {
    probe::probe_language().map_err(Problem::new)?;
    stack::with_parser_stack(limits, || compile_here(sources, schema, limits, fold))
        .map_err(|error| Problem::new(format_args!("no thread to compile on: {error}")))?
}

/// Compiles on this thread, whose stack suffices.
fn compile_here(
    sources: &Sources,
    schema: Option<&cedar::Schema>,
    limits: &Limits,
    fold: bool,
) -> Result<Compiled, CompileError> {
    let mut loader = Loader {
        set: PolicySet::new(),
        items: Vec::new(),
        next: 0,
        ids_from_annotations: sources.ids_from_annotations,
        limits,
        problems: Vec::new(),
        seen: HashSet::new(),
    };
    for source in &sources.policies {
        match source {
            PolicySource::Text { file, text } => loader.text(file.as_ref(), text),
            PolicySource::Json { file, text } => loader.json(file.as_ref(), text),
            PolicySource::Set(set) => loader.set(set, None),
        }
    }
    for link in &sources.links {
        loader.link(link);
    }
    let mut warnings = Vec::new();
    if let Some(schema) = schema {
        loader.validate(schema, &mut warnings);
    }
    let program = loader.lower(fold);
    match CompileError::from_problems(loader.problems) {
        Some(error) => Err(error),
        None => Ok(Compiled { program, warnings }),
    }
}

struct Loader<'a> {
    /// Everything under its final id: what is linked against and validated.
    set: PolicySet,
    items: Vec<Item>,
    /// The number of the next policy that names itself by position.
    next: usize,
    ids_from_annotations: bool,
    limits: &'a Limits,
    problems: Vec<Problem>,
    /// Ids that were refused already, so that one clash is told once.
    seen: HashSet<PolicyId>,
}

/// What is lowered, in order.
struct Item {
    id: PolicyId,
    kind: ItemKind,
    source: Option<SourceSpan>,
}

enum ItemKind {
    Static,
    Template,
    /// Of the template with this id.
    Link(PolicyId, Slots),
}

impl Loader<'_> {
    fn text(&mut self, file: Option<&Arc<str>>, text: &Arc<str>) {
        if let Err(error) = scan::scan_cedar(text, self.limits) {
            self.problems.push(scan_problem(&error, text).in_file(file));
            return;
        }
        let set = match PolicySet::from_str(text) {
            Ok(set) => set,
            Err(errors) => {
                for error in errors.iter() {
                    self.problems
                        .push(Problem::from_cedar(error.into(), Some(text)).in_file(file));
                }
                return;
            }
        };
        // Cedar numbers statics and templates of one text together, by position.
        let mut parsed: Vec<(usize, Parsed)> = set
            .policies()
            .map(|policy| (position(policy.id()), Parsed::Static(policy.clone())))
            .chain(
                set.templates()
                    .map(|template| (position(template.id()), Parsed::Template(template.clone()))),
            )
            .collect();
        parsed.sort_by_key(|(position, _)| *position);
        let mut cursor = 0;
        for (_, policy) in parsed {
            let source = policy
                .text()
                .and_then(|own| find_from(text, &own, &mut cursor))
                .map(|(start, end)| SourceSpan {
                    text: Arc::clone(text),
                    file: file.cloned(),
                    start,
                    end,
                });
            let id = policy
                .annotation("id")
                .filter(|_| self.ids_from_annotations)
                .map_or_else(
                    || PolicyId::new(format!("policy{}", self.next)),
                    PolicyId::new,
                );
            self.next += 1;
            self.add(policy, id, source);
        }
    }

    fn json(&mut self, file: Option<&Arc<str>>, text: &Arc<str>) {
        if let Err(error) = scan::scan_json_policies(text, self.limits) {
            self.problems.push(scan_problem(&error, text).in_file(file));
            return;
        }
        match PolicySet::from_json_str(text) {
            Ok(set) => self.set(&set, file),
            Err(error) => self
                .problems
                .push(Problem::from_cedar((&error).into(), Some(text)).in_file(file)),
        }
    }

    fn set(&mut self, set: &PolicySet, file: Option<&Arc<str>>) {
        let id_of = |annotation: Option<&str>, id: &cedar::PolicyId| {
            annotation
                .filter(|_| self.ids_from_annotations)
                .map_or_else(|| PolicyId::new(id.to_string()), PolicyId::new)
        };
        let mut parsed: Vec<(PolicyId, Parsed)> = Vec::new();
        let mut links = Vec::new();
        let mut template_ids = HashMap::new();
        for template in set.templates() {
            let id = id_of(template.annotation("id"), template.id());
            template_ids.insert(template.id().clone(), id.clone());
            parsed.push((id, Parsed::Template(template.clone())));
        }
        for policy in set.policies() {
            match (policy.template_id(), policy.template_links()) {
                (Some(template), Some(values)) => links.push((policy.id(), template, values)),
                _ => parsed.push((
                    id_of(policy.annotation("id"), policy.id()),
                    Parsed::Static(policy.clone()),
                )),
            }
        }
        // A `PolicySet` iterates in no particular order; ours is by id, numbers counted as numbers.
        parsed.sort_by_cached_key(|(id, _)| natural(id.as_str()));
        links.sort_by_cached_key(|(id, ..)| natural(id.as_ref()));
        for (id, policy) in parsed {
            let source = policy.text().and_then(|own| {
                let end = u32::try_from(own.len()).ok()?;
                Some(SourceSpan {
                    text: own.into(),
                    file: file.cloned(),
                    start: 0,
                    end,
                })
            });
            self.add(policy, id, source);
        }
        for (id, template, values) in links {
            let template = template_ids
                .get(template)
                .cloned()
                .unwrap_or_else(|| PolicyId::new(template.to_string()));
            self.link(&Link {
                template,
                id: PolicyId::new(id.to_string()),
                principal: values.get(&SlotId::principal()).map(uid_of),
                resource: values.get(&SlotId::resource()).map(uid_of),
            });
        }
    }

    fn add(&mut self, policy: Parsed, id: PolicyId, source: Option<SourceSpan>) {
        let cedar_id = cedar::PolicyId::new(id.as_str());
        let (added, kind) = match policy {
            Parsed::Static(policy) => (self.set.add(policy.new_id(cedar_id)), ItemKind::Static),
            Parsed::Template(template) => (
                self.set.add_template(template.new_id(cedar_id)),
                ItemKind::Template,
            ),
        };
        if let Err(error) = added {
            if self.seen.insert(id.clone()) {
                let mut problem = Problem::new(error).of_policy(id);
                if let Some(source) = &source {
                    problem = problem
                        .in_file(source.file.as_ref())
                        .at(&source.text, source.start as usize..source.end as usize);
                }
                self.problems.push(problem);
            }
            return;
        }
        self.items.push(Item { id, kind, source });
    }

    fn link(&mut self, link: &Link) {
        let mut values = HashMap::new();
        for (slot, uid) in [
            (SlotId::principal(), &link.principal),
            (SlotId::resource(), &link.resource),
        ] {
            let Some(uid) = uid else { continue };
            match cedar_uid(uid) {
                Ok(uid) => {
                    values.insert(slot, uid);
                }
                Err(message) => {
                    let message = format!("slot {slot}: {message}");
                    self.problems
                        .push(Problem::new(message).of_policy(link.id.clone()));
                    return;
                }
            }
        }
        let linked = self.set.link(
            cedar::PolicyId::new(link.template.as_str()),
            cedar::PolicyId::new(link.id.as_str()),
            values,
        );
        match linked {
            Ok(()) => self.items.push(Item {
                id: link.id.clone(),
                kind: ItemKind::Link(
                    link.template.clone(),
                    Slots {
                        principal: link.principal.clone(),
                        resource: link.resource.clone(),
                    },
                ),
                source: None,
            }),
            Err(error) => {
                let message = format!("cannot link template {}: {error}", link.template);
                self.problems
                    .push(Problem::new(message).of_policy(link.id.clone()));
            }
        }
    }

    fn validate(&mut self, schema: &cedar::Schema, warnings: &mut Vec<Problem>) {
        let sources: HashMap<&str, &SourceSpan> = self
            .items
            .iter()
            .filter_map(|item| Some((item.id.as_str(), item.source.as_ref()?)))
            .collect();
        let problem = |error: DetailedError, id: &cedar::PolicyId| {
            let id: &str = id.as_ref();
            let source = sources.get(id);
            let text = source.map(|source| &*source.text);
            Problem::from_cedar(error, text)
                .in_file(source.and_then(|source| source.file.as_ref()))
                .of_policy(PolicyId::new(id))
        };
        let result = Validator::new(schema.clone()).validate(&self.set, ValidationMode::Strict);
        let mut errors: Vec<Problem> = result
            .validation_errors()
            .map(|error| problem(error.into(), error.policy_id()))
            .collect();
        warnings.extend(
            result
                .validation_warnings()
                .map(|warning| problem(warning.into(), warning.policy_id())),
        );
        // The validator reports in the order of a hash map.
        let order = |a: &Problem, b: &Problem| {
            (&a.file, &a.position, &a.policy, &a.message).cmp(&(
                &b.file,
                &b.position,
                &b.policy,
                &b.message,
            ))
        };
        errors.sort_by(order);
        warnings.sort_by(order);
        self.problems.extend(errors);
    }

    fn lower(&mut self, fold: bool) -> Program {
        let mut lowering = Lowering::new(*self.limits, fold);
        let mut templates = HashMap::new();
        for item in std::mem::take(&mut self.items) {
            let Item { id, kind, source } = item;
            let place = source.clone();
            if let Err(error) = self.lower_item(&mut lowering, &mut templates, &id, kind, source) {
                let limit = match &error {
                    LowerError::Limit(limit) => Some(*limit),
                    _ => None,
                };
                let too_many = limit.is_some_and(|limit| limit.limit() == Limit::Policies);
                let mut problem = Problem::new(error);
                problem.limit = limit;
                if let Some(source) = place {
                    problem = problem
                        .in_file(source.file.as_ref())
                        .at(&source.text, source.start as usize..source.end as usize);
                }
                self.problems.push(problem.of_policy(id));
                if too_many {
                    break;
                }
            }
        }
        lowering.finish()
    }

    fn lower_item(
        &self,
        lowering: &mut Lowering,
        templates: &mut HashMap<PolicyId, (super::lower::BodyId, pst::Template)>,
        id: &PolicyId,
        kind: ItemKind,
        source: Option<SourceSpan>,
    ) -> Result<(), LowerError> {
        let cedar_id = cedar::PolicyId::new(id.as_str());
        match kind {
            ItemKind::Static => {
                let Some(policy) = self.set.policy(&cedar_id) else {
                    return Ok(());
                };
                let (tree, marked) = static_tree(policy)?;
                let body = lowering.body(tree.body(), None, source, marked)?;
                lowering.policy(id.clone(), body, tree.body(), &Slots::default())
            }
            ItemKind::Template => {
                let Some(template) = self.set.template(&cedar_id) else {
                    return Ok(());
                };
                let (tree, marked) = template_tree(template)?;
                let body = lowering.body(&tree, Some(id.clone()), source, marked)?;
                templates.insert(id.clone(), (body, tree));
                Ok(())
            }
            ItemKind::Link(template, slots) => match templates.get(&template) {
                // A template that could not be lowered has been reported.
                None => Ok(()),
                Some((body, tree)) => lowering.policy(id.clone(), *body, tree, &slots),
            },
        }
    }
}

/// A static policy's syntax tree, and whether calls of the wrong arity are marked in it.
fn static_tree(policy: &cedar::Policy) -> Result<(pst::StaticPolicy, bool), LowerError> {
    let (tree, marked) = match policy.to_pst() {
        Ok(tree) => (tree, false),
        Err(pst::PstConstructionError::WrongArity(_)) => {
            let json = policy.to_json().map_err(unsupported)?;
            let policy = cedar::Policy::from_json(Some(policy.id().clone()), marked_json(json)?)
                .map_err(unsupported)?;
            (policy.to_pst().map_err(unsupported)?, true)
        }
        Err(error) => return Err(unsupported(error)),
    };
    match tree {
        pst::Policy::Static(tree) => Ok((tree, marked)),
        pst::Policy::Linked(_) => Err(unsupported("a link in place of a static policy")),
    }
}

fn template_tree(template: &Template) -> Result<(pst::Template, bool), LowerError> {
    match template.to_pst() {
        Ok(tree) => Ok((tree, false)),
        Err(pst::PstConstructionError::WrongArity(_)) => {
            let json = template.to_json().map_err(unsupported)?;
            let template = Template::from_json(Some(template.id().clone()), marked_json(json)?)
                .map_err(unsupported)?;
            Ok((template.to_pst().map_err(unsupported)?, true))
        }
        Err(error) => Err(unsupported(error)),
    }
}

fn marked_json(mut json: serde_json::Value) -> Result<serde_json::Value, LowerError> {
    if arity::contains_mark(&json) {
        return Err(unsupported("a record key that is reserved for this crate"));
    }
    arity::mark_wrong_arity(&mut json);
    Ok(json)
}

fn unsupported(what: impl std::fmt::Display) -> LowerError {
    LowerError::Unsupported(what.to_string())
}

fn scan_problem(error: &scan::ScanError, text: &str) -> Problem {
    let offset = error.offset();
    Problem::from(error.exceeded()).at(text, offset..offset)
}

/// A parsed policy or template.
enum Parsed {
    Static(cedar::Policy),
    Template(Template),
}

impl Parsed {
    fn text(&self) -> Option<String> {
        match self {
            Self::Static(policy) => policy.to_cedar(),
            Self::Template(template) => Some(template.to_cedar()),
        }
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        match self {
            Self::Static(policy) => policy.annotation(key),
            Self::Template(template) => template.annotation(key),
        }
    }
}

/// The number in Cedar's `policyN`.
fn position(id: &cedar::PolicyId) -> usize {
    let id: &str = id.as_ref();
    id.strip_prefix("policy")
        .and_then(|number| number.parse().ok())
        .unwrap_or(usize::MAX)
}

/// Where `own` stands in `text` at or after the cursor, which moves behind it.
fn find_from(text: &str, own: &str, cursor: &mut usize) -> Option<(u32, u32)> {
    let start = *cursor + text.get(*cursor..)?.find(own)?;
    let end = start + own.len();
    *cursor = end;
    Some((u32::try_from(start).ok()?, u32::try_from(end).ok()?))
}

/// A key that sorts `policy10` behind `policy9`.
fn natural(id: &str) -> (String, usize, String) {
    let digits = id.len() - id.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (head, number) = id.split_at(id.len() - digits);
    (
        head.to_owned(),
        number.parse().unwrap_or(usize::MAX),
        number.to_owned(),
    )
}

fn cedar_uid(uid: &EntityUid) -> Result<cedar::EntityUid, String> {
    let type_name = cedar::EntityTypeName::from_str(uid.type_name())
        .map_err(|error| format!("`{}` is not a type name: {error}", uid.type_name()))?;
    Ok(cedar::EntityUid::from_type_name_and_id(
        type_name,
        cedar::EntityId::new(uid.id()),
    ))
}
