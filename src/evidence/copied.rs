//! Values copied out of a decision: what a record's borrowed ones become when the record has to outlive it.
//!
//! A flat list of tokens beside one text. Copying writes to memory that is used again, and reads none of it. Names that the
//! decision's epoch has are copied as numbers: who keeps a copy keeps the epoch too.

use std::cell::Cell;
use std::fmt;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::ext::{Datetime, Decimal, Duration, IpAddr};
use crate::id::{EntityUidRef, Sym, Uid};
use crate::names::Names;
use crate::request::locals::RequestNames;
use crate::value::arena::NameText;
use crate::value::{Record, Value, View};

use super::context::{EscapedDatetime, EscapedEntity, call};
use super::fields::FieldName;
use super::list::List;
use super::texts::{Span, Texts};

/// How much of a copy stands in it, in a kilobyte: all of a typical request's.
const TOKENS: usize = 32;
const TEXT: usize = 320;
const ADDRESSES: usize = 2;

/// Values, one after the other, and any other text.
///
/// In this order in memory: short lists first, so that what is written lies close together.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Copied {
    /// Apart, as they would make every token larger than the two words that it is.
    addresses: List<IpAddr, ADDRESSES>,
    /// Whole texts.
    text: Texts<TEXT>,
    pub(super) tokens: List<Token, TOKENS>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Bool(bool),
    Long(i64),
    Text(Span),
    /// A name of the epoch's.
    Name(Sym),
    Entity(Pair),
    /// A uid of the epoch's.
    Known(Uid),
    Decimal(Decimal),
    Datetime(Datetime),
    Duration(Duration),
    /// One of the copy's addresses.
    Ip(u32),
    /// So many values follow.
    Set(u32),
    /// So many pairs of a text and a value follow.
    Record(u32),
    /// Of an entity that was read of, behind its uid: whether it exists. Nothing but ancestors was asked for, and those follow.
    Bare(bool),
}

/// A queue's two threads hand each other every line of the cache that a copy is in.
const _: () = assert!(size_of::<Token>() == 16);

/// Two pieces of a copy's text that follow each other: the type and the id of an entity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    start: u32,
    middle: u32,
    end: u32,
}

impl Pair {
    pub(super) fn type_name(self) -> Span {
        Span {
            start: self.start,
            end: self.middle,
        }
    }

    pub(super) fn id(self) -> Span {
        Span {
            start: self.middle,
            end: self.end,
        }
    }
}

impl Default for Copied {
    fn default() -> Self {
        Self::new()
    }
}

impl Copied {
    const fn new() -> Self {
        Self {
            addresses: List::new(IpAddr::ANY),
            text: Texts::new(),
            tokens: List::new(Token::Bool(false)),
        }
    }

    pub(super) fn clear(&mut self) {
        self.tokens.clear();
        self.text.clear();
        self.addresses.clear();
    }

    /// How much memory the contents take.
    pub(super) fn bytes(&self) -> usize {
        self.text.bytes() + self.tokens.bytes() + self.addresses.bytes()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.text.capacity() + self.tokens.capacity() + self.addresses.capacity()
    }

    pub(super) fn add_text(&mut self, text: &str) -> Span {
        self.text.add(text)
    }

    pub(super) fn add_display(&mut self, text: impl fmt::Display) -> Span {
        self.text.add_display(text)
    }

    pub(super) fn text(&self, span: Span) -> &str {
        self.text.get(span)
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

    pub(super) fn add_entity(&mut self, type_name: &str, id: &str) {
        let Span { start, end: middle } = self.add_text(type_name);
        let end = self.add_text(id).end;
        let pair = Pair { start, middle, end };
        self.tokens.push(Token::Entity(pair));
    }

    /// The same where the id has to be written.
    pub(super) fn add_entity_as(&mut self, type_name: &str, id: impl fmt::Display) {
        let Span { start, end: middle } = self.add_text(type_name);
        let end = self.add_display(id).end;
        let pair = Pair { start, middle, end };
        self.tokens.push(Token::Entity(pair));
    }

    pub(super) fn add_address(&mut self, ip: IpAddr) {
        self.tokens.push(Token::Ip(count(self.addresses.len())));
        self.addresses.push(ip);
    }

    pub(super) fn address(&self, at: u32) -> Option<IpAddr> {
        self.addresses.get(at as usize)
    }

    /// Says of the entity that was added last that nothing but its ancestors was asked for, which are added next.
    pub(super) fn add_bare(&mut self, exists: bool) {
        self.tokens.push(Token::Bare(exists));
    }

    /// Adds the values of another copy.
    pub(super) fn add_copied(&mut self, other: &Self) {
        let text = self.text.end();
        self.text.add_all(&other.text);
        let addresses = count(self.addresses.len());
        self.addresses.extend_from_slice(other.addresses.as_slice());
        for token in other.tokens.as_slice() {
            self.tokens.push(token.shifted(text, addresses));
        }
    }

    fn add_value(&mut self, value: Value<'_>, names: RequestNames<'_>) {
        let token = match value.view() {
            View::Bool(b) => Token::Bool(b),
            View::Long(i) => Token::Long(i),
            View::String(s) => Token::Text(self.add_text(s)),
            View::Entity(uid) if !uid.is_local() => Token::Known(uid),
            View::Entity(uid) => {
                let (type_name, id) = names.uid_text(uid);
                return self.add_entity(type_name, id);
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
            View::Ip(ip) => return self.add_address(*ip),
        };
        self.tokens.push(token);
    }
}

impl Token {
    /// The token where its text stands so much further on, and its address.
    fn shifted(self, text: u32, addresses: u32) -> Self {
        let shifted = |at: u32| at.saturating_add(text);
        match self {
            Self::Text(Span { start, end }) => Self::Text(Span {
                start: shifted(start),
                end: shifted(end),
            }),
            Self::Entity(Pair { start, middle, end }) => Self::Entity(Pair {
                start: shifted(start),
                middle: shifted(middle),
                end: shifted(end),
            }),
            Self::Ip(at) => Self::Ip(at.saturating_add(addresses)),
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

    /// Whether the entity whose uid was the last exists, and whether nothing but its ancestors follows.
    pub(super) fn exists(&self) -> (bool, bool) {
        match self.next() {
            Some(Token::Bare(exists)) => (exists, true),
            Some(Token::Bool(exists)) => (exists, false),
            _ => (false, false),
        }
    }

    pub(super) fn uid(&self) -> EntityUidRef<'a> {
        match self.next() {
            Some(token) => self.uid_of(token),
            None => EntityUidRef::new("", ""),
        }
    }

    /// The uid that a token is.
    pub(super) fn uid_of(&self, token: Token) -> EntityUidRef<'a> {
        match token {
            Token::Known(uid) => self.names.uid_text(uid).into(),
            Token::Entity(pair) => {
                EntityUidRef::new(self.text(pair.type_name()), self.text(pair.id()))
            }
            _ => EntityUidRef::new("", ""),
        }
    }

    pub(super) fn address(&self, at: u32) -> Option<IpAddr> {
        self.copied.address(at)
    }

    pub(super) fn text(&self, span: Span) -> &'a str {
        self.copied.text(span)
    }

    pub(super) fn is_empty_record(&self) -> bool {
        let next = self.copied.tokens.get(self.at.get());
        matches!(next, Some(Token::Record(0)))
    }

    /// Passes by what comes next.
    pub(super) fn skip(&self) {
        self.next();
    }

    pub(super) fn next(&self) -> Option<Token> {
        let at = self.at.get();
        self.at.set(at + 1);
        self.copied.tokens.get(at)
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
        let copied = self.0.copied;
        match self.0.next() {
            Some(Token::Bool(b)) => serializer.serialize_bool(b),
            Some(Token::Long(i)) => serializer.serialize_i64(i),
            Some(Token::Text(span)) => serializer.serialize_str(copied.text(span)),
            Some(uid @ (Token::Entity(_) | Token::Known(_))) => {
                EscapedEntity(self.0.uid_of(uid)).serialize(serializer)
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
                    map.serialize_entry(&FieldName(self.0.key()), self)?;
                }
                map.end()
            }
            Some(Token::Decimal(d)) => call("decimal", &d).serialize(serializer),
            Some(Token::Duration(d)) => call("duration", &d).serialize(serializer),
            Some(Token::Ip(at)) => match copied.address(at) {
                Some(ip) => call("ip", &ip).serialize(serializer),
                None => Err(not_whole()),
            },
            Some(Token::Datetime(d)) => EscapedDatetime(d).serialize(serializer),
            Some(Token::Name(_) | Token::Bare(_)) | None => Err(not_whole()),
        }
    }
}

#[cold]
fn not_whole<E: serde::ser::Error>() -> E {
    E::custom("the copy of a value is not whole")
}
