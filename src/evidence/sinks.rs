//! Sinks: none, in memory, JSON Lines.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::json::Buffer;
use super::line;
use super::owned::{OwnedRecord, read};
use super::queue::slot::SMALL;
use super::{DecisionRecord, DecisionSink, SinkError, Wants};

/// The sink that wants nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

impl DecisionSink for NoSink {
    fn wants(&self) -> Wants {
        Wants::Nothing
    }

    fn record(&self, _: &DecisionRecord<'_>) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Keeps the last records in memory, for tests.
///
/// What is kept is each record's JSON, in memory that is used again: recording allocates nothing once that has grown.
#[derive(Debug)]
pub struct MemorySink {
    capacity: usize,
    records: Mutex<VecDeque<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    text: Buffer,
    /// Once somebody has asked for it.
    read: Option<OwnedRecord>,
}

impl MemorySink {
    /// A sink that keeps at most `capacity` records, the latest ones.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            records: Mutex::new(VecDeque::new()),
        }
    }

    /// The records kept, oldest first.
    pub fn records(&self) -> Vec<OwnedRecord> {
        let mut records = self.lock();
        let records = records.iter_mut().filter_map(|kept| {
            if kept.read.is_none() {
                // None was kept that cannot be read, as the two forms have the same fields.
                kept.read = read(&kept.text).ok();
            }
            kept.read.clone()
        });
        records.collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        // A queue of whole records is sound whoever panicked.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DecisionSink for MemorySink {
    fn wants(&self) -> Wants {
        Wants::DecisionsWithInputs
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        if self.capacity == 0 {
            return Ok(());
        }
        let mut records = self.lock();
        let mut kept = if records.len() < self.capacity {
            Kept::default()
        } else {
            records.pop_front().unwrap_or_default()
        };
        kept.read = None;
        kept.text.clear();
        kept.text.shrink_to(SMALL);
        line::write(record, &mut kept.text)?;
        records.push_back(kept);
        Ok(())
    }
}

/// Writes each record as one line of JSON.
///
/// A line is made in a buffer that is kept, up to a megabyte, and written with one call, so that lines never mix and nothing
/// is allocated once the buffer has grown to the longest line. The deciding thread writes: put slow writers behind
/// a `BufWriter`, and mind that what such a buffer holds is lost when the process dies.
///
/// Where the writer fails in the middle of a line, the beginning of that stays, as a line of its own that is not JSON: its
/// record was not kept, and the next line does not suffer from it. Where only the line's break is missing, the record was kept; the
/// break comes with the next line, or when the sink is flushed.
#[derive(Debug)]
pub struct JsonLinesSink<W> {
    wants: Wants,
    lines: Lines<W>,
}

impl<W: Write + Send> JsonLinesSink<W> {
    /// Writes records with their inputs to `writer`.
    pub fn new(writer: W) -> Self {
        Self {
            wants: Wants::DecisionsWithInputs,
            lines: Lines::new(writer),
        }
    }

    /// Writes records without their inputs: the context and what was read of entities. They cannot be replayed.
    #[must_use]
    pub fn without_inputs(mut self) -> Self {
        self.wants = Wants::Decisions;
        self
    }

    /// Flushes the writer.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn flush(&self) -> io::Result<()> {
        self.lines.flush()
    }

    /// The writer.
    pub fn into_inner(self) -> W {
        self.lines.into_inner()
    }
}

impl<W: Write + Send> DecisionSink for JsonLinesSink<W> {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn record(&self, record: &DecisionRecord<'_>) -> Result<(), SinkError> {
        self.lines.write(|line| Ok(line::write(record, line)?))
    }

    fn flush(&self) -> Result<(), SinkError> {
        Ok(self.lines.flush()?)
    }
}

/// A writer of lines, each written with one call.
#[derive(Debug)]
pub(super) struct Lines<W> {
    state: Mutex<Writing<W>>,
}

#[derive(Debug)]
struct Writing<W> {
    writer: W,
    line: Buffer,
    /// Whether the writer has taken a line without its break, or only the beginning of one: the next begins with a break.
    is_torn: bool,
}

/// How much memory of a long line is kept.
const KEPT_BYTES: usize = 1 << 20;

impl<W: Write> Writing<W> {
    /// As `write_all`, which does not tell how much was written when it fails. A line of which only the break is missing is
    /// kept: offered again, it would be there twice.
    fn write_line(&mut self) -> io::Result<()> {
        let mut rest = self.line.as_slice();
        while !rest.is_empty() {
            let error = match self.writer.write(rest) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    let taken = self.line.len() - rest.len();
                    let taken = self.line.as_slice().get(..taken).unwrap_or_default();
                    // It may be no more than the break that the line before lacked.
                    self.is_torn = taken.last() != Some(&b'\n');
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            return match rest {
                b"\n" => Ok(()),
                _ => Err(error),
            };
        }
        Ok(())
    }

    /// Writes the break that is missing, if one is.
    fn end_line(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.writer.write_all(b"\n")?;
            self.is_torn = false;
        }
        Ok(())
    }
}

impl<W: Write + Send> Lines<W> {
    pub(super) fn new(writer: W) -> Self {
        Self {
            state: Mutex::new(Writing {
                writer,
                line: Buffer::default(),
                is_torn: false,
            }),
        }
    }

    /// Writes the line that `make` makes, which must have no line break.
    pub(super) fn write(
        &self,
        make: impl FnOnce(&mut Buffer) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let mut state = self.lock();
        let state = &mut *state;
        state.line.clear();
        state.line.shrink_to(KEPT_BYTES);
        if state.is_torn {
            state.line.push(b'\n');
        }
        make(&mut state.line)?;
        state.line.push(b'\n');
        Ok(state.write_line()?)
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.end_line()?;
        state.writer.flush()
    }

    pub(super) fn into_inner(self) -> W {
        let state = self.state.into_inner();
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        // Nobody is left to be told if that fails.
        let _ = state.end_line();
        state.writer
    }

    fn lock(&self) -> MutexGuard<'_, Writing<W>> {
        // The line is begun anew each time: a panic in the writer leaves nothing half-done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{Authorizer, Request};

    /// Takes so many bytes, and no more until it is told otherwise.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (room, taken) = &mut *self.0.lock().unwrap();
            if *room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let some = &bytes[..bytes.len().min(*room)];
            *room -= some.len();
            taken.extend_from_slice(some);
            Ok(some.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A line that was half-written does not take the next one with it.
    #[test]
    fn a_line_behind_a_torn_one_is_whole() {
        // Nothing of the second line fits, its beginning, all but its line break; two lines fail, or one.
        for (extra, fail) in [(0, 1), (1, 1), (200, 1), (200, 2), (usize::MAX, 1)] {
            let disk = Disk(Arc::new(Mutex::new((usize::MAX, Vec::new()))));
            let authorizer = Authorizer::builder()
                .policies("permit(principal, action, resource);")
                .sink(JsonLinesSink::new(disk.clone()))
                .build()
                .unwrap();
            let decide = || {
                let request = Request::new(("User", "ann"), ("Action", "view"), ("Doc", "plan"));
                assert!(authorizer.is_allowed(&request));
            };
            decide();
            let line = disk.0.lock().unwrap().1.len();
            disk.0.lock().unwrap().0 = extra.min(line - 20);
            (0..fail).for_each(|_| decide());
            disk.0.lock().unwrap().0 = usize::MAX;
            decide();
            decide();
            let text = String::from_utf8(disk.0.lock().unwrap().1.clone()).unwrap();
            let read: Vec<OwnedRecord> = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            let told: Vec<_> = read.iter().map(|r| (r.sequence, r.lost_before)).collect();
            let next = 2 + fail;
            assert_eq!(
                told,
                [(1, 0), (next, fail), (next + 1, 0)],
                "{extra}: {text}"
            );
            let torn = text.lines().count() - read.len();
            assert_eq!(torn, usize::from(extra > 0), "{extra}: {text}");
            assert!(!text.contains("\n\n"));
        }
    }

    /// A line of which only the break is missing was kept, and is not written twice where it would be offered again.
    #[test]
    fn a_line_without_its_break_is_kept() {
        let disk = Disk(Arc::new(Mutex::new((5, Vec::new()))));
        let lines = Lines::new(disk.clone());
        let write = |text: &'static str| {
            lines.write(|line| {
                line.extend(text.as_bytes());
                Ok(())
            })
        };
        let (room, text) = (
            |bytes| disk.0.lock().unwrap().0 = bytes,
            || String::from_utf8(disk.0.lock().unwrap().1.clone()).unwrap(),
        );
        assert!(write("first").is_ok());
        assert_eq!(text(), "first");
        // It comes with the next line, or with its beginning.
        assert!(write("second").is_err());
        room(1);
        assert!(write("second").is_err());
        assert_eq!(text(), "first\n");
        room(6);
        assert!(write("second").is_ok());
        assert_eq!(text(), "first\nsecond");
        room(3);
        assert!(write("third").is_err());
        // Or when the writer is flushed: a line's end is not left to whoever writes next.
        assert!(lines.flush().is_err());
        room(100);
        assert!(lines.flush().is_ok());
        assert!(lines.flush().is_ok());
        assert!(write("third").is_ok());
        assert_eq!(text(), "first\nsecond\nth\nthird\n");
        room(5);
        assert!(write("fifth").is_ok());
        room(100);
        let _ = lines.into_inner();
        assert_eq!(text(), "first\nsecond\nth\nthird\nfifth\n");
    }
}
