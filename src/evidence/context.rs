//! A decision's context, and values as Cedar JSON.

use std::fmt;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::ext::Datetime;
use crate::id::EntityUidRef;
use crate::names::Names;
use crate::request::locals::RequestNames;
use crate::value::arena::NameText;
use crate::value::{Record, Value, View};

use super::copied::{Copied, First};
use super::fields::FieldName;
use super::json::Members;
use super::pieces::Text;

/// A context, readable as Cedar JSON: serialize it with any serde format.
///
/// A field whose name is `__entity`, `__extn` or `__expr`, behind any number of further underscores, has one underscore more,
/// here and in [`InputsView`](super::InputsView): it is no escape.
#[derive(Clone, Copy)]
pub struct ContextView<'a>(pub(super) Contents<'a>);

#[derive(Clone, Copy)]
pub(super) enum Contents<'a> {
    /// In the decision's own memory.
    Borrowed {
        record: Record<'a>,
        names: RequestNames<'a>,
    },
    Copied {
        copied: &'a Copied,
        names: &'a Names,
    },
}

impl<'a> ContextView<'a> {
    pub(crate) fn new(record: Record<'a>, names: RequestNames<'a>) -> Self {
        Self(Contents::Borrowed { record, names })
    }

    pub(super) fn copied(copied: &'a Copied, names: &'a Names) -> Self {
        Self(Contents::Copied { copied, names })
    }

    /// Copies the context to memory that outlives the decision.
    pub(super) fn copy_to(&self, copied: &mut Copied) {
        match self.0 {
            Contents::Borrowed { record, names } => copied.add_record(record, names),
            Contents::Copied { copied: other, .. } => copied.add_copied(other),
        }
    }
}

impl fmt::Debug for ContextView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextView").finish_non_exhaustive()
    }
}

impl Serialize for ContextView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (record, names) = match self.0 {
            Contents::Borrowed { record, names } => (record, names),
            Contents::Copied { copied, names } => {
                return First { copied, names }.serialize(serializer);
            }
        };
        let mut map = serializer.serialize_map(Some(record.len()))?;
        for (key, value) in record.iter() {
            map.serialize_entry(&FieldName(names.sym_text(key)), &ValueView { value, names })?;
        }
        map.end()
    }
}

/// A value as Cedar JSON.
struct ValueView<'a> {
    value: Value<'a>,
    names: RequestNames<'a>,
}

impl Serialize for ValueView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.names;
        match self.value.view() {
            View::Bool(b) => serializer.serialize_bool(b),
            View::Long(i) => serializer.serialize_i64(i),
            View::String(s) => serializer.serialize_str(s),
            View::Entity(uid) => {
                let uid = EntityUidRef::from(names.uid_text(uid));
                EscapedEntity(uid).serialize(serializer)
            }
            View::Set(set) => {
                let mut seq = serializer.serialize_seq(Some(set.len()))?;
                for value in set.iter() {
                    seq.serialize_element(&ValueView { value, names })?;
                }
                seq.end()
            }
            View::Record(record) => ContextView::new(record, names).serialize(serializer),
            View::Decimal(d) => call("decimal", &d).serialize(serializer),
            View::Duration(d) => call("duration", &d).serialize(serializer),
            View::Ip(ip) => call("ip", &ip).serialize(serializer),
            View::Datetime(d) => EscapedDatetime(d).serialize(serializer),
        }
    }
}

/// `{ "__entity": uid }`.
pub(crate) struct EscapedEntity<'a>(pub(crate) EntityUidRef<'a>);

impl Serialize for EscapedEntity<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.member("__entity", &self.0)?;
        map.end()
    }
}

/// `{ "__extn": call }`.
pub(crate) struct EscapedCall<T>(Call<T>);

impl<T: Serialize> Serialize for EscapedCall<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.member("__extn", &self.0)?;
        map.end()
    }
}

pub(crate) fn call<'a, T: fmt::Display>(
    function: &'static str,
    arg: &'a T,
) -> EscapedCall<Text<'a, T>> {
    EscapedCall(Call(function, Text(arg)))
}

struct Call<T>(&'static str, T);

impl<T: Serialize> Serialize for Call<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.member("fn", self.0)?;
        map.member("arg", &self.1)?;
        map.end()
    }
}

/// A datetime. One that no constructor text can say is the epoch plus a duration, as Cedar writes it.
pub(crate) struct EscapedDatetime(pub(crate) Datetime);

impl Serialize for EscapedDatetime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.0.text() {
            return EscapedCall(Call("datetime", text.as_str())).serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.member("__extn", &Offset(self.0))?;
        map.end()
    }
}

struct Offset(Datetime);

impl Serialize for Offset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let from = Datetime::from_millis(0);
        let by = crate::ext::Duration::from_millis(self.0.millis());
        let mut map = serializer.serialize_map(Some(2))?;
        map.member("fn", "offset")?;
        map.member("args", &(call("datetime", &from), call("duration", &by)))?;
        map.end()
    }
}
