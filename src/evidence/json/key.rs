//! Keys of members.

use std::fmt;

use serde::ser::{self, Serialize};

use super::{JsonError, Writer};

/// What writes the key of a member. `serde_json` puts numbers between quotes; no record has such keys.
pub(super) struct Key<'w, 'o>(pub(super) &'w mut Writer<'o>);

type NotAKey = ser::Impossible<(), JsonError>;

#[cold]
fn not_a_key<T>() -> Result<T, JsonError> {
    Err(ser::Error::custom("a key that is not a text"))
}

macro_rules! no_keys {
    ($($method:ident($($argument:ty),*) -> $result:ty;)*) => {$(
        fn $method(self, $(_: $argument),*) -> Result<$result, JsonError> {
            not_a_key()
        }
    )*};
}

impl ser::Serializer for Key<'_, '_> {
    type Ok = ();
    type Error = JsonError;
    type SerializeSeq = NotAKey;
    type SerializeTuple = NotAKey;
    type SerializeTupleStruct = NotAKey;
    type SerializeTupleVariant = NotAKey;
    type SerializeMap = NotAKey;
    type SerializeStruct = NotAKey;
    type SerializeStructVariant = NotAKey;

    /// Most keys are constants.
    #[inline(always)]
    fn serialize_str(self, key: &str) -> Result<(), JsonError> {
        self.0.constant(key, b':');
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        key: &T,
    ) -> Result<(), JsonError> {
        key.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), JsonError> {
        self.serialize_str(variant)
    }

    fn serialize_char(self, value: char) -> Result<(), JsonError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), JsonError> {
        ser::Serializer::collect_str(&mut *self.0, value)?;
        self.0.out.replace_last(b':');
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), JsonError> {
        not_a_key()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), JsonError> {
        not_a_key()
    }

    no_keys! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_seq(Option<usize>) -> NotAKey;
        serialize_tuple(usize) -> NotAKey;
        serialize_tuple_struct(&'static str, usize) -> NotAKey;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> NotAKey;
        serialize_map(Option<usize>) -> NotAKey;
        serialize_struct(&'static str, usize) -> NotAKey;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> NotAKey;
    }
}
