//! Why an evaluation failed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;

/// The kind of an evaluation error: the variants of `cedar_policy::EvaluationError` that can be reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// An attribute or tag was read from an entity that does not exist.
    EntityDoesNotExist,
    /// An attribute or tag was read that the entity does not have.
    EntityAttrDoesNotExist,
    /// An attribute was read that the record does not have.
    RecordAttrDoesNotExist,
    /// An operator met a value of a type that it is not defined for.
    TypeError,
    /// An extension function was called with the wrong number of arguments.
    WrongNumArguments,
    /// 64-bit signed arithmetic overflowed.
    IntegerOverflow,
    /// An extension function refused its arguments, such as `ip("nonsense")`, or overflowed.
    FailedExtensionFunctionExecution,
}

impl ErrorKind {
    /// All there are, each at the place of its number.
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 7] = [
        Self::EntityDoesNotExist,
        Self::EntityAttrDoesNotExist,
        Self::RecordAttrDoesNotExist,
        Self::TypeError,
        Self::WrongNumArguments,
        Self::IntegerOverflow,
        Self::FailedExtensionFunctionExecution,
    ];

    /// The kind's name in records, `snake_case`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EntityDoesNotExist => "entity_does_not_exist",
            Self::EntityAttrDoesNotExist => "entity_attr_does_not_exist",
            Self::RecordAttrDoesNotExist => "record_attr_does_not_exist",
            Self::TypeError => "type_error",
            Self::WrongNumArguments => "wrong_num_arguments",
            Self::IntegerOverflow => "integer_overflow",
            Self::FailedExtensionFunctionExecution => "failed_extension_function_execution",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EntityDoesNotExist => "the entity does not exist",
            Self::EntityAttrDoesNotExist => "the entity does not have the attribute or tag",
            Self::RecordAttrDoesNotExist => "the record does not have the attribute",
            Self::TypeError => "a value has the wrong type",
            Self::WrongNumArguments => "wrong number of arguments to an extension function",
            Self::IntegerOverflow => "integer overflow",
            Self::FailedExtensionFunctionExecution => "an extension function failed",
        })
    }
}

impl std::error::Error for ErrorKind {}

/// An evaluation error with the expression that raised it. Text and path are made only when asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Raise {
    pub(crate) kind: ErrorKind,
    pub(crate) node: NodeId,
}

impl Raise {
    /// A value for the place where errors are put, before there is one.
    pub(crate) const NONE: Self = Self {
        kind: ErrorKind::TypeError,
        node: NodeId::FIRST,
    };
}
