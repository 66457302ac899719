//! Building sets and records in a request's arena.

use bumpalo::Bump;
use bumpalo::collections::Vec;

use crate::ext::IpAddr;
use crate::id::{EntityUid, Sym, Uid};

use super::{Record, Value};

/// Text of ids: what error messages, schema checks and records need and evaluation does not.
pub(crate) trait NameText {
    /// The type name and the id of an entity.
    fn uid_text(&self, uid: Uid) -> (&str, &str);
    /// The text of an attribute name.
    fn sym_text(&self, sym: Sym) -> &str;

    /// The entity's name, to keep.
    fn owned_uid(&self, uid: Uid) -> EntityUid {
        let (type_name, id) = self.uid_text(uid);
        EntityUid::new(type_name, id)
    }
}

impl<N: NameText + ?Sized> NameText for &N {
    fn uid_text(&self, uid: Uid) -> (&str, &str) {
        (**self).uid_text(uid)
    }

    fn sym_text(&self, sym: Sym) -> &str {
        (**self).sym_text(sym)
    }
}

/// Ids of text: the shared tables where known, a request's own numbering or a growing table otherwise.
pub(crate) trait Intern {
    /// The entity `type_name::"id"`. The type name has been checked.
    fn uid(&mut self, type_name: &str, id: &str) -> Result<Uid, TableFull>;
    /// An attribute name.
    fn sym(&mut self, name: &str) -> Result<Sym, TableFull>;
}

/// A table of names has no number left (2³¹ entries), or no room for text (4 GiB).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a table of names is full (2147483648 entries, or 4 GiB of text)")]
pub(crate) struct TableFull;

/// A string that is in the arena already, or outlives it.
pub(crate) fn string<'a>(arena: &'a Bump, text: &'a str) -> Value<'a> {
    Value::BuiltString(arena.alloc(text))
}

/// An IP address.
pub(crate) fn ip(arena: &Bump, ip: IpAddr) -> Value<'_> {
    Value::Ip(arena.alloc(ip))
}

/// A set of `items` in any order, duplicates allowed.
pub(crate) fn set<'a>(arena: &'a Bump, mut items: Vec<'a, Value<'a>>) -> Value<'a> {
    items.sort_unstable_by(|a, b| a.cmp_total(*b));
    items.dedup_by(|a, b| a.same(*b));
    Value::BuiltSet(arena.alloc(items.into_bump_slice()))
}

/// A record of `fields` in any order; a key that occurs twice is given back.
pub(crate) fn record<'a>(
    arena: &'a Bump,
    mut fields: Vec<'a, (Sym, Value<'a>)>,
) -> Result<Record<'a>, Sym> {
    if fields.is_empty() {
        return Ok(Record::Built(&(&[] as &[_])));
    }
    fields.sort_unstable_by_key(|(key, _)| *key);
    let twice = fields.windows(2).find_map(|pair| match pair {
        [(a, _), (b, _)] if a == b => Some(*a),
        _ => None,
    });
    match twice {
        Some(key) => Err(key),
        None => Ok(Record::Built(arena.alloc(fields.into_bump_slice()))),
    }
}
