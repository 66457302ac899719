//! What a sink wrote, for several writers and a reader.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use duramen::evidence::OwnedRecord;

/// A writer that tests can look into.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Of whole lines.
    pub(crate) fn records(&self) -> Vec<OwnedRecord> {
        let text = self.text();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
