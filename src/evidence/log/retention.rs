//! Retention: the oldest segments go, and the log says so before they do.

use std::io;

use super::LogError;
use super::chain::LineHash;
use super::event::{Event, Removed};
use super::segment::{Lines, Names, first_index};
use super::verify::sealed;
use super::writer::Writer;

impl Writer {
    /// Removes the oldest segments as far as the options say.
    ///
    /// A crash between the entry and the removal, or before the disk knows of the removal, leaves more than the entry says,
    /// which verifying accepts. What is left so, and files that cannot be removed, are tried again the next time: the log must
    /// not stop because of them.
    pub(super) fn retain(&mut self) -> Result<(), LogError> {
        if self.options.keep_bytes.is_none() && self.options.keep_for.is_none() {
            return Ok(());
        }
        let outdated = self
            .outdated()
            .map_err(|error| LogError::io(self.storage.path(), error))?;
        let Some((removed, names)) = outdated else {
            return Ok(());
        };
        self.append_event(&Event::Removed(removed))?;
        for name in names {
            // The oldest first, and none after one that stays: what remains has no hole.
            if self.storage.remove(&name).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// What to remove, and how it will be told.
    fn outdated(&self) -> io::Result<Option<(Removed, Vec<String>)>> {
        let mut segments = Names::of(&*self.storage)?.segments;
        let current = first_index(&self.segment.name);
        segments.retain(|(first, _)| Some(*first) < current);
        let mut about = Vec::with_capacity(segments.len());
        for (_, name) in &segments {
            about.push(self.storage.about(name)?);
        }
        // The segment that was just begun has none yet.
        let mut bytes: u64 = about.iter().map(|about| about.bytes).sum();
        let mut count = 0;
        for about in &about {
            let too_many = self.options.keep_bytes.is_some_and(|keep| bytes > keep);
            // What a clock that was set back makes look new is not too old.
            let age = about.modified.elapsed().unwrap_or_default();
            let too_old = self.options.keep_for.is_some_and(|keep| age > keep);
            if !(too_many || too_old) {
                break;
            }
            bytes -= about.bytes;
            count += 1;
        }
        let mut names: Vec<String> = segments.into_iter().map(|(_, name)| name).collect();
        let kept = names.split_off(count);
        if names.is_empty() {
            return Ok(None);
        }
        let (before, last) = match kept.first() {
            Some(name) => self.begin_of(name)?,
            None => self.begin_of(&self.segment.name)?,
        };
        let segments = names.len() as u64;
        Ok(Some((
            Removed {
                segments,
                before,
                last,
            },
            names,
        )))
    }

    /// The index of a segment's first line and the hash of the line before it.
    fn begin_of(&self, name: &str) -> io::Result<(u64, LineHash)> {
        let mut lines = Lines::of(&*self.storage, name)?;
        match lines.next()?.as_ref().map(sealed) {
            Some(Some(line)) => Ok((line.index, line.prev)),
            None => Ok((self.head.next, self.head.hash)),
            Some(None) => Err(io::Error::other(
                "the first line that would remain is altered",
            )),
        }
    }
}
