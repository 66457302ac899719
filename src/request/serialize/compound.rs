//! The serializers of what has parts.

use bumpalo::collections::Vec;
use serde::{Serialize, ser};

use crate::id::{ENTITY_UID, Sym};
use crate::json::{Json, Step, duplicate, parse};
use crate::request::values;
use crate::value::Value;
use crate::value::arena::Intern;
use crate::value::ops::Extension;

use super::text::{ExtensionValue, Text};
use super::writer::{Outcome, Place, ValueWriter, Writer};
use super::{SerializeError, SerializeErrorKind};

type Done<'a> = Result<(), SerializeError<'a>>;

/// A variant around a value: where the variant stands, and its name.
pub(super) type Wrap = (Place, &'static str);

/// Sequences and tuples, which become sets.
pub(super) struct Items<'x, 'w, 'a, N> {
    writer: &'x mut Writer<'w, 'a, N>,
    place: Place,
    items: Vec<'a, Value<'a>>,
    /// The index of the next element.
    index: usize,
    wrap: Option<Wrap>,
}

impl<'x, 'w, 'a, N: Intern> Items<'x, 'w, 'a, N> {
    pub(super) fn new(at: ValueWriter<'x, 'w, 'a, N>, len: usize) -> Self {
        let ValueWriter { writer, place } = at;
        Self {
            items: Vec::with_capacity_in(capacity(place, len), writer.arena),
            writer,
            place,
            index: 0,
            wrap: None,
        }
    }

    pub(super) fn wrapped(self, wrap: Wrap) -> Self {
        Self {
            wrap: Some(wrap),
            ..self
        }
    }

    #[inline]
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Done<'a> {
        let place = self.place.element();
        let writer = &mut *self.writer;
        match value.serialize(ValueWriter { writer, place }) {
            Ok(Some(value)) if place.keep => self.items.push(value),
            Ok(Some(_)) => {}
            Ok(None) => return Err(self.fail(SerializeErrorKind::None.here())),
            Err(error) => return Err(self.fail(error)),
        }
        self.index += 1;
        Ok(())
    }

    #[cold]
    fn fail(&self, error: SerializeError<'a>) -> SerializeError<'a> {
        let arena = self.writer.arena;
        let error = error.within(arena, Step::Index(self.index));
        match self.wrap {
            Some((_, variant)) => error.within(arena, Step::Field(variant)),
            None => error,
        }
    }

    fn finish(self) -> Outcome<'a> {
        let set = self.writer.set(self.place, self.items);
        match self.wrap {
            Some(wrap) => self.writer.wrap(wrap, set),
            None => Ok(Some(set)),
        }
    }
}

/// Room for what a type says about its length, within reason: the length is what a `Serialize` implementation says,
/// and memory is taken before it delivers.
fn capacity(place: Place, len: usize) -> usize {
    if place.keep { len.min(1024) } else { 0 }
}

/// Structs and maps, which become records.
pub(super) struct Fields<'x, 'w, 'a, N> {
    writer: &'x mut Writer<'w, 'a, N>,
    place: Place,
    shape: Shape<'a>,
    fields: Vec<'a, (Sym, Value<'a>)>,
    /// The keys of fields that are only checked, to find those that occur twice.
    checked: Vec<'a, &'a str>,
    /// A key that waits for its value.
    key: Option<&'a str>,
    wrap: Option<Wrap>,
}

/// What a struct stands for.
pub(super) enum Shape<'a> {
    Record,
    /// An entity uid: its type name and id as far as they have come.
    Uid(Option<&'a str>, Option<&'a str>),
    /// One of the types of [`values`], once its only field has come.
    Escape(Option<Extension>, Option<Value<'a>>),
    /// How `serde_json` passes its numbers on when its feature `arbitrary_precision` is on.
    Number(Option<Value<'a>>),
}

impl<'a> Shape<'a> {
    #[inline]
    pub(super) fn of(name: &str) -> Result<Self, SerializeError<'a>> {
        if name.starts_with('$') {
            Self::of_reserved(name)
        } else {
            Ok(Self::Record)
        }
    }

    fn of_reserved(name: &str) -> Result<Self, SerializeError<'a>> {
        Ok(match name {
            ENTITY_UID => Self::Uid(None, None),
            values::ENTITY_REF => Self::Escape(None, None),
            values::DECIMAL => Self::Escape(Some(Extension::Decimal), None),
            values::IP => Self::Escape(Some(Extension::Ip), None),
            values::DATETIME => Self::Escape(Some(Extension::Datetime), None),
            values::DURATION => Self::Escape(Some(Extension::Duration), None),
            "$serde_json::private::Number" => Self::Number(None),
            "$serde_json::private::RawValue" => return Err(SerializeErrorKind::RawJson.here()),
            _ => Self::Record,
        })
    }
}

/// Up to this many fields, each new one is compared with all before it, so that a duplicate is reported with its name.
const FEW_FIELDS: usize = 32;

impl<'x, 'w, 'a, N: Intern> Fields<'x, 'w, 'a, N> {
    pub(super) fn new(at: ValueWriter<'x, 'w, 'a, N>, len: usize, shape: Shape<'a>) -> Self {
        let ValueWriter { writer, place } = at;
        Self {
            fields: Vec::with_capacity_in(capacity(place, len), writer.arena),
            checked: Vec::new_in(writer.arena),
            writer,
            place,
            shape,
            key: None,
            wrap: None,
        }
    }

    pub(super) fn wrapped(self, wrap: Wrap) -> Self {
        Self {
            wrap: Some(wrap),
            ..self
        }
    }

    #[inline]
    fn struct_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done<'a> {
        if let Shape::Record = self.shape {
            return self.known_field(key, value);
        }
        self.reserved_field(key, value)
    }

    /// A field whose key lives long enough.
    #[inline]
    fn known_field<T: Serialize + ?Sized>(&mut self, key: &'a str, value: &T) -> Done<'a> {
        let place = self.writer.field(self.place, key);
        let result = match self.value(place, value) {
            Ok(Some(value)) if place.keep => match self.writer.names.sym(key) {
                Ok(sym) => self.push(sym, value),
                Err(full) => Err(full.into()),
            },
            Ok(Some(_)) => self.check(key),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        result.map_err(|error| self.fail(error, key))
    }

    /// A field whose key must be copied if it is to be kept: it is interned instead.
    fn entry<K: Serialize + ?Sized, T: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &T,
    ) -> Done<'a> {
        enum Key<'a> {
            Kept(Place, Sym),
            Checked(Place, &'a str),
        }
        let (outer, arena) = (self.place, self.writer.arena);
        let writer = &mut *self.writer;
        let name = key.serialize(Text::new(arena, |text: &str| {
            let place = writer.field(outer, text);
            Ok(if place.keep {
                Key::Kept(place, writer.names.sym(text)?)
            } else {
                Key::Checked(place, arena.alloc_str(text))
            })
        }))?;
        let result = match name {
            Key::Kept(place, sym) => match self.value(place, value) {
                Ok(Some(value)) => self.push(sym, value),
                other => other.map(|_| ()),
            },
            Key::Checked(place, text) => match self.value(place, value) {
                Ok(Some(_)) => self.check(text),
                other => other.map(|_| ()),
            },
        };
        result.map_err(|error| match copied(arena, key) {
            Ok(text) => self.fail(error, text),
            Err(_) => error,
        })
    }

    #[inline]
    fn value<T: Serialize + ?Sized>(&mut self, place: Place, value: &T) -> Outcome<'a> {
        let writer = &mut *self.writer;
        value.serialize(ValueWriter { writer, place })
    }

    #[inline]
    fn push(&mut self, key: Sym, value: Value<'a>) -> Done<'a> {
        if self.fields.len() <= FEW_FIELDS && self.fields.iter().any(|(other, _)| *other == key) {
            return Err(SerializeErrorKind::DuplicateKey.here());
        }
        self.fields.push((key, value));
        Ok(())
    }

    fn check(&mut self, key: &'a str) -> Done<'a> {
        if self.checked.len() <= FEW_FIELDS && self.checked.contains(&key) {
            return Err(SerializeErrorKind::DuplicateKey.here());
        }
        self.checked.push(key);
        Ok(())
    }

    /// A part of one of the types that are more than a record.
    fn reserved_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done<'a> {
        let (writer, place) = (&mut *self.writer, self.place.element());
        let arena = writer.arena;
        match &mut self.shape {
            Shape::Record => return Err(SerializeErrorKind::Malformed.here()),
            Shape::Uid(type_name, _) if key == "type" => *type_name = Some(copied(arena, value)?),
            Shape::Uid(_, id) => *id = Some(copied(arena, value)?),
            Shape::Escape(None, entity) => {
                *entity = value.serialize(ValueWriter { writer, place })?;
            }
            Shape::Escape(Some(function), result) => {
                *result = Some(value.serialize(ExtensionValue::new(arena, *function))?);
            }
            Shape::Number(number) => match parse(arena, copied(arena, value)?, 0) {
                Ok(Json::Integer(integer)) => *number = Some(Value::Long(integer)),
                _ => return Err(SerializeErrorKind::Float.here()),
            },
        }
        Ok(())
    }

    #[cold]
    fn fail(&self, error: SerializeError<'a>, key: &'a str) -> SerializeError<'a> {
        let arena = self.writer.arena;
        let error = error.within(arena, Step::Field(key));
        match self.wrap {
            Some((_, variant)) => error.within(arena, Step::Field(variant)),
            None => error,
        }
    }

    fn finish(self) -> Outcome<'a> {
        let malformed = || SerializeErrorKind::Malformed.here();
        let record = match self.shape {
            Shape::Record => self.writer.record(self.place, self.fields, &self.checked)?,
            Shape::Uid(Some(type_name), Some(id)) => {
                self.writer.entity(self.place, type_name, id)?
            }
            Shape::Uid(..) => return Err(malformed()),
            Shape::Escape(_, value) | Shape::Number(value) => value.ok_or_else(malformed)?,
        };
        match self.wrap {
            Some(wrap) => self.writer.wrap(wrap, record),
            None => Ok(Some(record)),
        }
    }
}

/// A text, copied into the arena.
fn copied<'a, T: Serialize + ?Sized>(
    arena: &'a bumpalo::Bump,
    value: &T,
) -> Result<&'a str, SerializeError<'a>> {
    value.serialize(Text::new(arena, |text: &str| Ok(&*arena.alloc_str(text))))
}

impl<'a, N: Intern> ser::SerializeSeq for Items<'_, '_, 'a, N> {
    type Ok = Option<Value<'a>>;
    type Error = SerializeError<'a>;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done<'a> {
        self.item(value)
    }

    fn end(self) -> Outcome<'a> {
        self.finish()
    }
}

impl<'a, N: Intern> ser::SerializeTuple for Items<'_, '_, 'a, N> {
    type Ok = Option<Value<'a>>;
    type Error = SerializeError<'a>;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done<'a> {
        self.item(value)
    }

    fn end(self) -> Outcome<'a> {
        self.finish()
    }
}

impl<'a, N: Intern> ser::SerializeTupleStruct for Items<'_, '_, 'a, N> {
    type Ok = Option<Value<'a>>;
    type Error = SerializeError<'a>;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Done<'a> {
        self.item(value)
    }

    fn end(self) -> Outcome<'a> {
        self.finish()
    }
}

impl<'a, N: Intern> ser::SerializeTupleVariant for Items<'_, '_, 'a, N> {
    type Ok = Option<Value<'a>>;
    type Error = SerializeError<'a>;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Done<'a> {
        self.item(value)
    }

    fn end(self) -> Outcome<'a> {
        self.finish()
    }
}

impl<'a, N: Intern> ser::SerializeMap for Fields<'_, '_, 'a, N> {
    type Ok = Option<Value<'a>>;
    type Error = SerializeError<'a>;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done<'a> {
        self.key = Some(copied(self.writer.arena, key)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done<'a> {
        match self.key.take() {
            Some(key) => self.known_field(key, value),
            None => Err(SerializeErrorKind::Malformed.here()),
        }
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Done<'a> {
        self.entry(key, value)
    }

    fn end(self) -> Outcome<'a> {
        self.finish()
    }
}

impl<'a, N: Intern> ser::SerializeStruct for Fields<'_, '_, 'a, N> {
    type Ok = Option<Value<'a>>;
    type Error = SerializeError<'a>;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done<'a> {
        self.struct_field(key, value)
    }

    fn end(self) -> Outcome<'a> {
        self.finish()
    }
}

impl<'a, N: Intern> ser::SerializeStructVariant for Fields<'_, '_, 'a, N> {
    type Ok = Option<Value<'a>>;
    type Error = SerializeError<'a>;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done<'a> {
        self.struct_field(key, value)
    }

    fn end(self) -> Outcome<'a> {
        self.finish()
    }
}
