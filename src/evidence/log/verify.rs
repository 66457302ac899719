//! Verifying: is everything there, as it was written and in order?

use std::fmt;
use std::path::Path;

use super::chain::{EntryKind, Head, LineHash, Sealed, begins_with_a_line};
use super::event::{Event, Removed};
use super::id::LogId;
use super::segment::{Lines, Names, Place, Text};
use super::storage::{Directory, Storage};
use super::{Checkpoint, LogError};

/// Reads the log in `directory` and says whether its chain holds, or else which line is the first that is altered,
/// missing, reordered or duplicated.
///
/// Memory is bounded whatever the files hold, and no bytes make it panic. It takes no lock: beside a writer, the line
/// that is being written may show as a torn tail.
///
/// Without a checkpoint, lines that are missing at the end cannot be noticed. With one, they are, and so is a chain that
/// was written anew: see [the module's documentation](super) for what each proves.
///
/// # Errors
/// [`LogError`] when the directory or a segment cannot be read. What is wrong with the records is no error but a
/// [`Finding`].
pub fn verify(
    directory: impl AsRef<Path>,
    checkpoint: Option<&Checkpoint>,
) -> Result<Verification, LogError> {
    let storage = Directory::unlocked(directory.as_ref());
    verify_storage(&storage, checkpoint)
}

/// How often a log is read from its beginning because segments came or went while it was read.
const ATTEMPTS: usize = 8;

pub(super) fn verify_storage(
    storage: &dyn Storage,
    checkpoint: Option<&Checkpoint>,
) -> Result<Verification, LogError> {
    for _ in 1..ATTEMPTS {
        let names = names_of(storage)?;
        match read_through(storage, &names, checkpoint) {
            // Retention has removed a segment after it was listed.
            Err(error) if error.is_of_a_missing_file() && error.path() != storage.path() => {}
            // Or while they were: the list of a large directory may have no segment that says so, nor what was removed.
            Ok(seen) if seen.is_tampered_with() && names_of(storage)? != names => {}
            done => return done,
        }
    }
    read_through(storage, &names_of(storage)?, checkpoint)
}

fn names_of(storage: &dyn Storage) -> Result<Names, LogError> {
    Names::of(storage).map_err(|error| LogError::unreadable(storage.path(), error))
}

fn read_through(
    storage: &dyn Storage,
    names: &Names,
    checkpoint: Option<&Checkpoint>,
) -> Result<Verification, LogError> {
    Verifier::new(storage, &names.segments, checkpoint).verify()
}

/// Verifies a log from the segment on that has the line which a checkpoint is about, or else from the first one that is
/// there.
pub(super) fn verify_since(
    storage: &dyn Storage,
    checkpoint: &Checkpoint,
) -> Result<Verification, LogError> {
    let names = names_of(storage)?;
    let all = &names.segments;
    let from = all.partition_point(|(first, _)| *first < checkpoint.count());
    let (before, names) = all.split_at(from.saturating_sub(1).min(all.len()));
    let mut verifier = Verifier::new(storage, names, Some(checkpoint));
    if let (false, Some((first, _))) = (before.is_empty(), names.first()) {
        verifier.skipped = *first;
        verifier.seen.count = *first;
    }
    verifier.verify()
}

/// What verifying a log came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[must_use = "what was found wrong is in it"]
pub struct Verification {
    finding: Option<Finding>,
    log: Option<LogId>,
    segments: u64,
    first: u64,
    count: u64,
    head: LineHash,
    decisions: u64,
    lost: u64,
    cuts: u64,
    checkpoint_compared: bool,
}

impl Verification {
    /// What is wrong, if anything is: the first line that it is wrong with. The other answers then hold for the lines
    /// before it.
    pub fn finding(&self) -> Option<&Finding> {
        self.finding.as_ref()
    }

    /// Whether nothing is wrong. With a checkpoint, [`checkpoint_compared`](Self::checkpoint_compared) says whether that was
    /// compared, too.
    pub fn is_fine(&self) -> bool {
        self.finding.is_none()
    }

    fn is_tampered_with(&self) -> bool {
        self.finding.as_ref().is_some_and(Finding::is_tampering)
    }

    /// Which log it is; `None` of one that has no lines, or was begun before logs had ids.
    pub fn log(&self) -> Option<LogId> {
        self.log
    }

    /// How many segments were read.
    pub fn segments(&self) -> u64 {
        self.segments
    }

    /// The index of the first line that is there: 0, or more when retention has removed lines before it.
    pub fn first_index(&self) -> u64 {
        self.first
    }

    /// How many lines the chain has, those included that retention has removed.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The hash of the last line.
    pub fn head(&self) -> LineHash {
        self.head
    }

    /// How many lines are records of decisions.
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// How many records the log says were lost before they came to it.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How often the log has cut off what a crash or a failure left half-written.
    pub fn cuts(&self) -> u64 {
        self.cuts
    }

    /// Whether the checkpoint that was given could be compared. It could not when retention has removed all lines that it
    /// is about, or when the log claims that: whoever relies on a checkpoint takes that for a finding.
    pub fn checkpoint_compared(&self) -> bool {
        self.checkpoint_compared
    }
}

/// A line for a log: how much was read, and what came of it.
impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.count.saturating_sub(self.first);
        for (count, what, after) in [
            (lines, "line", ", "),
            (self.decisions, "decision", ", "),
            (self.segments, "segment", ": "),
        ] {
            let plural = if count == 1 { "" } else { "s" };
            write!(f, "{count} {what}{plural}{after}")?;
        }
        match &self.finding {
            Some(finding) => finding.fmt(f),
            None if self.checkpoint_compared => {
                f.write_str("the chain holds and has all that it had at the checkpoint")
            }
            None => f.write_str("the chain holds"),
        }
    }
}

/// What is wrong with a log, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    kind: FindingKind,
    index: u64,
    spot: Spot,
}

/// What is wrong with a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FindingKind {
    /// The line is not as it was written.
    Altered,
    /// The line is not there, nor are those up to this index, and no entry of the log tells that they were removed.
    Missing {
        /// The index of the last line that is missing there.
        to: u64,
    },
    /// The line is there, but later than where it belongs.
    Reordered,
    /// The line has been there before.
    Duplicated,
    /// The segment has a name that is not the index of its first line.
    Misnamed,
    /// The last segment ends in the beginning of a line: a crash, or a line that is just being written. Not acknowledged,
    /// not tampering; the next writer cuts it off and says so in the log.
    TornTail,
    /// The log ends before the line that the checkpoint is about.
    Truncated {
        /// How many lines there were at the checkpoint.
        expected: u64,
    },
    /// The line that the checkpoint is about is another one: the log was written anew.
    CheckpointDiffers {
        /// The hash of the line that is there.
        found: LineHash,
        /// The hash that the line had at the checkpoint.
        expected: LineHash,
    },
    /// The checkpoint is one of another log, or another log was put in the place of this one.
    OtherLog {
        /// Which log it is.
        found: LogId,
        /// Which log the checkpoint is of.
        expected: LogId,
    },
}

/// A place in the files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Spot {
    pub(super) segment: String,
    pub(super) place: Place,
}

impl Finding {
    pub(super) fn new(kind: FindingKind, index: u64, spot: Spot) -> Self {
        Self { kind, index, spot }
    }

    /// What is wrong.
    pub fn kind(&self) -> FindingKind {
        self.kind
    }

    /// The index of the line that it is wrong with: that which should stand there.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The file; empty when there is none.
    pub fn segment(&self) -> &str {
        &self.spot.segment
    }

    /// The line in the file, from 1; where something is missing, the line that stands there instead.
    pub fn line(&self) -> u64 {
        self.spot.place.line
    }

    /// Where the line begins in the file.
    pub fn offset(&self) -> u64 {
        self.spot.place.offset
    }

    /// Whether somebody changed the files: anything but a torn tail.
    pub fn is_tampering(&self) -> bool {
        self.kind != FindingKind::TornTail
    }
}

impl FindingKind {
    /// The kind's name, `snake_case`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Missing { .. } => "missing",
            Self::Reordered => "reordered",
            Self::Duplicated => "duplicated",
            Self::Misnamed => "misnamed",
            Self::TornTail => "torn_tail",
            Self::Truncated { .. } => "truncated",
            Self::CheckpointDiffers { .. } => "checkpoint_differs",
            Self::OtherLog { .. } => "other_log",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index;
        match self.kind {
            FindingKind::Altered => write!(f, "line {index} of the log is altered"),
            FindingKind::Missing { to } if to == index => {
                write!(f, "line {index} of the log is missing")
            }
            FindingKind::Missing { to } => {
                write!(f, "lines {index} to {to} of the log are missing")
            }
            FindingKind::Reordered => {
                write!(f, "line {index} of the log comes later than it should")
            }
            FindingKind::Duplicated => write!(f, "a line comes again where line {index} should be"),
            FindingKind::Misnamed => {
                write!(f, "the segment that begins with line {index} was renamed")
            }
            FindingKind::TornTail => write!(
                f,
                "the log ends in the middle of line {index}: a crash, or a line that is being written, not tampering"
            ),
            FindingKind::Truncated { expected } if index == 0 => write!(
                f,
                "the log has no lines, and had {expected} at the checkpoint"
            ),
            FindingKind::Truncated { expected } => write!(
                f,
                "the log ends before line {index}, and had {expected} lines at the checkpoint"
            ),
            FindingKind::CheckpointDiffers { found, expected } => write!(
                f,
                "line {index} of the log is another one than at the checkpoint: its hash is {found} and was {expected}"
            ),
            FindingKind::OtherLog { found, expected } => write!(
                f,
                "this is the log {found}, and the checkpoint is of the log {expected}"
            ),
        }?;
        if self.spot.segment.is_empty() {
            return Ok(());
        }
        let Place { line, offset } = self.spot.place;
        write!(f, " ({}, line {line}, byte {offset})", self.spot.segment)
    }
}

struct Verifier<'a> {
    storage: &'a dyn Storage,
    names: &'a [(u64, String)],
    checkpoint: Option<&'a Checkpoint>,
    /// How many lines are in segments before these, which are not looked at.
    skipped: u64,
    seen: Verification,
    /// Where the next line goes; `None` before the first.
    head: Option<Head>,
    /// Before the first line.
    begin: Option<Head>,
    /// Where the last line stood.
    last: Spot,
    removed: Option<Removed>,
}

impl<'a> Verifier<'a> {
    fn new(
        storage: &'a dyn Storage,
        names: &'a [(u64, String)],
        checkpoint: Option<&'a Checkpoint>,
    ) -> Self {
        Self {
            storage,
            names,
            checkpoint,
            skipped: 0,
            seen: Verification::default(),
            head: None,
            begin: None,
            last: Spot::default(),
            removed: None,
        }
    }

    fn verify(mut self) -> Result<Verification, LogError> {
        self.seen.finding = self.segments()?;
        Ok(self.seen)
    }

    fn segments(&mut self) -> Result<Option<Finding>, LogError> {
        let mut torn = None;
        for (at, (first, name)) in self.names.iter().enumerate() {
            let mut lines = self.open(name)?;
            self.seen.segments += 1;
            let before = self.head;
            while let Some(text) = lines.next().map_err(|error| self.unreadable(name, error))? {
                let spot = Spot {
                    segment: name.clone(),
                    place: text.place,
                };
                let expected = self.head.map_or(*first, |head| head.next);
                let Some(line) = sealed(&text) else {
                    let last_segment = at + 1 == self.names.len();
                    if last_segment && is_torn(&text) {
                        // It is the end of what is there. What a writer adds meanwhile is the rest of this line.
                        torn = Some(Finding::new(FindingKind::TornTail, expected, spot));
                        break;
                    }
                    return Ok(Some(Finding::new(FindingKind::Altered, expected, spot)));
                };
                let found = self.line(&line, *first, expected, &spot);
                if let Some(FindingKind::Missing { to }) = found {
                    let reordered = self.comes_later(expected, &mut lines, at)?;
                    let kind = if reordered {
                        FindingKind::Reordered
                    } else {
                        FindingKind::Missing { to }
                    };
                    return Ok(Some(Finding::new(kind, expected, spot)));
                }
                if let Some(kind) = found {
                    // A line that follows another one than the last says that the last is not what it was.
                    let follows_another = self.head.is_some_and(|head| head.hash != line.prev);
                    let before = kind == FindingKind::Altered
                        && follows_another
                        && line.prev != LineHash::START;
                    let (index, spot) = match (before, expected.checked_sub(1)) {
                        (true, Some(index)) => (index, self.last.clone()),
                        _ => (expected, spot),
                    };
                    return Ok(Some(Finding::new(kind, index, spot)));
                }
                self.last = spot;
            }
            // One without lines has a name all the same.
            if self.head == before
                && let Some(finding) = self.misses(*first, name)
            {
                return Ok(Some(finding));
            }
        }
        Ok(self.at_the_end().or(torn))
    }

    /// What the name of a segment without a whole line says is wrong before it: it begins where the lines before it end.
    fn misses(&self, first: u64, name: &str) -> Option<Finding> {
        let is_last = self.names.last().is_some_and(|(last, _)| *last == first);
        let expected = match self.head {
            Some(head) => head.next,
            // Lines that are there may come.
            None if !is_last => return None,
            None => self.skipped,
        };
        let kind = match first.checked_sub(1) {
            Some(to) if first > expected => FindingKind::Missing { to },
            _ if first == expected => return None,
            _ => FindingKind::Misnamed,
        };
        let spot = Spot {
            segment: name.to_owned(),
            place: Place { line: 1, offset: 0 },
        };
        Some(Finding::new(kind, expected, spot))
    }

    /// What is wrong with a line that is as it was written.
    fn line(
        &mut self,
        line: &Sealed<'_>,
        named: u64,
        expected: u64,
        spot: &Spot,
    ) -> Option<FindingKind> {
        if line.index > expected {
            let to = line.index - 1;
            return Some(FindingKind::Missing { to });
        }
        if line.index < expected {
            let first = self.head.is_none();
            return Some(if first {
                FindingKind::Misnamed
            } else {
                FindingKind::Duplicated
            });
        }
        let head = *self.head.get_or_insert_with(|| {
            let hash = if line.index == 0 {
                LineHash::START
            } else {
                line.prev
            };
            let begin = Head {
                next: line.index,
                hash,
                log: None,
            };
            self.begin = Some(begin);
            self.seen.first = begin.next;
            begin
        });
        if !head.precedes(line) {
            return Some(FindingKind::Altered);
        }
        if spot.place.line == 1 && line.index != named {
            return Some(FindingKind::Misnamed);
        }
        if line.log.is_some() {
            // The chain holds, so that whoever wrote it says two things.
            if self.seen.log.is_some() && self.seen.log != line.log {
                return Some(FindingKind::Altered);
            }
            self.seen.log = line.log;
        }
        let head = Head::after(line);
        self.head = Some(head);
        if let Some(kind) = self.compare(head) {
            return Some(kind);
        }
        self.seen.count = head.next;
        self.seen.head = head.hash;
        self.count(line);
        None
    }

    /// Compares a line with the checkpoint, if that is about it.
    fn compare(&mut self, head: Head) -> Option<FindingKind> {
        let checkpoint = self.checkpoint?;
        if checkpoint.count() != head.next || self.other_log().is_some() {
            return None;
        }
        self.seen.checkpoint_compared = true;
        let (found, expected) = (head.hash, checkpoint.head());
        (found != expected).then_some(FindingKind::CheckpointDiffers { found, expected })
    }

    /// What there is to say where the checkpoint is of another log.
    fn other_log(&self) -> Option<FindingKind> {
        let (found, expected) = (self.seen.log?, self.checkpoint?.log()?);
        (found != expected).then_some(FindingKind::OtherLog { found, expected })
    }

    fn count(&mut self, line: &Sealed<'_>) {
        if line.entry == EntryKind::Decision {
            self.seen.decisions += 1;
        }
        match Event::read(line) {
            Some(Event::Gap(gap)) => self.seen.lost = self.seen.lost.saturating_add(gap.lost),
            Some(Event::Cut(_)) => self.seen.cuts += 1,
            Some(Event::Removed(removed)) => self.removed = Some(removed),
            None => {}
        }
    }

    /// What only shows when everything has been read.
    fn at_the_end(&mut self) -> Option<Finding> {
        let begin = self.begin.unwrap_or(Head::START);
        if begin.next > self.skipped && !self.is_told(begin) {
            let to = begin.next - 1;
            return Some(Finding::new(
                FindingKind::Missing { to },
                0,
                self.first_spot(),
            ));
        }
        if let Some(kind) = self.other_log() {
            return Some(Finding::new(kind, begin.next, self.first_spot()));
        }
        let checkpoint = self.checkpoint?;
        let expected = checkpoint.count();
        if expected > self.seen.count {
            let kind = FindingKind::Truncated { expected };
            return Some(Finding::new(kind, self.seen.count, self.last.clone()));
        }
        // The checkpoint may be about the line before the first that remains.
        if expected != begin.next {
            return None;
        }
        let index = begin.next.saturating_sub(1);
        let kind = self.compare(begin)?;
        Some(Finding::new(kind, index, Spot::default()))
    }

    /// Whether the log tells that the lines before its first one were removed.
    fn is_told(&self, begin: Head) -> bool {
        self.removed.as_ref().is_some_and(|removed| {
            // A crash while segments were being removed leaves more of them than the entry says.
            removed.before > begin.next
                || (removed.before == begin.next && removed.last == begin.hash)
        })
    }

    fn first_spot(&self) -> Spot {
        let first = self.names.first().map(|(_, name)| name.clone());
        Spot {
            segment: first.unwrap_or_default(),
            place: Place { line: 1, offset: 0 },
        }
    }

    /// Whether the line that should be here turns up further on.
    fn comes_later(&self, index: u64, rest: &mut Lines, segment: usize) -> Result<bool, LogError> {
        let here = self.names.get(segment).map_or("", |(_, name)| name);
        if self.comes_in(index, rest, here)? {
            return Ok(true);
        }
        for (_, name) in self.names.iter().skip(segment + 1) {
            if self.comes_in(index, &mut self.open(name)?, name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn comes_in(&self, index: u64, lines: &mut Lines, name: &str) -> Result<bool, LogError> {
        while let Some(text) = lines.next().map_err(|error| self.unreadable(name, error))? {
            let Some(line) = sealed(&text) else { continue };
            if line.index == index && self.head.is_none_or(|head| head.precedes(&line)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn open(&self, name: &str) -> Result<Lines, LogError> {
        Lines::of(self.storage, name).map_err(|error| self.unreadable(name, error))
    }

    fn unreadable(&self, name: &str, error: std::io::Error) -> LogError {
        LogError::unreadable(&self.storage.path().join(name), error)
    }
}

/// The line, if it is whole and as it was written.
pub(super) fn sealed<'t>(text: &Text<'t>) -> Option<Sealed<'t>> {
    if text.ended {
        Sealed::read(text.bytes)
    } else {
        None
    }
}

/// Whether what stands at the end of a segment is the beginning of a line, whose rest was never written.
pub(super) fn is_torn(text: &Text<'_>) -> bool {
    !text.ended && !text.too_long && !begins_with_a_line(text.bytes)
}
