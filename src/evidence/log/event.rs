//! What the log says about itself, in lines of its own: what was lost, cut off and removed.

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::super::json::{self, Buffer};
use super::super::pieces::Timestamp;
use super::chain::{EntryKind, Head, LineHash, Sealed};
use super::{LogError, LogErrorKind};

/// A line that is not a decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Event {
    Gap(Gap),
    Cut(Cut),
    Removed(Removed),
}

/// Records that could not be kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) lost: u64,
}

/// What stood at the end of a segment, was never acknowledged and was cut off.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Cut {
    pub(super) segment: String,
    /// What the segment was cut back to.
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) sha256: LineHash,
}

/// Segments that were too old or too many.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Removed {
    pub(super) segments: u64,
    /// The index of the first line that remains.
    pub(super) before: u64,
    /// The hash of the last line that was removed.
    pub(super) last: LineHash,
}

/// How a line is written: one of the members, named after the kind.
#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<&'a Gap>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<&'a Cut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<&'a Removed>,
}

/// How a line is read. Other members are no concern of this.
#[derive(Deserialize)]
struct Read {
    gap: Option<Gap>,
    cut: Option<Cut>,
    removed: Option<Removed>,
}

impl Event {
    /// Appends the line to `out`.
    pub(super) fn write(&self, head: &mut Head, out: &mut Buffer) -> Result<(), LogError> {
        let mut line = Line {
            time: Timestamp(SystemTime::now()),
            gap: None,
            cut: None,
            removed: None,
        };
        let kind = match self {
            Self::Gap(gap) => {
                line.gap = Some(gap);
                EntryKind::Gap
            }
            Self::Cut(cut) => {
                line.cut = Some(cut);
                EntryKind::Cut
            }
            Self::Removed(removed) => {
                line.removed = Some(removed);
                EntryKind::Removed
            }
        };
        let start = out.len();
        json::write(&line, out).map_err(LogError::not_written)?;
        match head.seal(out, start, kind) {
            true => Ok(()),
            false => Err(LogError::new(LogErrorKind::NotALine, Path::new(""))),
        }
    }

    /// The event that a line tells; `None` for a decision, and for a line that does not say what its kind says.
    pub(super) fn read(line: &Sealed<'_>) -> Option<Self> {
        if line.entry == EntryKind::Decision {
            return None;
        }
        let read: Read = serde_json::from_slice(line.text).ok()?;
        match line.entry {
            EntryKind::Decision => None,
            EntryKind::Gap => read.gap.map(Self::Gap),
            EntryKind::Cut => read.cut.map(Self::Cut),
            EntryKind::Removed => read.removed.map(Self::Removed),
        }
    }
}
