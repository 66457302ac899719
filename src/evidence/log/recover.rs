//! Recovering: from a crash when a log is opened, from a failure while it is written.
//!
//! Both leave an end of the last segment that nobody vouches for. It is cut off, and the cut is told in the chain, in
//! three steps that each may be the last: a *draft* of a new segment is written and synced, with the acknowledged lines
//! that the cut takes along and an entry that tells the cut; the old segment is cut; the draft gets its name. A complete
//! draft that is found when a log is opened is carried out, an incomplete one is dropped.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::super::json::Buffer;
use super::LogError;
use super::chain::{Head, LineHash, Sealed};
use super::event::{Cut, Event};
use super::id::LogId;
use super::options::{LogOptions, SyncPolicy};
use super::segment::{self, Lines, Names, Place};
use super::storage::Storage;
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
        let cut = Scanned::whole(storage, &name).ok();
        let cut = cut.filter(|scanned| !scanned.torn).and_then(|it| it.cut);
        let carried_out = match cut {
            Some(cut) => carry_out(storage, first, &name, &cut),
            // The old segment was not touched yet.
            None => storage.remove(&name),
        };
        carried_out.map_err(|error| LogError::io(&path, error))?;
    }
    Ok(())
}

/// Cuts the old segment and gives the draft of the new one its name.
fn carry_out(storage: &dyn Storage, first: u64, draft: &str, cut: &Cut) -> io::Result<()> {
    // A file name, whatever else an entry may say.
    if segment::first_index(&cut.segment).is_none() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut file = storage.open(&cut.segment)?;
    if storage.about(&cut.segment)?.bytes > cut.offset {
        file.set_len(cut.offset)?;
        file.sync()?;
    }
    storage.rename(draft, &segment::name(first))?;
    storage.sync()
}

impl Writer {
    /// Cuts off what nobody vouches for, and goes on in a new segment.
    pub(super) fn repair(&mut self) -> Result<(), LogError> {
        let path = self.storage.path().join(&self.segment.name);
        let failed = |error| LogError::io(&path, error);
        self.check_synced()?;
        let old = &self.segment;
        let (bytes, sha256) = tail(&*self.storage, &old.name, old.synced).map_err(failed)?;
        let cut = Cut {
            segment: old.name.clone(),
            offset: old.synced,
            bytes,
            sha256,
        };
        let first = self.first_unsynced();
        let mut lines = old.unsynced.clone();
        let mut head = Head {
            log: self.log.filter(|_| lines.is_empty()),
            ..self.head
        };
        let mut told = Buffer::default();
        Event::Cut(cut.clone()).write(&mut head, &mut told)?;
        lines.extend_from_slice(told.as_slice());

        let draft = segment::draft_name(first);
        // That of an attempt that failed.
        let _ = self.storage.remove(&draft);
        let mut file = self.storage.create(&draft).map_err(failed)?;
        let written = file.write_all(&lines).and_then(|()| file.sync());
        let carried_out = written.and_then(|()| {
            self.storage.sync()?;
            carry_out(&*self.storage, first, &draft, &cut)
        });
        carried_out.map_err(failed)?;
        let name = segment::name(first);
        self.segment = Open::new(name, file, lines.len() as u64, Begun::now());
        self.head = head;
        Ok(())
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
