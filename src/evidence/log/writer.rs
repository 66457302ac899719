//! Writing: lines to segments, syncing, rotation; what is not acknowledged after a failure.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use super::super::json::Buffer;
use super::chain::{EntryKind, Head};
use super::event::Event;
use super::id::LogId;
use super::options::{LogOptions, SyncPolicy};
use super::recover::Repair;
use super::segment;
use super::storage::{Appendable, Storage, SyncLater};
use super::{BATCH_BYTES, LogError, LogErrorKind, MAX_LINE_BYTES};

/// How much is kept in memory to be written again when a sync fails: long records must not take all there is.
pub(super) const UNSYNCED_BYTES: usize = 16 << 20;

/// From how many records in a batch on half of it is synced while the other half is written. Smaller ones are not worth the
/// change of threads.
const LARGE_BATCH: u64 = 128;

/// The one that writes.
pub(super) struct Writer {
    pub(super) storage: Box<dyn Storage>,
    pub(super) options: LogOptions,
    /// After the last line that was acknowledged.
    pub(super) head: Head,
    /// Which log it is; `None` of one that was begun before logs had ids.
    pub(super) log: Option<LogId>,
    pub(super) segment: Open,
    /// Lines being made. Kept for its memory.
    lines: Buffer,
    /// Since when nothing is acknowledged: what is at the end of the segment is not known.
    broken: Option<Instant>,
    pub(super) repair: Repair,
    /// Whether the segment is being synced without the lock. Then it is appended to, and nothing else.
    syncing: bool,
}

/// What is being synced without the lock.
pub(super) struct Beside {
    sync: SyncLater,
    begun: Instant,
    /// Where the segment ended.
    bytes: u64,
    lines: u64,
}

impl Beside {
    /// Takes as long as the disk does.
    pub(super) fn sync(self) -> Synced {
        let Self {
            sync,
            begun,
            bytes,
            lines,
        } = self;
        Synced {
            outcome: sync(),
            begun,
            bytes,
            lines,
        }
    }
}

/// What came of it.
pub(super) struct Synced {
    outcome: io::Result<()>,
    begun: Instant,
    bytes: u64,
    lines: u64,
}

/// The segment that is written to.
pub(super) struct Open {
    pub(super) name: String,
    pub(super) file: Box<dyn Appendable>,
    /// Bytes of the lines that were acknowledged.
    pub(super) bytes: u64,
    /// How many of them are known to be on the disk. Under [`SyncPolicy::Never`], as many as were acknowledged.
    pub(super) synced: u64,
    /// What was acknowledged and is not known to be on the disk: to be written again when a sync fails, as nobody knows
    /// then what of it is there.
    pub(super) unsynced: Vec<u8>,
    /// The beginning of it that is being synced without the lock.
    in_flight: Vec<u8>,
    unsynced_lines: u64,
    unsynced_since: Option<Instant>,
    pub(super) begun: Begun,
}

/// When a segment was begun.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    age: Duration,
    then: Instant,
}

impl Begun {
    pub(super) fn now() -> Self {
        Self {
            age: Duration::ZERO,
            then: Instant::now(),
        }
    }

    pub(super) fn at(created: SystemTime) -> Self {
        Self {
            // A clock that was set back makes a segment young, not old.
            age: created.elapsed().unwrap_or_default(),
            ..Self::now()
        }
    }

    fn age(self) -> Duration {
        self.age.saturating_add(self.then.elapsed())
    }
}

impl Open {
    pub(super) fn new(name: String, file: Box<dyn Appendable>, bytes: u64, begun: Begun) -> Self {
        Self {
            name,
            file,
            bytes,
            synced: bytes,
            unsynced: Vec::new(),
            in_flight: Vec::new(),
            unsynced_lines: 0,
            unsynced_since: None,
            begun,
        }
    }

    /// How much is kept in memory to be written again.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.unsynced.len() + self.in_flight.len()
    }
}

/// What a call appends to.
pub(super) struct Lines<'w> {
    out: &'w mut Buffer,
    head: &'w mut Head,
    count: u64,
}

impl Lines<'_> {
    /// How many bytes there are.
    pub(super) fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Takes back what `add` has added when it fails.
    pub(super) fn all_or_none(
        &mut self,
        add: impl FnOnce(&mut Self) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let before = (self.out.len(), *self.head, self.count);
        let added = add(self);
        if added.is_err() {
            self.out.truncate(before.0);
            (*self.head, self.count) = (before.1, before.2);
        }
        added
    }

    /// Adds the line of a decision, which `write` writes as a JSON object.
    pub(super) fn decision(
        &mut self,
        write: impl FnOnce(&mut Buffer) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let start = self.out.len();
        write(self.out)?;
        let sealed = self.head.seal(self.out, start, EntryKind::Decision);
        // The line break is not counted.
        if !sealed || self.out.len() - start > MAX_LINE_BYTES + 1 {
            let nowhere = std::path::Path::new("");
            return Err(LogError::new(LogErrorKind::NotALine, nowhere));
        }
        self.count += 1;
        Ok(())
    }

    /// Adds a line of the log's own.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), LogError> {
        event.write(self.head, self.out)?;
        self.count += 1;
        Ok(())
    }
}

impl Writer {
    pub(super) fn new(
        storage: Box<dyn Storage>,
        options: LogOptions,
        head: Head,
        log: Option<LogId>,
        segment: Open,
    ) -> Self {
        Self {
            storage,
            options,
            head,
            log,
            segment,
            lines: Buffer::default(),
            broken: None,
            repair: Repair::default(),
            syncing: false,
        }
    }

    /// Whether so many lines can only be appended when nobody syncs beside: otherwise more would be unsynced than the policy
    /// says, or something has to be done to the segment.
    pub(super) fn must_be_idle(&self, lines: u64) -> bool {
        let SyncPolicy::Batch { records, .. } = self.options.sync else {
            return false;
        };
        let segment = &self.segment;
        self.syncing
            && (self.broken.is_some()
                || self.is_segment_complete()
                || segment.unsynced_lines.saturating_add(lines) > records
                || segment.waiting_bytes() >= UNSYNCED_BYTES)
    }

    pub(super) fn is_syncing(&self) -> bool {
        self.syncing
    }

    /// Appends lines: all that `make` makes, or none.
    ///
    /// Once it returns `Ok` they are acknowledged, with what [`SyncPolicy`] says of that.
    pub(super) fn append(
        &mut self,
        make: impl FnOnce(&mut Lines<'_>) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        self.ready()?;
        // One that has come of age since somebody began to sync it is left later: what comes of that sync is about it.
        if self.is_segment_complete() && !self.syncing {
            self.rotate()?;
        }
        let mut out = std::mem::take(&mut self.lines);
        out.clear();
        let mut head = self.next_head();
        let mut lines = Lines {
            out: &mut out,
            head: &mut head,
            count: 0,
        };
        let made = make(&mut lines);
        let count = lines.count;
        let appended = made.and_then(|()| self.write(out.as_slice(), count, head));
        // What one record may need is not kept for all.
        out.clear();
        out.shrink_to(2 * BATCH_BYTES);
        self.lines = out;
        appended
    }

    /// Makes sure that what was acknowledged is on the disk.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        self.ready()?;
        self.sync_segment()
    }

    /// The same when there is no later time to repair: what is kept in memory to be written again is lost otherwise.
    pub(super) fn close(&mut self) -> Result<(), LogError> {
        self.mend()?;
        match self.sync_segment() {
            Err(_) if !self.segment.unsynced.is_empty() => self.mend(),
            synced => synced,
        }
    }

    /// What there is to do for the thread that syncs.
    pub(super) fn syncing_work(&self) -> Work {
        let segment = &self.segment;
        let SyncPolicy::Batch { records, .. } = self.options.sync else {
            return Work::None;
        };
        let half = (records >= LARGE_BATCH && segment.unsynced_lines >= records / 2)
            || segment.unsynced.len() >= UNSYNCED_BYTES / 2;
        match segment.unsynced_since {
            None => Work::None,
            Some(_) if half && self.broken.is_none() => Work::Now,
            Some(_) => Work::Later,
        }
    }

    /// How long what was acknowledged may still wait to be synced; `None` if nothing does.
    pub(super) fn sync_due_in(&self) -> Option<Duration> {
        let SyncPolicy::Batch { within, .. } = self.options.sync else {
            return None;
        };
        let since = self.segment.unsynced_since?;
        if self.syncing_work() == Work::Now {
            return Some(Duration::ZERO);
        }
        let waited = match self.broken {
            // Not before the repair may be tried.
            Some(broken) => return Some(self.retry_in(broken)),
            None => since.elapsed(),
        };
        Some(within.saturating_sub(waited))
    }

    /// Where the next line goes. The first of a segment says which log it is of.
    fn next_head(&self) -> Head {
        Head {
            log: self.log.filter(|_| self.segment.bytes == 0),
            ..self.head
        }
    }

    fn write(&mut self, lines: &[u8], count: u64, head: Head) -> Result<(), LogError> {
        if lines.is_empty() {
            return Ok(());
        }
        let segment = &mut self.segment;
        if let Err(error) = segment.file.write_all(lines) {
            let path = self.storage.path().join(&segment.name);
            self.broken = Some(Instant::now());
            return Err(LogError::io(&path, error));
        }
        let unsynced = segment.unsynced.len();
        let before = (segment.unsynced_lines, segment.unsynced_since);
        segment.bytes += lines.len() as u64;
        let due = match self.options.sync {
            SyncPolicy::EachRecord => true,
            SyncPolicy::Batch { records, within } => {
                segment.unsynced.extend_from_slice(lines);
                segment.unsynced_lines += count;
                let since = *segment.unsynced_since.get_or_insert_with(Instant::now);
                segment.unsynced_lines >= records
                    || since.elapsed() >= within
                    || segment.unsynced.len() >= UNSYNCED_BYTES
            }
            SyncPolicy::Never => {
                segment.synced = segment.bytes;
                false
            }
        };
        if due
            && !self.syncing
            && let Err(error) = self.sync_segment()
        {
            // These lines are not acknowledged; those that were before them are.
            let segment = &mut self.segment;
            segment.bytes -= lines.len() as u64;
            segment.unsynced.truncate(unsynced);
            (segment.unsynced_lines, segment.unsynced_since) = before;
            return Err(error);
        }
        self.head = head;
        Ok(())
    }

    fn sync_segment(&mut self) -> Result<(), LogError> {
        let segment = &mut self.segment;
        if let Err(error) = segment.file.sync() {
            // What of it is on the disk, nobody knows, and another sync would not tell: it may forget what it failed at.
            self.broken = Some(Instant::now());
            let path = self.storage.path().join(&segment.name);
            return Err(LogError::not_synced(&path, error));
        }
        segment.synced = segment.bytes;
        clear(&mut segment.unsynced);
        segment.unsynced_lines = 0;
        segment.unsynced_since = None;
        Ok(())
    }

    /// Begins a sync that needs the writer no more, so that it can be appended to meanwhile.
    pub(super) fn begin_sync(&mut self) -> Result<Beside, LogError> {
        self.ready()?;
        let segment = &mut self.segment;
        let sync = segment.file.sync_beside().map_err(|error| {
            let path = self.storage.path().join(&segment.name);
            self.broken = Some(Instant::now());
            LogError::not_synced(&path, error)
        })?;
        std::mem::swap(&mut segment.unsynced, &mut segment.in_flight);
        self.syncing = true;
        Ok(Beside {
            sync,
            begun: Instant::now(),
            bytes: segment.bytes,
            lines: segment.unsynced_lines,
        })
    }

    /// Whether it was synced. Otherwise all that is unsynced stays so, and is written again.
    pub(super) fn end_sync(&mut self, synced: Synced) -> bool {
        self.syncing = false;
        let segment = &mut self.segment;
        if synced.outcome.is_err() {
            let since = std::mem::take(&mut segment.unsynced);
            segment.unsynced = std::mem::take(&mut segment.in_flight);
            segment.unsynced.extend_from_slice(&since);
            self.broken = Some(Instant::now());
            return false;
        }
        clear(&mut segment.in_flight);
        segment.synced = synced.bytes;
        segment.unsynced_lines = segment.unsynced_lines.saturating_sub(synced.lines);
        let all = segment.unsynced.is_empty();
        segment.unsynced_since = (!all).then_some(synced.begun);
        true
    }

    /// Repairs what failed before, if it is time to.
    fn ready(&mut self) -> Result<(), LogError> {
        if self
            .broken
            .is_some_and(|broken| !self.retry_in(broken).is_zero())
        {
            let path = self.storage.path();
            return Err(LogError::new(LogErrorKind::NotRepaired, path));
        }
        self.mend()
    }

    /// Repairs what failed before.
    pub(super) fn mend(&mut self) -> Result<(), LogError> {
        if self.broken.is_none() {
            return Ok(());
        }
        self.broken = Some(Instant::now());
        self.repair()?;
        self.broken = None;
        Ok(())
    }

    fn retry_in(&self, broken: Instant) -> Duration {
        self.options.retry_after.saturating_sub(broken.elapsed())
    }

    fn is_segment_complete(&self) -> bool {
        let segment = &self.segment;
        segment.bytes > 0
            && (segment.bytes >= self.options.segment_bytes
                || segment.begun.age() >= self.options.segment_age)
    }

    /// Begins a new segment. The old one is synced first under every policy: whoever looks at a complete segment may rely
    /// on it.
    fn rotate(&mut self) -> Result<(), LogError> {
        self.sync_segment()?;
        let name = segment::name(self.head.next);
        let path = self.storage.path().join(&name);
        let file = self.begin_segment(&name);
        let file = file.map_err(|error| LogError::io(&path, error))?;
        self.segment = Open::new(name, file, 0, Begun::now());
        self.retain()
    }

    /// The file of a new segment, whose name is on the disk. What an attempt that failed has left of it is as good.
    fn begin_segment(&self, name: &str) -> io::Result<Box<dyn Appendable>> {
        let file = match self.storage.create(name) {
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && self.storage.about(name)?.bytes == 0 =>
            {
                self.storage.open(name)
            }
            created => created,
        }?;
        self.storage.sync()?;
        Ok(file)
    }

    /// Appends a line of the log's own and syncs it, under every policy.
    pub(super) fn append_event(&mut self, event: &Event) -> Result<(), LogError> {
        let mut line = Buffer::default();
        let mut head = self.next_head();
        event.write(&mut head, &mut line)?;
        self.write(line.as_slice(), 1, head)?;
        self.sync_segment()
    }

    /// The index of the first line that is not known to be on the disk.
    pub(super) fn first_unsynced(&self) -> u64 {
        self.head.next - self.segment.unsynced_lines
    }
}

/// What a few long records needed is not kept for all.
fn clear(unsynced: &mut Vec<u8>) {
    if unsynced.len() < unsynced.capacity() / 4 {
        unsynced.shrink_to((2 * BATCH_BYTES).max(unsynced.len()));
    }
    unsynced.clear();
}

/// What there is to do for the thread that syncs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Work {
    None,
    /// When the time has come.
    Later,
    Now,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("head", &self.head)
            .field("segment", &self.segment.name)
            .finish_non_exhaustive()
    }
}
