//! JSON in: text to a tree in the arena ([`parse`]), and from there, by the rules of Cedar's JSON formats, to values
//! ([`read`]) and entities ([`entity`]).
//!
//! The reader of text is our own for three reasons. `serde_json` allocates for every string that has an escape in it;
//! what it makes of a number depends on features that any other crate of the build may switch on; and its
//! `Value` has forgotten duplicate keys, which here are always an error, since two readers of one document that
//! disagree on which key counts are an attack.

mod cursor;
mod entity;
mod error;
mod name;
mod parse;
mod path;
pub(crate) mod read;
mod stream;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed assumption about the oracle must fail the test"
)]
pub(crate) mod tests;

use bumpalo::Bump;
use bumpalo::collections::Vec;

#[cfg(test)]
pub(crate) use cursor::Position;
pub(crate) use cursor::{JsonError, JsonErrorKind};
pub(crate) use entity::{read_entity, uid_of_entity};
pub(crate) use error::{ReadError, ReadErrorKind};
pub(crate) use name::is_normalized_type_name;
pub(crate) use parse::{ArrayReader, MAX_DEPTH, parse};
pub(crate) use path::{Path, Step};
pub(crate) use read::read_context;
pub(crate) use stream::{StreamError, StreamPosition, StreamReader};

/// A JSON text as a tree. Everything in it lives in the arena or in the text itself.
///
/// The tag is a whole word. Behind one of a byte, the rest is copied in pieces that overlap what was stored, for which the
/// processor waits: 5% of a decision of `abac-p50` with its context from JSON, together with [`JsonErrorKind`].
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(u64)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// A number without fraction and exponent that fits. `-0` is not one: Cedar reads it as a float.
    Integer(i64),
    /// Any other number, as written.
    Number(&'a str),
    /// Borrowed from the text when no escape had to be decoded.
    String(&'a str),
    Array(&'a [Json<'a>]),
    /// Members in the order of the text; no key occurs twice.
    Object(&'a [Member<'a>]),
}

/// A key and its value.
pub(crate) type Member<'a> = (&'a str, Json<'a>);

impl<'a> Json<'a> {
    pub(crate) fn as_str(self) -> Option<&'a str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_object(self) -> Option<&'a [Member<'a>]> {
        match self {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }
}

/// The value under `key`.
pub(crate) fn member<'a>(members: &'a [Member<'a>], key: &str) -> Option<&'a Json<'a>> {
    members.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
}

/// Up to this many keys, comparing all pairs beats sorting.
const FEW_KEYS: usize = 16;

/// A key that occurs twice, its later occurrence as the order of `K` has it.
pub(crate) fn duplicate<'k, K: Ord + Copy>(
    arena: &Bump,
    keys: impl ExactSizeIterator<Item = K> + Clone,
    text: impl Fn(K) -> &'k str,
) -> Option<K> {
    if keys.len() <= FEW_KEYS {
        let mut rest = keys;
        while let Some(key) = rest.next() {
            if let Some(again) = rest.clone().find(|other| text(*other) == text(key)) {
                return Some(again);
            }
        }
        return None;
    }
    let mut sorted = Vec::with_capacity_in(keys.len(), arena);
    sorted.extend(keys);
    sorted.sort_unstable();
    sorted.windows(2).find_map(|pair| match *pair {
        [a, b] if text(a) == text(b) => Some(b),
        _ => None,
    })
}
