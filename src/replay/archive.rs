//! Policies kept by what they mean, so that the version a record names can be decided on years later.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cedar_policy as cedar;
use serde::{Deserialize, Serialize};

use crate::authorizer::Authorizer;
use crate::compile::scan::scan_policies;
use crate::compile::{Lines, Policies, Problem, stack};
use crate::epoch::{Epoch, VersionDigest};
use crate::evidence::log::{make_directory, sync_names};
use crate::files::open_file;
use crate::id::{EntityUid, PolicyId};
use crate::limits::{Limit, Limits};
use crate::program::{Policy, Program, SourceSpan};
use crate::value::arena::NameText;

use super::decide::{ArchivedPolicies, wide};
use super::slot_values;

/// The number of the archive's format.
const FORMAT: u32 = 1;

/// A directory of policy sets, each in a file named after its digest.
///
/// The digest is that of [`Version::policies`](crate::Version::policies): of ids, scopes, conditions, annotations and
/// links. A set that means the same is kept once. What is loaded is compiled and held against the digest, so that a file
/// that was altered is refused.
///
/// ```
/// # use duramen::{Authorizer, replay::PolicyArchive};
/// # let directory = std::env::temp_dir().join(format!("duramen-doc-archive-{}", std::process::id()));
/// let authorizer = Authorizer::builder()
///     .policies("permit(principal, action, resource);")
///     .build()?;
/// let archive = PolicyArchive::open(&directory)?;
/// let digest = archive.keep(&authorizer)?;
/// assert_eq!(digest, authorizer.version().policies());
/// archive.load(digest)?;
/// # std::fs::remove_dir_all(directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PolicyArchive {
    directory: PathBuf,
    limits: Limits,
}

/// Why policies could not be kept or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A file could not be read or written.
    #[error("{path} cannot be read or written")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A policy or template has no text to keep: it was made from a syntax tree that Cedar does not write as text.
    #[error("{0} has no text in Cedar's syntax, and the archive keeps text")]
    NoText(PolicyId),
    /// A file is not what was written, or was written by a later version.
    #[error("{path}: {what}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The policies in force are beyond the limits that the archive reads policies under. It keeps what it can load.
    #[error("{0}, for the archive: PolicyArchive::with_limits")]
    BeyondLimits(String),
    /// The archive does not have these policies.
    #[error("the archive has no policies with the digest {0}")]
    Missing(VersionDigest),
}

/// What a file holds.
#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    policies: Vec<Text>,
    templates: Vec<Text>,
    links: Vec<Link>,
}

/// A policy or template as it was written.
#[derive(Serialize, Deserialize)]
struct Text {
    id: PolicyId,
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    written: Option<Written>,
}

/// Where a policy's text began when it was loaded. For people: the digest says nothing of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// From 1.
    pub(super) line: u32,
    /// In characters, from 1.
    pub(super) column: u32,
    pub(super) byte: usize,
}

#[derive(Serialize, Deserialize)]
struct Link {
    id: PolicyId,
    template: PolicyId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    principal: Option<EntityUid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<EntityUid>,
}

impl PolicyArchive {
    /// The archive in a directory, which is made if there is none.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, ArchiveError> {
        let directory = directory.as_ref().to_owned();
        make_directory(&directory).map_err(|source| ArchiveError::Io {
            path: directory.clone(),
            source,
        })?;
        Ok(Self {
            directory,
            limits: Limits::default(),
        })
    }

    /// The limits that policies are kept and loaded under: those of the authorizers whose policies it keeps, if they are wider
    /// than the default ones. What is in the directory may have been written by others, so that it cannot say itself how deep
    /// it may be nested. Only limits that are about policies count, and [`Limits::delegation_actors`]: a record with more of them is
    /// not decided again.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Keeps the policies that are in force, and those of the shadow if there is one, if the archive does not have them
    /// already. Gives the digest of those in force.
    ///
    /// Call it before decisions on them are made: when the authorizer is built, and after each change of policies or of the shadow.
    ///
    /// # Errors
    /// [`ArchiveError::NoText`] for a policy without text; [`ArchiveError::BeyondLimits`] for policies that were loaded under
    /// wider limits than those of the archive and need them; [`ArchiveError::Io`] when the file cannot be written.
    pub fn keep(&self, authorizer: &Authorizer) -> Result<VersionDigest, ArchiveError> {
        let epoch = authorizer.epoch();
        // What was loaded under limits no wider than the archive's is within them.
        let tries = is_wider(&authorizer.reading().0.limits, &self.limits);
        if let Some(shadow) = &epoch.shadow {
            self.keep_epoch(&shadow.epoch, tries)?;
        }
        self.keep_epoch(&epoch, tries)
    }

    fn keep_epoch(&self, epoch: &Epoch, tries: bool) -> Result<VersionDigest, ArchiveError> {
        let digest = epoch.version.policies();
        let path = self.path(digest);
        if path.is_file() {
            // Whoever wrote it may have been killed before its name was on the disk.
            return match sync_names(&self.directory) {
                Ok(()) => Ok(digest),
                Err(source) => Err(ArchiveError::Io { path, source }),
            };
        }
        let document = Document::of(epoch)?;
        match tries {
            true => self.read(&document).map(|_| ()),
            false => document.check_links(&self.limits),
        }
        .map_err(ArchiveError::BeyondLimits)?;
        let unreadable = |error: serde_json::Error| ArchiveError::Unreadable {
            path: path.clone(),
            what: error.to_string(),
        };
        let text = serde_json::to_string_pretty(&document).map_err(unreadable)?;
        self.write(&path, &text)
            .map_err(|source| ArchiveError::Io { path, source })?;
        Ok(digest)
    }

    /// Under another name first, and on the disk before it has its own: no crash leaves half of a file under the digest,
    /// where it would be taken for what was kept.
    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let (draft, mut file) = draft_of(path)?;
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&draft, path));
        if written.is_err() {
            let _ = fs::remove_file(&draft);
            return written;
        }
        sync_names(&self.directory)
    }

    /// The policies with a digest, as [`OwnedRecord::version`](crate::evidence::OwnedRecord) has it.
    ///
    /// # Errors
    /// [`ArchiveError::Missing`] when they were never kept; [`ArchiveError::Io`] when their file cannot be read;
    /// [`ArchiveError::Unreadable`] when it does not hold policies with this digest.
    pub fn load(&self, digest: VersionDigest) -> Result<ArchivedPolicies, ArchiveError> {
        let path = self.path(digest);
        let text = match open_file(&path).and_then(io::read_to_string) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ArchiveError::Missing(digest));
            }
            Err(source) => return Err(ArchiveError::Io { path, source }),
        };
        let unreadable = |what: String| ArchiveError::Unreadable {
            path: path.clone(),
            what,
        };
        let document: Document =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if document.format != FORMAT {
            let format = document.format;
            return Err(unreadable(format!("format {format} is not known")));
        }
        let loaded = self.read(&document).map_err(unreadable)?;
        if loaded.digest() != digest {
            return Err(unreadable(format!(
                "the policies in it have the digest {}",
                loaded.digest()
            )));
        }
        Ok(loaded)
    }

    /// The policies of a document, whoever wrote it.
    fn read(&self, document: &Document) -> Result<ArchivedPolicies, String> {
        document.check_links(&self.limits)?;
        let limits = wide(self.limits);
        let texts = || document.policies.iter().chain(&document.templates);
        for text in texts() {
            let scanned = scan_policies(&text.text, &limits).map_err(Problem::from);
            scanned.map_err(|problem| format!("{}: {problem}", text.id))?;
        }
        let written = texts().filter_map(|text| Some((text.id.clone(), text.written.clone()?)));
        let set = stack::with_parser_stack(&limits, || document.policy_set());
        let set = set
            .map_err(|error| stack::no_thread(&limits, &error).to_string())
            .and_then(|set| set)?;
        let policies = Policies::new().policy_set(set.clone());
        ArchivedPolicies::new(set, policies, written.collect(), limits)
    }

    fn path(&self, digest: VersionDigest) -> PathBuf {
        self.directory.join(format!("{digest}.json"))
    }
}

/// Whether policies may be within limits `a` and not within `b`. How many bytes a text has does not matter: archives have one for
/// each policy.
fn is_wider(a: &Limits, b: &Limits) -> bool {
    let of_policies = [
        Limits::nesting,
        Limits::operator_chain,
        Limits::doubling,
        Limits::policies,
        Limits::expression_depth,
    ];
    of_policies.iter().any(|limit| limit(a) > limit(b))
}

/// A file of this call's own beside `path`: other threads, and other processes on other machines, may be keeping the same
/// policies in the same directory.
fn draft_of(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut number = 0_u64;
    loop {
        let draft = path.with_extension(format!("{number}.draft"));
        match File::create_new(&draft) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            file => return Ok((draft, file?)),
        }
    }
}

/// So many bytes of a template that is copied for a link count as one.
const COPIES: usize = 8;

impl Document {
    fn of(epoch: &Epoch) -> Result<Self, ArchiveError> {
        let mut document = Self {
            format: FORMAT,
            policies: Vec::new(),
            templates: Vec::new(),
            links: Vec::new(),
        };
        let mut places = Places::new();
        for (id, program) in epoch.policies.templates() {
            let source = program.templates.first().and_then(|known| known.source);
            document
                .templates
                .push(text_of(&mut places, program, id, source)?);
        }
        for segment in &epoch.segments {
            let program = &segment.program;
            for (policy, number) in program.policies.iter().zip(0..) {
                if !segment.dead.contains(number) {
                    document.add(&mut places, program, policy)?;
                }
            }
        }
        Ok(document)
    }

    fn add<'p>(
        &mut self,
        places: &mut Places<'p>,
        program: &'p Program,
        policy: &Policy,
    ) -> Result<(), ArchiveError> {
        let Some(template) = program.template(policy) else {
            let text = text_of(places, program, &policy.id, policy.source)?;
            self.policies.push(text);
            return Ok(());
        };
        let slots = policy.slots;
        let [principal, resource] = slots.map(|slot| Some(program.names.owned_uid(slot?)));
        self.links.push(Link {
            id: policy.id.clone(),
            template: template.id.clone(),
            principal,
            resource,
        });
        Ok(())
    }

    /// Refuses links for which Cedar would copy too much of their templates' texts.
    fn check_links(&self, limits: &Limits) -> Result<(), String> {
        let templates = self.templates.iter();
        let bytes: HashMap<_, _> = templates.map(|text| (&text.id, text.text.len())).collect();
        let links = self.links.iter();
        let copied = links.filter_map(|link| bytes.get(&link.template));
        let copied = copied.fold(0, |sum: usize, bytes| sum.saturating_add(*bytes));
        let checked = limits.check(Limit::InputBytes, copied / COPIES);
        checked.map_err(|exceeded| format!("the templates, copied for each link: {exceeded}"))
    }

    fn policy_set(&self) -> Result<cedar::PolicySet, String> {
        let mut set = cedar::PolicySet::new();
        let id = |id: &PolicyId| cedar::PolicyId::new(id.as_str());
        for template in &self.templates {
            let parsed = cedar::Template::parse(Some(id(&template.id)), &template.text);
            let parsed = parsed.map_err(|error| format!("{}: {error}", template.id))?;
            set.add_template(parsed)
                .map_err(|error| error.to_string())?;
        }
        for policy in &self.policies {
            let parsed = cedar::Policy::parse(Some(id(&policy.id)), &policy.text);
            let parsed = parsed.map_err(|error| format!("{}: {error}", policy.id))?;
            set.add(parsed).map_err(|error| error.to_string())?;
        }
        for link in &self.links {
            let slots = [&link.principal, &link.resource];
            let values = slot_values(slots.map(|uid| uid.as_ref().map(EntityUid::as_ref)))?;
            set.link(id(&link.template), id(&link.id), values)
                .map_err(|error| format!("{}: {error}", link.id))?;
        }
        Ok(set)
    }
}

/// Places in texts, by where each text begins: thousands of policies are of one.
type Places<'p> = HashMap<*const u8, Lines<'p>>;

fn text_of<'p>(
    places: &mut Places<'p>,
    program: &'p Program,
    id: &PolicyId,
    source: Option<SourceSpan>,
) -> Result<Text, ArchiveError> {
    let known = source.and_then(|span| {
        let source = program.sources.get(span.source as usize)?;
        Some((program.text(span)?, source, span.start as usize))
    });
    let Some((text, source, byte)) = known else {
        return Err(ArchiveError::NoText(id.clone()));
    };
    let places = places.entry(source.text.as_ptr());
    let lines = places.or_insert_with(|| Lines::new(&source.text));
    let (line, column) = lines.line_column(byte);
    Ok(Text {
        id: id.clone(),
        text: text.to_owned(),
        written: Some(Written {
            file: source.file_of_text().map(str::to_owned),
            line,
            column,
            byte,
        }),
    })
}
