//! One entity from [`Json`], by Cedar's entity format: `{"uid": …, "attrs": {…}, "parents": […], "tags": {…}}`, where
//! only `tags` may be absent and fields of other names are ignored.

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::id::Uid;
use crate::schema::{SchemaModel, Type, is_action_type};
use crate::value::Record;
use crate::value::arena::{self, Intern};

use super::read::{Reader, read_uid};
use super::{Json, Member, ReadError, ReadErrorKind, Step, member};

/// An entity as the text has it: nothing is validated beyond what reading needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntityFields<'a> {
    pub(crate) uid: Uid,
    pub(crate) attrs: Record<'a>,
    /// Sorted, each once.
    pub(crate) parents: &'a [Uid],
    pub(crate) tags: Record<'a>,
}

/// Reads one entity, directed by `schema` if there is one. Actions are always read without, as it says nothing about
/// their attributes.
pub(crate) fn read_entity<'a>(
    arena: &'a Bump,
    json: &'a Json<'a>,
    schema: Option<&SchemaModel>,
    names: &mut impl Intern,
) -> Result<EntityFields<'a>, ReadError<'a>> {
    let parts = Parts::of(json)?;
    let (type_name, id) = read_uid(parts.uid).map_err(at(arena, "uid"))?;
    parts.read(&mut Reader { arena, names }, (type_name, id), schema)
}

/// Type name and id of an entity, where its text has them.
pub(crate) fn uid_of_entity<'a>(json: &Json<'a>) -> Option<(&'a str, &'a str)> {
    let uid = match json {
        Json::Object(members) => member(members, "uid")?,
        Json::Array(fields) => fields.first()?,
        _ => return None,
    };
    read_uid(uid).ok()
}

/// Places an error under a field of the entity.
fn at<'a>(arena: &'a Bump, field: &'static str) -> impl FnOnce(ReadError<'a>) -> ReadError<'a> {
    move |error| error.within(arena, Step::Field(field))
}

/// The fields of an entity's JSON, of the right shape but not yet read.
struct Parts<'a> {
    uid: &'a Json<'a>,
    attrs: &'a [Member<'a>],
    parents: &'a [Json<'a>],
    tags: &'a [Member<'a>],
}

impl<'a> Parts<'a> {
    /// An array in the order of the fields is accepted too, an accident of Cedar's reader as in [`read_uid`].
    fn of(json: &'a Json<'a>) -> Result<Self, ReadError<'a>> {
        let (uid, attrs, parents, tags) = match json {
            Json::Object(members) => {
                let required =
                    |name| member(members, name).ok_or(ReadErrorKind::MissingField(name).here());
                (
                    required("uid")?,
                    required("attrs")?,
                    required("parents")?,
                    member(members, "tags"),
                )
            }
            Json::Array([uid, attrs, parents]) => (uid, attrs, parents, None),
            Json::Array([uid, attrs, parents, tags]) => (uid, attrs, parents, Some(tags)),
            _ => return Err(ReadErrorKind::NotAnEntityObject.here()),
        };
        let (Json::Object(attrs), Json::Array(parents)) = (attrs, parents) else {
            return Err(ReadErrorKind::NotAnEntityObject.here());
        };
        let tags = match tags {
            Some(Json::Object(tags)) => *tags,
            Some(_) => return Err(ReadErrorKind::NotAnEntityObject.here()),
            None => &[],
        };
        Ok(Self {
            uid,
            attrs,
            parents,
            tags,
        })
    }

    fn read<N: Intern>(
        self,
        reader: &mut Reader<'_, 'a, N>,
        (type_name, id): (&'a str, &'a str),
        schema: Option<&SchemaModel>,
    ) -> Result<EntityFields<'a>, ReadError<'a>> {
        let arena = reader.arena;
        let is_action = is_action_type(type_name);
        let declared = match schema.filter(|_| !is_action) {
            Some(schema) => match schema.entity_type(type_name) {
                None => return Err(ReadErrorKind::UndeclaredEntityType(type_name).here()),
                declared => declared,
            },
            None => None,
        };
        let attribute_type = |name| match declared.map(|ty| ty.attributes.attribute(name)) {
            Some(None) => Err(ReadErrorKind::UnexpectedAttribute(name).here()),
            Some(Some(attribute)) => Ok(Some(&attribute.ty)),
            None => Ok(None),
        };
        let tag_type = |_| match declared.map(|ty| &ty.tags) {
            Some(None) => Err(ReadErrorKind::UnexpectedTags.here()),
            Some(Some(tag)) => Ok(Some(tag)),
            None => Ok(None),
        };
        let attrs = reader.fields(self.attrs, attribute_type);
        let tags = reader.fields(self.tags, tag_type);
        let parents = reader.parents(self.parents, is_action);
        Ok(EntityFields {
            uid: reader.names.uid(type_name, id)?,
            attrs: attrs.map_err(at(arena, "attrs"))?,
            parents: parents.map_err(at(arena, "parents"))?,
            tags: tags.map_err(at(arena, "tags"))?,
        })
    }
}

impl<'a, N: Intern> Reader<'_, 'a, N> {
    /// The record of `members`, each read as what `declared` finds for its key.
    fn fields<'s>(
        &mut self,
        members: &'a [Member<'a>],
        declared: impl Fn(&'a str) -> Result<Option<&'s Type>, ReadError<'a>>,
    ) -> Result<Record<'a>, ReadError<'a>> {
        let mut fields = Vec::with_capacity_in(members.len(), self.arena);
        for (key, json) in members {
            let value = self.directed(json, declared(key)?);
            let value = value.map_err(|error| error.within(self.arena, Step::Field(key)))?;
            fields.push((self.names.sym(key)?, value));
        }
        arena::record(self.arena, fields).map_err(|_| ReadErrorKind::DuplicateKey.here())
    }

    fn parents(
        &mut self,
        parents: &'a [Json<'a>],
        of_action: bool,
    ) -> Result<&'a [Uid], ReadError<'a>> {
        let mut uids = Vec::with_capacity_in(parents.len(), self.arena);
        for (index, json) in parents.iter().enumerate() {
            let uid = self.parent(json, of_action);
            uids.push(uid.map_err(|error| error.within(self.arena, Step::Index(index)))?);
        }
        uids.sort_unstable();
        uids.dedup();
        Ok(uids.into_bump_slice())
    }

    fn parent(&mut self, json: &'a Json<'a>, of_action: bool) -> Result<Uid, ReadError<'a>> {
        let (type_name, id) = read_uid(json)?;
        if of_action && !is_action_type(type_name) {
            return Err(ReadErrorKind::ActionParent.here());
        }
        Ok(self.names.uid(type_name, id)?)
    }
}
