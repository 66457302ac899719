//! A schema as data: what entities, actions and contexts must look like.
//!
//! Names are text here, not ids: a schema outlives snapshots, and checking is off the hottest path.

pub(crate) mod check;

use crate::ext::{Datetime, Decimal, Duration, IpAddr};

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

/// A closed record: nothing but these attributes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct RecordType {
    /// Sorted by name.
    attributes: Box<[Attribute]>,
}

/// One attribute of a record or an entity type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: Box<str>,
    pub(crate) ty: Type,
    pub(crate) required: bool,
}

impl RecordType {
    /// A record of `attributes` in any order, each name once.
    pub(crate) fn new(mut attributes: Vec<Attribute>) -> Self {
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            attributes: attributes.into_boxed_slice(),
        }
    }

    /// All attributes, sorted by name.
    pub(crate) fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The attribute called `name`.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        let found = self
            .attributes
            .binary_search_by(|attribute| (*attribute.name).cmp(name));
        found.ok().and_then(|index| self.attributes.get(index))
    }
}
