//! Building an authorizer.

use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::compile::load::{self, Compiled, Options, PolicyValidator};
use crate::compile::schema::SchemaSource;
use crate::compile::{self, CompileError, Entities, Policies, Problem, SourceFile};
use crate::decision::ErrorMode;
use crate::entity::{EntityError, Snapshot};
use crate::epoch::{Epoch, Indexing, Links, Parts, Published, Sequence, Stamps};
use crate::eval::Reading;
use crate::evidence::{DecisionSink, NoSink, Wants};
use crate::freshness::Freshness;
use crate::json;
use crate::limits::Limits;
use crate::program::ProgramSet;
use crate::schema::{ActionDecl, ExtensionType, Type};
use crate::stopwatch::Ticks;

use super::timing::loaded_at;
use super::watch::Watchers;
use super::{Authorizer, BuiltSchema, Clock, Inner, Settings};

/// Collects what an authorizer is made of. Begun by [`Authorizer::builder`].
///
/// ```
/// use duramen::{Authorizer, Request};
///
/// let authorizer = Authorizer::builder()
///     .schema_str(r#"
///         entity User in [Group];
///         entity Group;
///         entity Photo { owner: User };
///         action view appliesTo { principal: User, resource: Photo, context: {} };
///     "#)
///     .policies(r#"permit(principal, action == Action::"view", resource) when { resource.owner == principal };"#)
///     .entities(r#"[{ "uid": { "type": "Photo", "id": "p1" },
///                     "attrs": { "owner": { "type": "User", "id": "alice" } }, "parents": [] }]"#)
///     .validate_requests(true)
///     .build()?;
/// let view = |user| Request::new(("User", user), ("Action", "view"), ("Photo", "p1"));
/// assert!(authorizer.is_authorized(&view("alice")).is_allowed());
/// assert!(!authorizer.is_authorized(&view("bob")).is_allowed());
/// # Ok::<(), duramen::BuildError>(())
/// ```
#[must_use = "an authorizer comes from `build`"]
pub struct Builder {
    schema: Vec<SchemaInput>,
    policies: Policies,
    entities: Entities,
    problems: Vec<Problem>,
    limits: Limits,
    error_mode: ErrorMode,
    validate_policies: bool,
    validate_requests: bool,
    sink: Box<dyn DecisionSink>,
    clock: Clock,
    context_time: Option<Arc<str>>,
    freshness: Option<Freshness>,
    tuning: Tuning,
}

/// One fragment of the schema.
enum SchemaInput {
    Text {
        file: Option<Arc<str>>,
        text: Arc<str>,
    },
    Json {
        file: Option<Arc<str>>,
        text: Arc<str>,
    },
}

/// Switches for the optimisations. All are on; none changes an answer. Tests switch them off to show that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuning {
    fold: bool,
    parse_once: bool,
    share: bool,
    index: bool,
    lists: bool,
    values: bool,
    steps: bool,
    schema: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            fold: true,
            parse_once: true,
            share: true,
            index: true,
            lists: true,
            values: true,
            steps: true,
            schema: true,
        }
    }
}

impl Tuning {
    /// Whether expressions of constants are computed at load.
    #[must_use]
    pub fn with_constant_folding(mut self, on: bool) -> Self {
        self.fold = on;
        self
    }

    /// Whether an expression that several conditions have in common is evaluated once a decision, or for each.
    #[must_use]
    pub fn with_shared_expressions(mut self, on: bool) -> Self {
        self.share = on;
        self
    }

    /// Whether a decision looks only at policies that the scope index finds, or tests every policy's scope.
    #[must_use]
    pub fn with_scope_index(mut self, on: bool) -> Self {
        self.index = on;
        self
    }

    /// Whether a set in which no action has more than eight policies is looked through by action alone, or like a larger
    /// one by principal and resource too. Part of the scope index: without that one there is neither.
    #[must_use]
    pub fn with_short_lists(mut self, on: bool) -> Self {
        self.lists = on;
        self
    }

    /// Whether policies of one scope whose conditions begin alike, but for literals, are looked up by the value that they
    /// compare, or evaluated one by one. Part of the scope index: without that one there is none.
    #[must_use]
    pub fn with_value_index(mut self, on: bool) -> Self {
        self.values = on;
        self
    }

    /// Whether conditions are run as flat lists of steps, or walked as trees.
    #[must_use]
    pub fn with_flat_conditions(mut self, on: bool) -> Self {
        self.steps = on;
        self
    }

    /// Whether a request that is validated is held against the schema by the numbers of its names first, or by their texts alone.
    #[must_use]
    pub fn with_numbered_schema(mut self, on: bool) -> Self {
        self.schema = on;
        self
    }

    /// Whether what the texts of policies have in common but for literals is parsed once, or each policy for itself.
    #[must_use]
    pub fn with_shared_parsing(mut self, on: bool) -> Self {
        self.parse_once = on;
        self
    }

    pub(super) fn options<'o>(
        self,
        validator: Option<&'o PolicyValidator>,
        limits: &'o Limits,
    ) -> Options<'o> {
        Options {
            validator,
            limits,
            fold: self.fold,
            parse_once: self.parse_once,
            share: self.share,
        }
    }

    /// What is made for looking things up, where requests are validated or not.
    pub(super) fn indexing(self, validate_requests: bool) -> Indexing {
        Indexing {
            scopes: self.index,
            lists: self.lists,
            values: self.values,
            steps: self.steps,
            schema: self.schema && validate_requests,
        }
    }
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            schema: Vec::new(),
            policies: Policies::new(),
            entities: Entities::new(),
            problems: Vec::new(),
            limits: Limits::default(),
            error_mode: ErrorMode::default(),
            validate_policies: true,
            validate_requests: false,
            sink: Box::new(NoSink),
            clock: Clock::System,
            context_time: None,
            freshness: None,
            tuning: Tuning::default(),
        }
    }

    /// A schema in Cedar's syntax. With a schema, policies are validated strictly, entities are checked, and the
    /// action entities come from it. Several schemas are fragments of one.
    pub fn schema_str(mut self, schema: impl Into<Arc<str>>) -> Self {
        self.schema.push(SchemaInput::Text {
            file: None,
            text: schema.into(),
        });
        self
    }

    /// A schema in Cedar's JSON syntax; otherwise as [`Builder::schema_str`].
    pub fn schema_json(mut self, schema: impl Into<Arc<str>>) -> Self {
        self.schema.push(SchemaInput::Json {
            file: None,
            text: schema.into(),
        });
        self
    }

    /// A schema file: Cedar's syntax, or Cedar's JSON syntax where the name ends in `.json`. A pipe or a device is refused.
    pub fn schema_file(mut self, path: impl AsRef<Path>) -> Self {
        match SourceFile::read(path.as_ref()) {
            Ok(SourceFile {
                file,
                text,
                is_json,
            }) => self.schema.push(if is_json {
                SchemaInput::Json { file, text }
            } else {
                SchemaInput::Text { file, text }
            }),
            Err(problem) => self.problems.push(*problem),
        }
        self
    }

    /// The policies: Cedar text, a `cedar_policy::PolicySet`, or [`Policies`] for everything else. Without any,
    /// everything is denied.
    ///
    /// Replaces policies that were given before, so that a test can put others in place of a service's. What belongs together is given
    /// at once: `Policies::new().text(guards).directory("policies")`.
    pub fn policies(mut self, policies: impl Into<Policies>) -> Self {
        self.policies = policies.into();
        self
    }

    /// The entities, in place of any that were given before: text in Cedar's entity JSON, `cedar_policy::Entities`, or
    /// [`Entities`] for everything else.
    pub fn entities(mut self, entities: impl Into<Entities>) -> Self {
        self.entities = entities.into();
        self
    }

    /// Where decision records go. The default is nowhere. Replaces a sink that was given before: for several there is
    /// [`FanOut`](crate::evidence::FanOut).
    pub fn sink(mut self, sink: impl DecisionSink + 'static) -> Self {
        self.sink = Box::new(sink);
        self
    }

    /// Bounds on what is accepted. The default is [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What evaluation errors do to a decision. The default is Cedar's: nothing.
    pub fn error_mode(mut self, mode: ErrorMode) -> Self {
        self.error_mode = mode;
        self
    }

    /// Whether policies are validated strictly where there is a schema. The default is yes.
    ///
    /// Cedar itself decides on policies that its validator would refuse. Switched off, so does Duramen: for
    /// moving a policy set over as it is, with the schema still giving the actions and checking entities.
    pub fn validate_policies(mut self, validate: bool) -> Self {
        self.validate_policies = validate;
        self
    }

    /// Whether each request is validated against the schema, as `cedar_policy::Request::new` does when it is
    /// given one; a request that fails is denied with
    /// [`Outcome::InvalidRequest`](crate::Outcome::InvalidRequest). Without a schema there is nothing to
    /// validate against, which is among the [`Authorizer::warnings`]. The default is no.
    pub fn validate_requests(mut self, validate: bool) -> Self {
        self.validate_requests = validate;
        self
    }

    /// The clock that all times are taken from: those of records, of contexts ([`Builder::context_time`]) and of data
    /// ([`Builder::freshness`]). The default is the system's.
    ///
    /// A clock that is given here is asked for each decision. The system's is not where nothing but a record wants to know: then
    /// the monotonic clock tells what has gone by for up to a millisecond, and a clock that is set shows in records that much
    /// later.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock::Given(Box::new(clock));
        self
    }

    /// Puts the time of the decision into every context, as a `datetime` under this name: `context.now`, say. The default
    /// is not to.
    ///
    /// It is the time in the decision's record, to the millisecond, and part of the record's context. Prepared requests get
    /// it anew at each decision. A request whose own context has a field of the name is denied with
    /// [`Outcome::InvalidRequest`](crate::Outcome::InvalidRequest), and so is every request while the clock is beyond
    /// what datetimes can say. Where requests are validated, the schema has to declare the field; that it does not is among
    /// the [`Authorizer::warnings`].
    ///
    /// ```
    /// # use duramen::{Authorizer, Request};
    /// let authorizer = Authorizer::builder()
    ///     .policies(r#"permit(principal, action, resource) when { context.now < datetime("2100-01-01") };"#)
    ///     .context_time("now")
    ///     .build()?;
    /// let request = Request::new(("User", "alice"), ("Action", "view"), ("Photo", "p1"));
    /// assert!(authorizer.is_authorized(&request).is_allowed());
    /// # Ok::<(), duramen::BuildError>(())
    /// ```
    pub fn context_time(mut self, name: impl Into<Arc<str>>) -> Self {
        self.context_time = Some(name.into());
        self
    }

    /// Bounds on the age of policies and entities. The default is none, and then ages are not kept either.
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = Some(freshness);
        self
    }

    /// Switches optimisations.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// Compiles and loads everything.
    ///
    /// # Errors
    /// [`BuildError`] with every problem that was found.
    pub fn build(mut self) -> Result<Authorizer, BuildError> {
        let stamps = self.stamps();
        let (schema, schema_error) = match self.compile_schema() {
            Ok(schema) => (schema, None),
            Err(error) => (None, Some(error)),
        };
        let freshness_error = self.check_freshness(schema.as_ref());
        let warnings = self.schema_warnings(schema.as_ref());
        // Also without the schema, if that is what is wrong: what cannot be read hides nothing else.
        let loaded = self.load(schema.as_ref());
        let (compiled, snapshot) = match CompileError::join(schema_error, freshness_error) {
            None => loaded?,
            Some(error) => return Err(BuildError::with(error, loaded.err())),
        };
        let (model, validator) = match schema {
            Some(BuiltSchema {
                validator, model, ..
            }) => (Some(model), validator),
            None => (None, None),
        };
        let full = |full| BuildError::from(CompileError::from(Problem::new(full)));
        let parts = Parts {
            policies: ProgramSet::new(compiled.program).map_err(full)?,
            links: Links::default(),
            snapshot,
            schema: model,
            entity_revision: 1,
            stamps,
            indexing: self.tuning.indexing(self.validate_requests),
            shadow: None,
        };
        let epoch = Epoch::new(parts, 1).map_err(full)?;
        let wants = self.sink.wants();
        if self.asks_clock(wants) {
            Ticks::prepare();
        }
        Ok(Authorizer {
            inner: Arc::new(Inner {
                published: Published::new(epoch),
                validator,
                warnings,
                policy_warnings: Mutex::new(compiled.warnings),
                instance: format!("{:032x}", crate::id::random()),
                sequence: Sequence::default(),
                watchers: Watchers::default(),
                lost: AtomicU64::new(0),
                settings: Settings {
                    wants,
                    delivery: self.sink.delivery(),
                    asks_clock: self.asks_clock(wants),
                    keeps_ages: self.freshness.is_some(),
                    reading: self.reading(wants),
                    error_mode: self.error_mode,
                    clock: self.clock,
                    tuning: self.tuning,
                },
                sink: self.sink,
            }),
        })
    }

    /// How old policies and entities are, where that is kept.
    fn stamps(&self) -> Option<Stamps> {
        let bounds = self.freshness.as_ref()?;
        let now = self.clock.now();
        let policies = loaded_at(now, self.policies.as_of);
        let entities = loaded_at(now, self.entities.as_of);
        Some(Stamps::new(Arc::new(bounds.clone()), policies, entities))
    }

    fn schema_warnings(&self, schema: Option<&BuiltSchema>) -> Vec<Problem> {
        let mut warnings = schema.map_or_else(Vec::new, |schema| schema.warnings.clone());
        if self.validate_requests {
            warnings.extend(self.odd_requests(schema));
        }
        warnings
    }

    /// The policies and the entities, which are taken, or the problems of both.
    fn load(&mut self, schema: Option<&BuiltSchema>) -> Result<(Compiled, Snapshot), BuildError> {
        let validator = schema.and_then(|schema| schema.validator.as_ref());
        let options = self.tuning.options(validator, &self.limits);
        let compiled = compile_policies(&self.policies, &options);
        let model = schema.map(|schema| &*schema.model);
        let snapshot = std::mem::take(&mut self.entities).load(model, &self.limits);
        both(compiled, snapshot)
    }

    /// How requests are read.
    fn reading(&self, wants: Wants) -> Reading {
        Reading {
            limits: self.limits,
            validate: self.validate_requests,
            keep_inputs: wants == Wants::DecisionsWithInputs,
            context_time: self.context_time.clone(),
        }
    }

    /// Whether something wants to know of each decision when it was made.
    fn asks_clock(&self, wants: Wants) -> bool {
        wants > Wants::Nothing || self.context_time.is_some() || self.freshness.is_some()
    }

    /// What makes the validation of requests another thing than was meant.
    fn odd_requests(&self, schema: Option<&BuiltSchema>) -> Option<Problem> {
        let Some(schema) = schema else {
            let message = "requests are to be validated, and there is no schema: none of them is";
            return Some(Problem::new(message));
        };
        let name = self.context_time.as_deref()?;
        let time = Type::Extension(ExtensionType::Datetime);
        let lacks = |action: &&ActionDecl| {
            let declared = action.context.attribute(name);
            // What applies to nothing is no action that is asked for.
            let is_asked_for = !action.principals.is_empty() && !action.resources.is_empty();
            is_asked_for && declared.is_none_or(|declared| declared.ty != time)
        };
        let mut lacking = schema.model.actions().iter().filter(lacks);
        let first = lacking.next()?;
        let others = match lacking.count() {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        Some(Problem::new(format_args!(
            "the time is put in every context as `{}`, and the schema has no such datetime in that of {}{others}: each \
             request for it is denied; declare it",
            name.escape_debug(),
            first.uid,
        )))
    }

    /// A bound on a type that there is not would bound nothing.
    fn check_freshness(&self, schema: Option<&BuiltSchema>) -> Option<CompileError> {
        let types = self.freshness.iter().flat_map(Freshness::types);
        let problem = |name: &str| {
            let why = match schema {
                _ if !json::is_normalized_type_name(name) => "is not an entity type name",
                Some(schema) if schema.model.entity_type(name).is_none() => "is not in the schema",
                _ => return None,
            };
            let name = name.escape_debug();
            Some(Problem::new(format_args!(
                "freshness: the entity type `{name}` {why}"
            )))
        };
        CompileError::from_problems(types.filter_map(problem).collect())
    }

    fn compile_schema(&self) -> Result<Option<BuiltSchema>, CompileError> {
        if let Some(error) = CompileError::from_problems(self.problems.clone()) {
            return Err(error);
        }
        if self.schema.is_empty() {
            return Ok(None);
        }
        let sources: Vec<SchemaSource<'_>> = self
            .schema
            .iter()
            .map(|input| match input {
                SchemaInput::Text { text, .. } => SchemaSource::CedarText(text),
                SchemaInput::Json { text, .. } => SchemaSource::JsonText(text),
            })
            .collect();
        let files: Vec<Option<&Arc<str>>> = self
            .schema
            .iter()
            .map(|input| match input {
                SchemaInput::Text { file, .. } | SchemaInput::Json { file, .. } => file.as_ref(),
            })
            .collect();
        let compiled = compile::compile_schema(&sources, &files, &self.limits)?;
        let (schema, model) = (compiled.schema, compiled.model);
        let validator = match self.validate_policies {
            true => Some(PolicyValidator::new(schema, &model, self.limits).map_err(Problem::from)?),
            false => None,
        };
        Ok(Some(BuiltSchema {
            validator,
            model: Arc::new(model),
            warnings: compiled.warnings.iter().map(Problem::new).collect(),
        }))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("policies", &self.policies)
            .field("limits", &self.limits)
            .field("error_mode", &self.error_mode)
            .field("validate_requests", &self.validate_requests)
            .field("tuning", &self.tuning)
            .finish_non_exhaustive()
    }
}

pub(super) fn compile_policies(
    policies: &Policies,
    options: &Options<'_>,
) -> Result<Compiled, CompileError> {
    if let Some(error) = CompileError::from_problems(policies.problems.clone()) {
        return Err(error);
    }
    let mut compiled = load::compile(&policies.sources, options)?;
    compiled.warnings.extend(policies.warnings.iter().cloned());
    Ok(compiled)
}

/// Policies and entities, or the problems of both.
pub(super) fn both(
    compiled: Result<Compiled, CompileError>,
    snapshot: Result<Snapshot, EntityError>,
) -> Result<(Compiled, Snapshot), BuildError> {
    match (compiled, snapshot) {
        (Ok(compiled), Ok(snapshot)) => Ok((compiled, snapshot)),
        (compiled, snapshot) => Err(BuildError {
            compile: compiled.err(),
            entities: snapshot.err(),
        }),
    }
}

/// An authorizer that could not be built: the problems of schema and policies, and those of the entities.
///
/// `Debug` prints what `Display` does: it is what `unwrap`, and `main` when it returns an error, show.
#[derive(Clone, PartialEq, Eq)]
pub struct BuildError {
    compile: Option<CompileError>,
    entities: Option<EntityError>,
}

impl BuildError {
    /// What is wrong with the schema or the policies.
    pub fn compile_error(&self) -> Option<&CompileError> {
        self.compile.as_ref()
    }

    /// What is wrong with the entities.
    pub fn entity_error(&self) -> Option<&EntityError> {
        self.entities.as_ref()
    }

    fn with(error: CompileError, other: Option<Self>) -> Self {
        let (compile, entities) = match other {
            Some(other) => (other.compile, other.entities),
            None => (None, None),
        };
        Self {
            compile: CompileError::join(Some(error), compile),
            entities,
        }
    }
}

impl From<CompileError> for BuildError {
    fn from(error: CompileError) -> Self {
        Self {
            compile: Some(error),
            entities: None,
        }
    }
}

impl From<EntityError> for BuildError {
    fn from(error: EntityError) -> Self {
        Self {
            compile: None,
            entities: Some(error),
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.compile, &self.entities) {
            (Some(compile), Some(entities)) => write!(f, "{compile}\n{entities}"),
            (Some(compile), None) => compile.fmt(f),
            (None, Some(entities)) => entities.fmt(f),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildError:\n{self}")
    }
}

impl std::error::Error for BuildError {}
