//! Loading entities: typed values, JSON text, `cedar_policy::Entities`.

mod update;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use bumpalo::Bump;
use cedar_policy as cedar;

use crate::entity::{EntityError, EntityLoader, EntityProblem, Snapshot};
use crate::id::{EntityUidRef, Uid};
use crate::json::{self, ArrayReader, JsonErrorKind};
use crate::limits::{Limit, Limits};
use crate::names::Names;
use crate::request::context::{Fields, WriteError};
use crate::request::locals::{Locals, RequestInterner, RequestNames};
use crate::request::{Entity, Typed};
use crate::schema::{SchemaModel, check, is_action_type};
use crate::value::arena::{Intern, NameText, TableFull};
use crate::value::stored::{ByText, Rename};
use crate::value::{Bounds, Record, Stored, StoredRecord};

use super::input::uid_of;

pub use update::{EntitiesUpdated, EntityUpdate};

/// Entities to load: typed values, Cedar's entity JSON, files, `cedar_policy::Entities`.
///
/// JSON is read when the authorizer is built or its entities are replaced, as a schema changes how it is read.
/// With a schema, the action entities come from it and need not be given.
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
    typed: Vec<TypedEntity>,
    inputs: Vec<EntityInput>,
    problems: Vec<EntityProblem>,
}

/// A typed entity, written down in a table of names of its own until the store's is there.
#[derive(Clone, Debug)]
struct TypedEntity {
    names: Names,
    uid: Uid,
    attrs: StoredRecord,
    tags: StoredRecord,
    parents: Vec<Uid>,
}

#[derive(Clone, Debug)]
enum EntityInput {
    Json {
        file: Option<Arc<str>>,
        text: Arc<str>,
    },
    Cedar(Box<cedar::Entities>),
}

impl Entities {
    /// No entities.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entity from typed values.
    #[must_use]
    pub fn insert(mut self, entity: Entity<'_>) -> Self {
        match TypedEntity::new(&entity) {
            Ok(typed) => self.typed.push(typed),
            Err(problem) => self.problems.push(problem.of(entity.uid.to_owned())),
        }
        self
    }

    /// Adds a JSON array in Cedar's entity format.
    #[must_use]
    pub fn json(mut self, text: impl Into<Arc<str>>) -> Self {
        self.inputs.push(EntityInput::Json {
            file: None,
            text: text.into(),
        });
        self
    }

    /// Adds a file that holds a JSON array in Cedar's entity format.
    #[must_use]
    pub fn json_file(mut self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let file: Arc<str> = path.display().to_string().into();
        match std::fs::read_to_string(path) {
            Ok(text) => self.inputs.push(EntityInput::Json {
                file: Some(file),
                text: text.into(),
            }),
            Err(error) => self.problems.push(EntityProblem::new(format_args!(
                "{file} cannot be read: {error}"
            ))),
        }
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

    /// Loads everything into a snapshot. With a schema, adds its actions and validates each entity.
    pub(crate) fn load(
        &self,
        schema: Option<&SchemaModel>,
        limits: &Limits,
    ) -> Result<Snapshot, EntityError> {
        let mut loader = EntityLoader::new(*limits);
        loader.problems.extend(self.problems.iter().cloned());
        for entity in &self.typed {
            if let Err(full) = entity.load(&mut loader) {
                loader.problems.push(full.into());
                break;
            }
        }
        for input in &self.inputs {
            match input {
                EntityInput::Json { file, text } => {
                    load_json(&mut loader, text, file.as_deref(), schema);
                }
                EntityInput::Cedar(entities) => load_cedar(&mut loader, entities),
            }
        }
        if let Some(schema) = schema
            && let Err(full) = add_actions(&mut loader, schema)
        {
            loader.problems.push(full.into());
        }
        let mut arena = Bump::new();
        loader.finish(|snapshot, uid, data| {
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
        })
    }
}

impl From<&str> for Entities {
    fn from(text: &str) -> Self {
        Self::new().json(text)
    }
}

impl From<cedar::Entities> for Entities {
    fn from(entities: cedar::Entities) -> Self {
        Self::new().cedar(entities)
    }
}

impl TypedEntity {
    fn new(entity: &Entity<'_>) -> Result<Self, EntityProblem> {
        let mut names = Names::new();
        Ok(Self {
            uid: checked_uid(&mut names, entity.uid)?,
            attrs: own_record(&mut names, entity.attrs)?,
            tags: own_record(&mut names, entity.tags)?,
            parents: entity
                .parents
                .iter()
                .map(|parent| checked_uid(&mut names, *parent))
                .collect::<Result<_, _>>()?,
            names,
        })
    }

    fn load(&self, loader: &mut EntityLoader) -> Result<(), TableFull> {
        let mut into = ByText {
            from: &self.names,
            to: &mut loader.names,
        };
        let uid = into.uid(self.uid)?;
        let attrs = StoredRecord::copy_of(Record::Stored(&self.attrs), &mut into)?;
        let tags = StoredRecord::copy_of(Record::Stored(&self.tags), &mut into)?;
        let parents = self
            .parents
            .iter()
            .map(|parent| into.uid(*parent))
            .collect::<Result<_, _>>()?;
        loader.insert(uid, attrs, tags, parents);
        Ok(())
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
        .map_err(|WriteError { limit, message }| match limit {
            Some(limit) => limit.into(),
            None => EntityProblem::new(message),
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
        Stored::Record(record) => *record,
        _ => StoredRecord::default(),
    }
}

/// Reads a JSON array of entities, one at a time. An entity that cannot be read is a problem and the next one
/// is read; text that is not JSON ends it.
fn load_json(
    loader: &mut EntityLoader,
    text: &str,
    file: Option<&str>,
    schema: Option<&SchemaModel>,
) {
    let limits = *loader.limits();
    let in_file = |problem: EntityProblem| match file {
        Some(file) => EntityProblem {
            message: format!("{}: {}", file, problem.message),
            ..problem
        },
        None => problem,
    };
    if let Err(exceeded) = limits.check(Limit::InputBytes, text.len()) {
        loader.problems.push(in_file(exceeded.into()));
        return;
    }
    let mut reader = ArrayReader::new(text, limits.attribute_depth().saturating_add(3));
    let mut arena = Bump::new();
    loop {
        arena.reset();
        let json = match reader.next(&arena) {
            Ok(Some(json)) => json,
            Ok(None) => return,
            Err(error) => {
                let at = error.position(text);
                let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                let problem = match error.kind {
                    JsonErrorKind::TooDeep => limits.exceeded(Limit::AttributeDepth).into(),
                    _ => EntityProblem::new(error),
                };
                let problem = problem.at(number(at.line), number(at.column));
                loader.problems.push(in_file(problem));
                return;
            }
        };
        let number = reader.read();
        let json = arena.alloc(json);
        match json::read_entity(&arena, json, schema, &mut loader.names) {
            Ok(entity) => {
                let (attrs, tags) = (stored(entity.attrs), stored(entity.tags));
                loader.insert(entity.uid, attrs, tags, entity.parents.to_vec());
            }
            Err(error) => loader
                .problems
                .push(in_file(EntityProblem::new(format_args!(
                    "entity number {number}: {error}"
                )))),
        }
        if loader.problems.len() >= MAX_PROBLEMS {
            return;
        }
    }
}

/// No more problems than this are collected of one load: a wrong file has one with every entity.
const MAX_PROBLEMS: usize = 100;

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
        let ancestors = above.get(&entity.uid());
        let parents: Result<Vec<Uid>, TableFull> = ancestors
            .into_iter()
            .flatten()
            .filter(|ancestor| {
                !ancestors.into_iter().flatten().any(|other| {
                    other != *ancestor
                        && above
                            .get(*other)
                            .is_some_and(|above| above.contains(*ancestor))
                })
            })
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

/// The schema's actions, where the data does not have them.
fn add_actions(loader: &mut EntityLoader, schema: &SchemaModel) -> Result<(), TableFull> {
    for action in schema.actions() {
        let uid = loader.names.uid(action.uid.type_name(), action.uid.id())?;
        if loader.contains(uid) {
            continue;
        }
        let parents = action
            .ancestors
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
