//! Why JSON that is well-formed is not Cedar data.

use std::fmt;

use bumpalo::Bump;

use crate::id::beginning;
use crate::value::ErrorKind;
use crate::value::arena::TableFull;
use crate::value::ops::Extension;

use super::{Path, Step};

/// What is wrong, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReadError<'a> {
    pub(crate) kind: ReadErrorKind<'a>,
    pub(crate) path: Path<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReadErrorKind<'a> {
    Null,
    /// A number with a fraction or an exponent, or beyond 64 bits; as written.
    Number(&'a str),
    /// `{"__expr": "…"}`, which Cedar took out in version 3.
    ExprEscape,
    /// A call of `unknown`, which would make the decision depend on something that nobody supplies. Cedar itself
    /// accepts it in data and then answers with a residual.
    Unknown,
    TypeName(&'a str),
    NoSuchFunction(&'a str),
    Call {
        function: Extension,
        error: ErrorKind,
        /// What it was called with, where that is one text.
        text: Option<&'a str>,
    },
    ExpectedRecord,
    ExpectedSet,
    ExpectedEntity,
    ExpectedExtension,
    MissingAttribute(&'a str),
    UnexpectedAttribute(&'a str),
    DuplicateKey,
    /// An entity's JSON without one of its fields.
    MissingField(&'static str),
    NotAnEntityObject,
    UndeclaredEntityType(&'a str),
    UnexpectedTags,
    ActionParent,
    TableFull,
}

impl<'a> ReadErrorKind<'a> {
    /// The error at the place being read; callers add where that is.
    pub(crate) fn here(self) -> ReadError<'a> {
        ReadError {
            kind: self,
            path: Path::default(),
        }
    }
}

impl<'a> ReadError<'a> {
    /// The same error seen from one step further out.
    #[cold]
    pub(crate) fn within(self, arena: &'a Bump, step: Step<'a>) -> Self {
        Self {
            kind: self.kind,
            path: self.path.within(arena, step),
        }
    }
}

impl From<TableFull> for ReadError<'_> {
    fn from(_: TableFull) -> Self {
        ReadErrorKind::TableFull.here()
    }
}

impl fmt::Display for ReadError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        self.kind.fmt(f)
    }
}

impl std::error::Error for ReadError<'_> {}

impl fmt::Display for ReadErrorKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Null => f.write_str("Cedar has no null; leave the attribute out"),
            Self::Number(text) => {
                let (shown, more) = beginning(text);
                write!(f, "{shown}{more} ")?;
                f.write_str(match text.contains(['.', 'e', 'E']) {
                    true => "is not a 64-bit integer; for fractions use {\"__extn\": {\"fn\": \"decimal\", \"arg\": \"1.5\"}}",
                    false => "does not fit into 64 bits, signed",
                })
            }
            Self::ExprEscape => f.write_str(
                "`__expr` is no longer part of Cedar; use `__entity` or `__extn`",
            ),
            Self::Unknown => f.write_str("`unknown` is refused in data; supply the value"),
            Self::TypeName(name) => write!(
                f,
                "`{}` is not an entity type name; write identifiers joined by `::`, without spaces or reserved words",
                name.escape_debug()
            ),
            Self::NoSuchFunction(name) => write!(
                f,
                "`{}` is not an extension function; constructors are `decimal`, `ip`, `datetime` and `duration`",
                name.escape_debug()
            ),
            Self::Call {
                function,
                text: Some(text),
                error: ErrorKind::FailedExtensionFunctionExecution,
            } => {
                let (name, (shown, more)) = (function.name(), beginning(text));
                write!(f, "`{name}` does not take {shown:?}{more}")
            }
            Self::Call {
                function, error, ..
            } => write!(f, "`{}`: {error}", function.name()),
            Self::ExpectedRecord => f.write_str("expected a record, written as a JSON object"),
            Self::ExpectedSet => f.write_str("expected a set, written as a JSON array"),
            Self::ExpectedEntity => f.write_str(
                "expected an entity, written as {\"type\": \"…\", \"id\": \"…\"}",
            ),
            Self::ExpectedExtension => f.write_str(
                "expected an extension value, written as the constructor's text or as {\"fn\": \"…\", \"arg\": …}",
            ),
            Self::MissingAttribute(name) => write!(
                f,
                "the attribute `{}`, which the schema requires, is missing",
                name.escape_debug()
            ),
            Self::UnexpectedAttribute(name) => write!(
                f,
                "the attribute `{}` is not in the schema",
                name.escape_debug()
            ),
            Self::DuplicateKey => f.write_str("a key occurs twice"),
            Self::MissingField(name) => write!(f, "the field `{name}` of the entity is missing"),
            Self::NotAnEntityObject => f.write_str(
                "expected an entity, written as {\"uid\": …, \"attrs\": {…}, \"parents\": […]}",
            ),
            Self::UndeclaredEntityType(name) => write!(
                f,
                "the entity type `{}` is not in the schema",
                name.escape_debug()
            ),
            Self::UnexpectedTags => f.write_str("the schema declares no tags for this entity type"),
            Self::ActionParent => f.write_str("the parents of an action must be actions"),
            Self::TableFull => TableFull.fmt(f),
        }
    }
}
