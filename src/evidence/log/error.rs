//! What can go wrong with a log.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::super::json::JsonError;
use super::verify::Finding;

/// Why a log could not be opened, written or read.
#[derive(Debug)]
pub struct LogError {
    kind: LogErrorKind,
    path: PathBuf,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    finding: Option<Box<Finding>>,
}

/// The kind of a [`LogError`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LogErrorKind {
    /// Another writer, in this process or another, has the directory.
    Locked,
    /// The directory, or the file system that it is on, must not be written to.
    ReadOnly,
    /// There is no room left.
    Full,
    /// What is there is not what a writer left: [`LogError::finding`] says where. The log is not continued.
    Damaged,
    /// The operating system could not say that what was written is on the disk.
    NotSynced,
    /// The line of a record is longer than [`MAX_LINE_BYTES`](super::MAX_LINE_BYTES), or it is no JSON object.
    NotALine,
    /// An earlier failure has not been repaired yet. Nothing is taken until it is.
    NotRepaired,
    /// A checkpoint cannot be read, or its signature is not the one that is asked for.
    BadCheckpoint,
    /// Retention has removed all lines that the expected checkpoint is about, so that nothing can be compared: give a younger
    /// one, or open the log without.
    OldCheckpoint,
    /// Who verifies the log cannot read the directory or a segment.
    Unreadable,
    /// Anything else that the operating system reports.
    Io,
}

impl LogError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                LogErrorKind::ReadOnly
            }
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::WriteZero => LogErrorKind::Full,
            _ => LogErrorKind::Io,
        };
        Self::new(kind, path).because(source)
    }

    /// For those who only read: nothing is wrong with writing.
    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::new(LogErrorKind::Unreadable, path).because(source)
    }

    pub(super) fn not_synced(path: &Path, source: io::Error) -> Self {
        Self::new(LogErrorKind::NotSynced, path).because(source)
    }

    pub(super) fn not_written(source: JsonError) -> Self {
        Self::new(LogErrorKind::NotALine, Path::new("")).because(source)
    }

    pub(super) fn damaged(path: &Path, finding: Finding) -> Self {
        let mut error = Self::new(LogErrorKind::Damaged, path);
        error.finding = Some(Box::new(finding));
        error
    }

    pub(super) fn new(kind: LogErrorKind, path: &Path) -> Self {
        Self {
            kind,
            path: path.to_owned(),
            source: None,
            finding: None,
        }
    }

    pub(super) fn because(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(super) fn is_of_a_missing_file(&self) -> bool {
        let source = self.source.as_ref();
        let source = source.and_then(|source| source.downcast_ref::<io::Error>());
        source.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// What kind of error it is.
    pub fn kind(&self) -> LogErrorKind {
        self.kind
    }

    /// The file or directory that it is about; empty where it is about none.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with the records, when the log is damaged.
    pub fn finding(&self) -> Option<&Finding> {
        self.finding.as_deref()
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.as_os_str().is_empty() {
            write!(f, "{}: ", self.path.display())?;
        }
        f.write_str(match self.kind {
            LogErrorKind::Locked => "another writer has this log",
            LogErrorKind::ReadOnly => "the log cannot be written to",
            LogErrorKind::Full => "there is no room for the log",
            LogErrorKind::Damaged => "the log is damaged and is not continued",
            LogErrorKind::NotSynced => "what was written is not known to be on the disk",
            LogErrorKind::NotALine => "the record is not a line of the log",
            LogErrorKind::NotRepaired => "the log has failed and is not repaired yet",
            LogErrorKind::BadCheckpoint => "the checkpoint is not valid",
            LogErrorKind::OldCheckpoint => {
                "the expected checkpoint is older than all that the log has left; a younger one is needed"
            }
            LogErrorKind::Unreadable => "the log cannot be read",
            LogErrorKind::Io => "the log failed",
        })?;
        match &self.finding {
            Some(finding) => write!(f, ": {finding}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
