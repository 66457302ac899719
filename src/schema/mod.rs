//! A schema as data: what entities, actions and contexts must look like.
//!
//! Names are text here, not ids: a schema outlives snapshots. What is checked at each decision is asked in an epoch's numbers
//! first (`epoch::numbered`).
//!
//! The model is what is left of a schema once names are resolved and common types are expanded, so two
//! schemas with one meaning have one model and one [`SchemaModel::digest`], however they were written.
//! `compile::schema` builds it, [`check`] tests requests and entities against it.

pub(crate) mod check;
mod digest;
mod mismatch;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::id::{EntityUid, EntityUidRef};
use crate::value::same_bytes;

pub(crate) use mismatch::{EntityMismatch, Mismatch, Names, Problem, RequestMismatch, Role};

/// A schema: its entity types and its actions, fully resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SchemaModel {
    /// Sorted by name.
    entity_types: Box<[EntityTypeDecl]>,
    /// Sorted by uid.
    actions: Box<[ActionDecl]>,
    digest: [u8; 32],
}

/// What the schema says about one entity type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EntityTypeDecl {
    /// Fully qualified. Never an action type: Cedar refuses to declare one.
    pub(crate) name: Box<str>,
    pub(crate) attributes: RecordType,
    /// The type of every tag; `None` if entities of this type have no tags.
    pub(crate) tags: Option<Type>,
    /// The types that ancestors may have, transitively closed, sorted.
    pub(crate) ancestors: Box<[Box<str>]>,
    /// The only ids that entities of this type may have, sorted; `None` if any id will do.
    pub(crate) enumerated: Option<Box<[Box<str>]>>,
    /// Declared here and defined elsewhere (Cedar RFC 116): a legal type in requests and references, but no
    /// entity of it can be checked.
    pub(crate) external: bool,
}

/// What the schema says about one action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ActionDecl {
    pub(crate) uid: EntityUid,
    /// The entity types that principals may have, sorted.
    pub(crate) principals: Box<[Box<str>]>,
    /// The entity types that resources may have, sorted.
    pub(crate) resources: Box<[Box<str>]>,
    pub(crate) context: RecordType,
    /// The groups that the declaration names, sorted.
    ///
    /// Cedar forgets them: its action entities have [`Self::ancestors`] only. They tell the way a hierarchy
    /// was written and have no meaning of their own; the digest leaves them out.
    pub(crate) parents: Box<[EntityUid]>,
    /// Every group that the action is in, transitively closed, sorted.
    pub(crate) ancestors: Box<[EntityUid]>,
    /// Declared here and defined elsewhere (Cedar RFC 116): no request is valid for it, whatever its shape.
    pub(crate) external: bool,
}

impl SchemaModel {
    /// A schema of these declarations, in any order. Names must be distinct.
    pub(crate) fn new(mut entity_types: Vec<EntityTypeDecl>, mut actions: Vec<ActionDecl>) -> Self {
        entity_types.sort_by(|a, b| a.name.cmp(&b.name));
        actions.sort_by(|a, b| a.uid.cmp(&b.uid));
        let digest = digest::of(&entity_types, &actions);
        Self {
            entity_types: entity_types.into_boxed_slice(),
            actions: actions.into_boxed_slice(),
            digest,
        }
    }

    /// The declaration of the entity type with this fully qualified name.
    pub(crate) fn entity_type(&self, name: &str) -> Option<&EntityTypeDecl> {
        named(&self.entity_types, name, |decl| &decl.name)
    }

    /// The declaration of this action.
    pub(crate) fn action(&self, uid: EntityUidRef<'_>) -> Option<&ActionDecl> {
        self.actions
            .binary_search_by(|decl| decl.uid.as_ref().cmp(&uid))
            .ok()
            .and_then(|index| self.actions.get(index))
    }

    /// All entity types, sorted by name.
    pub(crate) fn entity_types(&self) -> &[EntityTypeDecl] {
        &self.entity_types
    }

    /// All actions, external ones too, sorted by uid. An entity store made with this schema holds an entity
    /// for each of them, without attributes or tags and with [`ActionDecl::ancestors`] as its ancestors
    /// (Cedar's `Entities::from_entities`).
    pub(crate) fn actions(&self) -> &[ActionDecl] {
        &self.actions
    }

    /// SHA-256 over the meaning of the schema.
    ///
    /// Formatting, comments, annotations, the order of declarations, the split into namespace blocks or
    /// fragments, common types and the choice between Cedar and JSON syntax do not change it; whatever
    /// changes what is accepted or how action groups nest does.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

/// Up to this many names are walked; more are searched.
const WALK: usize = 16;

/// What has a name, of some that are sorted by it. Where names differ, mostly their lengths do: a walk costs less than the three
/// calls of `memcmp` in which a search finds one of ten.
fn named<'s, T>(sorted: &'s [T], name: &str, name_of: impl Fn(&T) -> &str) -> Option<&'s T> {
    if sorted.len() <= WALK {
        let is = |item: &&T| same_bytes(name_of(item).as_bytes(), name.as_bytes());
        return sorted.iter().find(is);
    }
    let index = sorted
        .binary_search_by(|item| name_of(item).cmp(name))
        .ok()?;
    sorted.get(index)
}

/// Whether entities of this type are actions: in Cedar a matter of the name alone.
pub(crate) fn is_action_type(name: &str) -> bool {
    name == "Action" || name.ends_with("::Action")
}

/// The type of an attribute, a tag or a context.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Type {
    Bool,
    Long,
    String,
    /// An entity of the named type, fully qualified.
    Entity(Box<str>),
    Set(Box<Type>),
    Record(RecordType),
    Extension(ExtensionType),
}

/// The four extension types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExtensionType {
    Decimal,
    Ip,
    Datetime,
    Duration,
}

impl ExtensionType {
    const ALL: [Self; 4] = [Self::Decimal, Self::Ip, Self::Datetime, Self::Duration];

    /// The type's name in schemas.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Decimal => "decimal",
            Self::Ip => "ipaddr",
            Self::Datetime => "datetime",
            Self::Duration => "duration",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ty| ty.name() == name)
    }
}

/// A closed record: nothing but these attributes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct RecordType {
    /// Sorted by name.
    attributes: Box<[Attribute]>,
    /// The places of those that are required, in the same order: records are many, and what may be left out may be much more.
    required: Box<[usize]>,
}

/// One attribute of a record or an entity type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: Box<str>,
    pub(crate) ty: Type,
    pub(crate) required: bool,
}

impl RecordType {
    /// A record of these attributes, in any order. Names must be distinct.
    pub(crate) fn new(mut attributes: Vec<Attribute>) -> Self {
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        let places = attributes.iter().zip(0..);
        let required = places.filter_map(|(attribute, place)| attribute.required.then_some(place));
        Self {
            required: required.collect(),
            attributes: attributes.into_boxed_slice(),
        }
    }

    /// The attribute with this name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        named(&self.attributes, name, |attribute| &attribute.name)
    }

    /// All attributes, sorted by name.
    pub(crate) fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// How many of them are required.
    pub(crate) fn required(&self) -> usize {
        self.required.len()
    }

    /// The first that is required and not among those with these names, which are sorted here to be looked up.
    pub(crate) fn missing(&self, names: &mut [&str]) -> Option<&Attribute> {
        names.sort_unstable();
        let required = self.required.iter();
        required
            .filter_map(|place| self.attributes.get(*place))
            .find(|attribute| names.binary_search(&&*attribute.name).is_err())
    }
}

/// What a reader of an error message is told that was expected. Records are not spelled out.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("a boolean"),
            Self::Long => f.write_str("a long"),
            Self::String => f.write_str("a string"),
            Self::Entity(name) => write!(f, "an entity of type `{name}`"),
            Self::Set(element) => write!(f, "a set, each element {element}"),
            Self::Record(_) => f.write_str("a record"),
            Self::Extension(ExtensionType::Decimal) => f.write_str("a decimal"),
            Self::Extension(ExtensionType::Ip) => f.write_str("an IP address"),
            Self::Extension(ExtensionType::Datetime) => f.write_str("a datetime"),
            Self::Extension(ExtensionType::Duration) => f.write_str("a duration"),
        }
    }
}
