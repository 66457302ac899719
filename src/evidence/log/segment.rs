//! Segments: the files of a log, named after the index of their first line, and the lines in them.

use std::io::{self, BufRead, BufReader, Read};

use super::MAX_LINE_BYTES;
use super::storage::Storage;

/// How the name of a segment ends.
const SUFFIX: &str = ".jsonl";
/// How the name of a segment ends that is being repaired and not yet one.
const DRAFT: &str = ".jsonl.new";
/// Digits of an index in a name: names then sort as indices do.
const DIGITS: usize = 20;

pub(super) fn name(first: u64) -> String {
    format!("{first:0DIGITS$}{SUFFIX}")
}

pub(super) fn draft_name(first: u64) -> String {
    format!("{first:0DIGITS$}{DRAFT}")
}

/// The index of the first line that a segment's name tells; `None` for other names.
pub(super) fn first_index(name: &str) -> Option<u64> {
    index_before(name, SUFFIX)
}

fn index_before(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|c| c.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// What a directory holds of a log.
#[derive(PartialEq, Eq, Debug, Default)]
pub(super) struct Names {
    /// Index of the first line and name, in order.
    pub(super) segments: Vec<(u64, String)>,
    pub(super) drafts: Vec<(u64, String)>,
}

impl Names {
    pub(super) fn of(storage: &dyn Storage) -> io::Result<Self> {
        let mut names = Self::default();
        for name in storage.names()? {
            if let Some(first) = first_index(&name) {
                names.segments.push((first, name));
            } else if let Some(first) = index_before(&name, DRAFT) {
                names.drafts.push((first, name));
            }
        }
        names.segments.sort();
        names.drafts.sort();
        Ok(names)
    }
}

/// Reads a segment line by line, in bounded memory whatever is in it.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    text: Vec<u8>,
    place: Place,
}

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: u64,
    pub(super) offset: u64,
}

/// A line as it stands there.
pub(super) struct Text<'a> {
    /// Without the line break.
    pub(super) bytes: &'a [u8],
    pub(super) place: Place,
    /// Whether a line break follows.
    pub(super) ended: bool,
    /// Whether it is longer than lines are; this is its beginning, and what comes next is its rest.
    pub(super) too_long: bool,
}

impl Lines {
    pub(super) fn of(storage: &dyn Storage, name: &str) -> io::Result<Self> {
        Ok(Self {
            reader: BufReader::with_capacity(1 << 16, storage.read(name, 0)?),
            text: Vec::new(),
            place: Place::default(),
        })
    }

    /// The next line.
    pub(super) fn next(&mut self) -> io::Result<Option<Text<'_>>> {
        self.place.offset += self.text.len() as u64;
        self.text.clear();
        // One byte for the line break.
        let most = MAX_LINE_BYTES as u64 + 1;
        let read = (&mut self.reader)
            .take(most)
            .read_until(b'\n', &mut self.text)?;
        if read == 0 {
            return Ok(None);
        }
        self.place.line += 1;
        let bytes = self.text.strip_suffix(b"\n");
        Ok(Some(Text {
            bytes: bytes.unwrap_or(&self.text),
            place: self.place,
            ended: bytes.is_some(),
            too_long: bytes.is_none() && read as u64 == most,
        }))
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
