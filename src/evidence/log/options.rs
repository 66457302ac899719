//! How a log is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::{Delivery, Wants};
use super::expected::Expected;
use super::storage::Directory;
use super::{Checkpoint, DurableLog, LogError};

/// When what was written is forced to the disk, and so what it means that a record was taken.
///
/// A process that is killed loses nothing that was taken, under any policy: the operating system has it. The policies
/// differ in what a crash of the machine, or a power failure, may take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// Before a record counts as taken. A crash of the machine loses no record that was.
    EachRecord,
    /// Before `records` records (or 16 MiB) are unsynced and before `within` has passed since the first of them was
    /// written. A crash of the machine loses at most those. What is unsynced is also kept in memory, to be written again
    /// when a sync fails.
    Batch {
        /// How many records may be unsynced.
        records: u64,
        /// For how long.
        within: Duration,
    },
    /// When a segment is complete and when the log is closed. A crash of the machine loses what the operating system had
    /// not yet written.
    Never,
}

/// The default: a batch of 256 records or a tenth of a second.
impl Default for SyncPolicy {
    fn default() -> Self {
        Self::Batch {
            records: 256,
            within: Duration::from_millis(100),
        }
    }
}

/// How a [`DurableLog`] is kept: made with [`DurableLog::options`], used with [`LogOptions::open`].
#[derive(Clone, Debug)]
pub struct LogOptions {
    directory: PathBuf,
    pub(super) wants: Wants,
    pub(super) delivery: Delivery,
    pub(super) sync: SyncPolicy,
    pub(super) segment_bytes: u64,
    pub(super) segment_age: Duration,
    pub(super) keep_bytes: Option<u64>,
    pub(super) keep_for: Option<Duration>,
    pub(super) retry_after: Duration,
    pub(super) expected: Option<Expected>,
}

impl LogOptions {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            wants: Wants::DecisionsWithInputs,
            delivery: Delivery::DenyIfNotKept,
            sync: SyncPolicy::default(),
            segment_bytes: 64 << 20,
            segment_age: Duration::from_secs(24 * 60 * 60),
            keep_bytes: None,
            keep_for: None,
            retry_after: Duration::from_millis(100),
            expected: None,
        }
    }

    #[cfg(test)]
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps records without their inputs: the context and what was read of entities. They cannot be replayed.
    #[must_use]
    pub fn without_inputs(mut self) -> Self {
        self.wants = Wants::Decisions;
        self
    }

    /// What becomes of a decision whose record could not be kept. Default: [`Delivery::DenyIfNotKept`].
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// When what was written is forced to the disk.
    #[must_use]
    pub fn sync(mut self, policy: SyncPolicy) -> Self {
        self.sync = policy;
        self
    }

    /// After how many bytes a new segment is begun. Default: 64 MiB. A segment has at least one line.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// After what time a new segment is begun, when there is something to write. Default: a day.
    #[must_use]
    pub fn segment_age(mut self, age: Duration) -> Self {
        self.segment_age = age;
        self
    }

    /// Removes the oldest segments when all of them together have more bytes than this. Default: nothing is removed.
    ///
    /// Looked at when a segment is begun; the one that is being written is never removed. What is removed, and the hash
    /// that the rest begins with, is recorded first.
    #[must_use]
    pub fn keep_bytes(mut self, bytes: u64) -> Self {
        self.keep_bytes = Some(bytes);
        self
    }

    /// Removes segments whose last line is older than this. Default: nothing is removed. As [`Self::keep_bytes`].
    #[must_use]
    pub fn keep_for(mut self, age: Duration) -> Self {
        self.keep_for = Some(age);
        self
    }

    /// How long after a failure the log waits before it tries to repair itself, at the next record. Default: a tenth of a
    /// second; until then records are refused at once.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = time;
        self
    }

    /// Opens the log only if it has all lines that it had at a checkpoint: one that [`DurableLog::checkpoint`] made before
    /// and that was kept elsewhere. Without it, a log whose end was cut off while nobody wrote it is continued where it ends,
    /// and the next checkpoint does not show the cut.
    ///
    /// Looked at are the line that the checkpoint is about and the chain from its segment to the end: all that was written
    /// since, and less than a segment before it. The lines before that only [`verify`](super::verify()) reads. What was
    /// written after the checkpoint and cut off does not show: expect the last one that there is. One of an empty log
    /// expects nothing.
    ///
    /// Whoever can take away the checkpoint has the log opened without one: that it is missing should keep a service from
    /// starting, too. A signature is not looked at; for that there is `expect_signed_checkpoint` (feature
    /// `signed-checkpoints`). What the log has not, [`Self::open`] tells.
    ///
    /// The [module's documentation](super) has an example.
    #[must_use]
    pub fn expect_checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.expected = Some(Expected::new(checkpoint));
        self
    }

    /// Opens the log, or begins it: makes the directory if need be, locks it, and repairs what a crash left behind.
    ///
    /// Reads the last segment, not all of them, and what [`Self::expect_checkpoint`] says; [`verify`](super::verify()) reads
    /// all.
    ///
    /// # Errors
    /// [`LogError`], whose kind tells a second writer ([`Locked`](super::LogErrorKind::Locked)), a directory that cannot be
    /// written to, and a log that is damaged in a way that no killed process explains
    /// ([`Damaged`](super::LogErrorKind::Damaged)). Nothing is changed then, but that a repair which a crash had interrupted
    /// is brought to its end.
    ///
    /// Where a checkpoint is expected, `Damaged` is also a log, or a directory, that is not there any more or ends before the
    /// checkpoint ([`Truncated`](super::FindingKind::Truncated)), that has another line there
    /// ([`CheckpointDiffers`](super::FindingKind::CheckpointDiffers)), or that the checkpoint is not of
    /// ([`OtherLog`](super::FindingKind::OtherLog)). [`OldCheckpoint`](super::LogErrorKind::OldCheckpoint) is one that is
    /// older than all that retention has left, and [`BadCheckpoint`](super::LogErrorKind::BadCheckpoint) one with a wrong
    /// signature.
    pub fn open(self) -> Result<DurableLog, LogError> {
        if let Some(expected) = &self.expected {
            expected.check_before_opening(&self.directory)?;
        }
        let storage = Directory::lock(&self.directory)?;
        DurableLog::on(Box::new(storage), self)
    }
}

#[cfg(feature = "signed-checkpoints")]
impl LogOptions {
    /// As [`Self::expect_checkpoint`], and only if the checkpoint was signed by the holder of a key, given as the 32 bytes of
    /// the public key (ed25519).
    #[must_use]
    pub fn expect_signed_checkpoint(
        mut self,
        checkpoint: Checkpoint,
        public_key: &[u8; 32],
    ) -> Self {
        self.expected = Some(Expected::new(checkpoint).signed_by(*public_key));
        self
    }
}
