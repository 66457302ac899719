//! Telling how far loading entities has come.

use std::fmt;
use std::sync::Arc;

/// How far loading has come. See [`Entities::on_progress`](super::Entities::on_progress).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EntityProgress {
    entities: usize,
    bytes: u64,
    total_bytes: Option<u64>,
}

impl EntityProgress {
    /// Entities that were read, also those that were refused.
    pub fn entities(&self) -> usize {
        self.entities
    }

    /// Bytes of text that they were read from.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes there are in all, where that is known: not of a stream.
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }
}

/// Whom to tell of progress.
#[derive(Clone, Default)]
pub(super) struct Progress(pub(super) Option<Arc<dyn Fn(EntityProgress) + Send + Sync>>);

/// What was told of it so far.
pub(super) struct Reported<'p> {
    progress: &'p Progress,
    now: EntityProgress,
    /// Bytes of the inputs before this one.
    before: u64,
}

/// A report after so many entities, some milliseconds apart.
const EVERY: usize = 8192;

impl<'p> Reported<'p> {
    pub(super) fn new(progress: &'p Progress, total_bytes: Option<u64>) -> Self {
        Self {
            progress,
            now: EntityProgress {
                total_bytes,
                ..EntityProgress::default()
            },
            before: 0,
        }
    }

    /// One more entity; `bytes` of this input so far.
    pub(super) fn entity(&mut self, bytes: u64) {
        self.now.entities += 1;
        if self.now.entities.is_multiple_of(EVERY) {
            self.now.bytes = self.before + bytes;
            self.tell();
        }
    }

    /// An input has ended, after so many bytes.
    pub(super) fn input(&mut self, bytes: u64) {
        self.before += bytes;
        self.now.bytes = self.before;
        self.tell();
    }

    fn tell(&self) {
        if let Some(report) = &self.progress.0 {
            report(self.now);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(_)" } else { "None" })
    }
}
