//! Recovering: from a crash when a log is opened, from a failure while it is written.
//!
//! Both leave an end of the last segment that nobody vouches for. It is cut off, and the cut is told in the chain, in
//! three steps that each may be the last: a *draft* of a new segment is written and synced, with the acknowledged lines
//! that the cut takes along and an entry that tells the cut; the old segment is cut; the draft gets its name. From the cut
//! on the draft is all that there is of those lines: whatever fails, a complete draft is carried out and never made anew.
//! So is one that is found when a log is opened; an incomplete one is dropped.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::super::json::Buffer;
use super::LogError;
use super::chain::{Head, LineHash, Sealed};
use super::event::{Cut, Event};
use super::id::LogId;
use super::options::{LogOptions, SyncPolicy};
use super::segment::{self, Lines, Names, Place};
use super::storage::{Appendable, Storage};
use super::verify::{Finding, FindingKind, Spot, is_torn, sealed};
use super::writer::{Begun, Open, Writer};

/// Opens the log, or begins it.
pub(super) fn open(storage: Box<dyn Storage>, options: LogOptions) -> Result<Writer, LogError> {
    carry_out_drafts(&*storage)?;
    // Behind that: a draft holds lines of the log.
    if let Some(expected) = &options.expected {
        expected.hold_against(&*storage)?;
    }
    let names = names(&*storage)?;
    let Some((first, name)) = names.segments.last().cloned() else {
        return begin(storage, options);
    };
    let scanned = Scanned::whole(&*storage, &name)?;
    let head = match (scanned.head, names.segments.iter().rev().nth(1)) {
        (Some(head), _) => head,
        (None, None) if first == 0 => Head::START,
        (None, before) => head_before(&*storage, first, &name, before)?,
    };
    let log = match head.next {
        0 => Some(LogId::random()),
        _ => log_of(&*storage, &names)?,
    };
    let path = storage.path().join(&name);
    let unusable = |error| LogError::io(&path, error);
    let about = storage.about(&name).map_err(unusable)?;
    let mut file = storage.open(&name).map_err(unusable)?;
    if options.sync != SyncPolicy::Never {
        // The writer before may have died with lines unsynced.
        file.sync()
            .map_err(|error| LogError::not_synced(&path, error))?;
    }
    // Nor may the name of what is written to be on the disk, and it may be that of a draft there.
    storage
        .sync()
        .map_err(|error| LogError::not_synced(storage.path(), error))?;
    let begun = Begun::at(about.created);
    let segment = Open::new(name, file, scanned.bytes, begun);
    let mut writer = Writer::new(storage, options, head, log, segment);
    if scanned.torn {
        writer.repair()?;
    }
    Ok(writer)
}

fn begin(storage: Box<dyn Storage>, options: LogOptions) -> Result<Writer, LogError> {
    let name = segment::name(0);
    let path = storage.path().join(&name);
    let file = storage.create(&name).and_then(|file| {
        storage.sync()?;
        Ok(file)
    });
    let file = file.map_err(|error| LogError::io(&path, error))?;
    let segment = Open::new(name, file, 0, Begun::now());
    let log = Some(LogId::random());
    Ok(Writer::new(storage, options, Head::START, log, segment))
}

/// Which log it is: what the first line of the last segment that says so says. The writer begins all segments so, but
/// not those that a repair begins with lines of the segment before.
fn log_of(storage: &dyn Storage, names: &Names) -> Result<Option<LogId>, LogError> {
    for (_, name) in names.segments.iter().rev() {
        let failed = |error| LogError::io(&storage.path().join(name), error);
        let mut lines = Lines::of(storage, name).map_err(failed)?;
        let first = lines.next().map_err(failed)?;
        let log = first.as_ref().and_then(sealed).and_then(|line| line.log);
        if log.is_some() {
            return Ok(log);
        }
    }
    Ok(None)
}

/// Where the chain stands before a last segment that has no whole line.
fn head_before(
    storage: &dyn Storage,
    first: u64,
    name: &str,
    before: Option<&(u64, String)>,
) -> Result<Head, LogError> {
    let missing = |to| {
        let kind = FindingKind::Missing { to };
        let spot = Spot {
            segment: name.to_owned(),
            place: Place { line: 1, offset: 0 },
        };
        LogError::damaged(storage.path(), Finding::new(kind, to, spot))
    };
    let Some((_, before)) = before else {
        return Err(missing(first - 1));
    };
    let scanned = Scanned::whole(storage, before)?;
    match scanned.head {
        Some(head) if head.next == first && !scanned.torn => Ok(head),
        _ => Err(missing(first.saturating_sub(1))),
    }
}

fn carry_out_drafts(storage: &dyn Storage) -> Result<(), LogError> {
    for (first, name) in names(storage)?.drafts {
        let path = storage.path().join(&name);
        // One that cannot be read, or is not as it was written, may be all that there is of acknowledged lines.
        let scanned = Scanned::whole(storage, &name)?;
        let done = match scanned.cut.filter(|_| !scanned.torn) {
            // Whoever wrote it may have died before it was synced.
            Some(cut) => storage
                .open(&name)
                .and_then(|mut draft| draft.sync())
                .and_then(|()| carry_out(storage, first, &cut))
                .and_then(|()| storage.sync()),
            // It never was complete, so that the old segment was not touched yet.
            None => storage.remove(&name),
        };
        done.map_err(|error| LogError::io(&path, error))?;
    }
    Ok(())
}

/// Cuts the old segment and gives the draft of the new one, which is on the disk, its name. That is to be synced then.
fn carry_out(storage: &dyn Storage, first: u64, cut: &Cut) -> io::Result<()> {
    // A file name, whatever else an entry may say.
    if segment::first_index(&cut.segment).is_none() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    storage.sync()?;
    let mut file = storage.open(&cut.segment)?;
    // Not only if it is longer: an attempt before this may have cut it, and not known that to be on the disk.
    if storage.about(&cut.segment)?.bytes >= cut.offset {
        file.set_len(cut.offset)?;
        file.sync()?;
    }
    storage.rename(&segment::draft_name(first), &segment::name(first))
}

/// How far a repair has come. What of it is done stays so when the next step fails.
#[derive(Default)]
pub(super) struct Repair {
    /// What there is to cut off, behind lines that were found to be as they were written.
    cut: Option<Cut>,
    /// Once it is complete and on the disk. From then on the old segment may have been cut.
    draft: Option<Draft>,
}

/// The new segment of a repair.
struct Draft {
    first: u64,
    file: Box<dyn Appendable>,
    bytes: u64,
    /// After its last line.
    head: Head,
    /// Whether it has its name.
    named: bool,
}

impl Draft {
    fn carry_out(&mut self, storage: &dyn Storage, cut: &Cut) -> io::Result<()> {
        // Once only: what has the name of the old segment then may be the new one.
        if !self.named {
            carry_out(storage, self.first, cut)?;
            self.named = true;
        }
        storage.sync()
    }
}

impl Writer {
    /// Cuts off what nobody vouches for, and goes on in a new segment.
    pub(super) fn repair(&mut self) -> Result<(), LogError> {
        let cut = match self.repair.cut.take() {
            Some(cut) => cut,
            None => self.what_to_cut()?,
        };
        let cut = self.repair.cut.insert(cut).clone();
        let mut draft = match self.repair.draft.take() {
            Some(draft) => draft,
            None => self.draft(&cut)?,
        };
        if let Err(error) = draft.carry_out(&*self.storage, &cut) {
            self.repair.draft = Some(draft);
            return Err(self.failed(error));
        }
        self.repair = Repair::default();
        let name = segment::name(draft.first);
        self.segment = Open::new(name, draft.file, draft.bytes, Begun::now());
        self.head = draft.head;
        Ok(())
    }

    fn failed(&self, error: io::Error) -> LogError {
        LogError::io(&self.storage.path().join(&self.segment.name), error)
    }

    /// Reads the segment, which may take long: once for a repair, however often that is tried.
    fn what_to_cut(&self) -> Result<Cut, LogError> {
        self.check_synced()?;
        let old = &self.segment;
        let (bytes, sha256) =
            tail(&*self.storage, &old.name, old.synced).map_err(|error| self.failed(error))?;
        Ok(Cut {
            segment: old.name.clone(),
            offset: old.synced,
            bytes,
            sha256,
        })
    }

    /// Writes the new segment. The old one is not touched yet.
    fn draft(&self, cut: &Cut) -> Result<Draft, LogError> {
        let first = self.first_unsynced();
        let mut lines = self.segment.unsynced.clone();
        let mut head = Head {
            log: self.log.filter(|_| lines.is_empty()),
            ..self.head
        };
        let mut told = Buffer::default();
        Event::Cut(cut.clone()).write(&mut head, &mut told)?;
        lines.extend_from_slice(told.as_slice());

        let name = segment::draft_name(first);
        // That of an attempt that failed here, too.
        let _ = self.storage.remove(&name);
        let mut file = self
            .storage
            .create(&name)
            .map_err(|error| self.failed(error))?;
        if let Err(error) = file.write_all(&lines).and_then(|()| file.sync()) {
            // Nobody knows what of it is on the disk, and whoever finds it complete would take it for that.
            let _ = self.storage.remove(&name);
            return Err(self.failed(error));
        }
        Ok(Draft {
            first,
            file,
            bytes: lines.len() as u64,
            head,
            named: false,
        })
    }

    /// Whether what was synced is still there as it was written.
    fn check_synced(&self) -> Result<(), LogError> {
        let old = &self.segment;
        let scanned = Scanned::until(&*self.storage, &old.name, old.synced)?;
        let unsynced = old.unsynced.split(|byte| *byte == b'\n').next();
        let hash = unsynced
            .and_then(Sealed::read)
            .map_or(self.head.hash, |line| line.prev);
        let expected = Head {
            next: self.first_unsynced(),
            hash,
            log: None,
        };
        if scanned.head.is_none_or(|head| head == expected) && scanned.bytes == old.synced {
            return Ok(());
        }
        let spot = Spot {
            segment: old.name.clone(),
            place: Place::default(),
        };
        let index = expected.next.saturating_sub(1);
        let finding = Finding::new(FindingKind::Altered, index, spot);
        Err(LogError::damaged(self.storage.path(), finding))
    }
}

/// What a segment holds.
struct Scanned {
    /// After its last whole line; `None` if it has none.
    head: Option<Head>,
    /// Of whole lines.
    bytes: u64,
    /// Whether the beginning of a line follows.
    torn: bool,
    /// What the last line says, if it tells a cut.
    cut: Option<Cut>,
}

impl Scanned {
    fn whole(storage: &dyn Storage, name: &str) -> Result<Self, LogError> {
        Self::until(storage, name, u64::MAX)
    }

    /// Reads lines up to a byte.
    fn until(storage: &dyn Storage, name: &str, end: u64) -> Result<Self, LogError> {
        let failed = |error| LogError::io(&storage.path().join(name), error);
        let mut scanned = Self {
            head: None,
            bytes: 0,
            torn: false,
            cut: None,
        };
        let mut lines = Lines::of(storage, name).map_err(failed)?;
        while scanned.bytes < end {
            let Some(text) = lines.next().map_err(failed)? else {
                break;
            };
            let line =
                sealed(&text).filter(|line| scanned.head.is_none_or(|head| head.precedes(line)));
            let Some(line) = line else {
                if is_torn(&text) {
                    scanned.torn = true;
                    break;
                }
                let spot = Spot {
                    segment: name.to_owned(),
                    place: text.place,
                };
                let first = segment::first_index(name).unwrap_or_default();
                let index = scanned.head.map_or(first, |head| head.next);
                let finding = Finding::new(FindingKind::Altered, index, spot);
                return Err(LogError::damaged(storage.path(), finding));
            };
            scanned.head = Some(Head::after(&line));
            scanned.bytes += text.bytes.len() as u64 + 1;
            scanned.cut = match Event::read(&line) {
                Some(Event::Cut(cut)) => Some(cut),
                _ => None,
            };
        }
        Ok(scanned)
    }
}

/// How much there is from a byte on, and its hash.
fn tail(storage: &dyn Storage, name: &str, from: u64) -> io::Result<(u64, LineHash)> {
    let mut file = storage.read(name, from)?;
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    let mut buffer = [0; 1 << 12];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, LineHash::from(<[u8; 32]>::from(hasher.finalize())))),
            Ok(read) => {
                hasher.update(buffer.get(..read).unwrap_or_default());
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn names(storage: &dyn Storage) -> Result<Names, LogError> {
    Names::of(storage).map_err(|error| LogError::io(storage.path(), error))
}
