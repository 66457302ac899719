//! Loading entities: typed values, JSON text, `cedar_policy::Entities`.

mod from_json;
mod progress;
mod update;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bumpalo::Bump;
use cedar_policy as cedar;

use crate::entity::{EntityError, EntityLoader, EntityProblem, MAX_PROBLEMS, Snapshot};
use crate::files::open_file;
use crate::id::{EntityUidRef, Uid};
use crate::json;
use crate::limits::{Limit, Limits};
use crate::names::Names;
use crate::request::context::Fields;
use crate::request::locals::{Locals, RequestInterner, RequestNames};
use crate::request::{Entity, Typed};
use crate::schema::{SchemaModel, check, is_action_type};
use crate::value::arena::{Intern, NameText, TableFull};
use crate::value::stored::ByText;
use crate::value::{Bounds, Record, Stored, StoredRecord};

use super::error::is_like_a_path;
use super::input::uid_of;

use progress::{Progress, Reported};

pub use progress::EntityProgress;
pub use update::{EntitiesUpdated, EntityUpdate};

/// Entities to load: typed values, Cedar's entity JSON, files, `cedar_policy::Entities`.
///
/// JSON, files and streams are read when the authorizer is built or its entities are replaced, as a schema changes how
/// they are read. With a schema, the action entities come from it and need not be given. Of one text, a hundred problems
/// are told at the most.
///
/// Large sets are best given as a file or a stream, which are read a piece at a time, or entity by entity
/// ([`Entities::insert`], or `collect` and `extend` from an iterator), which are moved to where decisions read them.
///
/// ```
/// use duramen::{Entities, Entity};
///
/// #[derive(serde::Serialize)]
/// struct User { department: &'static str, clearance: i64 }
///
/// let entities = Entities::new()
///     .insert(
///         Entity::new(("User", "alice"))
///             .attrs(&User { department: "sales", clearance: 2 })
///             .parents(&[("Group", "staff").into()]),
///     )
///     .json(r#"[{ "uid": { "type": "Group", "id": "staff" }, "attrs": {}, "parents": [] }]"#);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Entities {
    /// Those of the typed entities: what the store's names begin with.
    names: Names,
    typed: Vec<TypedEntity>,
    inputs: Vec<EntityInput>,
    problems: Vec<EntityProblem>,
    progress: Progress,
    pub(crate) as_of: Option<SystemTime>,
}

/// A typed entity, written down.
#[derive(Clone, Debug)]
struct TypedEntity {
    uid: Uid,
    attrs: StoredRecord,
    tags: StoredRecord,
    parents: Vec<Uid>,
}

#[derive(Clone, Debug)]
enum EntityInput {
    Json(Arc<str>),
    File(PathBuf),
    Stream(Stream),
    Cedar(Box<cedar::Entities>),
}

/// A stream, until it is read.
#[derive(Clone)]
struct Stream(Arc<Mutex<Option<Box<dyn Read + Send>>>>);

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream(_)")
    }
}

impl Entities {
    /// No entities.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entity from typed values.
    #[must_use]
    pub fn insert(mut self, entity: Entity<'_>) -> Self {
        self.push(&entity);
        self
    }

    fn push(&mut self, entity: &Entity<'_>) {
        match TypedEntity::new(&mut self.names, entity) {
            Ok(typed) => self.typed.push(typed),
            Err(problem) => self.problems.push(problem.of(entity.uid.to_owned())),
        }
    }

    /// Adds a JSON array in Cedar's entity format.
    #[must_use]
    pub fn json(mut self, text: impl Into<Arc<str>>) -> Self {
        self.inputs.push(EntityInput::Json(text.into()));
        self
    }

    /// Adds a stream of a JSON array in Cedar's entity format. It is read once, a piece at a time: a clone of these
    /// entities shares the stream, and whichever is loaded second has a problem.
    ///
    /// No more is in memory than the entities read so far, one that is being read, and half a megabyte.
    /// [`Limits::input_bytes`](crate::Limits::input_bytes) bounds a single entity, as it does in a file.
    ///
    /// ```
    /// # use duramen::{Authorizer, Entities};
    /// let download: &[u8] = br#"[{ "uid": { "type": "User", "id": "alice" }, "attrs": {}, "parents": [] }]"#;
    /// let entities = Entities::new()
    ///     .json_stream(download)
    ///     .on_progress(|progress| eprintln!("{} entities", progress.entities()));
    /// let authorizer = Authorizer::builder().entities(entities).build()?;
    /// assert_eq!(authorizer.entity_count(), 1);
    /// # Ok::<(), duramen::BuildError>(())
    /// ```
    #[must_use]
    pub fn json_stream(mut self, stream: impl Read + Send + 'static) -> Self {
        let stream = Stream(Arc::new(Mutex::new(Some(Box::new(stream)))));
        self.inputs.push(EntityInput::Stream(stream));
        self
    }

    /// Adds a file that holds a JSON array in Cedar's entity format. It is read a piece at a time, as
    /// [`Entities::json_stream`], which takes pipes; here they are refused.
    #[must_use]
    pub fn json_file(mut self, path: impl AsRef<Path>) -> Self {
        self.inputs
            .push(EntityInput::File(path.as_ref().to_owned()));
        self
    }

    /// Adds entities that `cedar_policy` holds.
    ///
    /// `cedar_policy::Entities` does not tell direct parents from ancestors. What is implied by another ancestor
    /// is left out here, so that taking a group out of its parent later also takes its members out. A direct
    /// parent that is *also* an indirect ancestor is lost by that; where this matters, load JSON or typed values.
    #[must_use]
    pub fn cedar(mut self, entities: cedar::Entities) -> Self {
        self.inputs.push(EntityInput::Cedar(Box::new(entities)));
        self
    }

    /// Calls `report` as loading goes on, on the thread that loads: some thousand entities apart, and at the end of each
    /// text. Typed entities and those of `cedar_policy` are not reported: they have been read before.
    #[must_use]
    pub fn on_progress(mut self, report: impl Fn(EntityProgress) + Send + Sync + 'static) -> Self {
        self.progress = Progress(Some(Arc::new(report)));
        self
    }

    /// When the entities were known to be right, if that is earlier than when they are loaded: the date of a copy, say.
    /// Only [`Freshness`](crate::Freshness) asks; the default is when loading begins.
    #[must_use]
    pub fn as_of(mut self, time: SystemTime) -> Self {
        self.as_of = Some(time);
        self
    }

    /// Loads everything into a snapshot. With a schema, adds its actions and validates each entity.
    pub(crate) fn load(
        self,
        schema: Option<&SchemaModel>,
        limits: &Limits,
    ) -> Result<Snapshot, EntityError> {
        let mut loader = EntityLoader::new(self.names, *limits);
        loader.problems.extend(self.problems.iter().cloned());
        for entity in self.typed {
            let TypedEntity {
                uid,
                attrs,
                tags,
                parents,
            } = entity;
            loader.insert(uid, attrs, tags, parents);
        }
        let sizes = self.inputs.iter().map(EntityInput::bytes);
        let mut reported = Reported::new(&self.progress, sizes.sum());
        for input in &self.inputs {
            input.load(&mut loader, schema, &mut reported);
        }
        if let Some(schema) = schema {
            check_actions(&mut loader, schema);
            if let Err(full) = add_actions(&mut loader, schema) {
                loader.problems.push(full.into());
            }
        }
        let mut arena = Bump::new();
        let loaded = loader.finish(|snapshot, uid, data| {
            let Some(schema) = schema else { return Ok(()) };
            arena.reset();
            let names = &*snapshot.names;
            let uid: EntityUidRef<'_> = names.uid_text(uid).into();
            // As Cedar does: an action is compared closed, other entities are checked with what they name.
            let ancestors = if is_action_type(uid.type_name()) {
                snapshot.ancestors(&arena, data).merged(&arena)
            } else {
                data.parents()
            };
            check::check_entity(
                schema,
                uid,
                Record::Stored(data.attrs()),
                Some(Record::Stored(data.tags())),
                ancestors.iter().copied(),
                names,
            )
            .map_err(|mismatch| mismatch.to_string())
        });
        loaded.map_err(|mut error| {
            let problems = error.problems_mut();
            // Those of typed entities come first, and stand in no text.
            let typed = self.problems.len().min(problems.len());
            for input in &self.inputs {
                input.locate(limits, &mut problems[typed..]);
            }
            problems.sort_by(|a, b| (a.file(), a.offset()).cmp(&(b.file(), b.offset())));
            error
        })
    }
}

impl From<&str> for Entities {
    fn from(text: &str) -> Self {
        Self::new().json(text)
    }
}

impl From<String> for Entities {
    fn from(text: String) -> Self {
        Self::new().json(text)
    }
}

impl From<cedar::Entities> for Entities {
    fn from(entities: cedar::Entities) -> Self {
        Self::new().cedar(entities)
    }
}

impl<'a> Extend<Entity<'a>> for Entities {
    /// [`Entities::insert`] for each.
    fn extend<I: IntoIterator<Item = Entity<'a>>>(&mut self, entities: I) {
        for entity in entities {
            self.push(&entity);
        }
    }
}

impl<'a> FromIterator<Entity<'a>> for Entities {
    fn from_iter<I: IntoIterator<Item = Entity<'a>>>(entities: I) -> Self {
        let mut collected = Self::new();
        collected.extend(entities);
        collected
    }
}

impl TypedEntity {
    fn new(names: &mut Names, entity: &Entity<'_>) -> Result<Self, EntityProblem> {
        let parents = entity.parents.iter();
        Ok(Self {
            uid: checked_uid(names, entity.uid)?,
            attrs: own_record(names, entity.attrs)?,
            tags: own_record(names, entity.tags)?,
            parents: parents
                .map(|parent| checked_parent(names, entity.uid, *parent))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl EntityInput {
    /// How much there is to read; `None` when nobody knows.
    fn bytes(&self) -> Option<u64> {
        match self {
            Self::Json(text) => Some(text.len() as u64),
            Self::File(path) => std::fs::metadata(path).ok().map(|file| file.len()),
            Self::Stream(_) => None,
            Self::Cedar(_) => Some(0),
        }
    }

    fn load(
        &self,
        loader: &mut EntityLoader,
        schema: Option<&SchemaModel>,
        reported: &mut Reported<'_>,
    ) {
        match self {
            Self::Json(text) if is_like_a_path(text) => {
                let problem = format_args!(
                    "`{}` is no JSON; `Entities::json_file` reads a file",
                    text.escape_debug()
                );
                loader.problems.push(EntityProblem::new(problem));
            }
            Self::Json(text) => match loader.limits().check(Limit::InputBytes, text.len()) {
                Ok(()) => from_json::load(loader, text.as_bytes(), None, schema, reported),
                Err(exceeded) => loader.problems.push(exceeded.into()),
            },
            Self::File(path) => {
                let name = path.display().to_string();
                match open_file(path) {
                    Ok(file) => from_json::load(loader, file, Some(&name), schema, reported),
                    Err(error) => {
                        let problem = EntityProblem::new(format_args!("cannot be read: {error}"));
                        loader.problems.push(problem.in_file(&name));
                    }
                }
            }
            Self::Stream(Stream(stream)) => {
                // Whoever panicked while it held the lock has taken the stream.
                let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
                match stream {
                    Some(stream) => from_json::load(loader, stream, None, schema, reported),
                    None => loader.problems.push(EntityProblem::new(
                        "the stream of entities has been read before; give it anew",
                    )),
                }
            }
            Self::Cedar(entities) => load_cedar(loader, entities),
        }
    }

    /// Says of problems where they are in this input, if it can be read again.
    fn locate(&self, limits: &Limits, problems: &mut [EntityProblem]) {
        match self {
            Self::Json(text) => from_json::locate(text.as_bytes(), None, limits, problems),
            Self::File(path) => {
                if let Ok(file) = open_file(path) {
                    let name = path.display().to_string();
                    from_json::locate(file, Some(&name), limits, problems);
                }
            }
            Self::Stream(_) | Self::Cedar(_) => {}
        }
    }
}

fn checked_uid(names: &mut Names, uid: EntityUidRef<'_>) -> Result<Uid, EntityProblem> {
    if !json::is_normalized_type_name(uid.type_name()) {
        return Err(EntityProblem::new(format_args!(
            "`{}` is not an entity type name; write identifiers joined by `::`, without spaces or reserved words",
            uid.type_name().escape_debug()
        )));
    }
    Ok(names.uid(uid.type_name(), uid.id())?)
}

/// The parents of an action must be actions: the rule of Cedar's JSON, wherever entities come from. A group that is none
/// would have power over actions.
fn checked_parent(
    names: &mut Names,
    uid: EntityUidRef<'_>,
    parent: EntityUidRef<'_>,
) -> Result<Uid, EntityProblem> {
    if is_action_type(uid.type_name()) && !is_action_type(parent.type_name()) {
        return Err(EntityProblem::new(format_args!(
            "the parents of an action must be actions, and {parent} is none"
        )));
    }
    checked_uid(names, parent)
}

/// A typed record in the numbering of `names`, which grows by what it mentions.
fn own_record(names: &mut Names, record: Option<Typed<'_>>) -> Result<StoredRecord, EntityProblem> {
    let Some(record) = record else {
        return Ok(StoredRecord::default());
    };
    let arena = Bump::new();
    let (nothing, mut locals) = (Names::new(), Locals::default());
    let mut interner = RequestInterner {
        shared: &nothing,
        locals: &mut locals,
    };
    // The authorizer's own limits are checked on what it stores.
    let written = record
        .0
        .write(&arena, &mut interner, Fields::All, Bounds::unchecked())
        .map_err(|error| match error.limit {
            Some(limit) => limit.into(),
            None => EntityProblem::new(error.message),
        })?;
    let mut into = ByText {
        from: RequestNames {
            shared: &nothing,
            locals: &locals,
        },
        to: names,
    };
    Ok(StoredRecord::copy_of(written, &mut into)?)
}

fn stored(record: Record<'_>) -> StoredRecord {
    match Stored::of(record.into()) {
        Stored::Record(record) => record,
        _ => StoredRecord::default(),
    }
}

/// Loads through Cedar's own JSON form, which writes tags and extension values in full.
fn load_cedar(loader: &mut EntityLoader, entities: &cedar::Entities) {
    let above: HashMap<cedar::EntityUid, HashSet<&cedar::EntityUid>> = entities
        .iter()
        .map(|entity| {
            let uid = entity.uid();
            let ancestors = entities.ancestors(&uid).into_iter().flatten().collect();
            (uid, ancestors)
        })
        .collect();
    let mut arena = Bump::new();
    for entity in entities.iter() {
        arena.reset();
        let uid = uid_of(&entity.uid());
        let text = match entity.to_json_value() {
            Ok(json) => json.to_string(),
            Err(error) => {
                loader.problems.push(EntityProblem::new(error).of(uid));
                continue;
            }
        };
        let parents: Result<Vec<Uid>, TableFull> = lowest(&above, &entity.uid())
            .into_iter()
            .map(|parent| {
                let parent = uid_of(parent);
                loader.names.uid(parent.type_name(), parent.id())
            })
            .collect();
        let problem = match parents {
            Err(full) => Some(full.into()),
            Ok(parents) => load_cedar_entity(loader, &arena, &text, parents).err(),
        };
        if let Some(problem) = problem {
            loader.problems.push(problem.of(uid));
        }
    }
}

/// The ancestors of an entity that no other of them implies.
///
/// What is above another has fewer above it. So whatever comes first is implied by none that comes later, and a chain of a
/// thousand is gone through once, and not once for each of its members.
fn lowest<'c>(
    above: &HashMap<cedar::EntityUid, HashSet<&'c cedar::EntityUid>>,
    entity: &cedar::EntityUid,
) -> Vec<&'c cedar::EntityUid> {
    let above_of = |uid: &cedar::EntityUid| above.get(uid).into_iter().flatten().copied();
    let mut ancestors: Vec<_> = above_of(entity).collect();
    ancestors.sort_by_cached_key(|uid| Reverse(above.get(*uid).map_or(0, HashSet::len)));
    let mut implied = HashSet::new();
    ancestors.retain(|ancestor| {
        let is_lowest = !implied.contains(ancestor);
        if is_lowest {
            implied.extend(above_of(ancestor));
        }
        is_lowest
    });
    ancestors
}

fn load_cedar_entity(
    loader: &mut EntityLoader,
    arena: &Bump,
    text: &str,
    parents: Vec<Uid>,
) -> Result<(), EntityProblem> {
    let depth = loader.limits().attribute_depth().saturating_add(3);
    let json = json::parse(arena, text, depth).map_err(EntityProblem::new)?;
    let json = arena.alloc(json);
    let entity =
        json::read_entity(arena, json, None, &mut loader.names).map_err(EntityProblem::new)?;
    let (attrs, tags) = (stored(entity.attrs), stored(entity.tags));
    loader.insert(entity.uid, attrs, tags, parents);
    Ok(())
}

/// Holds the actions of the data against the schema as Cedar does: with what is above them by the data alone.
fn check_actions(loader: &mut EntityLoader, schema: &SchemaModel) {
    for action in schema.actions() {
        // No more are told, and each that is wrong may be below all others.
        if loader.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let uid = loader
            .names
            .find_uid(action.uid.type_name(), action.uid.id());
        let Some((uid, data)) = uid.and_then(|uid| Some((uid, loader.get(uid)?))) else {
            continue;
        };
        let checked = check::check_entity(
            schema,
            action.uid.as_ref(),
            Record::Stored(data.attrs()),
            Some(Record::Stored(data.tags())),
            loader.above(uid).iter().copied(),
            &loader.names,
        );
        if let Err(mismatch) = checked {
            let problem = EntityProblem::new(mismatch);
            loader.problems.push(problem.of(action.uid.clone()));
        }
    }
}

/// The schema's actions, where the data does not have them.
fn add_actions(loader: &mut EntityLoader, schema: &SchemaModel) -> Result<(), TableFull> {
    for action in schema.actions() {
        let uid = loader.names.uid(action.uid.type_name(), action.uid.id())?;
        if loader.get(uid).is_some() {
            continue;
        }
        // Not all that are above, which are found as those of any other entity: a chain of 900 groups took fifteen seconds.
        let parents = action
            .parents
            .iter()
            .map(|above| loader.names.uid(above.type_name(), above.id()))
            .collect::<Result<_, _>>()?;
        loader.insert(
            uid,
            StoredRecord::default(),
            StoredRecord::default(),
            parents,
        );
    }
    Ok(())
}
