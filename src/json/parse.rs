//! JSON text to a [`Json`] tree, by RFC 8259.
//!
//! Accepted is what `serde_json` accepts (no byte order mark, no lone surrogates, no control characters in strings,
//! no float beyond the range of 64-bit floats), less objects in which a key occurs twice. Nothing is allocated but
//! in the arena.

use bumpalo::Bump;
use bumpalo::collections::Vec;

use super::cursor::{Cursor, JsonError, JsonErrorKind};
use super::{Json, Member};

/// The nesting beyond which no text is read, whatever the caller's limit says.
pub(crate) const MAX_DEPTH: usize = crate::limits::DEEPEST;

/// Reads a text that is one JSON value. Arrays and objects may stand in each other up to `max_depth` deep.
pub(crate) fn parse<'a>(
    arena: &'a Bump,
    text: &'a str,
    max_depth: usize,
) -> Result<Json<'a>, JsonError> {
    let mut parser = Parser::new(arena, text, 0);
    let json = parser.value(max_depth.min(MAX_DEPTH))?;
    parser.cursor.end()?;
    Ok(json)
}

/// Reads a text that is one JSON array, an element at a time, so that a file of a million entities needs the memory
/// of its text and of one entity. Reset the arena between the elements.
#[derive(Debug)]
pub(crate) struct ArrayReader<'t> {
    text: &'t str,
    max_depth: usize,
    place: ArrayPlace,
}

/// How far an array was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ArrayPlace {
    offset: usize,
    read: usize,
    state: State,
}

impl ArrayPlace {
    /// How many elements were read.
    pub(crate) fn read(self) -> usize {
        self.read
    }

    /// Where the last of them ends in the text.
    pub(crate) fn offset(self) -> usize {
        self.offset
    }

    /// The same place in a text that begins here.
    pub(super) fn rebase(&mut self) {
        self.offset = 0;
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Before,
    Within,
    After,
}

impl<'t> ArrayReader<'t> {
    /// `max_depth` counts the array itself, as [`parse`] does.
    pub(crate) fn new(text: &'t str, max_depth: usize) -> Self {
        Self::at(text, ArrayPlace::default(), max_depth)
    }

    /// From a place on.
    pub(super) fn at(text: &'t str, place: ArrayPlace, max_depth: usize) -> Self {
        Self {
            text,
            max_depth: max_depth.min(MAX_DEPTH),
            place,
        }
    }

    pub(crate) fn place(&self) -> ArrayPlace {
        self.place
    }

    /// The next element; `None` after the last, when the text has ended too. An error is the end as well.
    pub(crate) fn next<'a>(&mut self, arena: &'a Bump) -> Result<Option<Json<'a>>, JsonError>
    where
        't: 'a,
    {
        let before = std::mem::replace(&mut self.place.state, State::After);
        let mut parser = Parser::new(arena, self.text, self.place.offset);
        let cursor = &mut parser.cursor;
        let more = match before {
            State::After => return Ok(None),
            State::Before => {
                cursor.skip_whitespace();
                cursor.expect(b'[', JsonErrorKind::NotAnArray)?;
                if self.max_depth == 0 {
                    return Err(cursor.error(JsonErrorKind::TooDeep));
                }
                cursor.skip_whitespace();
                !cursor.take(b']')
            }
            State::Within => cursor.comma_or(b']')?,
        };
        if !more {
            cursor.end()?;
            return Ok(None);
        }
        let element = parser.value(self.max_depth - 1)?;
        self.place = ArrayPlace {
            offset: parser.cursor.at,
            read: self.place.read + 1,
            state: State::Within,
        };
        Ok(Some(element))
    }
}

/// Builds the tree. Elements and members collect on two stacks shared by all levels and move to the arena when their
/// array or object closes, so that each slice is allocated once and in its final size.
struct Parser<'a> {
    arena: &'a Bump,
    cursor: Cursor<'a>,
    elements: Vec<'a, Json<'a>>,
    members: Vec<'a, Pending<'a>>,
}

/// A member of an object that is still open.
#[derive(Clone, Copy)]
struct Pending<'a> {
    member: Member<'a>,
    offset: usize,
}

impl<'a> Parser<'a> {
    fn new(arena: &'a Bump, text: &'a str, at: usize) -> Self {
        Self {
            arena,
            cursor: Cursor { text, at },
            elements: Vec::new_in(arena),
            members: Vec::new_in(arena),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        self.cursor.skip_whitespace();
        match self.cursor.peek() {
            Some(b'"') => Ok(Json::String(self.cursor.string(self.arena)?)),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.cursor.number(),
            Some(b't') => self.cursor.literal("true", Json::Bool(true)),
            Some(b'f') => self.cursor.literal("false", Json::Bool(false)),
            Some(b'n') => self.cursor.literal("null", Json::Null),
            _ => Err(self.cursor.error(JsonErrorKind::ExpectedValue)),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        let inner = self.enter(depth)?;
        let start = self.elements.len();
        let mut more = !self.cursor.take(b']');
        while more {
            let element = self.value(inner)?;
            push(&mut self.elements, element);
            more = self.cursor.comma_or(b']')?;
        }
        let elements = self.elements.get(start..).unwrap_or_default();
        let elements = self.arena.alloc_slice_copy(elements);
        self.elements.truncate(start);
        Ok(Json::Array(elements))
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        let inner = self.enter(depth)?;
        let start = self.members.len();
        let mut more = !self.cursor.take(b'}');
        while more {
            self.cursor.skip_whitespace();
            let offset = self.cursor.at;
            if self.cursor.peek() != Some(b'"') {
                return Err(self.cursor.error(JsonErrorKind::ExpectedKey));
            }
            let key = self.cursor.string(self.arena)?;
            self.cursor.skip_whitespace();
            self.cursor.expect(b':', JsonErrorKind::ExpectedColon)?;
            let member = (key, self.value(inner)?);
            push(&mut self.members, Pending { member, offset });
            more = self.cursor.comma_or(b'}')?;
        }
        let members = self.members.get(start..).unwrap_or_default();
        let keys = members
            .iter()
            .map(|pending| (pending.member.0, pending.offset));
        if let Some((_, offset)) = super::duplicate(self.arena, keys, |(key, _)| key) {
            let kind = JsonErrorKind::DuplicateKey;
            return Err(JsonError { kind, offset });
        }
        let members = members.iter().map(|pending| pending.member);
        let members = self.arena.alloc_slice_fill_iter(members);
        self.members.truncate(start);
        Ok(Json::Object(members))
    }

    /// Steps over the opening bracket, and what depth is left inside.
    fn enter(&mut self, depth: usize) -> Result<usize, JsonError> {
        let inner = depth
            .checked_sub(1)
            .ok_or(self.cursor.error(JsonErrorKind::TooDeep))?;
        self.cursor.at += 1;
        self.cursor.skip_whitespace();
        Ok(inner)
    }
}

/// Adds to a stack. The first growth is a leap, as each one leaves a hole in the arena.
fn push<T>(stack: &mut Vec<'_, T>, item: T) {
    if stack.capacity() == 0 {
        stack.reserve(16);
    }
    stack.push(item);
}
