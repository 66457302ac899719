//! What is printed. It may go to a disk that is full, or to a program that has read enough and closed its end.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

/// The first failure. A command ends what it does all the same, and its exit code tells.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// As `println!`, which panics where nothing can be written.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

pub(crate) fn line(text: Arguments<'_>) {
    if cfg!(test) {
        // This one the test runner keeps to itself.
        println!("{text}");
    } else if let Err(error) = writeln!(io::stdout().lock(), "{text}") {
        let _ = FAILED.set(error);
    }
}

/// `code`, if all was written that was printed.
pub(crate) fn checked(code: ExitCode) -> ExitCode {
    let Some(error) = FAILED.get() else {
        return code;
    };
    // Who closes a pipe knows.
    if error.kind() != ErrorKind::BrokenPipe {
        eprintln!("evidence: the output could not be written: {error}");
    }
    ExitCode::from(2)
}
