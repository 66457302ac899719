//! Lists and objects, from what opens them to what closes them: for serde, seven kinds.

use serde::ser::{self, Serialize, SerializeMap};

use super::key::Key;
use super::{JsonError, Writer};

/// An object or a list that is not closed yet.
pub(super) struct Open<'w, 'o> {
    writer: &'w mut Writer<'o>,
    end: u8,
    /// Whether an object with a variant's name is around it.
    in_variant: bool,
}

impl<'w, 'o> Open<'w, 'o> {
    #[inline(always)]
    pub(super) fn list(writer: &'w mut Writer<'o>) -> Self {
        writer.out.push(b'[');
        Self {
            writer,
            end: b']',
            in_variant: false,
        }
    }

    #[inline(always)]
    pub(super) fn object(writer: &'w mut Writer<'o>) -> Self {
        writer.out.push(b'{');
        Self {
            writer,
            end: b'}',
            in_variant: false,
        }
    }

    /// As what the enum's variant has in it.
    pub(super) fn in_variant(self) -> Self {
        Self {
            in_variant: true,
            ..self
        }
    }

    #[inline(always)]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        value.serialize(&mut *self.writer)
    }

    #[inline(always)]
    fn member<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), JsonError> {
        self.writer.constant(key, b':');
        value.serialize(&mut *self.writer)
    }

    #[inline(always)]
    fn close(self) {
        self.writer.close(self.end);
        if self.in_variant {
            self.writer.close(b'}');
        }
    }
}

impl SerializeMap for Open<'_, '_> {
    type Ok = ();
    type Error = JsonError;

    #[inline(always)]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), JsonError> {
        key.serialize(Key(self.writer))
    }

    #[inline(always)]
    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), JsonError> {
        self.serialize_key(key)?;
        value.serialize(&mut *self.writer)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        value.serialize(&mut *self.writer)
    }

    #[inline(always)]
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

            #[inline(always)]
            fn $element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
                self.element(value)
            }

            #[inline(always)]
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

            #[inline(always)]
            fn end(self) -> Result<(), JsonError> {
                self.close();
                Ok(())
            }
        }
    )*};
}

object!(SerializeStruct, SerializeStructVariant);
