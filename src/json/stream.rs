//! A JSON array that is read from a stream: no more of it is in memory than one element and a few hundred kilobytes.

use std::io::{self, Read};

use bumpalo::Bump;

use super::Json;
use super::cursor::{JsonError, JsonErrorKind, Position};
use super::parse::{ArrayPlace, ArrayReader};

/// Reads a stream that is one JSON array, an element at a time.
///
/// An attempt borrows what is in memory and may fail for want of more, so that the caller goes around: attempt, then
/// [`Self::accept`] what came of it, or [`Self::fill`] and attempt again.
#[derive(Debug)]
pub(crate) struct StreamReader<R> {
    input: R,
    /// What was read of the stream and not dropped.
    text: String,
    /// Read, and not yet a whole character.
    bytes: Vec<u8>,
    /// Whether the stream has ended.
    ended: bool,
    place: ArrayPlace,
    max_depth: usize,
    max_element: usize,
    chunk: usize,
    dropped: Dropped,
}

/// What came before the text in memory.
#[derive(Clone, Copy, Debug, Default)]
struct Dropped {
    bytes: u64,
    lines: usize,
    /// Characters since the last end of a line.
    characters: usize,
}

/// A place in a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StreamPosition {
    pub(crate) offset: u64,
    pub(crate) position: Position,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// An element is longer than is allowed.
    #[error("an element is too long")]
    TooLong,
}

/// So much is read at once.
const CHUNK: usize = 256 << 10;

/// An error this close to the end of what is in memory may be one only because more is to come: a literal or an escape
/// that is cut off.
const MARGIN: usize = 4096;

impl<R: Read> StreamReader<R> {
    /// `max_depth` counts the array itself; `max_element` is in bytes.
    pub(crate) fn new(input: R, max_depth: usize, max_element: usize) -> Self {
        Self {
            input,
            text: String::new(),
            bytes: Vec::new(),
            ended: false,
            place: ArrayPlace::default(),
            max_depth,
            max_element,
            chunk: CHUNK,
            dropped: Dropped::default(),
        }
    }

    /// Reads no more than so much at once.
    #[cfg(test)]
    pub(super) fn with_chunk(self, chunk: usize) -> Self {
        Self { chunk, ..self }
    }

    /// How many elements were read.
    pub(crate) fn read(&self) -> usize {
        self.place.read()
    }

    /// How many bytes they took.
    pub(crate) fn bytes(&self) -> u64 {
        self.dropped.bytes + self.place.offset() as u64
    }

    /// The next element, `None` behind the last, and the place behind it. To be tried again after [`Self::fill`] when
    /// [`Self::is_cut_off`].
    pub(crate) fn attempt<'a>(
        &'a self,
        arena: &'a Bump,
    ) -> (Result<Option<Json<'a>>, JsonError>, ArrayPlace) {
        let mut reader = ArrayReader::at(&self.text, self.place, self.max_depth);
        let element = reader.next(arena);
        (element, reader.place())
    }

    /// Whether the outcome of an attempt says nothing yet, as the stream goes on.
    pub(crate) fn is_cut_off(&self, outcome: &Result<Option<Json<'_>>, JsonError>) -> bool {
        !self.ended
            && match outcome {
                Ok(Some(_)) => false,
                Ok(None) => true,
                Err(error) => {
                    error.kind == JsonErrorKind::UnexpectedEnd
                        || error.offset + MARGIN > self.text.len()
                }
            }
    }

    /// Goes on behind an element.
    pub(crate) fn accept(&mut self, place: ArrayPlace) {
        self.place = place;
    }

    /// Reads on. What was accepted is dropped.
    pub(crate) fn fill(&mut self) -> Result<(), StreamError> {
        self.drop_accepted();
        if self.text.len() > self.max_element {
            return Err(StreamError::TooLong);
        }
        // As much again as is there, so that a long element is not parsed from its start too often.
        let want = self.chunk.max(self.text.len()) as u64;
        let read = self
            .input
            .by_ref()
            .take(want)
            .read_to_end(&mut self.bytes)?;
        self.ended = (read as u64) < want;
        let valid = match str::from_utf8(&self.bytes) {
            Ok(text) => text.len(),
            Err(error) => {
                if error.error_len().is_some() || self.ended {
                    self.text
                        .push_str(valid_text(&self.bytes, error.valid_up_to()));
                    return Err(StreamError::NotUtf8);
                }
                error.valid_up_to()
            }
        };
        self.text.push_str(valid_text(&self.bytes, valid));
        self.bytes.drain(..valid);
        Ok(())
    }

    fn drop_accepted(&mut self) {
        let accepted = self.place.offset();
        let before = self.text.get(..accepted).unwrap_or_default();
        self.dropped.lines += memchr::memchr_iter(b'\n', before.as_bytes()).count();
        match memchr::memrchr(b'\n', before.as_bytes()) {
            None => self.dropped.characters += before.chars().count(),
            Some(end) => {
                self.dropped.characters = before.get(end + 1..).unwrap_or_default().chars().count();
            }
        }
        self.dropped.bytes += before.len() as u64;
        self.text.drain(..accepted);
        self.place.rebase();
    }

    /// Where an error of an attempt is.
    pub(crate) fn position_of(&self, error: JsonError) -> StreamPosition {
        self.position_at(error.offset)
    }

    /// Where the next element begins.
    pub(crate) fn position(&self) -> StreamPosition {
        let rest = self.text.get(self.place.offset()..).unwrap_or_default();
        let rest = rest.trim_start();
        let element = rest.strip_prefix(['[', ',']).unwrap_or(rest).trim_start();
        self.position_at(self.text.len() - element.len())
    }

    /// Where the stream stopped.
    pub(crate) fn end(&self) -> StreamPosition {
        self.position_at(self.text.len())
    }

    fn position_at(&self, offset: usize) -> StreamPosition {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let (lines, line) = match before.rfind('\n') {
            None => (0, before),
            Some(end) => (
                memchr::memchr_iter(b'\n', before.as_bytes()).count(),
                &before[end + 1..],
            ),
        };
        let earlier = if lines == 0 {
            self.dropped.characters
        } else {
            0
        };
        StreamPosition {
            offset: self.dropped.bytes + offset as u64,
            position: Position {
                line: self.dropped.lines + lines + 1,
                column: earlier + line.chars().count() + 1,
            },
        }
    }
}

/// What has been found to be text.
fn valid_text(bytes: &[u8], valid: usize) -> &str {
    bytes
        .get(..valid)
        .and_then(|bytes| str::from_utf8(bytes).ok())
        .unwrap_or_default()
}
