//! Opening files to read them.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Opens a file to read it. A pipe would never be opened, and a device never be read to its end.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let about = fs::metadata(path)?;
    if about.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    File::open(path)
}
