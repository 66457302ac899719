//! Identifiers: the small integers used inside, and the names that callers see.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// 128 random bits, from the seeds that the standard library draws for its hash maps.
pub(crate) fn random() -> u128 {
    let draw = || u128::from(std::hash::RandomState::new().build_hasher().finish());
    (draw() << 64) | draw()
}

/// Integers at or above this mark name things that exist for one request only.
///
/// A request may mention entities and attribute names that no policy and no stored entity mentions.
/// They are numbered in the request's scratch memory, so that untrusted strings never grow shared
/// tables, and the mark keeps both number ranges apart: equality of two ids is equality of two
/// integers everywhere.
const LOCAL: u32 = 1 << 31;

macro_rules! index_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(u32);

        impl $name {
            /// The id of row `index` of a shared table; `None` when the table is full.
            pub(crate) fn known(index: usize) -> Option<Self> {
                u32::try_from(index).ok().filter(|i| *i < LOCAL).map(Self)
            }
        }
    };
}

/// For ids of which a request may have its own.
macro_rules! local_index {
    ($name:ident) => {
        impl $name {
            /// The id of row `index` of a request's own table; `None` when that table is full.
            pub(crate) fn local(index: usize) -> Option<Self> {
                Self::known(index).map(|id| Self(id.0 | LOCAL))
            }

            /// Whether the id belongs to one request only.
            #[inline]
            pub(crate) fn is_local(self) -> bool {
                self.0 & LOCAL != 0
            }

            /// The row in the table that [`Self::is_local`] selects.
            #[inline]
            pub(crate) fn index(self) -> usize {
                (self.0 & !LOCAL) as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mark = if self.is_local() { "~" } else { "" };
                write!(f, concat!(stringify!($name), "({}{})"), mark, self.index())
            }
        }
    };
}

/// For ids of shared tables alone.
macro_rules! shared_index {
    ($name:ident) => {
        impl $name {
            /// The row in the table.
            #[inline]
            pub(crate) fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

index_type! {
    /// An entity uid (type and id).
    Uid
}
index_type! {
    /// An entity type name.
    TypeId
}
index_type! {
    /// An attribute name (a key of a record or of an entity's attributes or tags).
    Sym
}
index_type! {
    /// A node of a compiled expression.
    NodeId
}
local_index!(Uid);
local_index!(Sym);
shared_index!(TypeId);
shared_index!(NodeId);

impl Uid {
    /// The least and the greatest that there can be: the ends of ranges.
    pub(crate) const FIRST: Self = Self(0);
    pub(crate) const LAST: Self = Self(u32::MAX);
}

impl NodeId {
    pub(crate) const FIRST: Self = Self(0);
}

/// A [`Uid`] in eight bytes, which every payload of a value has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WideUid(u64);

impl From<Uid> for WideUid {
    #[inline]
    fn from(uid: Uid) -> Self {
        Self(uid.0.into())
    }
}

impl WideUid {
    #[inline]
    pub(crate) fn uid(self) -> Uid {
        // Nothing is cut off: it was 32 bits wide before.
        Uid(self.0 as u32)
    }

    /// Another for each uid.
    #[inline]
    pub(crate) fn number(self) -> i64 {
        self.0.cast_signed()
    }
}

/// The id of a policy or of a template-linked policy, as `cedar-policy` has it: `policy0`, `policy1`, …
/// by position in the source, or what the loader was told to use.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyId(Arc<str>);

impl PolicyId {
    /// A policy id from its text. Any text is a legal id.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for PolicyId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<String> for PolicyId {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}

impl From<&str> for PolicyId {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

/// The name by which both forms of an entity uid present themselves to serializers. Ours makes an entity of them
/// rather than a record of two strings; it is no identifier, so that no other type has the name by accident.
pub(crate) const ENTITY_UID: &str = "$duramen::EntityUid";

/// An entity uid, owned: a type name such as `User` or `Shop::User`, and an id, which is any text.
///
/// The pair is written `User::"alice"` in Cedar. [`EntityUidRef`] is the borrowed form that requests take.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename = "$duramen::EntityUid")]
pub struct EntityUid {
    #[serde(rename = "type")]
    type_name: String,
    id: String,
}

impl EntityUid {
    /// A uid from its type name and id. The type name is checked where the uid is used, not here.
    pub fn new(type_name: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            type_name: type_name.into(),
            id: id.into(),
        }
    }

    /// The entity's type name.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// The entity's id within its type.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The borrowed form.
    pub fn as_ref(&self) -> EntityUidRef<'_> {
        EntityUidRef {
            type_name: &self.type_name,
            id: &self.id,
        }
    }
}

/// A text that is no entity uid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntityUidError {
    /// The beginning of it.
    text: String,
    message: String,
}

impl EntityUidError {
    pub(crate) fn new(text: &str, message: &str) -> Self {
        let quoted = |text| {
            let (shown, more) = beginning(text);
            format!("{shown}{more}")
        };
        Self {
            text: quoted(text),
            message: quoted(message),
        }
    }
}

/// What an error quotes of a text, and a sign that there is more: a text may be as long as a request.
pub(crate) fn beginning(text: &str) -> (&str, &str) {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => (text.get(..end).unwrap_or_default(), "…"),
        None => (text, ""),
    }
}

impl fmt::Display for EntityUidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, message } = self;
        write!(
            f,
            "`{}` is no entity uid, which is written like User::\"alice\": {message}",
            text.escape_debug()
        )
    }
}

impl std::error::Error for EntityUidError {}

impl fmt::Display for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// An entity uid, borrowed: what requests are made of.
///
/// Made from a pair of strings, type name first:
///
/// ```
/// use duramen::EntityUidRef;
/// let uid = EntityUidRef::from(("User", "alice"));
/// assert_eq!(uid.to_string(), r#"User::"alice""#);
///
/// let id = String::from("alice");
/// assert_eq!(EntityUidRef::from(("User", &id)), uid);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename = "$duramen::EntityUid")]
pub struct EntityUidRef<'a> {
    #[serde(rename = "type")]
    type_name: &'a str,
    id: &'a str,
}

impl<'a> EntityUidRef<'a> {
    /// A uid from its type name and id. The type name is checked where the uid is used, not here.
    pub fn new(type_name: &'a str, id: &'a str) -> Self {
        Self { type_name, id }
    }

    /// The entity's type name.
    pub fn type_name(self) -> &'a str {
        self.type_name
    }

    /// The entity's id within its type.
    pub fn id(self) -> &'a str {
        self.id
    }

    /// The owned form.
    pub fn to_owned(self) -> EntityUid {
        EntityUid::new(self.type_name, self.id)
    }
}

impl<'a, T, I> From<(&'a T, &'a I)> for EntityUidRef<'a>
where
    T: AsRef<str> + ?Sized,
    I: AsRef<str> + ?Sized,
{
    fn from((type_name, id): (&'a T, &'a I)) -> Self {
        Self::new(type_name.as_ref(), id.as_ref())
    }
}

impl<'a> From<&'a EntityUid> for EntityUidRef<'a> {
    fn from(uid: &'a EntityUid) -> Self {
        uid.as_ref()
    }
}

impl From<EntityUidRef<'_>> for EntityUid {
    fn from(uid: EntityUidRef<'_>) -> Self {
        uid.to_owned()
    }
}

impl fmt::Display for EntityUidRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::\"{}\"", self.type_name, self.id.escape_debug())
    }
}
