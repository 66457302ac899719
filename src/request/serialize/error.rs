//! Why a Rust value is not a Cedar value.

use std::fmt;

use bumpalo::Bump;

use crate::ext::ExtError;
use crate::json::{Path, Step};
use crate::value::arena::TableFull;

/// What is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SerializeError<'a> {
    pub(crate) kind: SerializeErrorKind<'a>,
    pub(crate) path: Path<'a>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SerializeErrorKind<'a> {
    /// A unit, which is what JSON's null arrives as.
    Null,
    /// `None` where nothing can be left out.
    None,
    Float,
    /// Beyond 64 bits, signed.
    Integer,
    Bytes,
    KeyNotText,
    DuplicateKey,
    NotARecord,
    TooDeep,
    TypeName(&'a str),
    Extension(ExtError),
    /// A value type of this crate or of `serde_json` that did not serialize as it does.
    Malformed,
    /// `serde_json::value::RawValue`.
    RawJson,
    TableFull,
    /// What a `Serialize` implementation said. The one message that has to be owned.
    Custom(Box<str>),
}

impl<'a> SerializeErrorKind<'a> {
    /// The error at the place being written; callers add where that is.
    #[cold]
    pub(crate) fn here(self) -> SerializeError<'a> {
        SerializeError {
            kind: self,
            path: Path::default(),
        }
    }
}

impl<'a> SerializeError<'a> {
    /// Whether structs, sequences and maps stand in each other beyond the bound that was given.
    pub(crate) fn is_too_deep(&self) -> bool {
        self.kind == SerializeErrorKind::TooDeep
    }

    /// The same error seen from one step further out.
    #[cold]
    pub(crate) fn within(self, arena: &'a Bump, step: Step<'a>) -> Self {
        Self {
            kind: self.kind,
            path: self.path.within(arena, step),
        }
    }
}

impl From<TableFull> for SerializeError<'_> {
    fn from(_: TableFull) -> Self {
        SerializeErrorKind::TableFull.here()
    }
}

impl From<ExtError> for SerializeError<'_> {
    fn from(error: ExtError) -> Self {
        SerializeErrorKind::Extension(error).here()
    }
}

impl serde::ser::Error for SerializeError<'_> {
    fn custom<T: fmt::Display>(message: T) -> Self {
        SerializeErrorKind::Custom(message.to_string().into_boxed_str()).here()
    }
}

impl fmt::Display for SerializeError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        self.kind.fmt(f)
    }
}

impl std::error::Error for SerializeError<'_> {}

impl fmt::Display for SerializeErrorKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Cedar has no null; leave the field out, or use `Option`",
            Self::None => "`None` can only be left out of a struct or a map; give a value here",
            Self::Float => {
                "Cedar has no floats; use an integer of a smaller unit, or `values::Decimal`"
            }
            Self::Integer => "the integer does not fit into 64 bits, signed",
            Self::Bytes => "Cedar has no bytes; use text, such as base64",
            Self::KeyNotText => "the keys of a map must be text",
            Self::DuplicateKey => "a key occurs twice",
            Self::NotARecord => "expected a struct or a map",
            Self::TooDeep => "nested too deeply",
            Self::TypeName(name) => {
                return write!(
                    f,
                    "`{}` is not an entity type name; write identifiers joined by `::`, without spaces or reserved words",
                    name.escape_debug()
                );
            }
            Self::Extension(error) => return error.fmt(f),
            Self::Malformed => "a type with a reserved name does not serialize as that type does",
            Self::RawJson => "raw JSON text is not a value; parse it first",
            Self::TableFull => return TableFull.fmt(f),
            Self::Custom(message) => message,
        })
    }
}
