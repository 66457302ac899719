//! The chain: how a line names the one before it and itself.
//!
//! A line is a JSON object whose last member is its place in the chain:
//!
//! ```text
//! {…,"chain":{"format":1,"index":17,"entry":"decision","prev":"<64 digits>","hash":"<64 digits>"}}
//! ```
//!
//! The first line of a segment also says which log it is of, right before that: `…,"log":"<32 digits>","chain":{…}}`;
//! not that of one which a repair has begun with older lines.
//!
//! `hash` is SHA-256 of the line's bytes from the first to the last digit's quote of `prev`; what follows is spelled in
//! one way only. So every byte of a line counts, and whoever checks one needs no JSON parser, only the end of the line.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::epoch::{hex, unhex};

use super::super::json::Buffer;
use super::id::{self, LogId};

/// The number of the format of lines.
const FORMAT: &str = "1";
const LOG: &[u8] = b"\"log\":\"";
const LOG_END: &[u8] = b"\",";
const CHAIN: &[u8] = b"\"chain\":{\"format\":";
const INDEX: &[u8] = b",\"index\":";
const ENTRY: &[u8] = b",\"entry\":\"";
const PREV: &[u8] = b"\",\"prev\":\"";
const HASH: &[u8] = b"\",\"hash\":\"";
const END: &[u8] = b"\"}}";
/// Hexadecimal digits of a hash.
const DIGITS: usize = 64;

/// The SHA-256 hash of a line of the log, which stands for all lines up to it. Written in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LineHash([u8; 32]);

impl LineHash {
    /// What the first line names as the one before it: 32 zero bytes.
    pub const START: Self = Self([0; 32]);

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    fn hex(&self) -> [u8; DIGITS] {
        hex(&self.0)
    }

    fn from_hex(text: &[u8]) -> Option<Self> {
        unhex(text).map(Self)
    }
}

impl From<[u8; 32]> for LineHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.hex()).unwrap_or_default())
    }
}

impl fmt::Debug for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for LineHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LineHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_hex(text.as_bytes()).ok_or_else(|| {
            serde::de::Error::custom("a hash is 64 hexadecimal digits, in lower case")
        })
    }
}

/// The end of a chain: where the next line goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    /// The index of the next line: how many lines there have been.
    pub(super) next: u64,
    /// The hash of the last line.
    pub(super) hash: LineHash,
    /// What the next line is to say which log it is of, if it is to.
    pub(super) log: Option<LogId>,
}

impl Head {
    pub(super) const START: Self = Self {
        next: 0,
        hash: LineHash::START,
        log: None,
    };

    /// Makes the JSON object that `line` has from `start` on the next line of the chain, its end included.
    ///
    /// `false`, and `line` cut back to `start`, when it is not an object, or the chain is at the end of what can be counted.
    pub(super) fn seal(&mut self, line: &mut Buffer, start: usize, entry: EntryKind) -> bool {
        let object = line.since(start);
        let next = self.next.checked_add(1);
        let (Some(next), true) = (next, object.starts_with(b"{") && object.ends_with(b"}")) else {
            line.truncate(start);
            return false;
        };
        let empty = object.len() == 2;
        line.truncate(line.len() - 1);
        if !empty {
            line.push(b',');
        }
        if let Some(log) = self.log.take() {
            line.extend(LOG);
            line.extend(log.to_string().as_bytes());
            line.extend(LOG_END);
        }
        line.extend(CHAIN);
        line.extend(FORMAT.as_bytes());
        line.extend(INDEX);
        line.digits(self.next);
        line.extend(ENTRY);
        line.extend(entry.as_str().as_bytes());
        line.extend(PREV);
        line.extend(&self.hash.hex());
        let hash = LineHash::of(line.since(start));
        line.extend(HASH);
        line.extend(&hash.hex());
        line.extend(END);
        line.push(b'\n');
        self.next = next;
        self.hash = hash;
        true
    }

    /// Whether `line` is the next one.
    pub(super) fn precedes(&self, line: &Sealed<'_>) -> bool {
        line.index == self.next && line.prev == self.hash
    }

    /// The head after `line`.
    pub(super) fn after(line: &Sealed<'_>) -> Self {
        Self {
            next: line.index.saturating_add(1),
            hash: line.hash,
            log: None,
        }
    }
}

/// What a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EntryKind {
    /// The record of a decision.
    Decision,
    /// What the log says about itself.
    Gap,
    Cut,
    Removed,
}

impl EntryKind {
    const ALL: [Self; 4] = [Self::Decision, Self::Gap, Self::Cut, Self::Removed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Gap => "gap",
            Self::Cut => "cut",
            Self::Removed => "removed",
        }
    }
}

/// A line that is as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed<'a> {
    pub(super) text: &'a [u8],
    pub(super) index: u64,
    pub(super) entry: EntryKind,
    pub(super) prev: LineHash,
    pub(super) hash: LineHash,
    /// Which log it says it is of.
    pub(super) log: Option<LogId>,
}

/// What the end of a line claims.
struct Claims {
    log: Option<LogId>,
    index: u64,
    entry: EntryKind,
    prev: LineHash,
    hash: LineHash,
    /// How many bytes the hash covers.
    covered: usize,
}

impl<'a> Sealed<'a> {
    /// The line that is `text`, without the line break; `None` if it is not as it was written.
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        let claims = Claims::read(text)?;
        (LineHash::of(text.get(..claims.covered)?) == claims.hash).then_some(Self {
            text,
            index: claims.index,
            entry: claims.entry,
            prev: claims.prev,
            hash: claims.hash,
            log: claims.log,
        })
    }
}

/// Whether `text`, which has no line break, begins with a whole line and goes on: then its line break was altered, and it
/// is not the beginning of a line whose rest was never written.
pub(super) fn begins_with_a_line(text: &[u8]) -> bool {
    // Hostile text could have as many ends of lines as it likes, each costing a hash of all before it.
    const TRIES: usize = 8;
    memchr::memmem::find_iter(text, END)
        .map(|at| at + END.len())
        .filter(|end| *end < text.len())
        .filter_map(|end| text.get(..end))
        .filter(|start| Claims::read(start).is_some())
        .take(TRIES)
        .any(|start| Sealed::read(start).is_some())
}

impl Claims {
    fn read(text: &[u8]) -> Option<Self> {
        let rest = text.strip_suffix(END)?;
        let (rest, hash) = hash_at_end(rest)?;
        let rest = rest.strip_suffix(HASH)?;
        let covered = rest.len();
        let (rest, prev) = hash_at_end(rest)?;
        let rest = rest.strip_suffix(PREV)?;
        let (rest, entry) = EntryKind::ALL
            .into_iter()
            .find_map(|kind| Some((rest.strip_suffix(kind.as_str().as_bytes())?, kind)))?;
        let rest = rest.strip_suffix(ENTRY)?;
        let digits = rest.iter().rev().take_while(|c| c.is_ascii_digit()).count();
        let (rest, index) = rest.split_at_checked(rest.len() - digits)?;
        let index: u64 = str::from_utf8(index).ok()?.parse().ok()?;
        // No log gets there, and behind it there is no place for a line.
        if index == u64::MAX {
            return None;
        }
        let rest = rest.strip_suffix(INDEX)?.strip_suffix(FORMAT.as_bytes())?;
        let rest = rest.strip_suffix(CHAIN)?;
        matches!(rest.last(), Some(b'{' | b',')).then_some(Self {
            log: log_at_end(rest),
            index,
            entry,
            prev,
            hash,
            covered,
        })
    }
}

fn hash_at_end(text: &[u8]) -> Option<(&[u8], LineHash)> {
    let (rest, digits) = text.split_at_checked(text.len().checked_sub(DIGITS)?)?;
    Some((rest, LineHash::from_hex(digits)?))
}

fn log_at_end(text: &[u8]) -> Option<LogId> {
    let rest = text.strip_suffix(LOG_END)?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(id::DIGITS)?)?;
    matches!(rest.strip_suffix(LOG)?.last(), Some(b'{' | b','))
        .then(|| LogId::from_hex(digits))
        .flatten()
}
