//! Holding a log against a checkpoint when it is opened.
//!
//! A writer goes on where the log ends. Had somebody cut lines off meanwhile, the chain would hold again with the next
//! line, and a later checkpoint would have nothing to miss.

use std::path::Path;

use super::storage::Storage;
use super::verify::{Finding, FindingKind, Spot, verify_since};
use super::{Checkpoint, LogError, LogErrorKind};

/// A checkpoint that the log must have all lines of.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    checkpoint: Checkpoint,
    /// Whose signature it must have.
    #[cfg(feature = "signed-checkpoints")]
    key: Option<[u8; 32]>,
}

impl Expected {
    pub(super) fn new(checkpoint: Checkpoint) -> Self {
        Self {
            checkpoint,
            #[cfg(feature = "signed-checkpoints")]
            key: None,
        }
    }

    #[cfg(feature = "signed-checkpoints")]
    pub(super) fn signed_by(mut self, key: [u8; 32]) -> Self {
        self.key = Some(key);
        self
    }

    /// What can be said before a directory is made and locked.
    pub(super) fn check_before_opening(&self, directory: &Path) -> Result<(), LogError> {
        #[cfg(feature = "signed-checkpoints")]
        if let Some(key) = &self.key {
            self.checkpoint.check_signature(key)?;
        }
        let is_gone = directory.try_exists().is_ok_and(|exists| !exists);
        let expected = self.checkpoint.count();
        if is_gone && expected > 0 {
            let kind = FindingKind::Truncated { expected };
            return Err(LogError::damaged(
                directory,
                Finding::new(kind, 0, Spot::default()),
            ));
        }
        Ok(())
    }

    /// Whether the log has all lines of the checkpoint, as far as they are read; a torn tail behind them is none of it.
    pub(super) fn hold_against(&self, storage: &dyn Storage) -> Result<(), LogError> {
        let checkpoint = &self.checkpoint;
        if checkpoint.count() == 0 {
            return Ok(());
        }
        let seen = verify_since(storage, checkpoint)?;
        match seen.finding() {
            Some(finding) if finding.is_tampering() => {
                Err(LogError::damaged(storage.path(), finding.clone()))
            }
            _ if seen.checkpoint_compared() => Ok(()),
            _ => {
                let old = LogError::new(LogErrorKind::OldCheckpoint, storage.path());
                Err(old.because(format!(
                    "it is about the first {} lines, and the log begins with line {}",
                    checkpoint.count(),
                    seen.first_index(),
                )))
            }
        }
    }
}
