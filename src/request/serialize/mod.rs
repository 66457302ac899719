//! Any `serde::Serialize` to a Cedar value, written straight into the arena: a context costs no allocation and no
//! intermediate tree.
//!
//! | Rust | Cedar |
//! |---|---|
//! | `bool`, integers that fit into 64 bits, strings, `char` | bool, long, string |
//! | sequences, tuples, arrays | set |
//! | structs, maps with text as keys | record |
//! | newtype structs, `Some` | what is inside |
//! | `None` as a field or under a key | the attribute is absent |
//! | enum variants without data | string: the variant's name |
//! | enum variants with data | record with one attribute: the variant's name |
//! | the types of [`values`](super::values), entity uids | entity, decimal, ip, datetime, duration |
//! | floats, null, `None` elsewhere, bytes, other keys, a key twice | error with the path |
//!
//! There are no escapes: a field that is called `__entity` is a field.

mod compound;
mod error;
mod text;
mod writer;

use bumpalo::Bump;
use serde::Serialize;

use crate::id::Sym;
use crate::value::Record;
#[cfg(test)]
use crate::value::Value;
use crate::value::arena::Intern;

pub(crate) use error::{SerializeError, SerializeErrorKind};

use writer::{Place, ValueWriter, Writer};

/// The name of a top-level field, if anything can tell what is in such a field. Fields for which there is none are checked
/// like all others, but neither copied nor interned.
pub(crate) type Observed<'o> = &'o dyn Fn(&str) -> Option<Sym>;

/// Writes one value. Structs, sequences, newtypes and `Some` may stand in each other up to `max_depth` deep.
#[cfg(test)]
pub(crate) fn write_value<'a, T: Serialize + ?Sized>(
    arena: &'a Bump,
    value: &T,
    names: &mut impl Intern,
    max_depth: usize,
) -> Result<Value<'a>, SerializeError<'a>> {
    let writer = &mut Writer::new(arena, names, None);
    let place = Place::top(max_depth);
    match value.serialize(ValueWriter { writer, place })? {
        Some(value) => Ok(value),
        None => Err(SerializeErrorKind::None.here()),
    }
}

/// Writes a record, such as a context or an entity's attributes: the value must be a struct or a map. With `observed`,
/// top-level fields that nothing observes are left out of the record.
pub(crate) fn write_record<'a, T: Serialize + ?Sized>(
    arena: &'a Bump,
    value: &T,
    names: &mut impl Intern,
    max_depth: usize,
    observed: Option<Observed<'_>>,
) -> Result<Record<'a>, SerializeError<'a>> {
    let writer = &mut Writer::new(arena, names, observed);
    let place = Place::top(max_depth);
    value
        .serialize(ValueWriter { writer, place })?
        .and_then(|value| value.as_record().ok())
        .ok_or(SerializeErrorKind::NotARecord.here())
}
