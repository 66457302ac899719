//! What an authorizer is built from: policies and entities as callers give them.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use cedar_policy::{self as cedar};

use crate::files::open_file;
use crate::id::{EntityUid, EntityUidError, EntityUidRef, PolicyId};
use crate::limits::Limits;
use crate::program::Slots;

use super::error::Problem;
use super::load::{Link, PolicySource, Sources};
use super::stack;

/// Policies to load: text, JSON, files, `cedar_policy::PolicySet`s, template links.
///
/// Nothing is parsed here; what is wrong is reported, all of it together, when the authorizer is built or its
/// policies are replaced.
///
/// Policies from Cedar text are named by position: `policy0`, `policy1`, … with templates counted too, going on
/// across texts in the order given. [`Policies::ids_from_annotations`] takes `@id("…")` instead where it stands.
///
/// ```
/// use duramen::Policies;
///
/// let policies = Policies::new()
///     .text(r#"permit(principal == ?principal, action == Action::"read", resource in ?resource);"#)
///     .link("policy0", "alice-reads-inbox", Some(("User", "alice").into()), Some(("Folder", "inbox").into()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Policies {
    pub(crate) sources: Sources,
    /// What could not be read.
    pub(crate) problems: Vec<Problem>,
    /// What was read and is odd.
    pub(crate) warnings: Vec<Problem>,
    pub(crate) as_of: Option<SystemTime>,
}

impl Policies {
    /// No policies. With none, everything is denied.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds policies and templates in Cedar's syntax.
    #[must_use]
    pub fn text(mut self, text: impl Into<Arc<str>>) -> Self {
        self.sources.policies.push(PolicySource::Text {
            file: None,
            text: text.into(),
        });
        self
    }

    /// Adds a policy set in Cedar's JSON syntax (`staticPolicies`, `templates`, `templateLinks`). Its ids are
    /// the ones it gives. Positions are then relative to each policy's own text, as Cedar writes it.
    #[must_use]
    pub fn json(mut self, text: impl Into<Arc<str>>) -> Self {
        self.sources.policies.push(PolicySource::Json {
            file: None,
            text: text.into(),
        });
        self
    }

    /// Adds the policies, templates and links of a `cedar_policy::PolicySet`, under their ids.
    ///
    /// A set that was parsed from text elsewhere does not tell where: positions are then relative to each
    /// policy's own text. Each is held to the [`Limits`] as its text would be; one that was not parsed from text, as
    /// Cedar prints it, which is with brackets around most operands.
    #[must_use]
    pub fn policy_set(mut self, set: cedar::PolicySet) -> Self {
        self.sources.policies.push(PolicySource::Set(Box::new(set)));
        self
    }

    /// Adds a file: Cedar's syntax, or Cedar's JSON syntax where the name ends in `.json`. A pipe or a device is refused.
    #[must_use]
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        match SourceFile::read(path.as_ref()) {
            Ok(SourceFile {
                file,
                text,
                is_json,
            }) => self.sources.policies.push(if is_json {
                PolicySource::Json { file, text }
            } else {
                PolicySource::Text { file, text }
            }),
            Err(mut problem) => {
                if path.as_ref().is_dir() {
                    problem.help =
                        Some("`Policies::directory` reads the files of a directory".into());
                }
                self.problems.push(*problem);
            }
        }
        self
    }

    /// Adds all `.cedar` files of a directory, by name; subdirectories are not entered. None is no error: then the directory
    /// has no policies, which is among the [`Authorizer::warnings`](crate::Authorizer::warnings).
    #[must_use]
    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let entries = std::fs::read_dir(path).and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<std::io::Result<Vec<_>>>()
        });
        match entries {
            Ok(mut files) => {
                files.retain(|file| file.extension().is_some_and(|end| end == "cedar"));
                files.sort();
                if files.is_empty() {
                    let file: Arc<str> = path.display().to_string().into();
                    let warning =
                        Problem::new("no file in it ends in `.cedar`: it has no policies");
                    self.warnings.push(warning.in_file(Some(&file)));
                }
                files.iter().fold(self, Self::file)
            }
            Err(error) => {
                let file: Arc<str> = path.display().to_string().into();
                self.problems.push(
                    Problem::new(format_args!("cannot be read: {error}")).in_file(Some(&file)),
                );
                self
            }
        }
    }

    /// Links a template: fills its slots and gives the resulting policy an id. Slots that the template does not
    /// have must be `None`.
    #[must_use]
    pub fn link(
        mut self,
        template: impl Into<PolicyId>,
        id: impl Into<PolicyId>,
        principal: Option<EntityUidRef<'_>>,
        resource: Option<EntityUidRef<'_>>,
    ) -> Self {
        self.sources.links.push(Link {
            template: template.into(),
            id: id.into(),
            slots: Slots {
                principal: principal.map(EntityUidRef::to_owned),
                resource: resource.map(EntityUidRef::to_owned),
            },
        });
        self
    }

    /// When the policies were known to be right, if that is earlier than when they are loaded: the date of a copy, say.
    /// Only [`Freshness`](crate::Freshness) asks; the default is when loading begins.
    #[must_use]
    pub fn as_of(mut self, time: SystemTime) -> Self {
        self.as_of = Some(time);
        self
    }

    /// Takes a policy's `@id` annotation, where it has one, as its id. Cedar itself gives the annotation no
    /// meaning. Ids must be unique. That policies have such annotations and this was not called is among the
    /// [`Authorizer::warnings`](crate::Authorizer::warnings).
    #[must_use]
    pub fn ids_from_annotations(mut self) -> Self {
        self.sources.ids_from_annotations = true;
        self
    }
}

impl Policies {
    /// Calls `report` as loading goes on, on the thread that loads: some thousand policies apart, and at the end
    /// of each text. For large sets, whose strict validation takes a while.
    ///
    /// ```
    /// # use duramen::{Authorizer, Policies};
    /// let policies = Policies::new()
    ///     .text("permit(principal, action, resource);")
    ///     .on_progress(|progress| eprintln!("{} of {}", progress.done(), progress.total()));
    /// let authorizer = Authorizer::builder().policies(policies).build()?;
    /// # Ok::<(), duramen::BuildError>(())
    /// ```
    #[must_use]
    pub fn on_progress(mut self, report: impl Fn(PolicyProgress) + Send + Sync + 'static) -> Self {
        self.sources.progress = Progress(Some(Arc::new(report)));
        self
    }
}

/// How far loading has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PolicyProgress {
    pub(super) done: usize,
    pub(super) total: usize,
}

impl PolicyProgress {
    /// Policies, templates and links that are done: parsed, validated where there is a schema, and compiled.
    pub fn done(&self) -> usize {
        self.done
    }

    /// How many are known of; more where further texts are still to be opened.
    pub fn total(&self) -> usize {
        self.total
    }
}

/// Whom to tell of progress.
#[derive(Clone, Default)]
pub(crate) struct Progress(Option<Arc<dyn Fn(PolicyProgress) + Send + Sync>>);

impl Progress {
    pub(super) fn report(&self, progress: PolicyProgress) {
        if let Some(report) = &self.0 {
            report(progress);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(_)" } else { "None" })
    }
}

impl From<&str> for Policies {
    fn from(text: &str) -> Self {
        Self::new().text(text)
    }
}

impl From<String> for Policies {
    fn from(text: String) -> Self {
        Self::new().text(text)
    }
}

impl From<cedar::PolicySet> for Policies {
    fn from(set: cedar::PolicySet) -> Self {
        Self::new().policy_set(set)
    }
}

/// A policy or schema file.
pub(crate) struct SourceFile {
    pub(crate) file: Option<Arc<str>>,
    pub(crate) text: Arc<str>,
    /// Whether the name says that it is Cedar's JSON syntax.
    pub(crate) is_json: bool,
}

impl SourceFile {
    pub(crate) fn read(path: &Path) -> Result<Self, Box<Problem>> {
        let file: Arc<str> = path.display().to_string().into();
        match open_file(path).and_then(io::read_to_string) {
            Ok(text) => Ok(Self {
                file: Some(file),
                text: text.into(),
                is_json: path.extension().is_some_and(|end| end == "json"),
            }),
            Err(error) => {
                let problem = Problem::new(format_args!("cannot be read: {error}"));
                Err(Box::new(problem.in_file(Some(&file))))
            }
        }
    }
}

/// An entity uid of `cedar_policy`'s in our form.
pub(crate) fn uid_of(uid: &cedar::EntityUid) -> EntityUid {
    EntityUid::new(uid.type_name().to_string(), uid.id().unescaped())
}

impl From<&cedar::EntityUid> for EntityUid {
    fn from(uid: &cedar::EntityUid) -> Self {
        uid_of(uid)
    }
}

impl From<cedar::EntityUid> for EntityUid {
    fn from(uid: cedar::EntityUid) -> Self {
        uid_of(&uid)
    }
}

/// Reads a uid as Cedar writes it, and as `Display` does. It is Cedar's parser that reads it, on a thread of its own: for
/// configuration, command lines and tests. Requests take type name and id as they are.
///
/// ```
/// use duramen::EntityUid;
///
/// let uid: EntityUid = r#"Shop::User::"alice""#.parse()?;
/// assert_eq!((uid.type_name(), uid.id()), ("Shop::User", "alice"));
/// # Ok::<(), duramen::EntityUidError>(())
/// ```
impl FromStr for EntityUid {
    type Err = EntityUidError;

    fn from_str(text: &str) -> Result<Self, EntityUidError> {
        parse_uid(text).map_err(|message| EntityUidError::new(text, &message))
    }
}

/// An entity uid as Cedar writes it: `User::"alice"`.
///
/// # Errors
/// Cedar's own words for what is wrong with it.
pub(crate) fn parse_uid(text: &str) -> Result<EntityUid, String> {
    let parse = || cedar::EntityUid::from_str(text).map_err(|error| error.to_string());
    let parsed = stack::with_parser_stack(&Limits::default(), parse);
    let uid = parsed.map_err(|error| error.to_string())??;
    Ok(uid_of(&uid))
}
