//! A durable log of decisions that shows when it was altered.
//!
//! [`DurableLog`] writes each record as a line of JSON to segments (`*.jsonl`) in a directory. Each line names the hash of
//! the line before it and its own, across segments, so that [`verify()`] finds the first line that was altered, removed,
//! moved or copied.
//!
//! ```
//! use std::sync::Arc;
//!
//! use duramen::evidence::log::{DurableLog, verify};
//! use duramen::{Authorizer, Request};
//!
//! # let directory = std::env::temp_dir().join(format!("duramen-doc-log-{}", std::process::id()));
//! let log = Arc::new(DurableLog::open(&directory)?);
//! let authorizer = Authorizer::builder()
//!     .policies("permit(principal, action, resource);")
//!     .sink(Arc::clone(&log))
//!     .build()?;
//! assert!(authorizer.is_allowed(&Request::new(("User", "alice"), ("Action", "view"), ("Doc", "plan"))));
//!
//! // Kept where the log's writer cannot reach, it shows later whether anything was cut off.
//! let checkpoint = log.checkpoint()?;
//! let seen = verify(&directory, Some(&checkpoint))?;
//! assert!(seen.is_fine());
//! assert_eq!(seen.decisions(), 1);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What an acknowledged record survives
//!
//! A record is acknowledged when the sink has returned `Ok`, and so when the decision is returned. It has been handed to
//! the operating system then, and a process that is killed does not lose it. [`SyncPolicy`] says what a crash of the
//! machine may take.
//!
//! After a write or a sync has failed, nothing is acknowledged until the log has repaired itself: the end of the segment
//! that nobody vouches for is cut off, what was acknowledged of it is written again to a new segment, and an entry tells
//! the cut. The same happens with what a crash leaves half-written, when the log is opened again.
//!
//! # What the chain proves
//!
//! * **Without a checkpoint**: that no line was altered, removed, moved or copied by somebody who did not compute all hashes
//!   after it anew. It shows accidents and careless hands. Lines that are gone from the end do not show.
//! * **With a [`Checkpoint`] that was kept elsewhere**: that the lines up to it are those that were there then. To
//!   rewrite, somebody would have had to do it before the checkpoint was made.
//! * **With a signed one**: that it is the holder of the key who made the checkpoint, so that it may be kept anywhere. It proves
//!   no more than an unsigned one does about what was written before it.
//!
//! # While nobody writes
//!
//! A writer goes on where the log ends. Lines that were cut off while it was down do not show once the next line is written,
//! not even against a checkpoint that is made then. So open the log against the last one that was kept elsewhere:
//!
//! ```
//! use duramen::evidence::DecisionSink;
//! use duramen::evidence::log::{Checkpoint, DurableLog, FindingKind};
//!
//! # let directory = std::env::temp_dir().join(format!("duramen-doc-expected-{}", std::process::id()));
//! let log = DurableLog::open(&directory)?;
//! log.record_loss(1)?;
//! log.record_loss(2)?;
//! // At intervals, and when the service stops: to where the service cannot overwrite it.
//! let kept = log.checkpoint()?.to_json();
//! drop(log);
//!
//! let open = || {
//!     let checkpoint = Checkpoint::from_json(&kept)?;
//!     DurableLog::options(&directory).expect_checkpoint(checkpoint).open()
//! };
//! drop(open()?);
//!
//! // The last line is cut off, and nothing of it is left that looks like a crash.
//! let segment = directory.join("00000000000000000000.jsonl");
//! let text = std::fs::read_to_string(&segment)?;
//! let first = text.split_inclusive('\n').next().unwrap_or_default();
//! std::fs::write(&segment, first)?;
//! let error = open().unwrap_err();
//! let finding = error.finding().ok_or("a finding")?;
//! assert_eq!(finding.kind(), FindingKind::Truncated { expected: 2 });
//! assert_eq!(finding.index(), 1);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Lines
//!
//! The members of a decision's line are those of its record, and then, in the first line of a segment, `log`: which log it is
//! ([`LogId`]), unless a repair has begun the segment with older lines. Behind them is `chain`: `format` (1), `index` (from 0),
//! `entry` (`decision`), `prev` and `hash`. The log's own lines have a `time`, one member named after their `entry`, and those two:
//!
//! | entry | says | members |
//! |---|---|---|
//! | `gap` | that records were lost before the next line | `lost`: how many |
//! | `cut` | that the end of a segment was cut off | `segment`; `offset` and `bytes`: from where and how much; `sha256` of it |
//! | `removed` | that retention removed the oldest segments | `segments`: how many; `before`: the index of the first line that stays; `last`: the hash of the last one that does not |
//!
//! `hash` is the SHA-256 of the line's bytes up to the last digit of `prev`.

mod chain;
mod checkpoint;
mod error;
mod event;
mod expected;
mod id;
mod options;
mod recover;
mod retention;
mod segment;
mod storage;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use chain::LineHash;
pub use checkpoint::Checkpoint;
pub use error::{LogError, LogErrorKind};
pub use id::{LogId, LogIdError};
pub use options::{LogOptions, SyncPolicy};
pub use verify::{Finding, FindingKind, Verification, verify};

use super::{DecisionRecord, DecisionSink, Delivery, SinkError, Wants, line};
use chain::Head;
use event::{Event, Gap};
use storage::Storage;
pub(crate) use storage::{make_directory, sync_names};
use writer::{Lines, Writer};

/// The longest line of a log, without its line break. The record of a decision whose line would be longer is not kept.
pub const MAX_LINE_BYTES: usize = 8 << 20;

/// How long the thread that syncs batches leaves a log alone that has failed, at least: it must not keep the lock from
/// deciding threads.
const REST: Duration = Duration::from_millis(10);

/// How many bytes are written at once, roughly, when several records are.
const BATCH_BYTES: usize = 1 << 20;

/// A sink that keeps records in a hash-chained log on disk. See the [module's documentation](self).
///
/// The deciding thread writes, and waits for the disk: under [`SyncPolicy::EachRecord`] at each record, otherwise while a
/// batch is synced. A [`QueueSink`](super::QueueSink) in front of the log takes both from it. Nothing is allocated once
/// the log's buffers have grown, except where a segment begins.
///
/// When it is dropped, what is unsynced is synced, and what failed before is repaired if it can be; errors of that only
/// [`DurableLog::sync`] tells.
#[derive(Debug)]
pub struct DurableLog {
    shared: Arc<Shared>,
    wants: Wants,
    delivery: Delivery,
    /// Syncs batches whose time has come.
    syncer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Told when something waits to be synced, and when the log is closed.
    changed: Condvar,
    /// Told when a sync that was made without the lock is over.
    synced: Condvar,
}

#[derive(Debug)]
struct State {
    writer: Writer,
    /// How many wait until nobody syncs without the lock. Nobody begins to as long as there are some: where a sync takes longer than
    /// a batch may wait, another one would always be due.
    waiting: usize,
    closed: bool,
}

impl DurableLog {
    /// Opens the log in a directory, or begins it, with default options.
    ///
    /// # Errors
    /// As [`LogOptions::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, LogError> {
        Self::options(directory).open()
    }

    /// Options for the log in a directory.
    pub fn options(directory: impl AsRef<Path>) -> LogOptions {
        LogOptions::new(directory.as_ref())
    }

    fn on(storage: Box<dyn Storage>, options: LogOptions) -> Result<Self, LogError> {
        let (wants, delivery, sync) = (options.wants, options.delivery, options.sync);
        let path = storage.path().to_owned();
        let writer = recover::open(storage, options)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                writer,
                waiting: 0,
                closed: false,
            }),
            changed: Condvar::new(),
            synced: Condvar::new(),
        });
        let syncer = if matches!(sync, SyncPolicy::Batch { .. }) {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new()
                .name("duramen-log-sync".into())
                .spawn(move || shared.sync_when_due());
            Some(thread.map_err(|error| LogError::io(&path, error))?)
        } else {
            None
        };
        Ok(Self {
            shared,
            wants,
            delivery,
            syncer,
        })
    }

    /// Makes sure that what was acknowledged is on the disk, whatever the policy is.
    ///
    /// # Errors
    /// [`LogError`] when that cannot be said.
    pub fn sync(&self) -> Result<(), LogError> {
        self.shared.lock_idle().writer.sync()
    }

    /// Where the chain stands, after syncing it: to be kept elsewhere.
    ///
    /// # Errors
    /// [`LogError`] when what was acknowledged is not known to be on the disk.
    pub fn checkpoint(&self) -> Result<Checkpoint, LogError> {
        let writer = &mut self.shared.lock_idle().writer;
        writer.sync()?;
        let Head { next, hash, .. } = writer.head;
        Ok(Checkpoint::new(writer.log, next, hash))
    }

    /// Appends what `make` makes, at most so many lines.
    fn append(
        &self,
        lines: usize,
        make: impl FnOnce(&mut Lines<'_>) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let lines = lines as u64;
        let mut state = self.shared.lock();
        // One sync makes room for a few lines; there may never be enough for many beside those of others.
        if state.writer.must_be_idle(lines) {
            state = self.shared.wait_until_synced(state);
        }
        let is_busy = |writer: &Writer| writer.must_be_idle(lines);
        let mut state = self.shared.wait_while(state, is_busy);
        let before = state.writer.syncing_work();
        let appended = state.writer.append(make);
        if state.writer.syncing_work() > before {
            self.shared.changed.notify_one();
        }
        appended
    }
}

impl DecisionSink for DurableLog {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn delivery(&self) -> Delivery {
        self.delivery
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        Ok(self.append(LINES, |lines| add(lines, record))?)
    }

    /// Written, and under [`SyncPolicy::EachRecord`] synced, together: all of them are acknowledged at once.
    fn record_batch(
        &self,
        records: &[DecisionRecord<'_>],
        kept: &mut usize,
    ) -> Result<(), SinkError> {
        let mut rest = records;
        while !rest.is_empty() {
            let mut added = 0;
            let mut failure = None;
            self.append(rest.len() * LINES, |lines| {
                for record in rest {
                    if lines.bytes() > BATCH_BYTES {
                        break;
                    }
                    if let Err(error) = add(lines, record) {
                        failure = Some(error);
                        break;
                    }
                    added += 1;
                }
                Ok(())
            })?;
            *kept += added;
            rest = rest.get(added..).unwrap_or_default();
            if let Some(error) = failure {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Does not wait before it repairs what failed: nobody tells it again.
    fn record_loss(&self, lost: u64) -> Result<(), SinkError> {
        self.shared.lock_idle().writer.mend()?;
        Ok(self.append(1, |lines| lines.event(&Event::Gap(Gap { lost })))?)
    }

    fn flush(&self) -> Result<(), SinkError> {
        Ok(self.sync()?)
    }
}

/// How many lines a record may take.
const LINES: usize = 2;

/// The record's line, and before it one that tells of lost ones.
fn add(lines: &mut Lines<'_>, record: &DecisionRecord<'_>) -> Result<(), LogError> {
    lines.all_or_none(|lines| {
        let lost = record.lost_before();
        if lost > 0 {
            lines.event(&Event::Gap(Gap { lost }))?;
        }
        lines.decision(|out| line::write(record, out).map_err(LogError::not_written))
    })
}

impl From<LogError> for SinkError {
    fn from(error: LogError) -> Self {
        let only_the_record = error.kind() == LogErrorKind::NotALine;
        Self {
            only_the_record,
            ..Self::because(error)
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while a line is made leaves the writer as it was before the line.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_synced<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let waited = self.synced.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// For what is over when nobody syncs without the lock; nobody begins to meanwhile.
    fn wait_while<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        is_busy: impl Fn(&Writer) -> bool,
    ) -> MutexGuard<'s, State> {
        if !is_busy(&state.writer) {
            return state;
        }
        state.waiting += 1;
        while is_busy(&state.writer) {
            state = self.wait_until_synced(state);
        }
        state.waiting -= 1;
        if state.waiting == 0 {
            self.changed.notify_one();
        }
        state
    }

    /// While nobody syncs without the lock.
    fn lock_idle(&self) -> MutexGuard<'_, State> {
        self.wait_while(self.lock(), Writer::is_syncing)
    }

    /// Syncs without the lock; whether that is done.
    ///
    /// What is appended meanwhile is acknowledged as before: it is in memory too, and written again should this fail.
    fn sync_beside<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
    ) -> (MutexGuard<'s, State>, bool) {
        let Ok(beside) = state.writer.begin_sync() else {
            return (state, false);
        };
        drop(state);
        let synced = beside.sync();
        let mut state = self.lock();
        let done = state.writer.end_sync(synced);
        self.synced.notify_all();
        (state, done)
    }

    fn sync_when_due(&self) {
        let mut state = self.lock();
        while !state.closed {
            let due = state.writer.sync_due_in();
            // Those who wait tell when they have had their turn.
            let due = due.filter(|_| state.waiting == 0);
            state = match due {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(time) if time.is_zero() => {
                    let (after, done) = self.sync_beside(state);
                    state = after;
                    if done {
                        continue;
                    }
                    // What failed is repaired later; what is unsynced stays so, and records are refused until then.
                    let waited = self.changed.wait_timeout(state, REST);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(time) => {
                    let waited = self.changed.wait_timeout(state, time);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Drop for DurableLog {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(syncer) = self.syncer.take() {
            let _ = syncer.join();
        }
        let _ = self.shared.lock_idle().writer.close();
    }
}
