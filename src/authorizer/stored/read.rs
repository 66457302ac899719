//! Stored values to types of the caller's.

use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, MapDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use crate::id::{EntityUid, EntityUidRef};
use crate::names::Names;
use crate::value::arena::NameText;
use crate::value::{Record, Set, Value, View};

use super::write;

/// Why stored attributes cannot be read as a type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttributeError(Box<Parts>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Parts {
    entity: Option<EntityUid>,
    /// From the inside out: names and places in sets.
    path: Vec<Step>,
    message: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Name(String),
    Index(usize),
}

impl AttributeError {
    fn within(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }

    pub(super) fn of(mut self, entity: EntityUidRef<'_>) -> Self {
        self.0.entity = Some(entity.to_owned());
        self
    }
}

impl fmt::Display for AttributeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entity) = &self.0.entity {
            write!(f, "entity {entity}: ")?;
        }
        for (at, step) in self.0.path.iter().rev().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            match step {
                Step::Name(name) => write!(f, "{dot}{}", name.escape_debug())?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        let colon = if self.0.path.is_empty() { "" } else { ": " };
        write!(f, "{colon}{}", self.0.message)
    }
}

impl std::error::Error for AttributeError {}

impl de::Error for AttributeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Box::new(Parts {
            entity: None,
            path: Vec::new(),
            message: message.to_string(),
        }))
    }
}

/// A stored value, to be read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'p> {
    pub(super) value: Value<'p>,
    pub(super) names: &'p Names,
}

impl<'p> Deserializer<'p> for Reader<'p> {
    type Error = AttributeError;

    fn deserialize_any<V: Visitor<'p>>(self, visitor: V) -> Result<V::Value, AttributeError> {
        let Self { value, names } = self;
        match value.view() {
            View::Bool(truth) => visitor.visit_bool(truth),
            View::Long(number) => visitor.visit_i64(number),
            View::String(text) => visitor.visit_borrowed_str(text),
            View::Entity(uid) => {
                let (type_name, id) = names.uid_text(uid);
                let fields = [("type", type_name), ("id", id)];
                let fields = fields.map(|(name, text)| {
                    (
                        BorrowedStrDeserializer::new(name),
                        BorrowedStrDeserializer::new(text),
                    )
                });
                visitor.visit_map(MapDeserializer::new(fields.into_iter()))
            }
            View::Set(set) => visitor.visit_seq(Items { set, names, at: 0 }),
            View::Record(record) => visitor.visit_map(Fields {
                record,
                names,
                at: 0,
            }),
            View::Decimal(decimal) => visitor.visit_string(decimal.to_string()),
            View::Duration(duration) => visitor.visit_string(duration.to_string()),
            View::Datetime(datetime) => visitor.visit_string(datetime.to_string()),
            View::Ip(ip) => visitor.visit_string(write::ip_text(ip)),
        }
    }

    /// What is there is `Some`: what is not has no attribute.
    fn deserialize_option<V: Visitor<'p>>(self, visitor: V) -> Result<V::Value, AttributeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'p>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, AttributeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'p>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, AttributeError> {
        let names = self.names;
        match self.value.view() {
            View::String(text) => visitor.visit_enum(text.into_deserializer()),
            View::Record(record) if record.len() == 1 => match record.iter().next() {
                Some((name, value)) => visitor.visit_enum(Variant {
                    name: names.sym_text(name),
                    data: Self { value, names },
                }),
                None => self.deserialize_any(visitor),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'p>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items<'p> {
    set: Set<'p>,
    names: &'p Names,
    at: usize,
}

impl<'p> SeqAccess<'p> for Items<'p> {
    type Error = AttributeError;

    fn next_element_seed<T: DeserializeSeed<'p>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, AttributeError> {
        let Some(value) = self.set.get(self.at) else {
            return Ok(None);
        };
        let at = self.at;
        self.at += 1;
        let names = self.names;
        let read = seed.deserialize(Reader { value, names });
        read.map(Some)
            .map_err(|error| error.within(Step::Index(at)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.set.len() - self.at)
    }
}

struct Fields<'p> {
    record: Record<'p>,
    names: &'p Names,
    at: usize,
}

impl<'p> MapAccess<'p> for Fields<'p> {
    type Error = AttributeError;

    fn next_key_seed<K: DeserializeSeed<'p>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, AttributeError> {
        let Some((name, _)) = self.record.entry(self.at) else {
            return Ok(None);
        };
        let name = self.names.sym_text(name);
        seed.deserialize(BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'p>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, AttributeError> {
        let Some((name, value)) = self.record.entry(self.at) else {
            return Err(de::Error::custom("a value was asked for before its name"));
        };
        self.at += 1;
        let names = self.names;
        seed.deserialize(Reader { value, names })
            .map_err(|error| error.within(Step::Name(names.sym_text(name).to_owned())))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.record.len() - self.at)
    }
}

/// A variant of an enum with data: a record with one attribute.
struct Variant<'p> {
    name: &'p str,
    data: Reader<'p>,
}

impl<'p> EnumAccess<'p> for Variant<'p> {
    type Error = AttributeError;
    type Variant = Data<'p>;

    fn variant_seed<V: DeserializeSeed<'p>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Data<'p>), AttributeError> {
        let variant = seed.deserialize(BorrowedStrDeserializer::new(self.name))?;
        Ok((variant, Data(self.name, self.data)))
    }
}

/// What a variant holds, and its name.
struct Data<'p>(&'p str, Reader<'p>);

impl<'p> Data<'p> {
    fn at(name: &'p str) -> impl Fn(AttributeError) -> AttributeError {
        move |error| error.within(Step::Name(name.to_owned()))
    }
}

impl<'p> VariantAccess<'p> for Data<'p> {
    type Error = AttributeError;

    fn unit_variant(self) -> Result<(), AttributeError> {
        Err(de::Error::custom(format_args!(
            "the variant `{}` has data",
            self.0.escape_debug()
        )))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'p>>(
        self,
        seed: T,
    ) -> Result<T::Value, AttributeError> {
        seed.deserialize(self.1).map_err(Self::at(self.0))
    }

    fn tuple_variant<V: Visitor<'p>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, AttributeError> {
        self.1.deserialize_any(visitor).map_err(Self::at(self.0))
    }

    fn struct_variant<V: Visitor<'p>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, AttributeError> {
        self.1.deserialize_any(visitor).map_err(Self::at(self.0))
    }
}
