//! Changes of entities: what callers say, and applying it.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use bumpalo::Bump;
use serde::Serialize;
use serde::ser::SerializeMap;

use crate::compile::error::{is_like_a_path, line_column};
use crate::entity::{Draft, Drafted, EntityChange, EntityError, EntityProblem, MAX_PROBLEMS, Part};
use crate::epoch::Version;
use crate::id::{EntityUid, EntityUidRef, Sym, Uid};
use crate::json::{self, ArrayReader, Json, JsonErrorKind};
use crate::limits::{Limit, Limits};
use crate::names::Names;
use crate::request::{Entity, Typed};
use crate::schema::{SchemaModel, check};
use crate::value::arena::{Intern, NameText, TableFull};
use crate::value::stored::{ByText, Rename};
use crate::value::{Record, Stored, StoredRecord};

use super::from_json::unread;
use super::{checked_parent, checked_uid, own_record, stored};

/// Changes of entities that take effect together: all of them or, if one is refused, none.
///
/// The changes apply in the order in which they are given, each to what the ones before it left. What comes out must be
/// in order; what lies between need not: two entities may trade places in the hierarchy in one update.
///
/// ```
/// use duramen::{Authorizer, Entity, EntityChange, EntityUpdate};
///
/// # let authorizer = Authorizer::builder().build()?;
/// let update = EntityUpdate::new()
///     .upsert(Entity::new(("User", "alice")).parents(&[("Group", "staff").into()]))
///     .set_attr(("User", "alice"), "clearance", &2)
///     .remove(("User", "bob"));
/// let updated = authorizer.update_entities(update)?;
/// assert_eq!(updated.changes()[0].1, EntityChange::Created);
/// assert_eq!(updated.changes()[1].1, EntityChange::Unchanged, "there was no bob");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct EntityUpdate {
    /// The numbering of `changes`, until the store's is there.
    names: Names,
    changes: Vec<Change>,
    problems: Vec<EntityProblem>,
    pub(crate) as_of: Option<SystemTime>,
    pub(crate) out_of_band: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Upsert {
        uid: Uid,
        attrs: StoredRecord,
        tags: StoredRecord,
        parents: Vec<Uid>,
    },
    UpsertJson(String),
    Remove(Uid),
    /// The record has one field, the new value; or none is given, to take the field away.
    Set(Uid, Part, Sym, Option<StoredRecord>),
    AddParent(Uid, Uid),
    RemoveParent(Uid, Uid),
}

/// What an update has done.
#[derive(Clone, PartialEq, Debug)]
pub struct EntitiesUpdated {
    version: Version,
    changes: Vec<(EntityUid, EntityChange)>,
}

impl EntitiesUpdated {
    pub(crate) fn new(version: Version, changes: Vec<(EntityUid, EntityChange)>) -> Self {
        Self { version, changes }
    }

    /// The version in force since: a new one, or the old one when nothing was changed.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What became of each entity that the update mentions or changes, in the order in which it first does. Parents that
    /// are only given or taken are not among them; children that lose a removed parent are.
    pub fn changes(&self) -> &[(EntityUid, EntityChange)] {
        &self.changes
    }
}

impl Default for EntityUpdate {
    fn default() -> Self {
        Self::new()
    }
}

impl EntityUpdate {
    /// No changes.
    pub fn new() -> Self {
        Self {
            names: Names::new(),
            changes: Vec::new(),
            problems: Vec::new(),
            as_of: None,
            out_of_band: false,
        }
    }

    /// Adds an entity, or replaces the one with its uid whole.
    #[must_use]
    pub fn upsert(self, entity: Entity<'_>) -> Self {
        self.with(entity.uid, |names, uid| {
            Ok(Change::Upsert {
                uid,
                attrs: own_record(names, entity.attrs)?,
                tags: own_record(names, entity.tags)?,
                parents: entity
                    .parents
                    .iter()
                    .map(|parent| checked_parent(names, entity.uid, *parent))
                    .collect::<Result<_, _>>()?,
            })
        })
    }

    /// [`EntityUpdate::upsert`] of one entity in Cedar's JSON format, or of a JSON array of them. Read when the update
    /// is made, as a schema changes how it is read. A hundred problems are told at the most.
    #[must_use]
    pub fn upsert_json(mut self, entities: impl Into<String>) -> Self {
        self.changes.push(Change::UpsertJson(entities.into()));
        self
    }

    /// Removes an entity, and takes it from its children's parents: adding it again does not make it their parent
    /// again. An entity that does not exist is no error.
    #[must_use]
    pub fn remove<'a>(self, uid: impl Into<EntityUidRef<'a>>) -> Self {
        self.with(uid.into(), |_, uid| Ok(Change::Remove(uid)))
    }

    /// Sets one attribute of an entity that exists: to anything that [`Entity::attrs`] takes as a field.
    #[must_use]
    pub fn set_attr<'a, T: Serialize + Sync>(
        self,
        uid: impl Into<EntityUidRef<'a>>,
        name: &str,
        value: &T,
    ) -> Self {
        self.set(uid.into(), Part::Attrs, name, value)
    }

    /// Takes one attribute away; none is there afterwards, whether or not one was before.
    #[must_use]
    pub fn unset_attr<'a>(self, uid: impl Into<EntityUidRef<'a>>, name: &str) -> Self {
        self.unset(uid.into(), Part::Attrs, name)
    }

    /// Sets one tag of an entity that exists.
    #[must_use]
    pub fn set_tag<'a, T: Serialize + Sync>(
        self,
        uid: impl Into<EntityUidRef<'a>>,
        name: &str,
        value: &T,
    ) -> Self {
        self.set(uid.into(), Part::Tags, name, value)
    }

    /// Takes one tag away; none is there afterwards, whether or not one was before.
    #[must_use]
    pub fn unset_tag<'a>(self, uid: impl Into<EntityUidRef<'a>>, name: &str) -> Self {
        self.unset(uid.into(), Part::Tags, name)
    }

    /// Gives an entity that exists one more parent, which need not exist.
    #[must_use]
    pub fn add_parent<'a, 'b>(
        self,
        uid: impl Into<EntityUidRef<'a>>,
        parent: impl Into<EntityUidRef<'b>>,
    ) -> Self {
        let (child, parent) = (uid.into(), parent.into());
        self.with(child, |names, uid| {
            let parent = checked_parent(names, child, parent)?;
            Ok(Change::AddParent(uid, parent))
        })
    }

    /// Takes one direct parent away. What is an ancestor by another way stays one.
    #[must_use]
    pub fn remove_parent<'a, 'b>(
        self,
        uid: impl Into<EntityUidRef<'a>>,
        parent: impl Into<EntityUidRef<'b>>,
    ) -> Self {
        let parent = parent.into();
        self.with(uid.into(), |names, uid| {
            Ok(Change::RemoveParent(uid, checked_uid(names, parent)?))
        })
    }

    /// When what is said here was known to be right, if that is earlier than when it is applied. Only
    /// [`Freshness`](crate::Freshness) asks.
    #[must_use]
    pub fn as_of(mut self, time: SystemTime) -> Self {
        self.as_of = Some(time);
        self
    }

    /// The update does not come from what feeds the store: an administrator's correction, a signal. For
    /// [`Freshness`](crate::Freshness) it is no sign that the feed is alive, and makes nothing younger.
    #[must_use]
    pub fn out_of_band(mut self) -> Self {
        self.out_of_band = true;
        self
    }

    fn set<T: Serialize + Sync>(
        self,
        uid: EntityUidRef<'_>,
        part: Part,
        name: &str,
        value: &T,
    ) -> Self {
        self.with(uid, |names, uid| {
            let record = own_record(names, Some(Typed(&Field { name, value })))?;
            if record.keys().is_empty() {
                return Err(EntityProblem::new(format_args!(
                    "`{}` is set to no value; unset it instead",
                    name.escape_debug()
                )));
            }
            Ok(Change::Set(uid, part, names.sym(name)?, Some(record)))
        })
    }

    fn unset(self, uid: EntityUidRef<'_>, part: Part, name: &str) -> Self {
        self.with(uid, |names, uid| {
            Ok(Change::Set(uid, part, names.sym(name)?, None))
        })
    }

    fn with(
        mut self,
        uid: EntityUidRef<'_>,
        change: impl FnOnce(&mut Names, Uid) -> Result<Change, EntityProblem>,
    ) -> Self {
        let change =
            checked_uid(&mut self.names, uid).and_then(|known| change(&mut self.names, known));
        match change {
            Ok(change) => self.changes.push(change),
            Err(problem) => self.problems.push(problem.of(uid.to_owned())),
        }
        self
    }

    /// Makes the changes in a draft, and validates each changed entity against the schema as Cedar validates upserts.
    pub(crate) fn apply(
        &self,
        mut draft: Draft<'_>,
        schema: Option<&SchemaModel>,
    ) -> Result<Drafted, EntityError> {
        draft.problems.extend(self.problems.iter().cloned());
        for change in &self.changes {
            self.make(change, &mut draft, schema)
                .map_err(EntityProblem::from)?;
        }
        let limits = *draft.limits();
        let read = draft.problems.len();
        let drafted = draft.finish(|names, uid, data| {
            let Some(schema) = schema else { return Ok(()) };
            check::check_entity(
                schema,
                names.uid_text(uid).into(),
                Record::Stored(data.attrs()),
                Some(Record::Stored(data.tags())),
                data.parents().iter().copied(),
                names,
            )
            .map_err(|mismatch| mismatch.to_string())
        });
        drafted.map_err(|mut error| {
            let found = error.problems_mut().get_mut(read..);
            self.locate(&limits, found.unwrap_or_default());
            error
        })
    }

    /// Says of problems that were found once all changes were made where in the JSON the entities are. Not of those that
    /// something else of the update changes too: that may be what is wrong.
    fn locate(&self, limits: &Limits, problems: &mut [EntityProblem]) {
        let changed = self.changes.iter().filter_map(|change| match change {
            Change::UpsertJson(_) => None,
            Change::Upsert { uid, .. }
            | Change::Remove(uid)
            | Change::Set(uid, ..)
            | Change::AddParent(uid, _)
            | Change::RemoveParent(uid, _) => Some(self.names.owned_uid(*uid)),
        });
        let changed: HashSet<EntityUid> = changed.collect();
        let mut open: HashMap<EntityUid, Vec<&mut EntityProblem>> = HashMap::new();
        for problem in problems {
            if let Some(uid) = problem
                .entity()
                .cloned()
                .filter(|uid| !changed.contains(uid))
            {
                open.entry(uid).or_default().push(problem);
            }
        }
        // What is given twice is as it was given last.
        for change in self.changes.iter().rev() {
            let Change::UpsertJson(text) = change else {
                continue;
            };
            if open.is_empty() {
                return;
            }
            let mut last: HashMap<EntityUid, usize> = HashMap::new();
            each(text, limits, |entity, offset| {
                if let Some((type_name, id)) = json::uid_of_entity(entity) {
                    last.insert(EntityUid::new(type_name, id), offset);
                }
            });
            for (uid, offset) in last {
                for problem in open.remove(&uid).into_iter().flatten() {
                    place(problem, text, offset);
                }
            }
        }
    }

    fn make(
        &self,
        change: &Change,
        draft: &mut Draft<'_>,
        schema: Option<&SchemaModel>,
    ) -> Result<(), TableFull> {
        let mut into = ByText {
            from: &self.names,
            to: &mut draft.names,
        };
        match change {
            Change::Upsert {
                uid,
                attrs,
                tags,
                parents,
            } => {
                let uid = into.uid(*uid)?;
                let attrs = StoredRecord::copy_of(Record::Stored(attrs), &mut into)?;
                let tags = StoredRecord::copy_of(Record::Stored(tags), &mut into)?;
                let parents: Vec<Uid> = parents
                    .iter()
                    .map(|parent| into.uid(*parent))
                    .collect::<Result<_, _>>()?;
                upsert(draft, schema, uid, attrs, tags, parents);
            }
            Change::UpsertJson(text) => upsert_json(draft, schema, text),
            Change::Remove(uid) => {
                let uid = into.uid(*uid)?;
                if may_alter(draft, schema, uid) {
                    draft.remove(uid);
                }
            }
            Change::Set(uid, part, name, value) => {
                let (uid, name) = (into.uid(*uid)?, into.sym(*name)?);
                let value: Option<Stored> = match value {
                    None => None,
                    Some(record) => {
                        let record = StoredRecord::copy_of(Record::Stored(record), &mut into)?;
                        record.entry(0).map(|(_, value)| value.clone())
                    }
                };
                if may_alter(draft, schema, uid) {
                    draft.set(uid, *part, name, value);
                }
            }
            Change::AddParent(uid, parent) => {
                let (uid, parent) = (into.uid(*uid)?, into.uid(*parent)?);
                if may_alter(draft, schema, uid) {
                    draft.add_parent(uid, parent);
                }
            }
            Change::RemoveParent(uid, parent) => {
                let (uid, parent) = (into.uid(*uid)?, into.uid(*parent)?);
                if may_alter(draft, schema, uid) {
                    draft.remove_parent(uid, parent);
                }
            }
        }
        Ok(())
    }
}

/// An upsert; of an action that the schema declares only if it is as declared, which changes nothing.
fn upsert(
    draft: &mut Draft<'_>,
    schema: Option<&SchemaModel>,
    uid: Uid,
    attrs: StoredRecord,
    tags: StoredRecord,
    parents: Vec<Uid>,
) {
    if let Some(schema) = schema
        && is_declared_action(draft, schema, uid)
    {
        let checked = check::check_entity(
            schema,
            draft.names.uid_text(uid).into(),
            Record::Stored(&attrs),
            Some(Record::Stored(&tags)),
            parents.iter().copied(),
            &draft.names,
        );
        if let Err(mismatch) = checked {
            let message = mismatch.to_string();
            draft.problem(uid, EntityProblem::new(message));
        }
        return;
    }
    draft.upsert(uid, attrs, tags, parents);
}

fn is_declared_action(draft: &Draft<'_>, schema: &SchemaModel, uid: Uid) -> bool {
    schema.action(draft.names.uid_text(uid).into()).is_some()
}

/// Whether an entity may be altered; actions that come from the schema may not, and a problem says so.
fn may_alter(draft: &mut Draft<'_>, schema: Option<&SchemaModel>, uid: Uid) -> bool {
    let declared = schema.is_some_and(|schema| is_declared_action(draft, schema, uid));
    if declared {
        draft.problem(
            uid,
            EntityProblem::new("is an action that the schema declares; it cannot be altered"),
        );
    }
    !declared
}

/// Reads one entity (an object) or several (an array of objects).
fn upsert_json(draft: &mut Draft<'_>, schema: Option<&SchemaModel>, text: &str) {
    let limits: Limits = *draft.limits();
    if is_like_a_path(text) {
        let problem = format_args!(
            "`{}` is no JSON; give the text of the file",
            text.escape_debug()
        );
        draft.problems.push(EntityProblem::new(problem));
        return;
    }
    if let Err(exceeded) = limits.check(Limit::InputBytes, text.len()) {
        draft.problems.push(exceeded.into());
        return;
    }
    let arena = Bump::new();
    let depth = limits.attribute_depth().saturating_add(3);
    let json = match json::parse(&arena, text, depth) {
        Ok(json) => arena.alloc(json),
        Err(error) => {
            let at = error.position(text);
            let problem = match error.kind {
                JsonErrorKind::TooDeep => limits.exceeded(Limit::AttributeDepth).into(),
                _ => EntityProblem::new(error),
            };
            draft
                .problems
                .push(problem.at((at.line, at.column), error.offset as u64));
            return;
        }
    };
    let entities = match json {
        Json::Array(entities) => *entities,
        one => std::slice::from_ref(one),
    };
    let first = draft.problems.len();
    // The problems that were found, and the entities that they are with.
    let mut wrong: Vec<(usize, usize)> = Vec::new();
    for (at, json) in entities.iter().enumerate() {
        let before = draft.problems.len();
        if before - first >= MAX_PROBLEMS {
            break;
        }
        match json::read_entity(&arena, json, schema, &mut draft.names) {
            Ok(entity) => {
                let (attrs, tags) = (stored(entity.attrs), stored(entity.tags));
                let parents = entity.parents.to_vec();
                upsert(draft, schema, entity.uid, attrs, tags, parents);
            }
            Err(error) => draft.problems.push(unread(json, at, error)),
        }
        wrong.extend((before..draft.problems.len()).map(|problem| (problem, at)));
    }
    if wrong.is_empty() {
        return;
    }
    let mut offsets = Vec::with_capacity(entities.len());
    each(text, &limits, |_, offset| offsets.push(offset));
    for (problem, at) in wrong {
        if let (Some(problem), Some(offset)) = (draft.problems.get_mut(problem), offsets.get(at)) {
            place(problem, text, *offset);
        }
    }
}

/// The entities of a JSON text, and where each begins. For texts that something is wrong with, and that were read before: to
/// keep the places would cost every update.
fn each(text: &str, limits: &Limits, mut entity: impl FnMut(&Json<'_>, usize)) {
    let start = |from: usize| {
        let rest = text.get(from..).unwrap_or_default().trim_start();
        let element = rest.strip_prefix(['[', ',']).unwrap_or(rest);
        text.len() - element.trim_start().len()
    };
    let depth = limits.attribute_depth().saturating_add(3);
    let mut arena = Bump::new();
    if !text.trim_start().starts_with('[') {
        if let Ok(json) = json::parse(&arena, text, depth) {
            entity(&json, start(0));
        }
        return;
    }
    let mut reader = ArrayReader::new(text, depth);
    loop {
        arena.reset();
        let from = reader.place().offset();
        match reader.next(&arena) {
            Ok(Some(json)) => entity(&json, start(from)),
            _ => return,
        }
    }
}

fn place(problem: &mut EntityProblem, text: &str, offset: usize) {
    let (line, column) = line_column(text, offset);
    *problem = problem
        .clone()
        .at((line as usize, column as usize), offset as u64);
}

/// A record of one field.
struct Field<'v, T> {
    name: &'v str,
    value: &'v T,
}

impl<T: Serialize> Serialize for Field<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.name, self.value)?;
        map.end()
    }
}
