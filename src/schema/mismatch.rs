//! What a request or an entity has that its schema does not allow.
//!
//! These own their text: they are made on the failing path only.

use std::fmt;

use crate::id::EntityUid;

/// Why a request does not fit the schema.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum RequestMismatch {
    #[error("the {role} is of type `{type_name}`, which the schema does not declare")]
    UndeclaredType { role: Role, type_name: String },
    #[error(
        "the {role} {uid} is not one of the entities that the schema lists for its type: {allowed}"
    )]
    NotEnumerated {
        role: Role,
        uid: EntityUid,
        allowed: Names,
    },
    #[error("the schema does not declare the action {uid}{}", Meant(.near.as_ref()))]
    UndeclaredAction {
        uid: EntityUid,
        /// The one that differs in case, or in its type, if it is alone.
        near: Option<EntityUid>,
    },
    #[error(
        "the action {uid} is external: the schema leaves its definition open, so no request is valid for it"
    )]
    ExternalAction { uid: EntityUid },
    #[error(
        "the action {action} applies to nothing, so no request can be for it; groups of actions are for policies"
    )]
    AppliesToNothing { action: EntityUid },
    #[error(
        "the action {action} does not apply to a {role} of type `{type_name}`, only to: {allowed}"
    )]
    DoesNotApply {
        role: Role,
        type_name: String,
        action: EntityUid,
        allowed: Names,
    },
    #[error("the context does not fit the action {action}: {mismatch}")]
    Context {
        action: EntityUid,
        mismatch: Box<Mismatch>,
    },
}

/// Why an entity does not fit the schema. Whoever reports it says which entity.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum EntityMismatch {
    #[error("is of a type that the schema does not declare")]
    UndeclaredType,
    #[error(
        "is of an external type: the schema leaves its definition open, so no entity of it is valid"
    )]
    ExternalType,
    #[error("is not one of those that the schema lists for its type: {allowed}")]
    NotEnumerated { allowed: Names },
    #[error("does not fit the schema: {0}")]
    Value(Box<Mismatch>),
    #[error("has tags, such as `{tag}`, but its type has none")]
    UnexpectedTag { tag: String },
    #[error("is in {ancestor}, but its type can only be in: {allowed}")]
    AncestorType { ancestor: EntityUid, allowed: Names },
    #[error(
        "is in {ancestor}, which is not one of those that the schema lists for its type: {allowed}"
    )]
    AncestorNotEnumerated { ancestor: EntityUid, allowed: Names },
    #[error("is an action that the schema does not declare")]
    UndeclaredAction,
    #[error("has the attribute or tag `{name}`, but actions have none")]
    ActionHasData { name: String },
    #[error("is in {ancestor}, which the schema does not say")]
    ActionUnexpectedAncestor { ancestor: EntityUid },
    #[error("is not in {ancestor}, but the schema says so")]
    ActionMissingAncestor { ancestor: EntityUid },
}

/// Which entity of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Principal,
    Resource,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Principal => "principal",
            Self::Resource => "resource",
        })
    }
}

/// What is wrong inside a context, an entity's attributes or its tags.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mismatch {
    /// Where: `context.device.os`, `attributes.groups[]` (some element of the set), `tags["a key"]`.
    pub(crate) path: String,
    pub(crate) problem: Problem,
}

/// What is wrong with the value at a [`Mismatch::path`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Problem {
    WrongType {
        expected: String,
        found: String,
    },
    /// A required attribute is not there.
    Missing {
        expected: String,
    },
    /// An attribute is there that the type does not have.
    Unexpected {
        declared: Names,
    },
    /// An entity of an enumerated type has an id that the schema does not list.
    NotEnumerated {
        uid: EntityUid,
        allowed: Names,
    },
    /// An action is named that the schema does not declare.
    UndeclaredAction {
        uid: EntityUid,
    },
}

/// What was probably meant.
struct Meant<'a>(Option<&'a EntityUid>);

impl fmt::Display for Meant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(uid) => write!(f, "; did you mean {uid}?"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.problem {
            Problem::WrongType { expected, found } => {
                write!(f, "`{path}` should be {expected}, but is {found}")?;
                // A record is what Cedar's JSON writes such values as; typed values have no such escapes.
                let is_written = found == "a string" || found == "a record";
                match typed_form(expected).filter(|_| is_written) {
                    Some(form) => write!(f, "; in Rust types, write `values::{form}`"),
                    None => Ok(()),
                }
            }
            Problem::Missing { expected } => {
                write!(f, "`{path}` is missing; it should be {expected}")
            }
            Problem::Unexpected { declared } => write!(
                f,
                "`{path}` is not in the schema; the attributes there are: {declared}"
            ),
            Problem::NotEnumerated { uid, allowed } => write!(
                f,
                "`{path}` is {uid}, which is not one of the entities that the schema lists for its type: {allowed}"
            ),
            Problem::UndeclaredAction { uid } => write!(
                f,
                "`{path}` is {uid}, an action that the schema does not declare"
            ),
        }
    }
}

/// What stands for a value in typed data, in which a text is never anything but a text.
fn typed_form(expected: &str) -> Option<&'static str> {
    match expected {
        "an IP address" => Some("Ip"),
        "a decimal" => Some("Decimal"),
        "a datetime" => Some("Datetime"),
        "a duration" => Some("Duration"),
        entity if entity.starts_with("an entity") => Some("EntityRef"),
        _ => None,
    }
}

/// The names that would have been right: the first few of them, and how many there are. An enumeration may have thousands, and
/// every request that is wrong would copy them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Names {
    first: Box<[Box<str>]>,
    count: usize,
}

impl Names {
    /// At most so many are told.
    const SHOWN: usize = 8;

    pub(crate) fn of<'n>(names: impl ExactSizeIterator<Item = &'n Box<str>>) -> Self {
        Self {
            count: names.len(),
            first: names.take(Self::SHOWN).cloned().collect(),
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first.is_empty() {
            return f.write_str("none");
        }
        for (index, name) in self.first.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}`{}`", name.escape_debug())?;
        }
        match self.count.saturating_sub(self.first.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
