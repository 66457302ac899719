//! The serializers of what has parts.

use bumpalo::Bump;
use bumpalo::collections::Vec;
use serde::{Serialize, ser};

use crate::id::{ENTITY_UID, Sym};
use crate::json::{Json, Step, duplicate, parse};
use crate::value::Value;
use crate::value::arena::Intern;

use super::text::Text;
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
    wrap: Option<&'a Wrap>,
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

    pub(super) fn wrapped(mut self, wrap: Wrap) -> Self {
        self.wrap = Some(self.writer.arena.alloc(wrap));
        self
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
            Some(wrap) => self.writer.wrap(*wrap, set),
            None => Ok(Some(set)),
        }
    }
}

/// Room for what a type says about its length, within reason: the length is what a `Serialize` implementation says,
/// and memory is taken before it delivers.
fn capacity(place: Place, len: usize) -> usize {
    if place.keep { len.min(1024) } else { 0 }
}

/// Structs and maps, which become records. Small, as it is moved a few times: what most records have no use for is
/// behind a reference.
pub(super) struct Fields<'x, 'w, 'a, N> {
    writer: &'x mut Writer<'w, 'a, N>,
    place: Place,
    fields: Vec<'a, (Sym, Value<'a>)>,
    rare: Option<&'a mut Rare<'a>>,
}

struct Rare<'a> {
    shape: Shape<'a>,
    /// The keys of fields that are only checked, to find those that occur twice.
    checked: Vec<'a, &'a str>,
    /// A key that waits for its value.
    key: Option<&'a str>,
    wrap: Option<Wrap>,
}

impl<'a> Rare<'a> {
    fn new_in(arena: &'a Bump) -> &'a mut Self {
        arena.alloc(Self {
            shape: Shape::Record,
            checked: Vec::new_in(arena),
            key: None,
            wrap: None,
        })
    }
}

/// What a struct stands for.
enum Shape<'a> {
    Record,
    /// An entity uid: its type name and id as far as they have come.
    Uid(Option<&'a str>, Option<&'a str>),
    /// How `serde_json` passes its numbers on when its feature `arbitrary_precision` is on.
    Number(Option<Value<'a>>),
}

/// Up to this many fields, each new one is compared with all before it, so that a duplicate is reported with its name.
const FEW_FIELDS: usize = 32;

impl<'x, 'w, 'a, N: Intern> Fields<'x, 'w, 'a, N> {
    #[inline]
    pub(super) fn new(at: ValueWriter<'x, 'w, 'a, N>, len: usize) -> Self {
        let ValueWriter { writer, place } = at;
        Self {
            fields: Vec::with_capacity_in(capacity(place, len), writer.arena),
            writer,
            place,
            rare: None,
        }
    }

    pub(super) fn wrapped(mut self, wrap: Wrap) -> Self {
        self.rare().wrap = Some(wrap);
        self
    }

    /// A struct whose name is none that Rust allows.
    #[cold]
    pub(super) fn reserved(
        at: ValueWriter<'x, 'w, 'a, N>,
        name: &str,
        len: usize,
    ) -> Result<Self, SerializeError<'a>> {
        let (shape, len) = match name {
            ENTITY_UID => (Shape::Uid(None, None), 0),
            "$serde_json::private::Number" => (Shape::Number(None), 0),
            "$serde_json::private::RawValue" => return Err(SerializeErrorKind::RawJson.here()),
            _ => (Shape::Record, len),
        };
        let mut fields = Self::new(at, len);
        fields.rare().shape = shape;
        Ok(fields)
    }

    fn rare(&mut self) -> &mut Rare<'a> {
        let arena = self.writer.arena;
        self.rare.get_or_insert_with(|| Rare::new_in(arena))
    }

    #[inline]
    fn struct_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done<'a> {
        match &mut self.rare {
            Some(rare) if !matches!(rare.shape, Shape::Record) => {
                rare.shape.part(self.writer.arena, key, value)
            }
            // Two fields of a struct with one name are rare enough to be found at the end.
            _ => self.known_field(key, value, |_, _| Ok(())),
        }
    }

    /// A field whose key lives long enough.
    #[inline]
    fn known_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'a str,
        value: &T,
        check_new: impl Fn(&Self, Sym) -> Done<'a>,
    ) -> Done<'a> {
        let (place, known) = self.writer.field(self.place, key);
        let result = match self.value(place, value) {
            Ok(Some(value)) if place.keep => match self.writer.sym(known, key) {
                Ok(sym) => check_new(self, sym).map(|()| self.fields.push((sym, value))),
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
            let (place, known) = writer.field(outer, text);
            Ok(if place.keep {
                Key::Kept(place, writer.sym(known, text)?)
            } else {
                Key::Checked(place, arena.alloc_str(text))
            })
        }))?;
        let result = match name {
            Key::Kept(place, sym) => match self.value(place, value) {
                Ok(Some(value)) => self.is_new(sym).map(|()| self.fields.push((sym, value))),
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

    fn is_new(&self, key: Sym) -> Done<'a> {
        if self.fields.len() <= FEW_FIELDS && self.fields.iter().any(|(other, _)| *other == key) {
            return Err(SerializeErrorKind::DuplicateKey.here());
        }
        Ok(())
    }

    fn check(&mut self, key: &'a str) -> Done<'a> {
        let checked = &mut self.rare().checked;
        if checked.len() <= FEW_FIELDS && checked.contains(&key) {
            return Err(SerializeErrorKind::DuplicateKey.here());
        }
        if checked.is_empty() {
            checked.reserve(FEW_FIELDS);
        }
        checked.push(key);
        Ok(())
    }

    #[cold]
    fn fail(&self, error: SerializeError<'a>, key: &'a str) -> SerializeError<'a> {
        let arena = self.writer.arena;
        let error = error.within(arena, Step::Field(key));
        match self.rare.as_ref().and_then(|rare| rare.wrap) {
            Some((_, variant)) => error.within(arena, Step::Field(variant)),
            None => error,
        }
    }

    #[inline]
    fn finish(self) -> Outcome<'a> {
        match self.rare {
            None => self.writer.record(self.place, self.fields).map(Some),
            Some(_) => self.finish_rare(),
        }
    }

    fn finish_rare(mut self) -> Outcome<'a> {
        let arena = self.writer.arena;
        let rare = self.rare();
        let wrap = rare.wrap;
        // Up to `FEW_FIELDS`, they were compared as they came.
        let many = Some(&rare.checked).filter(|keys| keys.len() > FEW_FIELDS);
        let twice = many.and_then(|keys| duplicate(arena, keys.iter().copied(), |key| key));
        let value = match rare.shape {
            Shape::Record if twice.is_some() => {
                return Err(SerializeErrorKind::DuplicateKey.here());
            }
            Shape::Record => self.writer.record(self.place, self.fields)?,
            Shape::Uid(Some(type_name), Some(id)) => {
                self.writer.entity(self.place, type_name, id)?
            }
            Shape::Number(Some(number)) => number,
            Shape::Uid(..) | Shape::Number(_) => return Err(SerializeErrorKind::Malformed.here()),
        };
        match wrap {
            Some(wrap) => self.writer.wrap(wrap, value),
            None => Ok(Some(value)),
        }
    }
}

impl<'a> Shape<'a> {
    /// Takes a field of a struct that is more than a record.
    fn part<T: Serialize + ?Sized>(
        &mut self,
        arena: &'a Bump,
        key: &'static str,
        value: &T,
    ) -> Done<'a> {
        let text = copied(arena, value)?;
        match self {
            Self::Uid(type_name, _) if key == "type" => *type_name = Some(text),
            Self::Uid(_, id) => *id = Some(text),
            Self::Number(number) => match parse(arena, text, 0) {
                Ok(Json::Integer(integer)) => *number = Some(Value::Long(integer)),
                _ => return Err(SerializeErrorKind::Float.here()),
            },
            Self::Record => return Err(SerializeErrorKind::Malformed.here()),
        }
        Ok(())
    }
}

/// A text, copied into the arena.
fn copied<'a, T: Serialize + ?Sized>(
    arena: &'a Bump,
    value: &T,
) -> Result<&'a str, SerializeError<'a>> {
    value.serialize(Text::new(arena, |text: &str| Ok(&*arena.alloc_str(text))))
}

/// The traits for lists differ in names alone, and so do those for structs.
macro_rules! list {
    ($($trait:ident $element:ident),*) => {$(
        impl<'a, N: Intern> ser::$trait for Items<'_, '_, 'a, N> {
            type Ok = Option<Value<'a>>;
            type Error = SerializeError<'a>;

            fn $element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done<'a> {
                self.item(value)
            }

            fn end(self) -> Outcome<'a> {
                self.finish()
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
        impl<'a, N: Intern> ser::$trait for Fields<'_, '_, 'a, N> {
            type Ok = Option<Value<'a>>;
            type Error = SerializeError<'a>;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Done<'a> {
                self.struct_field(key, value)
            }

            fn end(self) -> Outcome<'a> {
                self.finish()
            }
        }
    )*};
}

object!(SerializeStruct, SerializeStructVariant);

impl<'a, N: Intern> ser::SerializeMap for Fields<'_, '_, 'a, N> {
    type Ok = Option<Value<'a>>;
    type Error = SerializeError<'a>;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done<'a> {
        let key = copied(self.writer.arena, key)?;
        self.rare().key = Some(key);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done<'a> {
        match self.rare().key.take() {
            Some(key) => self.known_field(key, value, Self::is_new),
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
