//! The tokens of a JSON text, and what can be wrong with it.

use std::fmt;

use bumpalo::Bump;
use bumpalo::collections::String;

use super::Json;

/// Why a text is not JSON, or not JSON that is read here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct JsonError {
    pub(crate) kind: JsonErrorKind,
    /// Where in the text, in bytes.
    pub(crate) offset: usize,
}

/// A whole word, as the tag of [`Json`] is: it stands where a value would.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[repr(u64)]
pub(crate) enum JsonErrorKind {
    #[error("the text ends too early")]
    UnexpectedEnd,
    #[error("the text begins with a byte order mark; save it without one")]
    ByteOrderMark,
    #[error("expected a value")]
    ExpectedValue,
    #[error("expected a key in quotes")]
    ExpectedKey,
    #[error("expected `:`")]
    ExpectedColon,
    #[error("expected `,` or the closing bracket")]
    ExpectedComma,
    #[error("expected an array")]
    NotAnArray,
    #[error("not a number as JSON writes them")]
    MalformedNumber,
    #[error("the number is out of range")]
    NumberOutOfRange,
    #[error("a control character in a string; write it as an escape")]
    ControlCharacter,
    #[error("no such escape")]
    MalformedEscape,
    #[error("half of a surrogate pair")]
    LoneSurrogate,
    #[error("the object has this key already")]
    DuplicateKey,
    #[error("nested too deeply")]
    TooDeep,
    #[error("text after the end of the value")]
    TrailingText,
}

/// A place in a text as editors count it, both from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    pub(crate) line: usize,
    /// In characters.
    pub(crate) column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl JsonError {
    /// The place of the error in `text`, which must be the text that was read.
    pub(crate) fn position(self, text: &str) -> Position {
        let before = text.get(..self.offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before.chars().count() - before.get(..line_start).unwrap_or("").chars().count()
                + 1,
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid JSON: {}", self.kind)
    }
}

impl std::error::Error for JsonError {}

/// The place in the text, and what reads one token there.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The text from `start` to here. Both are at ASCII characters or at the end.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// An error here, or the error of having come to the end.
    pub(super) fn error(&self, kind: JsonErrorKind) -> JsonError {
        let kind = if self.at >= self.text.len() {
            JsonErrorKind::UnexpectedEnd
        } else if self.at == 0 && self.text.starts_with('\u{feff}') {
            JsonErrorKind::ByteOrderMark
        } else {
            kind
        };
        JsonError {
            kind,
            offset: self.at,
        }
    }

    pub(super) fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    pub(super) fn expect(&mut self, byte: u8, otherwise: JsonErrorKind) -> Result<(), JsonError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.error(otherwise))
        }
    }

    /// Whether one more element follows: a comma, or else the closing bracket.
    pub(super) fn comma_or(&mut self, close: u8) -> Result<bool, JsonError> {
        self.skip_whitespace();
        if self.take(b',') {
            return Ok(true);
        }
        self.expect(close, JsonErrorKind::ExpectedComma)?;
        Ok(false)
    }

    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        self.skip_whitespace();
        if self.at < self.text.len() {
            return Err(self.error(JsonErrorKind::TrailingText));
        }
        Ok(())
    }

    pub(super) fn literal(&mut self, word: &str, json: Json<'a>) -> Result<Json<'a>, JsonError> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.error(JsonErrorKind::ExpectedValue));
        }
        self.at += word.len();
        Ok(json)
    }

    pub(super) fn number(&mut self) -> Result<Json<'a>, JsonError> {
        let start = self.at;
        let negative = self.take(b'-');
        let whole = self.at;
        // Counted below zero, where there is one number more than above it.
        let mut negated = Some(0i64);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            negated = negated
                .and_then(|sum| sum.checked_mul(10))
                .and_then(|sum| sum.checked_sub(i64::from(digit - b'0')));
            self.at += 1;
        }
        let digits = self.since(whole);
        if digits.is_empty() || digits.len() > 1 && digits.starts_with('0') {
            return Err(self.error(JsonErrorKind::MalformedNumber));
        }
        let integral = !self.fraction_and_exponent()?;
        let integer = if negative {
            negated.filter(|sum| *sum != 0)
        } else {
            negated.and_then(i64::checked_neg)
        };
        match integer {
            Some(integer) if integral => Ok(Json::Integer(integer)),
            _ => self.float(start),
        }
    }

    /// Whether there was a fraction or an exponent.
    fn fraction_and_exponent(&mut self) -> Result<bool, JsonError> {
        let start = self.at;
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(self.at != start)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.error(JsonErrorKind::MalformedNumber));
        }
        Ok(())
    }

    /// No float has a place in Cedar's data, but which ones are a syntax error is `serde_json`'s word.
    fn float(&self, start: usize) -> Result<Json<'a>, JsonError> {
        let text = self.since(start);
        match text.parse::<f64>() {
            Ok(float) if float.is_finite() => Ok(Json::Number(text)),
            _ => Err(JsonError {
                kind: JsonErrorKind::NumberOutOfRange,
                offset: start,
            }),
        }
    }

    pub(super) fn string(&mut self, arena: &'a Bump) -> Result<&'a str, JsonError> {
        self.at += 1;
        let start = self.at;
        match self.plain_characters()? {
            b'"' => {
                let text = self.since(start);
                self.at += 1;
                Ok(text)
            }
            _ => self.decode(start, arena),
        }
    }

    /// Steps over characters that stand for themselves, to a quote or a backslash.
    fn plain_characters(&mut self) -> Result<u8, JsonError> {
        self.at += plain_len(self.rest());
        match self.peek() {
            Some(byte @ (b'"' | b'\\')) => Ok(byte),
            _ => Err(self.error(JsonErrorKind::ControlCharacter)),
        }
    }

    /// The rest of a string with escapes; the cursor is at the first of them.
    fn decode(&mut self, start: usize, arena: &'a Bump) -> Result<&'a str, JsonError> {
        // Decoding never lengthens a text.
        let mut decoded = String::with_capacity_in(self.encoded_len(start), arena);
        decoded.push_str(self.since(start));
        loop {
            // At a backslash.
            decoded.push(self.escape()?);
            let plain = self.at;
            let stop = self.plain_characters()?;
            decoded.push_str(self.since(plain));
            if stop == b'"' {
                self.at += 1;
                return Ok(decoded.into_bump_str());
            }
        }
    }

    /// The length up to the closing quote, or too much where there is none.
    fn encoded_len(&self, start: usize) -> usize {
        let mut escaped = false;
        let rest = self.rest().iter().position(|byte| {
            let closing = !escaped && *byte == b'"';
            escaped = !escaped && *byte == b'\\';
            closing
        });
        self.at - start + rest.unwrap_or(0)
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        self.at += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape(start);
            }
            _ => return Err(self.error(JsonErrorKind::MalformedEscape)),
        };
        self.at += 1;
        Ok(character)
    }

    /// The digits of `\uXXXX`, and the second half of a surrogate pair where the first was read.
    fn unicode_escape(&mut self, start: usize) -> Result<char, JsonError> {
        let lone = JsonError {
            kind: JsonErrorKind::LoneSurrogate,
            offset: start,
        };
        let first = self.four_hex_digits()?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).ok_or(lone);
        }
        if !(self.take(b'\\') && self.take(b'u')) {
            return Err(lone);
        }
        let second = self.four_hex_digits()?;
        if !(0xDC00..0xE000).contains(&second) {
            return Err(lone);
        }
        char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)).ok_or(lone)
    }

    fn four_hex_digits(&mut self) -> Result<u32, JsonError> {
        let mut number = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let digit = digit.ok_or(self.error(JsonErrorKind::MalformedEscape))?;
            number = number << 4 | digit;
            self.at += 1;
        }
        Ok(number)
    }
}

/// How many bytes there are before the first quote, backslash or control character.
///
/// Eight at a time: a decision of `abac-p50` with its context from JSON is 3% cheaper, 70 ns, though its strings are short.
fn plain_len(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let ends = ends(u64::from_le_bytes(*word));
        if ends != 0 {
            return number * 8 + ends.trailing_zeros() as usize / 8;
        }
    }
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    words.len() * 8 + end.unwrap_or(rest.len())
}

/// The highest bit of each byte that ends what is plain. Right for the lowest of them: a byte from which something was
/// borrowed may be marked as well, and that is above one that is marked rightly.
fn ends(word: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    // Bytes of 0x80 and more are parts of longer characters, and `!word` leaves them out.
    let below = |word: u64, bound: u8| word.wrapping_sub(EACH * u64::from(bound)) & !word;
    let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & (EACH << 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::plain_len;

    proptest! {
        #[test]
        fn what_is_plain_ends_where_a_byte_does_not_stand_for_itself(
            bytes in proptest::collection::vec(
                prop_oneof![8 => any::<u8>(), 8 => 0x20..0x7f_u8, 1 => Just(b'"'), 1 => Just(b'\\'), 1 => 0x1e..0x23_u8],
                0..40,
            ),
        ) {
            let end = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            prop_assert_eq!(plain_len(&bytes), end.unwrap_or(bytes.len()));
        }
    }
}
