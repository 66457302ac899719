//! Values as people write them: in Cedar's expression syntax, no longer than they are wanted.

use std::fmt::{self, Write};

use super::arena::NameText;
use super::{Value, View};

/// Text that ends, with `…`, where it would become longer than it may.
#[derive(Debug)]
pub(crate) struct Short {
    text: String,
    max: usize,
}

impl Short {
    /// At most `max` bytes, and the mark of what is left out.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            text: String::new(),
            max,
        }
    }

    /// What `write` writes. It is stopped once the text is full.
    pub(crate) fn of(max: usize, write: impl FnOnce(&mut Self) -> fmt::Result) -> String {
        let mut short = Self::new(max);
        if write(&mut short).is_err() {
            short.text.push('…');
        }
        short.text
    }
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.max - self.text.len();
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        let mut end = room;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(text.get(..end).unwrap_or_default());
        // Whatever is shorter than the room that is left must not come behind.
        self.max = self.text.len();
        Err(fmt::Error)
    }
}

/// Writes a value as a Cedar expression that has it. Recursion is as deep as the value, which is bounded where it is read.
pub(crate) fn write_value(
    value: Value<'_>,
    names: &impl NameText,
    f: &mut impl Write,
) -> fmt::Result {
    match value.view() {
        View::Bool(b) => write!(f, "{b}"),
        View::Long(i) => write!(f, "{i}"),
        View::String(text) => write_string(text, f),
        View::Entity(uid) => {
            let (type_name, id) = names.uid_text(uid);
            write!(f, "{type_name}::")?;
            write_string(id, f)
        }
        View::Set(set) => {
            // In the order of their texts: that of numbers changes from snapshot to snapshot.
            let texts = set.iter().map(|item| text_of(item, names));
            let mut texts = texts.collect::<Result<Vec<_>, _>>()?;
            if set.iter().any(|item| item.as_long().is_err()) {
                texts.sort_unstable();
            }
            write!(f, "[{}]", texts.join(", "))
        }
        View::Record(record) => {
            let mut fields: Vec<_> = record
                .iter()
                .map(|(key, item)| (names.sym_text(key), item))
                .collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            f.write_str("{")?;
            for (number, (name, item)) in fields.into_iter().enumerate() {
                if number > 0 {
                    f.write_str(", ")?;
                }
                write_name(name, f)?;
                f.write_str(": ")?;
                write_value(item, names, f)?;
            }
            f.write_str("}")
        }
        View::Decimal(d) => write!(f, "decimal(\"{d}\")"),
        View::Ip(ip) => write!(f, "ip(\"{ip}\")"),
        View::Duration(d) => write!(f, "duration(\"{d}\")"),
        View::Datetime(d) if d.is_representable() => write!(f, "datetime(\"{d}\")"),
        View::Datetime(d) => write!(
            f,
            "datetime(\"1970-01-01\").offset(duration(\"{}ms\"))",
            d.millis()
        ),
    }
}

fn text_of(value: Value<'_>, names: &impl NameText) -> Result<String, fmt::Error> {
    let mut text = String::new();
    write_value(value, names, &mut text)?;
    Ok(text)
}

/// A string literal.
pub(crate) fn write_string(text: &str, f: &mut impl Write) -> fmt::Result {
    // As Cedar prints them; its parser reads each of these escapes.
    write!(f, "\"{}\"", text.escape_debug())
}

/// An attribute name as the key of a record: quoted unless it is an identifier.
pub(crate) fn write_name(name: &str, f: &mut impl Write) -> fmt::Result {
    if is_identifier(name) {
        f.write_str(name)
    } else {
        write_string(name, f)
    }
}

/// Whether Cedar takes the name without quotes, wherever names stand.
pub(crate) fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    let start = |byte: u8| byte == b'_' || byte.is_ascii_alphabetic();
    bytes.next().is_some_and(start)
        && bytes.all(|byte| start(byte) || byte.is_ascii_digit())
        && !is_reserved(name.as_bytes())
}

/// Words that no part of a name may be: Cedar's keywords that begin or join expressions, and the namespace that Cedar
/// keeps to itself (RFC 52). Other words of its syntax, such as `permit` or `principal`, are fine.
#[inline]
pub(crate) fn is_reserved(word: &[u8]) -> bool {
    const RESERVED: [&[u8]; 10] = [
        b"true", b"false", b"if", b"then", b"else", b"in", b"is", b"like", b"has", b"__cedar",
    ];
    RESERVED.contains(&word)
}
