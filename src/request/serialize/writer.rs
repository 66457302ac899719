//! The serializer of one value.

use std::fmt::{Display, Write};

use bumpalo::Bump;
use bumpalo::collections::{String, Vec};
use serde::{Serialize, Serializer};

use crate::id::Sym;
use crate::json::{MAX_DEPTH, Step, is_normalized_type_name};
use crate::request::values;
use crate::value::arena::{self, Intern, TableFull};
use crate::value::ops::Extension;
use crate::value::{Truth, Value};

use super::compound::{Fields, Items, Wrap};
use super::text::ExtensionValue;
use super::{Observed, SerializeError, SerializeErrorKind};

/// What writing a value gives; `None` for an absent one.
pub(super) type Outcome<'a> = Result<Option<Value<'a>>, SerializeError<'a>>;

/// What stands for a value that is checked only. Nothing looks at it.
const CHECKED: Value<'static> = Value::Bool(Truth::No);

/// Where values and names go.
pub(super) struct Writer<'w, 'a, N> {
    pub(super) arena: &'a Bump,
    pub(super) names: &'w mut N,
    observed: Option<Observed<'w>>,
}

/// What the surroundings of a value say about it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// How many levels may still be entered.
    depth: u16,
    /// Whether the value is wanted, or only to be checked.
    pub(super) keep: bool,
    /// Whether its fields are those that may be unobserved.
    top: bool,
    /// Whether the value is one of our types that would write an escape for humans.
    compact: bool,
}

const _: () = assert!(size_of::<Place>() <= 8);

impl Place {
    pub(super) fn top(max_depth: usize) -> Self {
        Self {
            depth: u16::try_from(max_depth.min(MAX_DEPTH)).unwrap_or(0),
            keep: true,
            top: true,
            compact: false,
        }
    }

    /// Always inlined: a result that is handed over in memory is stored in pieces and loaded whole, for which the processor
    /// waits: 12 ns of the 166 that a decision with an empty context takes.
    #[inline(always)]
    fn deeper<'a>(self) -> Result<Self, SerializeError<'a>> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self {
                depth,
                compact: false,
                ..self
            }),
            None => Err(SerializeErrorKind::TooDeep.here()),
        }
    }

    /// The place of an element.
    pub(super) fn element(self) -> Self {
        Self { top: false, ..self }
    }
}

impl<'w, 'a, N: Intern> Writer<'w, 'a, N> {
    pub(super) fn new(arena: &'a Bump, names: &'w mut N, observed: Option<Observed<'w>>) -> Self {
        Self {
            arena,
            names,
            observed,
        }
    }

    /// The place of the field `name` of a record at `place`, and its name if that had to be looked up.
    #[inline]
    pub(super) fn field(&self, place: Place, name: &str) -> (Place, Option<Sym>) {
        let element = place.element();
        match self.observed {
            Some(observed) if place.top => {
                let name = observed(name);
                let keep = place.keep && name.is_some();
                (Place { keep, ..element }, name)
            }
            _ => (element, None),
        }
    }

    /// The name of a field; `known` is what [`Self::field`] found.
    #[inline]
    pub(super) fn sym(&mut self, known: Option<Sym>, name: &str) -> Result<Sym, TableFull> {
        match known {
            Some(sym) => Ok(sym),
            None => self.names.sym(name),
        }
    }

    pub(super) fn entity(
        &mut self,
        place: Place,
        type_name: &'a str,
        id: &str,
    ) -> Result<Value<'a>, SerializeError<'a>> {
        if !is_normalized_type_name(type_name) {
            return Err(SerializeErrorKind::TypeName(type_name).here());
        }
        if !place.keep {
            return Ok(CHECKED);
        }
        Ok(self.names.uid(type_name, id)?.into())
    }

    pub(super) fn set(&mut self, place: Place, items: Vec<'a, Value<'a>>) -> Value<'a> {
        if place.keep {
            arena::set(self.arena, items)
        } else {
            CHECKED
        }
    }

    pub(super) fn record(
        &mut self,
        place: Place,
        fields: Vec<'a, (Sym, Value<'a>)>,
    ) -> Result<Value<'a>, SerializeError<'a>> {
        if !place.keep {
            return Ok(CHECKED);
        }
        match arena::record(self.arena, fields) {
            Ok(record) => Ok(record.into()),
            Err(_) => Err(SerializeErrorKind::DuplicateKey.here()),
        }
    }

    /// The record of a variant's name and what is in it.
    pub(super) fn wrap(&mut self, (place, variant): Wrap, value: Value<'a>) -> Outcome<'a> {
        let mut fields = Vec::new_in(self.arena);
        let (field, known) = self.field(place, variant);
        if field.keep {
            fields.push((self.sym(known, variant)?, value));
        }
        self.record(place, fields).map(Some)
    }
}

/// The serializer of one value.
pub(super) struct ValueWriter<'x, 'w, 'a, N> {
    pub(super) writer: &'x mut Writer<'w, 'a, N>,
    pub(super) place: Place,
}

impl<'x, 'w, 'a, N: Intern> ValueWriter<'x, 'w, 'a, N> {
    fn text(self, text: &str) -> Outcome<'a> {
        Ok(Some(if self.place.keep {
            arena::string(self.writer.arena, self.writer.arena.alloc_str(text))
        } else {
            CHECKED
        }))
    }

    fn integer(self, integer: Option<i64>) -> Outcome<'a> {
        match integer {
            Some(integer) => Ok(Some(Value::Long(integer))),
            None => Err(SerializeErrorKind::Integer.here()),
        }
    }

    #[inline(always)]
    fn deeper(self) -> Result<Self, SerializeError<'a>> {
        let place = self.place.deeper()?;
        Ok(Self { place, ..self })
    }

    /// One of the types of [`values`], or a user's type of such a name, which is a newtype like any other.
    fn reserved_newtype<T: Serialize + ?Sized>(self, name: &str, value: &T) -> Outcome<'a> {
        let function = match name {
            values::DECIMAL => Extension::Decimal,
            values::IP => Extension::Ip,
            values::DATETIME => Extension::Datetime,
            values::DURATION => Extension::Duration,
            _ => {
                let mut inner = self.deeper()?;
                inner.place.compact = name == values::ENTITY_REF;
                return value.serialize(inner);
            }
        };
        let inside = ExtensionValue::new(self.writer.arena, function);
        value.serialize(inside).map(Some)
    }

    /// The inside of a variant, and what to wrap around it.
    fn variant(self, name: &'static str) -> Result<(Self, Wrap), SerializeError<'a>> {
        let outer = self.place.deeper()?;
        let place = self.writer.field(outer, name).0.deeper()?;
        Ok((Self { place, ..self }, (outer, name)))
    }
}

macro_rules! integers {
    ($($method:ident($type:ty);)*) => {$(
        #[inline]
        fn $method(self, integer: $type) -> Outcome<'a> {
            self.integer(i64::try_from(integer).ok())
        }
    )*};
}

impl<'x, 'w, 'a, N: Intern> Serializer for ValueWriter<'x, 'w, 'a, N> {
    type Ok = Option<Value<'a>>;
    type Error = SerializeError<'a>;
    type SerializeSeq = Items<'x, 'w, 'a, N>;
    type SerializeTuple = Items<'x, 'w, 'a, N>;
    type SerializeTupleStruct = Items<'x, 'w, 'a, N>;
    type SerializeTupleVariant = Items<'x, 'w, 'a, N>;
    type SerializeMap = Fields<'x, 'w, 'a, N>;
    type SerializeStruct = Fields<'x, 'w, 'a, N>;
    type SerializeStructVariant = Fields<'x, 'w, 'a, N>;

    fn is_human_readable(&self) -> bool {
        !self.place.compact
    }

    #[inline]
    fn serialize_bool(self, b: bool) -> Outcome<'a> {
        Ok(Some(b.into()))
    }

    integers! {
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
    }

    fn serialize_f32(self, _: f32) -> Outcome<'a> {
        Err(SerializeErrorKind::Float.here())
    }

    fn serialize_f64(self, _: f64) -> Outcome<'a> {
        Err(SerializeErrorKind::Float.here())
    }

    fn serialize_char(self, c: char) -> Outcome<'a> {
        self.text(c.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Outcome<'a> {
        self.text(text)
    }

    /// The default would allocate a `String`.
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Outcome<'a> {
        display(self.writer.arena, value).map(|text| Some(arena::string(self.writer.arena, text)))
    }

    fn serialize_bytes(self, _: &[u8]) -> Outcome<'a> {
        Err(SerializeErrorKind::Bytes.here())
    }

    fn serialize_none(self) -> Outcome<'a> {
        Ok(None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Outcome<'a> {
        value.serialize(self.deeper()?)
    }

    fn serialize_unit(self) -> Outcome<'a> {
        Err(SerializeErrorKind::Null.here())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Outcome<'a> {
        Err(SerializeErrorKind::Null.here())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Outcome<'a> {
        Ok(Some(arena::string(self.writer.arena, variant)))
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Outcome<'a> {
        if name.starts_with('$') {
            return self.reserved_newtype(name, value);
        }
        value.serialize(self.deeper()?)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Outcome<'a> {
        let (ValueWriter { writer, place }, wrap) = self.variant(variant)?;
        let inner = ValueWriter {
            writer: &mut *writer,
            place,
        };
        let value = value.serialize(inner).and_then(|value| {
            // `{variant: absent}` would lose the variant.
            value.ok_or_else(|| SerializeErrorKind::None.here())
        });
        let value = value.map_err(|e| e.within(writer.arena, Step::Field(variant)))?;
        writer.wrap(wrap, value)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items<'x, 'w, 'a, N>, SerializeError<'a>> {
        Ok(Items::new(self.deeper()?, len.unwrap_or(0)))
    }

    fn serialize_tuple(self, len: usize) -> Result<Items<'x, 'w, 'a, N>, SerializeError<'a>> {
        Ok(Items::new(self.deeper()?, len))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Items<'x, 'w, 'a, N>, SerializeError<'a>> {
        Ok(Items::new(self.deeper()?, len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items<'x, 'w, 'a, N>, SerializeError<'a>> {
        let (inner, wrap) = self.variant(variant)?;
        Ok(Items::new(inner, len).wrapped(wrap))
    }

    fn serialize_map(
        self,
        len: Option<usize>,
    ) -> Result<Fields<'x, 'w, 'a, N>, SerializeError<'a>> {
        Ok(Fields::new(self.deeper()?, len.unwrap_or(0)))
    }

    #[inline]
    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Fields<'x, 'w, 'a, N>, SerializeError<'a>> {
        let inner = self.deeper()?;
        if name.starts_with('$') {
            return Fields::reserved(inner, name, len);
        }
        Ok(Fields::new(inner, len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'x, 'w, 'a, N>, SerializeError<'a>> {
        let (inner, wrap) = self.variant(variant)?;
        Ok(Fields::new(inner, len).wrapped(wrap))
    }
}

/// The text of `value`, written into the arena.
pub(super) fn display<'a, T: Display + ?Sized>(
    arena: &'a Bump,
    value: &T,
) -> Result<&'a str, SerializeError<'a>> {
    let mut text = String::new_in(arena);
    match write!(text, "{value}") {
        Ok(()) => Ok(text.into_bump_str()),
        Err(error) => Err(serde::ser::Error::custom(error)),
    }
}
