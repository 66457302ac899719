//! Records as JSON text, in one pass and without allocating.
//!
//! A serializer of our own: the text is that of `serde_json`, byte for byte, and a record is described once, for every
//! format. What it does better is what records consist of: short texts that need no escaping, and the digest of the
//! inputs, which it takes of the text that it has just written instead of writing context and entities a second time: half
//! of what a line costs with `serde_json`, but for the hashing (`docs/design.md`, "What a record costs").

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::ops::Range;

use serde::ser::{self, Serialize, SerializeMap};
use sha2::{Digest, Sha256};

use super::SinkError;

#[cfg(test)]
mod tests;

mod buffer;
mod key;
mod open;
mod text;

use open::Open;
use text::{Escaping, is_plain};

pub(super) use buffer::Buffer;

/// What is marked, by the name of a newtype struct, which other formats look through: the texts that the digest of the
/// inputs is of, and that digest itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Context,
    Entities,
    Digest,
}

impl Part {
    /// No identifiers, so that no other type has such a name.
    fn name(self) -> &'static str {
        match self {
            Self::Context => "$duramen::Context",
            Self::Entities => "$duramen::Entities",
            Self::Digest => "$duramen::Digest",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Context, Self::Entities, Self::Digest]
            .into_iter()
            .find(|part| part.name() == name)
    }
}

/// A value that is marked as a part.
pub(super) struct Marked<T>(pub(super) Part, pub(super) T);

impl<T: Serialize> Serialize for Marked<T> {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(self.0.name(), &self.1)
    }
}

/// Maps whose members' names are known where they are written: the compiler makes each name a constant with its quotes and
/// its colon, at once in memory. A name that is not, `serialize_entry` takes.
pub(super) trait Members: SerializeMap {
    #[inline(always)]
    fn member<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Self::Error> {
        self.serialize_entry(&Name(name), value)
    }
}

impl<M: SerializeMap> Members for M {}

/// A name that is known where it is written.
struct Name(&'static str);

impl Serialize for Name {
    #[inline(always)]
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// Appends `value` to `out`, as JSON. After an error, `out` ends with a piece of it.
pub(super) fn write<T: Serialize + ?Sized>(value: &T, out: &mut Buffer) -> Result<(), JsonError> {
    let start = out.len();
    self::value(value, out)?;
    out.truncate((out.len() - 1).max(start));
    Ok(())
}

/// The same, and a comma behind it.
pub(super) fn value<T: Serialize + ?Sized>(value: &T, out: &mut Buffer) -> Result<(), JsonError> {
    value.serialize(&mut Writer {
        out,
        context: None,
        entities: None,
    })
}

/// Why a value has no JSON text. None of ours has a reason; filters and maskings of others may.
///
/// One word, so that what each of a hundred calls returns is in a register.
#[derive(Debug)]
pub(super) struct JsonError(Box<Cow<'static, str>>);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

impl JsonError {
    /// Of a copy that ends before its last value does.
    #[cold]
    pub(super) fn not_whole() -> Self {
        Self(Box::new("the copy of a value is not whole".into()))
    }
}

impl ser::Error for JsonError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Box::new(message.to_string().into()))
    }
}

impl From<JsonError> for SinkError {
    fn from(error: JsonError) -> Self {
        Self::of_this_record(*error.0)
    }
}

/// Writes to the end of `out`. Every value has a comma behind it, which what closes the object or list around it takes
/// away: so nobody has to know whether one is due.
struct Writer<'o> {
    out: &'o mut Buffer,
    /// Where these parts stand, once they do.
    context: Option<Range<usize>>,
    entities: Option<Range<usize>>,
}

impl Writer<'_> {
    /// Where the last value ends: before its comma.
    fn end(&self) -> usize {
        self.out.len().saturating_sub(1)
    }

    /// Text between quotes, and what is behind it. Of a constant, the compiler knows how long it is and that it is plain.
    #[inline(always)]
    fn constant(&mut self, text: &str, behind: u8) {
        let text = text.as_bytes();
        if !(is_plain(text) && self.out.constant(text, behind)) {
            self.out.long_text(text, behind);
        }
    }

    /// Text between quotes, and what is behind it.
    #[inline(always)]
    fn text(&mut self, text: &[u8], behind: u8) {
        if !self.out.short_text(text, behind) {
            self.out.long_text(text, behind);
        }
    }

    /// Closes what was opened last.
    #[inline(always)]
    fn close(&mut self, end: u8) {
        self.out.close(end);
    }

    /// `{"variant":`, the beginning of what enums with contents are.
    fn variant(&mut self, variant: &str) {
        self.out.push(b'{');
        self.constant(variant, b':');
    }

    /// The digest of the parts that it is of, if both are there.
    fn digest(&self) -> Option<[u8; 32]> {
        let text = self.out.as_slice();
        let context = text.get(self.context.clone()?)?;
        let entities = text.get(self.entities.clone()?)?;
        let hash = Sha256::new().chain_update(context).chain_update(entities);
        Some(hash.finalize().into())
    }
}

impl<'w, 'o> ser::Serializer for &'w mut Writer<'o> {
    type Ok = ();
    type Error = JsonError;
    type SerializeSeq = Open<'w, 'o>;
    type SerializeTuple = Open<'w, 'o>;
    type SerializeTupleStruct = Open<'w, 'o>;
    type SerializeTupleVariant = Open<'w, 'o>;
    type SerializeMap = Open<'w, 'o>;
    type SerializeStruct = Open<'w, 'o>;
    type SerializeStructVariant = Open<'w, 'o>;

    fn serialize_bool(self, value: bool) -> Result<(), JsonError> {
        let text: &[u8] = if value { b"true," } else { b"false," };
        self.out.extend(text);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), JsonError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), JsonError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), JsonError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), JsonError> {
        if value < 0 {
            self.out.push(b'-');
        }
        self.serialize_u64(value.unsigned_abs())
    }

    fn serialize_u8(self, value: u8) -> Result<(), JsonError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), JsonError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), JsonError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), JsonError> {
        self.out.digits(value);
        self.out.push(b',');
        Ok(())
    }

    /// Cedar has no such numbers; `serde_json` knows how to write them.
    fn serialize_f32(self, value: f32) -> Result<(), JsonError> {
        let text = serde_json::to_vec(&value).map_err(<JsonError as ser::Error>::custom)?;
        self.out.extend(&text);
        self.out.push(b',');
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), JsonError> {
        let text = serde_json::to_vec(&value).map_err(<JsonError as ser::Error>::custom)?;
        self.out.extend(&text);
        self.out.push(b',');
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), JsonError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline(always)]
    fn serialize_str(self, value: &str) -> Result<(), JsonError> {
        self.text(value.as_bytes(), b',');
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), JsonError> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), JsonError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), JsonError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), JsonError> {
        self.out.extend(b"null,");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), JsonError> {
        self.serialize_unit()
    }

    #[inline(always)]
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), JsonError> {
        self.constant(variant, b',');
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), JsonError> {
        let part = Part::named(name);
        if let Some(Part::Digest) = part
            && let Some(digest) = self.digest()
        {
            self.out.plain(&crate::epoch::hex(&digest), b',');
            return Ok(());
        }
        let start = self.out.len();
        value.serialize(&mut *self)?;
        let range = Some(start..self.end());
        match part {
            Some(Part::Context) => self.context = range,
            Some(Part::Entities) => self.entities = range,
            Some(Part::Digest) | None => {}
        }
        Ok(())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), JsonError> {
        self.variant(variant);
        value.serialize(&mut *self)?;
        self.close(b'}');
        Ok(())
    }

    #[inline(always)]
    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, JsonError> {
        Ok(Open::list(self))
    }

    #[inline(always)]
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, JsonError> {
        Ok(Open::list(self))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, JsonError> {
        Ok(Open::list(self))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, JsonError> {
        self.variant(variant);
        Ok(Open::list(self).in_variant())
    }

    #[inline(always)]
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, JsonError> {
        Ok(Open::object(self))
    }

    #[inline(always)]
    fn serialize_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, JsonError> {
        Ok(Open::object(self))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, JsonError> {
        self.variant(variant);
        Ok(Open::object(self).in_variant())
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), JsonError> {
        self.out.push(b'"');
        write!(Escaping(self.out), "{value}")
            .map_err(|_| <JsonError as ser::Error>::custom("a text could not be written"))?;
        self.out.extend(b"\",");
        Ok(())
    }
}
