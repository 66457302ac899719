//! Records as JSON text, in one pass and without allocating.
//!
//! A serializer of our own: the text is that of `serde_json`, byte for byte, and a record is described once, for every
//! format. What it does better is what records consist of: short texts that need no escaping, looked through many bytes
//! at a time, and the digest of the inputs, which it takes of the text that it has just written instead of writing
//! context and entities a second time. On a record with inputs, `serde_json` and that second time took 43,000
//! instructions without the hashing, this takes 7,000.

use std::fmt::{self, Write};
use std::ops::Range;

use serde::ser::{self, Serialize, SerializeMap};
use sha2::{Digest, Sha256};

use super::SinkError;

#[cfg(test)]
mod tests;

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

/// Appends `value` to `out`, as JSON. After an error, `out` ends with a piece of it.
pub(super) fn write<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), JsonError> {
    value.serialize(&mut Writer {
        out,
        context: None,
        entities: None,
    })
}

/// Why a value has no JSON text. None of ours has a reason; filters and maskings of others may.
#[derive(Debug)]
pub(super) struct JsonError(String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

impl ser::Error for JsonError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl From<JsonError> for SinkError {
    fn from(error: JsonError) -> Self {
        Self::of_this_record(error.0)
    }
}

/// Writes to the end of `out`. Whether a comma is due, the last byte tells: nothing else ends in an opening bracket.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Where these parts stand, once they do.
    context: Option<Range<usize>>,
    entities: Option<Range<usize>>,
}

impl Writer<'_> {
    #[inline]
    fn comma(&mut self) {
        if !matches!(self.out.last(), Some(b'{' | b'[')) {
            self.out.push(b',');
        }
    }

    #[inline(always)]
    fn key(&mut self, key: &str) {
        self.comma();
        self.text(key);
        self.out.push(b':');
    }

    #[inline(always)]
    fn text(&mut self, text: &str) {
        self.out.push(b'"');
        escape(text.as_bytes(), self.out);
        self.out.push(b'"');
    }

    fn digits(&mut self, mut number: u64) {
        // As many as 64 bits have.
        let mut digits = [b'0'; 20];
        let mut first = digits.len() - 1;
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            first = at;
            if number == 0 {
                break;
            }
        }
        self.out
            .extend_from_slice(digits.get(first..).unwrap_or_default());
    }

    /// `{"variant":`, the beginning of what enums with contents are.
    fn variant(&mut self, variant: &str) {
        self.out.push(b'{');
        self.key(variant);
    }

    /// The digest of the parts that it is of, if both are there.
    fn digest(&self) -> Option<[u8; 32]> {
        let context = self.out.get(self.context.clone()?)?;
        let entities = self.out.get(self.entities.clone()?)?;
        let hash = Sha256::new().chain_update(context).chain_update(entities);
        Some(hash.finalize().into())
    }
}

/// Appends text as it stands between quotes.
#[inline(always)]
fn escape(text: &[u8], out: &mut Vec<u8>) {
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        escape_bytes(text, out);
    }
}

/// Whether nothing in the text needs escaping. Of a constant, the compiler knows.
#[inline(always)]
fn is_plain(text: &[u8]) -> bool {
    // Without branches, so that it becomes a few instructions on as many bytes at once. What is no multiple of the size is
    // covered by two pieces that overlap.
    fn all<const N: usize>(piece: Option<&[u8; N]>) -> bool {
        piece.is_none_or(|piece| {
            piece
                .iter()
                .fold(true, |all, byte| all & !needs_escape(*byte))
        })
    }
    match text.len() {
        0..4 => !text.iter().copied().any(needs_escape),
        4..8 => all::<4>(text.first_chunk()) & all::<4>(text.last_chunk()),
        8..16 => all::<8>(text.first_chunk()) & all::<8>(text.last_chunk()),
        _ => {
            let (pieces, _) = text.as_chunks::<16>();
            pieces.iter().all(|piece| all(Some(piece))) & all::<16>(text.last_chunk())
        }
    }
}

#[inline(always)]
fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

#[cold]
#[inline(never)]
fn escape_bytes(mut text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    loop {
        let plain = text.iter().position(|byte| needs_escape(*byte));
        let (plain, rest) = text
            .split_at_checked(plain.unwrap_or(text.len()))
            .unwrap_or_default();
        out.extend_from_slice(plain);
        let Some((byte, rest)) = rest.split_first() else {
            return;
        };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                let digits = [control >> 4, control & 15].map(|digit| DIGITS[usize::from(digit)]);
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
        }
        text = rest;
    }
}

/// `Display` text, escaped as it comes.
struct Escaping<'o>(&'o mut Vec<u8>);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(text.as_bytes(), self.0);
        Ok(())
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
        let text: &[u8] = if value { b"true" } else { b"false" };
        self.out.extend_from_slice(text);
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
        self.digits(value.unsigned_abs());
        Ok(())
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
        self.digits(value);
        Ok(())
    }

    /// Cedar has no such numbers; `serde_json` knows how to write them.
    fn serialize_f32(self, value: f32) -> Result<(), JsonError> {
        serde_json::to_writer(&mut *self.out, &value).map_err(ser::Error::custom)
    }

    fn serialize_f64(self, value: f64) -> Result<(), JsonError> {
        serde_json::to_writer(&mut *self.out, &value).map_err(ser::Error::custom)
    }

    fn serialize_char(self, value: char) -> Result<(), JsonError> {
        self.text(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), JsonError> {
        self.text(value);
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
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), JsonError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), JsonError> {
        self.text(variant);
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
            self.out.push(b'"');
            self.out.extend_from_slice(&crate::epoch::hex(&digest));
            self.out.push(b'"');
            return Ok(());
        }
        let start = self.out.len();
        value.serialize(&mut *self)?;
        let range = Some(start..self.out.len());
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
        self.out.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, JsonError> {
        Ok(Open::list(self))
    }

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

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, JsonError> {
        Ok(Open::object(self))
    }

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
            .map_err(|_| ser::Error::custom("a text could not be written"))?;
        self.out.push(b'"');
        Ok(())
    }
}

/// An object or a list that is not closed yet.
struct Open<'w, 'o> {
    writer: &'w mut Writer<'o>,
    end: u8,
    /// Whether an object with a variant's name is around it.
    in_variant: bool,
}

impl<'w, 'o> Open<'w, 'o> {
    fn list(writer: &'w mut Writer<'o>) -> Self {
        writer.out.push(b'[');
        Self {
            writer,
            end: b']',
            in_variant: false,
        }
    }

    fn object(writer: &'w mut Writer<'o>) -> Self {
        writer.out.push(b'{');
        Self {
            writer,
            end: b'}',
            in_variant: false,
        }
    }

    /// As what the enum's variant has in it.
    fn in_variant(self) -> Self {
        Self {
            in_variant: true,
            ..self
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        self.writer.comma();
        value.serialize(&mut *self.writer)
    }

    #[inline(always)]
    fn member<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), JsonError> {
        self.writer.key(key);
        value.serialize(&mut *self.writer)
    }

    fn close(self) {
        self.writer.out.push(self.end);
        if self.in_variant {
            self.writer.out.push(b'}');
        }
    }
}

impl SerializeMap for Open<'_, '_> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), JsonError> {
        self.writer.comma();
        let start = self.writer.out.len();
        key.serialize(&mut *self.writer)?;
        // `serde_json` puts numbers between quotes; no record has such keys.
        if self.writer.out.get(start) != Some(&b'"') {
            return Err(ser::Error::custom("a key that is not a text"));
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        self.writer.out.push(b':');
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), JsonError> {
        self.close();
        Ok(())
    }
}

/// The traits for lists differ in names alone, and so do those for structs.
macro_rules! list {
    ($($trait:ident $element:ident),*) => {$(
        impl ser::$trait for Open<'_, '_> {
            type Ok = ();
            type Error = JsonError;

            fn $element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
                self.element(value)
            }

            fn end(self) -> Result<(), JsonError> {
                self.close();
                Ok(())
            }
        }
    )*};
}

list!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

macro_rules! object {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Open<'_, '_> {
            type Ok = ();
            type Error = JsonError;

            #[inline(always)]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), JsonError> {
                self.member(key, value)
            }

            fn end(self) -> Result<(), JsonError> {
                self.close();
                Ok(())
            }
        }
    )*};
}

object!(SerializeStruct, SerializeStructVariant);
