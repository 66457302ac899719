//! Values copied out of a decision: what a record's borrowed ones become when the record has to outlive it.
//!
//! A flat list of tokens beside one text. Copying writes to two vectors that are reused, and nothing else. Names that the
//! decision's epoch has are copied as numbers: who keeps a copy keeps the epoch too.

use std::cell::Cell;
use std::fmt::{self, Write};

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::ext::{Datetime, Decimal, Duration, IpAddr};
use crate::id::{EntityUidRef, Sym, Uid};
use crate::names::Names;
use crate::request::locals::RequestNames;
use crate::value::arena::NameText;
use crate::value::{Record, Value, View};

use super::record::{EscapedDatetime, EscapedEntity, call};

/// Values, one after the other, and any other text.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) tokens: Vec<Token>,
    text: String,
}

/// A piece of a copy's text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Bool(bool),
    Long(i64),
    Text(Span),
    /// A name of the epoch's.
    Name(Sym),
    Entity {
        type_name: Span,
        id: Span,
    },
    /// A uid of the epoch's.
    Known(Uid),
    Decimal(Decimal),
    Datetime(Datetime),
    Duration(Duration),
    Ip(IpAddr),
    /// So many values follow.
    Set(u32),
    /// So many pairs of a text and a value follow.
    Record(u32),
}

impl Copied {
    pub(super) const EMPTY: &'static Self = &Self {
        tokens: Vec::new(),
        text: String::new(),
    };

    pub(super) fn clear(&mut self) {
        self.tokens.clear();
        self.text.clear();
    }

    /// How much memory the contents take.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + self.tokens.len() * size_of::<Token>()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.text.capacity() + self.tokens.capacity() * size_of::<Token>()
    }

    pub(super) fn reserve(&mut self, text: usize, tokens: usize) {
        self.text.reserve(text);
        self.tokens.reserve(tokens);
    }

    pub(super) fn add_text(&mut self, text: &str) -> Span {
        // A line of four gigabytes is not kept by any sink, and neither are pieces of it.
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.push_str(text);
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        Span { start, end }
    }

    pub(super) fn add_display(&mut self, text: impl fmt::Display) -> Span {
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        // A `String` takes everything.
        let _ = write!(self.text, "{text}");
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        Span { start, end }
    }

    pub(super) fn text(&self, span: Span) -> &str {
        self.text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    pub(super) fn add_record(&mut self, record: Record<'_>, names: RequestNames<'_>) {
        self.tokens.push(Token::Record(count(record.len())));
        for (key, value) in record.iter() {
            self.add_name(key, names);
            self.add_value(value, names);
        }
    }

    /// Begins a set: its elements come next.
    pub(super) fn add_set(&mut self, len: usize) {
        self.tokens.push(Token::Set(count(len)));
    }

    pub(super) fn add_bool(&mut self, b: bool) {
        self.tokens.push(Token::Bool(b));
    }

    pub(super) fn add_uid(&mut self, uid: Uid, names: RequestNames<'_>) {
        self.add_value(uid.into(), names);
    }

    pub(super) fn add_name(&mut self, name: Sym, names: RequestNames<'_>) {
        let name = if name.is_local() {
            Token::Text(self.add_text(names.sym_text(name)))
        } else {
            Token::Name(name)
        };
        self.tokens.push(name);
    }

    pub(super) fn add_string(&mut self, text: &str) {
        let text = self.add_text(text);
        self.tokens.push(Token::Text(text));
    }

    /// Adds the values of another copy.
    pub(super) fn add_copied(&mut self, other: &Self) {
        let shift = self.add_text(&other.text).start;
        let tokens = other.tokens.iter();
        self.tokens.extend(tokens.map(|token| token.shifted(shift)));
    }

    fn add_value(&mut self, value: Value<'_>, names: RequestNames<'_>) {
        let token = match value.view() {
            View::Bool(b) => Token::Bool(b),
            View::Long(i) => Token::Long(i),
            View::String(s) => Token::Text(self.add_text(s)),
            View::Entity(uid) if !uid.is_local() => Token::Known(uid),
            View::Entity(uid) => {
                let (type_name, id) = names.uid_text(uid);
                Token::Entity {
                    type_name: self.add_text(type_name),
                    id: self.add_text(id),
                }
            }
            View::Set(set) => {
                self.tokens.push(Token::Set(count(set.len())));
                for value in set.iter() {
                    self.add_value(value, names);
                }
                return;
            }
            View::Record(record) => return self.add_record(record, names),
            View::Decimal(d) => Token::Decimal(d),
            View::Datetime(d) => Token::Datetime(d),
            View::Duration(d) => Token::Duration(d),
            View::Ip(ip) => Token::Ip(*ip),
        };
        self.tokens.push(token);
    }
}

impl Token {
    /// The token where its text stands so much further on.
    fn shifted(self, by: u32) -> Self {
        let shifted = |span: Span| Span {
            start: span.start.saturating_add(by),
            end: span.end.saturating_add(by),
        };
        match self {
            Self::Text(span) => Self::Text(shifted(span)),
            Self::Entity { type_name, id } => Self::Entity {
                type_name: shifted(type_name),
                id: shifted(id),
            },
            other => other,
        }
    }
}

/// As many as there are: a request with four billion fields is refused long before.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The first value of a copy, as Cedar JSON.
pub(super) struct First<'a> {
    pub(super) copied: &'a Copied,
    pub(super) names: &'a Names,
}

impl Serialize for First<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let walk = Walk::new(self.copied, self.names);
        walk.value().serialize(serializer)
    }
}

/// Where serializing stands.
pub(super) struct Walk<'a> {
    copied: &'a Copied,
    names: &'a Names,
    at: Cell<usize>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(copied: &'a Copied, names: &'a Names) -> Self {
        let at = Cell::new(0);
        Self { copied, names, at }
    }

    /// The value that comes next.
    pub(super) fn value(&self) -> Next<'_, 'a> {
        Next(self)
    }

    /// The length of the set that begins here.
    pub(super) fn set(&self) -> u32 {
        match self.next() {
            Some(Token::Set(count)) => count,
            _ => 0,
        }
    }

    pub(super) fn bool(&self) -> bool {
        matches!(self.next(), Some(Token::Bool(true)))
    }

    pub(super) fn uid(&self) -> EntityUidRef<'a> {
        match self.next() {
            Some(Token::Known(uid)) => self.names.uid_text(uid).into(),
            Some(Token::Entity { type_name, id }) => {
                EntityUidRef::new(self.copied.text(type_name), self.copied.text(id))
            }
            _ => EntityUidRef::new("", ""),
        }
    }

    pub(super) fn is_empty_record(&self) -> bool {
        let next = self.copied.tokens.get(self.at.get());
        matches!(next, Some(Token::Record(0)))
    }

    /// Passes by what comes next.
    pub(super) fn skip(&self) {
        self.next();
    }

    fn next(&self) -> Option<Token> {
        let at = self.at.get();
        self.at.set(at + 1);
        self.copied.tokens.get(at).copied()
    }

    /// The key that comes next.
    pub(super) fn key(&self) -> &'a str {
        match self.next() {
            Some(Token::Name(name)) => self.names.sym_text(name),
            Some(Token::Text(span)) => self.copied.text(span),
            _ => "",
        }
    }
}

/// The value that comes next.
pub(super) struct Next<'w, 'a>(&'w Walk<'a>);

impl Serialize for Next<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Walk { copied, names, .. } = self.0;
        match self.0.next() {
            Some(Token::Bool(b)) => serializer.serialize_bool(b),
            Some(Token::Long(i)) => serializer.serialize_i64(i),
            Some(Token::Text(span)) => serializer.serialize_str(copied.text(span)),
            Some(Token::Entity { type_name, id }) => {
                let uid = EntityUidRef::new(copied.text(type_name), copied.text(id));
                EscapedEntity(uid).serialize(serializer)
            }
            Some(Token::Known(uid)) => {
                EscapedEntity(names.uid_text(uid).into()).serialize(serializer)
            }
            Some(Token::Set(count)) => {
                let mut seq = serializer.serialize_seq(Some(count as usize))?;
                for _ in 0..count {
                    seq.serialize_element(self)?;
                }
                seq.end()
            }
            Some(Token::Record(count)) => {
                let mut map = serializer.serialize_map(Some(count as usize))?;
                for _ in 0..count {
                    map.serialize_entry(self.0.key(), self)?;
                }
                map.end()
            }
            Some(Token::Decimal(d)) => call("decimal", &d).serialize(serializer),
            Some(Token::Duration(d)) => call("duration", &d).serialize(serializer),
            Some(Token::Ip(ip)) => call("ip", &ip).serialize(serializer),
            Some(Token::Datetime(d)) => EscapedDatetime(d).serialize(serializer),
            Some(Token::Name(_)) | None => Err(serde::ser::Error::custom(
                "the copy of a value is not whole",
            )),
        }
    }
}
