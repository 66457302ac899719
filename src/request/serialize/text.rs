//! The serializers of what must be one scalar: the text of a key, the inside of an extension value.

use std::fmt::Display;
use std::marker::PhantomData;

use bumpalo::Bump;
use serde::ser::Impossible;
use serde::{Serialize, Serializer};

use crate::ext::{Datetime, Decimal, Duration, IpAddr};
use crate::request::values::ip_from_compact;
use crate::value::ops::Extension;
use crate::value::{Value, arena};

use super::writer::display;
use super::{SerializeError, SerializeErrorKind};

/// Takes a text, where nothing else can stand, and hands it on.
pub(super) struct Text<'a, F, R> {
    arena: &'a Bump,
    then: F,
    result: PhantomData<R>,
}

impl<'a, R, F> Text<'a, F, R>
where
    F: FnOnce(&str) -> Result<R, SerializeError<'a>>,
{
    pub(super) fn new(arena: &'a Bump, then: F) -> Self {
        Self {
            arena,
            then,
            result: PhantomData,
        }
    }
}

/// Takes what is inside an extension value: its text or, as this serializer is not human-readable, its number.
pub(super) struct ExtensionValue<'a> {
    arena: &'a Bump,
    function: Extension,
}

impl<'a> ExtensionValue<'a> {
    pub(super) fn new(arena: &'a Bump, function: Extension) -> Self {
        Self { arena, function }
    }
}

/// The methods of a serializer that accept nothing.
macro_rules! refuse {
    ($kind:expr; $($method:ident($($argument:ty),*);)*) => {$(
        fn $method(self, $(_: $argument),*) -> Result<Self::Ok, Self::Error> {
            Err($kind.here())
        }
    )*};
}

/// The methods that both serializers refuse, and the types of parts that there never are.
macro_rules! refuse_compounds {
    ($kind:expr) => {
        type SerializeSeq = Impossible<Self::Ok, Self::Error>;
        type SerializeTuple = Impossible<Self::Ok, Self::Error>;
        type SerializeTupleStruct = Impossible<Self::Ok, Self::Error>;
        type SerializeTupleVariant = Impossible<Self::Ok, Self::Error>;
        type SerializeMap = Impossible<Self::Ok, Self::Error>;
        type SerializeStruct = Impossible<Self::Ok, Self::Error>;
        type SerializeStructVariant = Impossible<Self::Ok, Self::Error>;

        refuse! {
            $kind;
            serialize_bool(bool);
            serialize_i8(i8);
            serialize_i16(i16);
            serialize_i32(i32);
            serialize_i128(i128);
            serialize_u8(u8);
            serialize_u16(u16);
            serialize_u32(u32);
            serialize_u64(u64);
            serialize_u128(u128);
            serialize_f32(f32);
            serialize_f64(f64);
            serialize_none();
            serialize_unit();
            serialize_unit_struct(&'static str);
        }

        fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Self::Ok, Self::Error> {
            Err($kind.here())
        }

        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<Self::Ok, Self::Error> {
            Err($kind.here())
        }

        fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Self::Error> {
            Err($kind.here())
        }

        fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Self::Error> {
            Err($kind.here())
        }

        fn serialize_tuple_struct(
            self,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleStruct, Self::Error> {
            Err($kind.here())
        }

        fn serialize_tuple_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleVariant, Self::Error> {
            Err($kind.here())
        }

        fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Self::Error> {
            Err($kind.here())
        }

        fn serialize_struct(
            self,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeStruct, Self::Error> {
            Err($kind.here())
        }

        fn serialize_struct_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeStructVariant, Self::Error> {
            Err($kind.here())
        }
    };
}

impl<'a, R, F> Serializer for Text<'a, F, R>
where
    F: FnOnce(&str) -> Result<R, SerializeError<'a>>,
{
    type Ok = R;
    type Error = SerializeError<'a>;

    refuse_compounds!(SerializeErrorKind::KeyNotText);

    refuse! {
        SerializeErrorKind::KeyNotText;
        serialize_i64(i64);
        serialize_bytes(&[u8]);
    }

    fn serialize_str(self, text: &str) -> Result<R, SerializeError<'a>> {
        (self.then)(text)
    }

    fn serialize_char(self, c: char) -> Result<R, SerializeError<'a>> {
        (self.then)(c.encode_utf8(&mut [0; 4]))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<R, SerializeError<'a>> {
        (self.then)(display(self.arena, value)?)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<R, SerializeError<'a>> {
        (self.then)(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<R, SerializeError<'a>> {
        value.serialize(self)
    }
}

impl<'a> Serializer for ExtensionValue<'a> {
    type Ok = Value<'a>;
    type Error = SerializeError<'a>;

    refuse_compounds!(SerializeErrorKind::Malformed);

    refuse! {
        SerializeErrorKind::Malformed;
        serialize_char(char);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_str(self, text: &str) -> Result<Value<'a>, SerializeError<'a>> {
        Ok(match self.function {
            Extension::Decimal => Value::Decimal(Decimal::parse(text)?),
            Extension::Ip => arena::ip(self.arena, IpAddr::parse(text)?),
            Extension::Datetime => Value::Datetime(Datetime::parse(text)?),
            Extension::Duration => Value::Duration(Duration::parse(text)?),
            _ => return Err(SerializeErrorKind::Malformed.here()),
        })
    }

    fn serialize_i64(self, number: i64) -> Result<Value<'a>, SerializeError<'a>> {
        Ok(match self.function {
            Extension::Decimal => Value::Decimal(Decimal::from_scaled(number)),
            Extension::Datetime => Value::Datetime(Datetime::from_millis(number)),
            Extension::Duration => Value::Duration(Duration::from_millis(number)),
            _ => return Err(SerializeErrorKind::Malformed.here()),
        })
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Value<'a>, SerializeError<'a>> {
        match self.function {
            Extension::Ip => Ok(arena::ip(self.arena, ip_from_compact(bytes)?)),
            _ => Err(SerializeErrorKind::Malformed.here()),
        }
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<Value<'a>, SerializeError<'a>> {
        let text = display(self.arena, value)?;
        self.serialize_str(text)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value<'a>, SerializeError<'a>> {
        value.serialize(self)
    }
}
